"""`hubbub selftest`, as `helm test` runs it, on a whole Hubbub."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.conformance.conftest import ADMIN_PASSWORD, Running

pytestmark = pytest.mark.conformance


async def _selftest(*arguments: str) -> tuple[int, list[dict[str, object]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hubbub.cli.main", "selftest", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in output.splitlines()]


async def test_a_message_arrives(hubbub: Running) -> None:
    status, steps = await _selftest("--url", hubbub.url)

    assert status == 0, steps
    assert {"step": "receive", "ok": True} in [
        {"step": step["step"], "ok": step["ok"]} for step in steps
    ]


async def test_the_administrator_leaves_nothing_behind(hubbub: Running, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(ADMIN_PASSWORD)

    status, steps = await _selftest(
        *("--url", hubbub.url, "--username", "admin", "--password-file", str(password))
    )

    assert status == 0, steps
    assert steps[-1] == {"step": "all", "ok": True}
