"""Faults of the services that answer calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.chaos.faults.table import Scene, fault
from tests.chaos.reader import TRY_AGAIN
from tests.chaos.stage import GATEWAY, LINKED, Options
from tests.chaos.wire import opened
from tests.e2e.resilience.line import Broken, Failed, Unanswered

_REPLIES_HELD = 1.5  # seconds in which calls are carried out and not answered


def _linked_messaging(options: Options) -> Options:
    return replace(options, linked=LINKED | {"messaging"})


@fault(
    "F21", "messaging killed between commit and answer", bound=5.0, after_heal=True,
    options=_linked_messaging,
)  # fmt: skip
async def killed_before_the_answer(scene: Scene) -> None:
    """Nothing that messaging says reaches NATS any more: it stores messages, and nobody is told.
    Then all its copies die at once. Clients hear that the outcome is not known, and repeat; each
    message is stored once.

    Bound: a call's patience with a service that died (2 s), and the clients' pauses, counted
    from where it is back.
    """
    copies = scene.stage.of("messaging")
    links = scene.stage.links
    scene.broken()
    await links.set("messaging-*>*", held=["up"])
    await scene.lasts(0.3)  # answers that were on their way before have arrived
    before = await _stored(scene)
    await scene.lasts(_REPLIES_HELD)
    after = await _stored(scene)
    for copy in copies:
        await copy.program.kill()
    await links.drop("messaging-*>*")  # before it is cleared: nothing of it may still arrive
    await links.clear()
    for copy in copies:
        copy.program.start()
    await scene.stage.ready(copies)
    scene.healed()
    assert after > before, "nothing was stored without an answer: the fault did not happen"


async def _stored(scene: Scene) -> int:
    async with scene.stage.database.database() as database:
        rooms = {"$in": [room.id for room in scene.rooms]}
        return await database["rocketchat_message"].count_documents({"rid": rooms})


@fault("F22", "account, authorization, presence and gateway dead 30 s", bound=5.0, after_heal=True)
async def around_the_way(scene: Scene) -> None:
    """Everybody dies whom a message does not have to pass. Who is connected goes on; who comes
    anew waits or is told to try again, and is never told that he may not.

    Bound: 5 s after they are back, for what has to ask them.
    """
    kinds = ("account", "authorization", "presence", GATEWAY)
    dead = [service for kind in kinds for service in scene.stage.of(kind)]
    scene.broken(", ".join(kinds))
    await asyncio.gather(*(service.program.kill() for service in dead))
    async with asyncio.TaskGroup() as tasks:
        newcomer = tasks.create_task(_sign_in(scene))
        await scene.lasts(30.0 * scene.scale)
        assert not newcomer.done() or newcomer.result() in TRY_AGAIN, "who signed it in?"
        for service in dead:
            service.program.start()
        await scene.stage.ready(dead)
        scene.healed()


async def _sign_in(scene: Scene) -> str | int | None:
    """Sign somebody in over a new socket; the error if that failed. Raises: AssertionError: he
    was told that he may not."""
    url = scene.dice.choice(scene.stage.streamers).web_socket
    token = scene.tokens[scene.rooms[0].writers[0]]
    async with opened(url, lambda _: None, lambda _: None) as (wire, _):
        try:
            await wire.connect()
            await wire.call("login", {"resume": token})
        except Failed as failure:
            if failure.code not in TRY_AGAIN:
                raise AssertionError(f"a valid token was refused: {failure}") from None
            return failure.code
        except (Broken, Unanswered):
            return "error-timeout"
    return None
