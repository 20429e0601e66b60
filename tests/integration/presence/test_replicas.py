"""Two replicas, late messages, streamers and replicas that die."""

from __future__ import annotations

import asyncio

import pytest

from hubbub.contracts.events import UserChanged
from hubbub.contracts.presence import Status
from hubbub.errors import Unavailable
from hubbub.ids import UserId
from services.presence.settling import CLAIM_LEASE
from tests.integration.presence.conftest import (
    BOOT,
    STREAMER,
    Cluster,
    Replica,
    connection,
)

pytestmark = pytest.mark.integration

BOB = UserId("bob")
LEASE, OBSERVATION, GRACE = 15.0, 20.0, 10.0


@pytest.fixture(autouse=True)
async def bob(cluster: Cluster) -> None:
    await cluster.user(BOB)


# -- late and repeated messages -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "left"),
    [
        pytest.param(["+1"], "online", id="there"),
        pytest.param(["+1", "-2"], None, id="there-and-gone"),
        pytest.param(["-2", "+1"], None, id="end-overtakes-beginning"),
        pytest.param(["+1", "-3", "~2"], None, id="late-away-after-end"),
        pytest.param(["+1", "~3", "+2"], "away", id="late-online-after-away"),
        pytest.param(["+1", "~2", "~2", "~2"], "away", id="repeated"),
        pytest.param(["+3", "-2"], "online", id="late-end"),
        pytest.param(["+1", "-2", "+3"], "online", id="signed-in-again-on-the-same-socket"),
    ],
)
async def test_only_the_newest_message_counts(
    cluster: Cluster, presence: Replica, messages: list[str], left: str | None
) -> None:
    """Whatever order messages about one connection arrive in."""
    for message in messages:
        sequence = int(message[1:])
        if message[0] == "-":
            await presence.disconnect(BOB, "c1", sequence=sequence)
        else:
            status = Status.AWAY if message[0] == "~" else Status.ONLINE
            await presence.connect(BOB, "c1", status=status, sequence=sequence)

    session = await cluster.database["usersSessions"].find_one({"_id": BOB})
    assert session is not None
    assert [one["status"] for one in session["connections"]] == ([left] if left else [])


async def test_repeated_announcement_only_refreshes(cluster: Cluster, presence: Replica) -> None:
    """It moves the record's date and makes nobody due."""
    await presence.connect(BOB, "c1")
    await presence.settle()
    sessions = cluster.database["usersSessions"]
    before = await sessions.find_one({"_id": BOB})
    cluster.clock.advance(50)
    await presence.connect(BOB, "c1")
    after = await sessions.find_one({"_id": BOB})

    assert before is not None
    assert after is not None
    assert "due" not in after
    assert after["version"] == before["version"]
    assert after["connections"][0]["_updatedAt"] > before["connections"][0]["_updatedAt"]
    assert after["connections"][0]["_createdAt"] == before["connections"][0]["_createdAt"]


# -- two replicas ---------------------------------------------------------------------------------


async def test_replicas_agree_on_many_users(cluster: Cluster) -> None:
    """Connections told to either replica in any order: each visible change is announced once."""
    one, two = await cluster.replica(), await cluster.replica()
    users = [f"u{number:03}" for number in range(120)]
    for user in users:
        await cluster.user(user)
    await asyncio.gather(
        *(one.connect(user, f"{user}-a") for user in users),
        *(two.connect(user, f"{user}-b") for user in users),
    )
    await asyncio.gather(one.settle(), two.settle())
    cluster.clock.advance(5)
    await asyncio.gather(
        *(two.disconnect(user, f"{user}-a") for user in users),
        *(one.connect(user, f"{user}-b", status=Status.AWAY, sequence=2) for user in users),
    )
    await asyncio.gather(one.settle(), two.settle())
    cluster.clock.advance(5)
    await asyncio.gather(*(one.disconnect(user, f"{user}-b") for user in users))
    cluster.clock.advance(GRACE + 1)
    await asyncio.gather(one.settle(), two.settle())

    statuses = {user: [code for who, code, _ in cluster.frames if who == user] for user in users}
    assert statuses == {user: [1, 2, 0] for user in users}
    assert await cluster.database["users"].count_documents({"status": {"$ne": "offline"}}) == 0


