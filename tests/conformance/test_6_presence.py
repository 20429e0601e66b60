"""Conformance: presence. Tests are named after the checklist's numbers."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import SignIn
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance


async def status_of(rest: Rest, viewer: User, user: User) -> str:
    status: str = (await rest.get("users.getStatus", viewer, userId=user.id))["status"]
    return status


async def becomes(rest: Rest, viewer: User, user: User, status: str, within: float = 10.0) -> None:
    query = {"userId": user.id}

    async def there() -> bool:
        answer = await rest.ask("GET", "/api/v1/users.getStatus", user=viewer, query=query)
        assert answer.status in {200, 503}, answer  # 503: presence is starting again
        return answer.status == 200 and answer.body["status"] == status

    await eventually(there, within=within, what=f"{user.username} {status}")


async def test_075_one_status_of_several_sockets(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """The liveliest socket decides; a chosen status wins; invisible looks offline."""
    assert await status_of(rest, bo, ana) == "offline"
    first = await sign_in(ana)
    await becomes(rest, bo, ana, "online")
    second = await sign_in(ana)
    await first.call("UserPresence:away")
    await second.call("UserPresence:away")
    await becomes(rest, bo, ana, "away")
    await second.call("UserPresence:online")
    await becomes(rest, bo, ana, "online")
    await first.call("setUserStatus", "busy")
    await becomes(rest, bo, ana, "busy")
    await first.call("setUserStatus", "offline")
    await becomes(rest, bo, ana, "offline")


async def test_076_offline_only_after_the_grace_time(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """A reconnect in between makes no noise; without one the user goes."""
    a, b = await sign_in(ana), await sign_in(bo)
    await becomes(rest, bo, ana, "online")
    await b.subscribe("stream-user-presence", "", {"added": [ana.id]})
    await b.settle()
    b.frames.clear()
    await a.socket.close()
    again = await sign_in(ana)
    await again.settle()
    assert not b.all(collection="stream-user-presence")
    await again.socket.close()

    await becomes(rest, bo, ana, "offline", within=20)
    codes = [frame["fields"]["args"][0][1] for frame in b.all(collection="stream-user-presence")]
    assert codes == [0]


async def test_078_a_text_alone_is_told_and_nothing_twice(
    sign_in: SignIn, ana: User, bo: User
) -> None:
    """What did not change is no news."""
    a, b = await sign_in(ana), await sign_in(bo)
    await b.subscribe("stream-user-presence", "", {"added": [ana.id]})
    for status, text in (
        ("busy", "a"),
        ("busy", "a"),
        ("busy", "b"),
        ("busy", "b"),
        ("busy", "end"),
    ):
        await a.call("setUserStatus", status, text)
        told = [ana.username, 3, text]
        await b.event("user-presence", ana.id, lambda args, told=told: args == told)
    busy = [args for (args,) in b.events("user-presence", ana.id) if args[1] == 3]

    assert busy == [[ana.username, 3, text] for text in ("a", "b", "end")]
