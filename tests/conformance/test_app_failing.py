"""Conformance: an app that keeps failing is disabled, and people are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import NewUser, Running
from tests.conformance.rest import Rest, User
from tests.conformance.small_app import small_app
from tests.conformance.test_apps import run
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

_HELD = 120.0  # seconds: five starts, with longer and longer pauses between them

CODE = """
import os

from hubbub.apps import App

app = App()


@app.every("0 0 1 1 *")
def never(job):
    pass


os._exit(7)
"""


async def test_administrators_and_the_installer_are_told(
    hubbub: Running, rest: Rest, database: Database, admin: User, new_user: NewUser, tmp_path: Path
) -> None:
    app_id = f"failing-{random_id(6).lower()}"
    other = await new_user("boss")
    await rest.post("roles.addUserToRole", admin, roleId="admin", username=other.username)
    folder = small_app(tmp_path / "app", app_id, CODE, permissions=["schedule"])
    try:
        status, said = await run(hubbub, "app", "install", str(folder), "--yes")
        assert (status, "it is started again in" in said) == (1, True), said

        async def app() -> dict[str, Any]:
            found: dict[str, Any] = (await rest.ask("GET", f"/api/apps/{app_id}", user=admin)).body
            return dict(found["app"])

        async def disabled() -> bool:
            return bool((await app())["status"] == "error_disabled")

        await eventually(disabled, within=_HELD)
        reason = (await app())["reason"]
        assert reason.startswith("ended 5 times within 10 minutes; at last it ")

        for person in (admin, other):  # whoever installed it is an administrator, too

            async def told(person: User = person) -> list[str]:
                rooms = (await rest.get("im.list", person, count=0))["ims"]
                mine = [one for one in rooms if f"{app_id}.bot" in one.get("usernames", [])]
                if not mine:
                    return []
                found = await rest.get("im.messages", person, roomId=mine[0]["_id"])
                return [message["msg"] for message in found["messages"]]

            await eventually(told, within=30)
            # Once each: administrators who installed it are not told twice.
            assert [text.splitlines()[0] for text in await told()] == [f"I was disabled: {reason}."]

        async def audited() -> bool:
            entry = {"action": "app.given-up", "target": app_id, "actor": None}
            return await database["hubbub_audit"].count_documents(entry) == 1

        await eventually(audited, within=30)
    finally:
        await rest.ask("DELETE", f"/api/apps/{app_id}", user=admin)
