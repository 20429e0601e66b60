"""What is asked again, by either door and across the death of a service, happens once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import NewUser, Running, SignIn
from tests.conformance.ddp import CallFailed, Ddp
from tests.conformance.processes import children_running
from tests.conformance.rest import Rest, User
from tests.conformance.test_4_streams import group
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(180)]

PEOPLE = 6
EACH = 8  # messages
WITHIN = 60.0  # seconds until a call that is repeated has an answer
_LATER = ("error-temporarily-unavailable", "error-timeout", "too-many-requests")


async def until_answered(call: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again with the same parameters for as long as nobody can say what became of it."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                return await call()
            except CallFailed as error:
                if error.code not in _LATER:
                    raise
            await asyncio.sleep(0.2)


async def by_ddp(client: Ddp, message: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = await until_answered(
        lambda: client.call("sendMessage", message, within=WITHIN)
    )
    return sent


async def by_rest(rest: Rest, user: User, message: dict[str, Any]) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        try:
            answer = await rest.ask(
                "POST",
                "/api/v1/chat.sendMessage",
                user=user,
                body={"message": message},
            )
        except aiohttp.ClientError as lost:
            raise CallFailed({"error": _LATER[0]}) from lost
        if answer.status in (429, 502, 503, 504):
            raise CallFailed({"error": _LATER[0]})
        assert answer.status == 200, answer
        sent: dict[str, Any] = answer.body["message"]
        return sent

    found: dict[str, Any] = await until_answered(ask)
    return found


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """Without what the doors write differently: dates as EJSON or as text."""
    return {
        key: value
        for key, value in message.items()
        if key not in ("ts", "_updatedAt", "editedAt") and value not in ([], {})
    }


async def test_sends_across_the_death_of_messaging_are_stored_once(
    hubbub: Running,
    rest: Rest,
    database: Database,
    new_user: NewUser,
    sign_in: SignIn,
) -> None:
    """Each is answered, and again the same by the other door; the room counts each once."""
    people = [await new_user() for _ in range(PEOPLE)]
    room_id = await group(rest, people[0], *people[1:])
    clients = [await sign_in(person) for person in people]
    before = await database["rocketchat_room"].find_one({"_id": room_id})
    answers: dict[str, dict[str, Any]] = {}
    messages: dict[str, tuple[int, dict[str, Any]]] = {}

    async def speak(index: int) -> None:
        for number in range(EACH):
            message = {"_id": random_id(), "rid": room_id, "msg": f"{index}:{number}"}
            messages[message["_id"]] = (index, message)
            if number % 2:
                answers[message["_id"]] = await by_rest(rest, people[index], message)
            else:
                answers[message["_id"]] = await by_ddp(clients[index], message)

    async def kill() -> None:
        for _ in range(2):
            await eventually(lambda: len(answers) >= PEOPLE, within=WITHIN)
            for pid in children_running(hubbub, "messaging"):
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(1.5)

    await asyncio.gather(kill(), *(speak(index) for index in range(PEOPLE)))

    for message_id, (index, message) in messages.items():
        first_by_rest = int(message["msg"].partition(":")[2]) % 2
        again = (
            await by_ddp(clients[index], message)
            if first_by_rest
            else await by_rest(rest, people[index], message)
        )
        assert plain(again) == plain(answers[message_id])
    stored = await database["rocketchat_message"].find({"_id": {"$in": list(messages)}}).to_list()
    assert {one["_id"]: one["msg"] for one in stored} == {
        message_id: message["msg"] for message_id, (_, message) in messages.items()
    }
    room = await database["rocketchat_room"].find_one({"_id": room_id})
    assert before is not None
    assert room is not None
    assert room["msgs"] - before["msgs"] == len(messages) == PEOPLE * EACH
    unread = await database["rocketchat_subscription"].find({"rid": room_id}).to_list()
    assert all(one["unread"] <= len(messages) - EACH for one in unread)


async def test_a_repeated_send_answers_with_what_it_is_now(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """An edit and a reaction meanwhile are in it, and stay."""
    room_id = await group(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    message = {"_id": random_id(), "rid": room_id, "msg": "first"}
    sent = await by_ddp(a, message)
    await a.call("updateMessage", {"_id": sent["_id"], "rid": room_id, "msg": "edited"})
    await b.call("setReaction", ":smile:", sent["_id"], True)

    for again in (await by_ddp(a, message), await by_rest(rest, ana, message)):
        assert again["msg"] == "edited"
        assert again["reactions"] == {":smile:": {"usernames": [bo.username]}}
        assert again["_id"] == sent["_id"]


async def test_repeated_reactions_and_edits_change_nothing(
    rest: Rest, database: Database, sign_in: SignIn, ana: User, bo: User
) -> None:
    """With the wish stated; a toggle without it is done as often as it is asked."""
    room_id = await group(rest, ana, bo)
    a, b = await sign_in(ana), await sign_in(bo)
    sent = await by_ddp(a, {"_id": random_id(), "rid": room_id, "msg": "text"})

    async def stored() -> dict[str, Any]:
        found = await database["rocketchat_message"].find_one({"_id": sent["_id"]})
        assert found is not None
        return found

    edit = {"_id": sent["_id"], "rid": room_id, "msg": "better"}
    await a.call("updateMessage", edit)
    edited = await stored()
    await a.call("updateMessage", edit)
    body = {"roomId": room_id, "msgId": sent["_id"], "text": "better"}
    answer = await rest.post("chat.update", ana, **body)
    assert answer["message"]["msg"] == "better"
    assert await stored() == edited

    for _ in range(2):
        await b.call("setReaction", ":tada:", sent["_id"], True)
    reacted = await stored()
    await rest.post("chat.react", bo, messageId=sent["_id"], emoji=":tada:", shouldReact=True)
    assert await stored() == reacted
    assert reacted["reactions"] == {":tada:": {"usernames": [bo.username]}}
    for _ in range(2):
        await rest.post("chat.react", bo, messageId=sent["_id"], emoji=":tada:", shouldReact=False)
    assert "reactions" not in await stored()
    await b.call("setReaction", ":tada:", sent["_id"])
    assert (await stored())["reactions"] == {":tada:": {"usernames": [bo.username]}}
    await b.call("setReaction", ":tada:", sent["_id"])
    assert "reactions" not in await stored()