async def test_change_during_settling_is_not_lost(cluster: Cluster, presence: Replica) -> None:
    """A connection that ends while another replica settles the user is seen right after."""
    other = await cluster.replica()
    await presence.connect(BOB, "c1")
    sessions = presence.service._sessions
    claim, claimed = await sessions.claim(presence.service._now(), 10)
    await other.connect(BOB, "c1", status=Status.AWAY, sequence=2)
    assert await other.service.settler.settle_due() == 0  # it belongs to the first replica

    await sessions.release(claim, [(session, None) for session in claimed], other.service._now())
    await other.settle()

    assert await cluster.status(BOB) == "away"


async def test_replica_that_dies_while_settling_loses_nothing(
    cluster: Cluster, presence: Replica
) -> None:
    """What it had claimed is settled by another one, seconds later."""
    await presence.connect(BOB, "c1")
    await presence.service._sessions.claim(presence.service._now(), 10)  # and dies

    other = await cluster.replica()
    await other.settle()
    assert cluster.frames == []
    cluster.clock.advance(CLAIM_LEASE)
    await other.settle()

    assert cluster.frames == [(BOB, 1, "")]


async def test_failed_announcement_is_repeated(cluster: Cluster, presence: Replica) -> None:
    """NATS refuses a frame: the user is settled again when the claim is over."""
    working = presence.service.settler._announce

    async def refuse(_: UserId, __: bytes) -> None:
        raise Unavailable("NATS is away")

    presence.service.settler._announce = refuse
    await presence.connect(BOB, "c1")
    with pytest.raises(Unavailable):
        await presence.service.settler.settle_due()
    presence.service.settler._announce = working
    await presence.connect(BOB, "c2")
    cluster.clock.advance(CLAIM_LEASE)
    await presence.settle()

    assert await cluster.status(BOB) == "online"


async def test_restart_loses_nobody(cluster: Cluster) -> None:
    """Connections survive the service; within its observation nobody goes offline."""
    async with cluster.running() as before:
        await before.connect(BOB, "c1")
        await before.settle()
    cluster.clock.advance(120)
    async with cluster.running() as after:
        await after.service.vigil.look()
        cluster.clock.advance(OBSERVATION - 1)
        after.service.vigil.heard(STREAMER, BOOT)
        after.leases.held.add(STREAMER)
        for _ in range(30):
            await after.service.vigil.look()
            await after.settle()
            cluster.clock.advance(1)
            after.service.vigil.heard(STREAMER, BOOT)

        assert after.asked
        assert await cluster.connections(BOB) == ["c1"]
        assert cluster.frames == [(BOB, 1, "")]
        assert await cluster.status(BOB) == "online"


# -- streamers that die ---------------------------------------------------------------------------


async def watched(replica: Replica, seconds: float, *, alive: tuple[str, ...] = ()) -> None:
    """Let time pass; streamers in `alive` renew their keys."""
    for _ in range(int(seconds)):
        for name in alive:
            replica.leases.held.add(name)
            replica.service.vigil.heard(name, BOOT)
        await replica.service.vigil.look()
        await replica.settle()
        clock = replica.service._clock
        await clock.sleep(1.0)


async def test_lost_streamer_takes_its_users_offline(cluster: Cluster, presence: Replica) -> None:
    """Within lease, grace and two seconds; whoever is also elsewhere never flickers."""
    await cluster.user("ann")
    await presence.connect(BOB, "c1")
    await presence.connect("ann", "c2")
    await presence.connect("ann", "c3", instance="streamer-b")
    await watched(presence, OBSERVATION + 2, alive=(STREAMER, "streamer-b"))
    presence.leases.held.discard(STREAMER)

    await watched(presence, LEASE + GRACE - 1, alive=("streamer-b",))
    assert await cluster.status(BOB) == "online"
    await watched(presence, 3, alive=("streamer-b",))

    assert await cluster.status(BOB) == "offline"
    assert await cluster.connections(BOB) == []
    assert [frame for frame in cluster.frames if frame[0] == "ann"] == [("ann", 1, "")]
    assert [frame for frame in cluster.frames if frame[0] == BOB] == [(BOB, 1, ""), (BOB, 0, "")]


async def test_silence_alone_is_not_enough(cluster: Cluster, presence: Replica) -> None:
    """The key is still there, or nobody can tell: the streamer lives."""
    await presence.connect(BOB, "c1")
    await watched(presence, OBSERVATION + 2, alive=(STREAMER,))
    await watched(presence, 60)
    assert await cluster.connections(BOB) == ["c1"]

    presence.leases.held.discard(STREAMER)
    presence.leases.unknown = True
    await watched(presence, 60)

    assert await cluster.connections(BOB) == ["c1"]
    assert await cluster.status(BOB) == "online"


