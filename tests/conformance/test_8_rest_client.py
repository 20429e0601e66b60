"""Conformance: PyPI `rocketchat_API`, a REST client that nobody here wrote."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from rocketchat_API.APIExceptions.RocketExceptions import (
    RocketApiException,
    RocketAuthenticationException,
)
from rocketchat_API.rocketchat import RocketChat

from hubbub.ids import random_id
from tests.conformance.conftest import Running
from tests.conformance.rest import PASSWORD, Rest, User

pytestmark = pytest.mark.conformance


class Clients:
    """Clients that are signed in, one session each; closed with the stack."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._url = url
        self._stack = stack

    def sign_in(self, username: str, password: str) -> Any:
        session = self._stack.enter_context(requests.Session())
        return RocketChat(username, password, server_url=self._url, session=session)


def bounded(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """All items of a paged call, which must end: the client pages until a page is short."""
    found = list(itertools.islice(items, 1001))
    assert len(found) <= 1000
    return found


def error_of(call: Callable[[], object]) -> RocketApiException:
    with pytest.raises(RocketApiException) as caught:
        call()
    return caught.value


async def test_rocketchat_api(hubbub: Running, rest: Rest, admin: User, ana: User) -> None:
    """Sign in, make rooms, talk, page through it, be refused, sign out."""
    other = await rest.register(f"bo-{random_id(8).lower()}")

    def talk() -> None:
        with ExitStack() as stack:
            _talk(Clients(hubbub.url, stack), admin, ana, other)

    await asyncio.to_thread(talk)


def _talk(clients: Clients, admin: User, ana: User, bo: User) -> None:
    with pytest.raises(RocketAuthenticationException):
        clients.sign_in(ana.username, "wrong")
    root = clients.sign_in(admin.username, admin.password)
    one = clients.sign_in(ana.username, PASSWORD)
    two = clients.sign_in(f"{bo.username}@example.org", PASSWORD)
    assert two.me()["_id"] == bo.id
    assert "info" in root.info()
    assert error_of(lambda: one.users_info(username="nobody")).error == "User not found."
    names = [user["username"] for user in bounded(root.users_list(count=3))]
    assert {ana.username, bo.username, "rocket.cat"} <= set(names)
    assert len(names) == len(set(names))
    room_id = _rooms(one, two, bo)
    _messages(one, room_id)
    assert one.logout()["success"]


def _rooms(one: Any, two: Any, bo: User) -> str:
    name = f"py-{random_id(8)}"
    room_id: str = one.channels_create(name)["channel"]["_id"]
    assert one.channels_info(channel=name)["channel"]["_id"] == room_id
    again = error_of(lambda: one.channels_create(name))
    assert again.error_type == "error-duplicate-channel-name"
    assert one.channels_invite(room_id, bo.id)["channel"]["usersCount"] == 2
    members = bounded(one.channels_members(room_id=room_id, count=1))
    assert len(members) == 2
    last = error_of(lambda: one.channels_leave(room_id))
    assert last.error_type == "error-you-are-last-owner"
    assert name in {room["name"] for room in bounded(one.channels_list(count=2))}
    assert name in {room["name"] for room in bounded(two.channels_list_joined(count=1))}
    group_id = one.groups_create(f"py-{random_id(8)}")["group"]["_id"]
    hidden = error_of(lambda: two.groups_info(room_id=group_id))
    assert hidden.error_type == "error-room-not-found"
    direct = one.dm_create(bo.username)["room"]["_id"]
    assert direct in {room["_id"] for room in bounded(two.dm_list())}
    subscription = two.subscriptions_get_one(room_id)["subscription"]
    assert subscription["rid"] in {room["_id"] for room in two.rooms_get()["update"]}
    assert two.subscriptions_read(room_id)["success"]
    return room_id


def _messages(one: Any, room_id: str) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    assert one.chat_post_message(None, room_id=room_id)["message"]["msg"] == ""
    attachment = [{"color": "#ff0000", "text": "there"}]
    sent = one.chat_post_message("two\nlines", channel=room_id, attachments=attachment)["message"]
    assert sent["msg"] == "two\nlines"
    assert sent["attachments"][0]["text"] == "there"
    own = one.chat_send_message({"_id": f"{random_id(6)}", "rid": room_id, "msg": "own id"})
    assert one.chat_update(room_id, sent["_id"], "edited")["message"]["msg"] == "edited"
    assert one.chat_react(sent["_id"])["success"]
    assert one.chat_delete(room_id, own["message"]["_id"])["success"]
    texts = [f"line {index}" for index in range(7)]
    for text in texts:
        one.chat_post_message(text, room_id=room_id)
    history = bounded(one.channels_history(room_id, count=3))
    assert [message["msg"] for message in history][:7] == texts[::-1]
    assert len({message["_id"] for message in history}) == len(history)
    changed = one.chat_sync_messages(room_id, began.isoformat())["result"]
    assert sent["_id"] in {message["_id"] for message in changed["updated"]}
    assert own["message"]["_id"] in {message["_id"] for message in changed["deleted"]}
