"""What an author is told of an app before it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubbub.apps import wire
from hubbub.apps.checking import check
from hubbub.apps.seen import look
from tests.unit.apps.trial import CODE, MANIFEST, write


def test_a_good_one(tmp_path: Path) -> None:
    found = check(write(tmp_path))
    assert (found.problems, found.hints) == ([], [])
    assert found.offers == {
        "commands": ["count"],
        "events": [],
        "hooks": [],
        "endpoints": [],
        "jobs": [{"name": "daily", "cron": "0 9 * * mon-fri"}],
    }


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f(:\n", "trial_app/__init__.py:1: "),
        ("import requests\n" + CODE, "__init__.py:1: requests may not be there"),
        ("from aiohttp.web import View\n" + CODE, "__init__.py:1: aiohttp.web may not be there"),
        ("from hubbub.apps import testing\n" + CODE, "hubbub.apps.testing is for tests"),
        ("import hubbub.mongo\n" + CODE, "hubbub.mongo may not be there"),
        (CODE + "\nasync def f():\n    await app.fetch('x')\n", "permission 'network'"),
        (CODE + "\n@app.before_message\ndef f(m): ...\n", "permission 'message.hook'"),
        (CODE + "\n@app.on('user_created')\ndef f(e): ...\n", "permission 'user.read'"),
        (CODE.replace("0 9 *", "0 25 *"), "no time that comes: '0 25 * * mon-fri'"),
        (
            CODE + "\nasync def f():\n    await app.schedule('x', cron='x')\n",
            "no time that comes: 'x'",
        ),
        (CODE.replace('"count"', '"other"'), "start: the command 'other' is not in the manifest"),
        (CODE.replace('"count"', '"other"'), "the manifest's command 'count' has no handler"),
        (CODE + "\nraise ValueError('early')\n", "start: import of trial_app: ValueError: early"),
        (CODE + "\napp = None\n", "start: trial_app has no `app = App()`"),
        (CODE + "\nimport os\nos._exit(0)\n", "start: its process ended"),
        (
            CODE + "\nimport os, sys\nos.write(int(sys.argv[1]), b'\\0' * 9)\n",
            "start: its process does not speak with its engine",
        ),
    ],
)
def test_what_is_wrong_with_its_code(tmp_path: Path, code: str, told: str) -> None:
    found = check(write(tmp_path, code=code))
    assert any(told in problem for problem in found.problems), found.problems


def test_a_start_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(wire.DEADLINES, "start", 0.2)
    found = check(write(tmp_path, code="import time\ntime.sleep(60)\n"))
    assert "start: took more than 0.2 s" in found.problems


def test_what_is_wrong_with_the_folder(tmp_path: Path) -> None:
    assert "app.toml: app.toml cannot be read" in check(tmp_path).problems[0]
    folder = write(tmp_path, manifest=MANIFEST + '[settings.y]\ntype="date"\n')
    assert check(folder).problems[0].startswith("app.toml: settings.y.type:")
    (folder / "app.toml").write_text(MANIFEST)
    (folder / "trial_app" / "__init__.py").unlink()
    assert check(folder).problems == ["there is no package trial_app with an __init__.py"]


def test_permissions_that_nothing_needs(tmp_path: Path) -> None:
    manifest = MANIFEST.replace('"command",', '"command", "message.send",')
    found = check(write(tmp_path, manifest=manifest))
    assert found.problems == []
    assert found.hints == ["app.toml asks for 'message.send', and nothing was seen that needs it"]


def test_which_rooms_it_judges(tmp_path: Path) -> None:
    code = CODE + "\n@app.before_message\ndef judge(message): ...\n"
    asked = ('"message.hook"', 1), ('"message.hook", "room.read-all"', 0)
    for number, (more, hints) in enumerate(asked):
        manifest = MANIFEST.replace("permissions = [", f"permissions = [{more}, ")
        found = check(write(tmp_path / str(number), code=code, manifest=manifest))
        assert found.problems == []
        assert len(found.hints) == hints
        assert all("for the rooms that its bot is in" in hint for hint in found.hints)


def test_what_is_seen_has_its_line() -> None:
    text = "import own.part\nfrom . import x\nasync def f(app):\n  app.store\n  app.store\n"
    seen = look(text, "own")
    assert seen.permissions == {"store": 4}
    assert seen.problems == []
