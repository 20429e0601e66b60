"""What others see: connections, choices, grace, announcements."""

from __future__ import annotations

import pytest

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.presence import Status
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import UserId
from tests.integration.presence.conftest import Cluster, Replica

pytestmark = pytest.mark.integration

BOB = UserId("bob")


@pytest.fixture(autouse=True)
async def bob(cluster: Cluster) -> None:
    await cluster.user(BOB)


async def test_first_connection_makes_online(cluster: Cluster, presence: Replica) -> None:
    """One frame, and the user's document says so."""
    await presence.connect(BOB, "c1")
    await presence.settle()

    user = await cluster.stored(BOB)
    assert (user["status"], user["statusConnection"]) == ("online", "online")
    assert cluster.frames == [(BOB, 1, "")]


async def test_connections_merge(cluster: Cluster, presence: Replica) -> None:
    """Away on one of two is online; on both it is away."""
    await presence.connect(BOB, "c1")
    await presence.connect(BOB, "c2")
    await presence.connect(BOB, "c1", status=Status.AWAY, sequence=2)
    await presence.settle()
    assert await cluster.status(BOB) == "online"

    cluster.clock.advance(2)
    await presence.connect(BOB, "c2", status=Status.AWAY, sequence=2)
    await presence.settle()

    assert await cluster.status(BOB) == "away"
    assert cluster.frames == [(BOB, 1, ""), (BOB, 2, "")]


async def test_last_connection_closed_is_offline_after_the_grace(
    cluster: Cluster, presence: Replica
) -> None:
    """Nothing happens for ten seconds, then one frame."""
    await presence.connect(BOB, "c1")
    await presence.settle()
    await presence.disconnect(BOB, "c1")
    cluster.clock.advance(9.9)
    await presence.settle()
    assert await cluster.status(BOB) == "online"

    cluster.clock.advance(0.2)
    await presence.settle()

    assert await cluster.status(BOB) == "offline"
    assert cluster.frames == [(BOB, 1, ""), (BOB, 0, "")]


async def test_reconnect_within_the_grace_makes_no_noise(
    cluster: Cluster, presence: Replica
) -> None:
    """No frame, and the user's document is not touched."""
    await presence.connect(BOB, "c1")
    await presence.settle()
    before = await cluster.stored(BOB)
    cluster.clock.advance(60)
    await presence.disconnect(BOB, "c1")
    await presence.settle()
    cluster.clock.advance(5)
    await presence.settle()
    await presence.connect(BOB, "c2")
    cluster.clock.advance(30)
    await presence.settle()

    assert cluster.frames == [(BOB, 1, "")]
    assert await cluster.stored(BOB) == before


async def test_frames_of_one_user_are_a_second_apart(cluster: Cluster, presence: Replica) -> None:
    """Ten changes in a moment: the first frame at once, then one with the last state."""
    await presence.connect(BOB, "c1")
    await presence.settle()
    for sequence in range(2, 12):
        status = Status.AWAY if sequence % 2 == 0 else Status.ONLINE
        await presence.connect(BOB, "c1", status=status, sequence=sequence)
        await presence.settle()
    await presence.connect(BOB, "c1", status=Status.AWAY, sequence=12)
    await presence.settle()
    assert cluster.frames == [(BOB, 1, "")]
    assert await cluster.status(BOB) == "away"

    cluster.clock.advance(1.0)
    await presence.settle()

    assert cluster.frames == [(BOB, 1, ""), (BOB, 2, "")]


@pytest.mark.parametrize(
    ("choice", "shown", "code"),
    [
        pytest.param(Status.BUSY, "busy", 3, id="busy-wins"),
        pytest.param(Status.AWAY, "away", 2, id="away-wins"),
        pytest.param(Status.OFFLINE, "offline", 0, id="invisible"),
    ],
)
async def test_choice_wins_over_connections(
    cluster: Cluster, presence: Replica, choice: Status, shown: str, code: int
) -> None:
    """A chosen status is shown while connected; the connection's own stays known."""
    await presence.connect(BOB, "c1")
    await presence.settle()
    cluster.clock.advance(2)
    await presence.service.set_status(BOB, choice)
    await presence.settle()

    user = await cluster.stored(BOB)
    assert (user["status"], user["statusConnection"], user["statusDefault"]) == (
        shown,
        "online",
        choice.value,
    )
    assert cluster.frames[-1] == (BOB, code, "")
    own = await presence.service.own_presence(BOB)
    assert (own.status.value, own.connection) == (shown, Status.ONLINE)


