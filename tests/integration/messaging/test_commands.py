"""Slash commands do what their actions do, and answer the caller alone."""

from __future__ import annotations

import pytest

from hubbub.contracts.commands import Invocation, NoSuchPlace, UnknownCommand
from hubbub.contracts.messages import MessageNotFound
from hubbub.contracts.rooms import LastOwner
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def _run(
    home: House, user_id: UserId, room_id: RoomId, typed: str, **fields: str
) -> list[str]:
    """Type a command; what the caller was told."""
    before = len(home.whisper.by(user_id, "message"))
    name, _, parameters = typed.removeprefix("/").partition(" ")
    await home.messaging.run_command(
        user_id, Invocation(command=name, parameters=parameters, room_id=room_id, **fields)
    )
    return [str(told["msg"]) for told in home.whisper.by(user_id, "message")[before:]]


async def _last(home: House, room_id: RoomId) -> str:
    room = await home.stored_room(room_id)
    return str(room["lastMessage"]["msg"])


async def test_sayings(home: House) -> None:
    """They become messages; the client's id makes repeating them harmless."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)

    assert await _run(home, ada, room_id, "/shrug well") == []
    assert await _last(home, room_id) == "well ¯\\_(ツ)_/¯"
    for _ in range(2):
        await _run(home, ada, room_id, "/ME waves", message_id="m1")
    assert await _last(home, room_id) == "_waves_"
    assert (await home.stored_room(room_id))["msgs"] == 2
    assert await _run(home, ada, room_id, "/me") == []
    assert (await home.stored_room(room_id))["msgs"] == 2


async def test_a_saying_in_a_thread(home: House) -> None:
    """It replies there; a thread elsewhere is none."""
    (ada,) = await home.users("ada")
    room_id, elsewhere = await home.room(ada), await home.room(ada)
    first = await home.say(ada, room_id)

    await _run(home, ada, room_id, "/gimme", thread_id=first["_id"])

    parent = await home.message(first["_id"])
    assert parent is not None
    assert parent["tcount"] == 1
    with pytest.raises(MessageNotFound):
        await _run(home, ada, elsewhere, "/gimme", thread_id=first["_id"])


async def test_invite_and_kick(home: House) -> None:
    """Who is unknown or in already is told of; the rest happens."""
    ada, bob, eve = await home.users("ada", "bob", "eve")
    room_id = await home.room(ada, "eve")

    told = await _run(home, ada, room_id, "/invite @bob @eve @nobody")

    assert told == ["`@eve` is already in here.", "No user by the name of `@nobody` exists."]
    assert (await home.membership(bob, room_id))["u"]["username"] == "bob"
    assert await _run(home, ada, room_id, "/kick @bob") == []
    assert await home.messaging.subscription_of(bob, room_id) is None
    assert await _run(home, ada, room_id, "/kick") == [
        "Remove somebody from this room: `/kick @username`"
    ]
    with pytest.raises(NotAllowed):
        await _run(home, eve, room_id, "/kick ada")
    assert [told["msg"] for told in home.whisper.by(eve, "message")] == ["Not allowed"]


async def test_mute_and_unmute(home: House) -> None:
    """The room's list follows."""
    ada, _ = await home.users("ada", "bob")
    room_id = await home.room(ada, "bob")

    assert await _run(home, ada, room_id, "/mute @bob") == []
    assert (await home.stored_room(room_id))["muted"] == ["bob"]
    assert await _run(home, ada, room_id, "/unmute bob") == []
    assert not (await home.stored_room(room_id)).get("muted")


async def test_join_and_leave(home: House) -> None:
    """Channels by name; private ones are unknown; the last owner stays."""
    ada, bob = await home.users("ada", "bob")
    town, closed = await home.room(ada), await home.room(ada, kind="p")
    names = {room: (await home.stored_room(room))["name"] for room in (town, closed)}
    here = await home.room(bob)

    assert await _run(home, bob, here, f"/join #{names[town]}") == []
    assert await home.messaging.subscription_of(bob, town) is not None
    assert await _run(home, bob, here, f"/join {names[town]}") == [
        f"You are already in the channel `#{names[town]}`."
    ]
    for unknown in (names[closed], "nowhere"):
        told = await _run(home, bob, here, f"/join #{unknown}")
        assert told == [f"No channel with name `#{unknown}` was found!"]
    assert await _run(home, bob, town, "/leave") == []
    assert await home.messaging.subscription_of(bob, town) is None
    await _run(home, bob, town, f"/join #{names[town]}")
    with pytest.raises(LastOwner):
        await _run(home, ada, town, "/part")


async def test_rooms_are_changed(home: House) -> None:
    """Topic, archive, unarchive, hide."""
    (ada,) = await home.users("ada")
    home.authorization.granted[ada] = {"admin"}
    room_id = await home.room(ada)
    name = (await home.stored_room(room_id))["name"]

    await _run(home, ada, room_id, "/topic What we do")
    assert (await home.stored_room(room_id))["topic"] == "What we do"
    told = await _run(home, ada, room_id, "/archive")
    assert told == [f"Channel with name `#{name}` has been archived successfully."]
    assert (await home.stored_room(room_id))["archived"] is True
    assert await _run(home, ada, room_id, f"/archive #{name}") == [
        f"Channel with name `#{name}` is already archived."
    ]
    await _run(home, ada, room_id, f"/unarchive #{name}")
    assert not (await home.stored_room(room_id)).get("archived")
    assert await _run(home, ada, room_id, "/hide") == []
    assert (await home.membership(ada, room_id))["open"] is False
    assert await _run(home, ada, room_id, "/hide #none") == [
        "No channel with name `#none` was found!"
    ]


async def test_direct_messages(home: House) -> None:
    """To a user by name."""
    ada, _ = await home.users("ada", "bob")
    room_id = await home.room(ada)

    assert await _run(home, ada, room_id, "/msg @bob  hello there") == []

    assert await _last(home, await home.messaging.room_id_of(ada, "bob")) == "hello there"
    assert await _run(home, ada, room_id, "/msg @bob") == [
        "Username and message must not be empty."
    ]
    assert await _run(home, ada, room_id, "/msg @no one") == ["The username `no` doesn't exist."]


async def test_status_and_help(home: House) -> None:
    """Answers show in the thread that the command was typed in."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    first = await home.say(ada, room_id)

    told = await _run(home, ada, room_id, "/status at lunch", thread_id=first["_id"])

    assert told == ["Status message changed successfully."]
    assert home.statuses.chosen == [(ada, "at lunch")]
    (answer,) = home.whisper.by(ada, "message")
    assert (answer["rid"], answer["tmid"], answer["private"]) == (room_id, first["_id"], True)
    (help_text,) = await _run(home, ada, room_id, "/help")
    assert "`/shrug your message (optional)`" in help_text


async def test_who_may_run_what(home: House) -> None:
    """Known commands only, in rooms that one may see; refusals are told and raised."""
    ada, eve = await home.users("ada", "eve")
    room_id = await home.room(ada, kind="p")

    with pytest.raises(UnknownCommand):
        await _run(home, ada, room_id, "/rm -rf")
    for unknown in (room_id, RoomId("none")):
        with pytest.raises(NoSuchPlace):
            await _run(home, eve, unknown, "/help")
    assert home.whisper.heard == []
    assert len(await home.messaging.list_commands(ada)) == 20
