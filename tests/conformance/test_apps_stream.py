"""Conformance: clients hear of apps and their commands (the stream `apps`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, Running, SignIn
from tests.conformance.ddp import CallFailed, Ddp
from tests.conformance.rest import Rest, User
from tests.conformance.small_app import small_app
from tests.conformance.test_apps import run
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

HELD = 30.0  # seconds
EVENTS = (
    "app/added app/removed app/updated app/statusUpdate app/settingUpdated"
    " command/added command/disabled command/updated command/removed apps"
).split()

CODE = """
from hubbub.apps import App

app = App()


@app.command("{command}")
async def answer(command):
    await command.reply("here")
"""

MORE = """
[commands.{command}]
description = "{description}"

[settings.word]
type = "string"
"""


async def listening(socket: Ddp) -> None:
    for event in EVENTS:
        await socket.subscribe("stream-apps", event, False)


async def test_clients_hear_of_apps_and_commands(
    hubbub: Running,
    rest: Rest,
    database: Database,
    admin: User,
    ana: User,
    sign_in: SignIn,
    anonymous: Anonymous,
    tmp_path: Path,
) -> None:
    app_id, command = f"herald-{random_id(6).lower()}", f"c{random_id(8).lower()}"
    manager, reader, nobody = await sign_in(admin), await sign_in(ana), await anonymous()
    await listening(manager)
    await listening(reader)
    with pytest.raises(CallFailed):
        await nobody.subscribe("stream-apps", "apps", False)

    def folder(description: str, version: str) -> str:
        more = MORE.format(command=command, description=description)
        code = CODE.format(command=command)
        return str(
            small_app(tmp_path, app_id, code, permissions=["command"], more=more, version=version)
        )

    async def heard(event: str, *args: Any) -> None:
        for socket in (manager, reader):
            await socket.event("apps", event, lambda *found: found == args, within=HELD)
            await socket.event(
                "apps", "apps", lambda found: found == [event, list(args)], within=HELD
            )

    async def listed() -> list[str]:
        return [
            one["description"]
            for one in (await rest.get("commands.list", ana, count=0))["commands"]
            if one["command"] == command
        ]

    async def stands(status: str) -> None:
        await heard("app/statusUpdate", {"appId": app_id, "status": status})

    try:
        status, said = await run(hubbub, "app", "install", folder("first", "1.0.0"), "--yes")
        assert status == 0, said
        await heard("app/added", app_id)
        await stands("manually_enabled")
        await heard("command/added", command)
        assert await listed() == ["first"]

        change = {"settings": [{"id": "word", "value": "not to be told"}]}
        answer = await rest.ask("POST", f"/api/apps/{app_id}/settings", user=admin, body=change)
        assert answer.status == 200
        told = [{"appId": app_id, "setting": {"id": "word"}}]
        await manager.event("apps", "app/settingUpdated", lambda *args: [*args] == told)

        assert (await run(hubbub, "app", "disable", app_id))[0] == 0
        await stands("manually_disabled")
        await heard("command/disabled", command)
        assert await listed() == []

        assert (await run(hubbub, "app", "install", folder("second", "1.1.0"), "--yes"))[0] == 1
        await heard("app/updated", app_id)
        assert (await run(hubbub, "app", "enable", app_id))[0] == 0
        assert await listed() == ["second"]

        assert (await run(hubbub, "app", "remove", app_id))[0] == 0
        await heard("command/removed", command)
        await heard("app/removed", app_id)
    finally:
        await rest.ask("DELETE", f"/api/apps/{app_id}", user=admin)
    assert reader.events("apps", "app/settingUpdated") == []

    assert not any("not to be told" in text for text in [*manager.texts, *reader.texts])

    async def audited() -> list[tuple[str, str]]:
        found = database["hubbub_audit"].find({"target": app_id}).sort("ts", 1)
        return [(entry["action"], entry["actor"]) async for entry in found]

    deeds = "installed configured disabled installed enabled removed".split()
    expected = [(f"app.{deed}", admin.id) for deed in deeds]

    async def all_told() -> bool:
        return await audited() == expected

    await eventually(all_told, within=HELD, what=str(expected))
    entries = await database["hubbub_audit"].find({"target": app_id}).to_list()
    assert not any("not to be told" in str(entry) for entry in entries)