async def test_choice_without_a_connection_stays_offline(
    cluster: Cluster, presence: Replica
) -> None:
    """A person who is not connected cannot be online."""
    await presence.service.set_status(BOB, Status.ONLINE)
    await presence.settle()

    assert await cluster.status(BOB) == "offline"
    assert cluster.frames == []


async def test_bots_keep_what_they_chose(cluster: Cluster, presence: Replica) -> None:
    """With or without a connection."""
    await cluster.user("robot", type="bot")
    await presence.service.set_status(UserId("robot"), Status.BUSY)
    await presence.settle()

    assert await cluster.status("robot") == "busy"
    assert cluster.frames == [("robot", 3, "")]


async def test_text_alone_is_announced_once(cluster: Cluster, presence: Replica) -> None:
    """Also for somebody who is offline; the same text again tells nothing. A text that looks
    like a field name is a text."""
    await presence.service.set_status(BOB, text=" $status ")
    await presence.settle()
    cluster.clock.advance(5)
    await presence.service.set_status(BOB, text="$status")
    await presence.settle()

    assert cluster.frames == [(BOB, 0, "$status")]
    assert (await cluster.stored(BOB))["statusText"] == "$status"


async def test_same_status_twice_is_announced_once(cluster: Cluster, presence: Replica) -> None:
    """The second call writes nothing."""
    await presence.connect(BOB, "c1")
    await presence.service.set_status(BOB, Status.BUSY)
    await presence.settle()
    before = await cluster.stored(BOB)
    cluster.clock.advance(5)
    await presence.service.set_status(BOB, Status.BUSY)
    await presence.settle()

    assert cluster.frames == [(BOB, 3, "")]
    assert await cluster.stored(BOB) == before


async def test_settings_can_forbid(cluster: Cluster, presence: Replica) -> None:
    """Texts and invisibility are the workspace's to allow."""
    await cluster.database["rocketchat_settings"].insert_many(
        [
            {"_id": "Accounts_AllowUserStatusMessageChange", "value": False},
            {"_id": "Accounts_AllowInvisibleStatusOption", "value": False},
        ]
    )

    with pytest.raises(NotAllowed) as text_refused:
        await presence.service.set_status(BOB, text="lunch")
    with pytest.raises(NotAllowed) as invisible_refused:
        await presence.service.set_status(BOB, Status.OFFLINE)

    assert text_refused.value.code == "error-not-allowed"
    assert invisible_refused.value.code == "error-status-not-allowed"


async def test_bad_choices_are_refused(presence: Replica) -> None:
    """A text that is too long, a user who does not exist."""
    with pytest.raises(BadRequest):
        await presence.service.set_status(BOB, text="x" * 121)
    with pytest.raises(UserNotFound):
        await presence.service.set_status(UserId("nobody"), Status.BUSY)
    with pytest.raises(UserNotFound):
        await presence.service.own_presence(UserId("nobody"))


async def test_presence_of_many(cluster: Cluster, presence: Replica) -> None:
    """Offline ones included, unknown ones left out, order kept; everybody present leaves
    offline ones out."""
    await cluster.user("ann", statusText="hi", utcOffset=2, avatarETag="e")
    await presence.connect("ann", "c1")
    await presence.settle()

    found = await presence.service.presence_of([BOB, UserId("nobody"), UserId("ann")])
    present = await presence.service.everybody_present()

    assert [(user.user_id, user.status.value) for user in found] == [
        (BOB, "offline"),
        ("ann", "online"),
    ]
    assert (found[1].status_text, found[1].utc_offset, found[1].avatar_etag) == ("hi", 2.0, "e")
    assert [user.user_id for user in present] == ["ann"]
