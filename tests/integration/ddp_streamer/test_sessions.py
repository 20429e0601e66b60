"""Sessions that come back, on a real NATS."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest
from nats.js.errors import NotFoundError

from hubbub.bus.connection import Connection
from hubbub.clock import FakeClock
from hubbub.contracts.streamers import SESSIONS_BUCKET
from hubbub.errors import Unavailable
from hubbub.ids import session_id
from services.ddp_streamer.identities import Identities
from tests.integration.ddp_streamer.harness import connected
from tests.integration.ddp_streamer.world import DdpClient, World, world
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@dataclass
class Session:
    """A session with somebody signed in, or nobody yet."""

    secret_id: str
    user_id: str | None = None
    hashed_token: str = ""
    personal_token: bool = False
    public_id: str = "c1"


def bob(**changes: object) -> Session:
    return Session(session_id(), "bob", "hash", **changes)  # type: ignore[arg-type]


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Connection]:
    async with connected(nats_url) as connection:
        await _without_bucket(connection)
        yield connection
        await _without_bucket(connection)


async def _without_bucket(connection: Connection) -> None:
    if f"KV_{SESSIONS_BUCKET}" in {
        info.config.name for info in await connection.jetstream().streams_info()
    }:
        await connection.jetstream().delete_key_value(SESSIONS_BUCKET)


def identities(client: Connection, instance: str = "s-1", **changes: float) -> Identities:
    return Identities(client, instance, **{"seconds": 100.0, **changes})  # type: ignore[arg-type]


async def test_an_identity_is_taken_once_by_another_streamer(client: Connection) -> None:
    here, there = identities(client), identities(client, "s-2")
    old, new, late = bob(personal_token=True), Session(session_id()), Session(session_id())
    here.remember(old)
    await here.flush()

    found = await there.take(old.secret_id, new)
    assert found is not None
    assert (found.user_id, found.hashed_token, found.personal) == ("bob", "hash", True)
    assert (found.instance, found.connection_id) == ("s-1", "c1")
    assert await there.take(old.secret_id, new) == found  # the answer of before was lost
    assert await here.take(old.secret_id, late) is None
    again = await here.take(new.secret_id, late)
    assert again is not None
    assert (again.user_id, again.instance) == ("bob", "s-2")


async def test_of_many_who_offer_the_same_id_one_gets_it(client: Connection) -> None:
    old = bob()
    sides = [identities(client, f"s-{number}") for number in range(8)]
    sides[0].remember(old)
    await sides[0].flush()
    found = await asyncio.gather(
        *(side.take(old.secret_id, Session(session_id())) for side in sides)
    )
    assert len([one for one in found if one is not None]) == 1


async def test_what_is_forgotten_or_unknown_is_nobodys(client: Connection) -> None:
    here = identities(client)
    old = bob()
    here.remember(old)
    await here.flush()
    here.forget(old)
    await here.flush()
    for offered in (old.secret_id, session_id()):
        assert await here.take(offered, Session(session_id())) is None


async def test_nothing_that_is_kept_names_a_session_or_a_token(client: Connection) -> None:
    here = identities(client)
    old = bob()
    here.remember(old)
    await here.flush()
    bucket = await client.jetstream().key_value(SESSIONS_BUCKET)
    (key,) = await bucket.keys()
    value = (await bucket.get(key)).value or b""
    assert old.secret_id not in key
    assert old.secret_id.encode() not in value
    assert set(orjson.loads(value)) == {"user", "token", "personal", "instance", "connection"}


async def test_only_what_looks_like_a_session_id_is_looked_up(client: Connection) -> None:
    here = identities(client)
    assert here.may_be(session_id())
    for offered in (None, "", "x", "*" * 24, ">", "a" * 23, "é" * 24, session_id() + "a"):
        assert not here.may_be(offered)
    switched_off = identities(client, seconds=0.0)
    assert not switched_off.may_be(session_id())
    switched_off.remember(bob())
    await switched_off.flush()
    assert f"KV_{SESSIONS_BUCKET}" not in [
        info.config.name for info in await client.jetstream().streams_info()
    ]


async def test_the_time_for_which_they_are_kept_follows_the_setting(client: Connection) -> None:
    for seconds in (100.0, 50.0, 86_400.0):
        here = identities(client, seconds=seconds)
        here.remember(bob())
        await here.flush()
        info = await client.jetstream().stream_info(f"KV_{SESSIONS_BUCKET}")
        assert info.config.max_age == seconds


async def test_an_identity_is_renewed_while_its_socket_lives(client: Connection) -> None:
    clock = FakeClock()
    here = Identities(client, "s-1", seconds=100.0, clock=clock)
    old = bob()
    here.remember(old)
    await here.flush()
    bucket = await client.jetstream().key_value(SESSIONS_BUCKET)
    (key,) = await bucket.keys()
    before = (await bucket.get(key)).revision
    await here.renew([old, Session(session_id())])
    assert clock.pauses == [25.0]
    await here.flush()
    assert ((await bucket.get(key)).revision or 0) > (before or 0)
    clock.pauses.clear()
    await here.renew([])
    assert clock.pauses == [25.0]


async def test_who_is_taken_elsewhere_is_not_written_again(client: Connection) -> None:
    here = identities(client)
    old = bob()
    here.remember(old)
    here.taken(old)
    await here.flush()
    assert await here.take(old.secret_id, Session(session_id())) is None


async def test_a_broken_connection_means_unknown_and_not_anonymous(nats_url: str) -> None:
    async with connected(nats_url) as connection:
        here = identities(connection)
        here.remember(bob())
        await here.flush()
    with pytest.raises(Unavailable):
        await here.take(session_id(), Session(session_id()))
    here.remember(bob())
    with pytest.raises(Unavailable):
        await here.flush()


# --- through a streamer -----------------------------------------------------------------------


@pytest.fixture
async def town(nats_url: str) -> AsyncIterator[World]:
    async with world(nats_url) as running:
        yield running


async def _returns(town: World, session: str) -> DdpClient:
    client = await town.stack.enter_async_context(town.connection())
    await client.send(msg="connect", version="1", support=["1"], session=session)
    return client


async def test_a_bot_that_never_logs_in_again_hears_its_rooms(town: World) -> None:
    town.room("R1", "bob")
    first = await town.client("bob")
    await eventually(lambda: _is_kept(town, first.session))
    client = await _returns(town, first.session)
    sub_id = await client.sub("room-messages", "__my_messages__", True)
    call_id = await client.begin("sendMessage", {"rid": "R1", "msg": "hi", "_id": "m1"})
    await client.answered(sub_id)
    assert "error" not in await client.result(call_id)
    kinds = [frame.get("msg") for frame in client.frames]
    assert kinds[:5] == [None, "connected", "added", "added", "ready"]
    assert client.frames[2]["collection"] == "users"
    await eventually(lambda: first.closed == (1008, "POLICY"))
    await town.hub.message("R1", "hello")
    await client.hears("room-messages", "__my_messages__")
    # The first socket may have gone before presence was told that it came; the second stays.
    await eventually(lambda: _is_present(town, "bob"))


def _is_present(town: World, user_id: str) -> bool:
    """Presence was told of a socket that came, and of one that went."""
    told = [entry[0] for entry in town.facts.presence if entry[1] == user_id]
    return told.count("remove") == 1 and bool({"new", "announce"} & set(told))


async def _is_kept(town: World, session: str) -> bool:
    key = hashlib.sha256(session.encode()).hexdigest()
    try:
        bucket = await town.bus.client.jetstream().key_value(SESSIONS_BUCKET)
        await bucket.get(key)
    except NotFoundError:
        return False
    return True


async def test_an_account_that_is_away_holds_the_identity(town: World) -> None:
    first = await town.client("bob")
    await eventually(lambda: _is_kept(town, first.session))
    await first.end()
    town.facts.account_away = True
    client = await _returns(town, first.session)
    sub_id = await client.sub("notify-logged", "updateAvatar")
    await client.send(msg="ping", id="p")
    await client.got(lambda frame: frame.get("msg") == "pong")
    assert not any(frame.get("msg") == "ready" for frame in client.frames)
    town.facts.account_away = False
    assert (await client.answered(sub_id, within=10))["msg"] == "ready"
