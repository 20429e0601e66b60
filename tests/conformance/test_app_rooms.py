"""Conformance: in which rooms apps hear and judge what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import Running
from tests.conformance.rest import Rest, User
from tests.conformance.small_app import small_app
from tests.conformance.test_apps import HELD, run, send
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

CODE = """
from hubbub.apps import App, change

app = App()


@app.before_message
def judge(message):
    if message.text.startswith("{word}"):
        return change(text=message.text.replace("{word}", "judged by {app_id}"))
    return None


@app.on("message_sent")
async def heard(event):
    if event.message.text.startswith("{word}", 1):
        app.log.info("heard " + event.message.text)
"""


async def test_apps_judge_and_hear_in_their_rooms_or_in_all(
    hubbub: Running, rest: Rest, admin: User, ana: User, tmp_path: Path
) -> None:
    word = random_id(12)
    ours, everywhere = (f"{name}-{random_id(6).lower()}" for name in ("ours", "all"))
    rooms = [
        (await rest.post("groups.create", ana, name=f"g-{random_id(8).lower()}"))["group"]["_id"]
        for _ in range(2)
    ]
    own, other = rooms

    async def said(room: str) -> str:
        return str((await send(rest, ana, room, f"{word}!"))["msg"])

    async def says(room: str, text: str) -> None:
        """What is said there becomes this, at the latest after a while."""

        async def is_so() -> bool:
            return await said(room) == text

        await eventually(is_so, within=HELD, what=text)

    async def log_of(app_id: str) -> list[str]:
        found = (await rest.ask("GET", f"/api/apps/{app_id}/logs", user=admin)).body["logs"]
        return [line["text"] for line in found if line["text"].startswith("heard")]

    async def installed(app_id: str, *permissions: str) -> None:
        code = CODE.format(word=word, app_id=app_id)
        held = ["message.hook", "message.read", *permissions]
        folder = small_app(tmp_path / app_id, app_id, code, permissions=held)
        status, told = await run(hubbub, "app", "install", str(folder), "--yes")
        assert status == 0, told

    try:
        await installed(ours)
        await rest.post("groups.invite", ana, roomId=own, username=f"{ours}.bot")
        await says(own, f"judged by {ours}!")
        assert await said(other) == f"{word}!"
        for room in (other, own):
            await send(rest, ana, room, f"1{word} in {room}")

        async def heard() -> list[str]:
            return await log_of(ours)

        await eventually(heard, within=HELD)
        assert await log_of(ours) == [f"heard 1{word} in {own}"]  # of the other one it was first

        await rest.post("groups.kick", ana, roomId=own, username=f"{ours}.bot")
        await says(own, f"{word}!")

        await installed(everywhere, "room.read-all")
        await says(other, f"judged by {everywhere}!")
        assert await said(own) == f"judged by {everywhere}!"
        await send(rest, ana, other, f"2{word}")

        async def heard_all() -> bool:
            return f"heard 2{word}" in await log_of(everywhere)

        await eventually(heard_all, within=HELD)
        assert f"heard 2{word}" not in await log_of(ours)
    finally:
        for app_id in (ours, everywhere):
            await rest.ask("DELETE", f"/api/apps/{app_id}", user=admin)