async def test_deaf_replica_declares_nobody_gone(cluster: Cluster, presence: Replica) -> None:
    """Without NATS no renewal arrives; afterwards everybody gets time, and is asked."""
    await presence.connect(BOB, "c1")
    await watched(presence, OBSERVATION + 2, alive=(STREAMER,))
    presence.leases.can_hear = False
    presence.leases.held.clear()
    await watched(presence, 120)
    presence.leases.can_hear = True
    asked = len(presence.asked)
    await watched(presence, OBSERVATION - 2)

    assert len(presence.asked) > asked
    assert await cluster.connections(BOB) == ["c1"]


async def test_new_boot_ends_what_the_old_one_had(cluster: Cluster, presence: Replica) -> None:
    """A streamer of the same name started again."""
    await presence.connect(BOB, "c1")
    await presence.connect("ann", "c2", boot="boot-2")
    presence.service.vigil.heard(STREAMER, BOOT)
    presence.service.vigil.heard(STREAMER, "boot-2")
    await presence.service.vigil.look()

    assert await cluster.connections(BOB) == []
    assert await cluster.connections("ann") == ["c2"]


async def test_streamer_that_returns_is_asked(cluster: Cluster, presence: Replica) -> None:
    """It was cut off, not dead: its sockets still live, and are announced again."""
    await presence.connect(BOB, "c1")
    await watched(presence, OBSERVATION + 2, alive=(STREAMER,))
    presence.leases.held.discard(STREAMER)
    await watched(presence, LEASE + GRACE + 3)
    assert await cluster.status(BOB) == "offline"
    asked = len(presence.asked)
    await watched(presence, 2, alive=(STREAMER,))
    assert len(presence.asked) == asked + 1

    records = [connection(BOB, "c1")]  # the same sequence as ever
    await presence.service.announce(records, STREAMER, BOOT)
    await presence.settle()

    assert await cluster.status(BOB) == "online"


async def test_connections_that_nobody_announces_end(cluster: Cluster, presence: Replica) -> None:
    """The message about their end was lost; their streamer lives and announces the others."""
    await cluster.user("ann")
    await presence.connect(BOB, "lost")
    await presence.connect("ann", "kept")
    for _ in range(4):
        await watched(presence, 100, alive=(STREAMER,))
        await presence.connect("ann", "kept")
    await watched(presence, GRACE + 60, alive=(STREAMER,))

    assert await cluster.connections(BOB) == []
    assert await cluster.status(BOB) == "offline"
    assert await cluster.connections("ann") == ["kept"]


async def test_one_replica_asks_for_all(cluster: Cluster) -> None:
    """Each asks when it starts; after that they take turns."""
    one, two = await cluster.replica(), await cluster.replica()
    await one.service.vigil.look()
    await two.service.vigil.look()
    started = len(one.asked) + len(two.asked)
    cluster.clock.advance(121)
    await one.service.vigil.look()
    await two.service.vigil.look()

    assert started == 2
    assert len(one.asked) + len(two.asked) == 3


async def test_users_of_another_server_are_not_online_for_ever(
    cluster: Cluster, presence: Replica
) -> None:
    """A status that no connection supports goes; a bot's choice stays."""
    await cluster.user("old", status="online", statusConnection="online")
    await cluster.user("robot", type="bot", status="online", statusDefault="online")
    await watched(presence, OBSERVATION + 3)

    assert await cluster.status("old") == "offline"
    assert await cluster.status("robot") == "online"


async def test_deleted_users_are_forgotten(cluster: Cluster, presence: Replica) -> None:
    """Their connections with them."""
    await presence.connect(BOB, "c1")
    await presence.connect("ghost", "c2")
    await presence.settle()
    await presence.service.on_user_changed(UserChanged(user_id=BOB, deleted=True))

    assert await cluster.connections(BOB) == []
    assert cluster.frames == [(BOB, 1, "")]


async def test_stopping_replica_refuses_connections(cluster: Cluster) -> None:
    """It tells its callers to try elsewhere, at once."""
    async with cluster.running() as replica:
        service = replica.service
        await replica.connect(BOB, "c0")

    with pytest.raises(Unavailable):
        await service.new_connection(connection(BOB, "c1"), STREAMER, BOOT)
