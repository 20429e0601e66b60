"""A scenario of PyPI `rocketchat-async`: `python async_bot.py WEBSOCKET_URL ANA BO PASSWORD ROOM`.

Run by a test in a Python that finds only that client. Prints a line per step.
"""
# ruff: noqa: T201 - its lines are what the test shows when it fails

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from rocketchat_async import RocketChat


async def until(what: str, probe: Callable[[], Any], limit: float = 10.0) -> Any:
    """Wait for a true value."""
    end = time.monotonic() + limit
    while not (value := probe()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        await asyncio.sleep(0.01)
    return value


async def main(url: str, ana: str, bo: str, password: str, room: str) -> None:
    """Sign in, list rooms, talk, react, type, answer in a thread, hear of rooms, stop hearing."""
    a, b = RocketChat(), RocketChat()
    await a.start(url, ana, password)
    await b.start(url, bo, password)
    assert a.user_id, "no user id"
    print("ok    two bots sign in")

    assert (room, "p") in await a.get_channels()
    raw = next(found for found in await b.get_channels_raw() if found["_id"] == room)
    assert (raw["t"], raw["usersCount"]) == ("p", 2), raw
    print("ok    rooms are listed")

    heard: list[Any] = []
    changes: list[Any] = []
    await b.subscribe_to_channel_messages(room, lambda *message: heard.append(message))
    subscription = await b.subscribe_to_channel_changes(lambda *room: changes.append(room))
    # The client does not wait until it is subscribed; a call behind it is answered after that.
    await b.send_message("listening", room)
    changes.clear()
    await a.send_message("hello", room)
    hello = await until("the message", lambda: [m for m in heard if m[4] == "hello"])
    channel, sender, message_id, thread, _, qualifier, unread, repeated = hello[0]
    assert (channel, sender, thread, qualifier) == (room, a.user_id, None, None), hello
    assert (unread, repeated) == (False, False), hello
    print("ok    a message reaches the other bot")
    await until("the room's change", lambda: (room, "p") in changes)
    print("ok    the other bot hears of the room's change")

    await b.send_reaction(message_id, ":tada:")
    await until("the reaction", lambda: [m for m in heard if m[2] == message_id and m[7]])
    print("ok    a reaction comes back as the message again")

    await a.send_message("in a thread", room, message_id)
    await until("the reply", lambda: [m for m in heard if m[3] == message_id])
    print("ok    a thread")

    await a.send_typing_event(room)
    print("ok    typing")

    await b.unsubscribe(subscription)
    await a.send_message("last", room)
    await until("the last message", lambda: [m for m in heard if m[4] == "last"])
    print("ok    one subscription ends, the other goes on")

    try:
        await RocketChat().start(url, ana, "wrong")
    except RuntimeError as error:
        print(f"ok    a wrong password is refused: {error}")
    else:
        raise AssertionError("signed in with a wrong password")
    print("done")


asyncio.run(main(*sys.argv[1:]))
