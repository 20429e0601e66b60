"""The program of an app's process, as the engine sees it."""

from __future__ import annotations

import base64
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from hubbub.apps.line import RUNNING, WAITING
from hubbub.apps.wire import Answer, Call, Refusal
from tests.unit.apps.process import running

ROOM = {"_id": "r1", "name": "general", "t": "c"}
ADA = {"_id": "u1", "username": "ada", "name": "Ada"}

APP = """
import asyncio
import logging

from hubbub.apps import App, change, refuse

app = App()
held = asyncio.Event()


@app.command("greet")
async def greet(command):
    await command.reply(f"{app.settings['greeting']} {command.user.name}: {command.params}")


@app.command("break")
async def broken(command):
    raise ValueError("of the app")


@app.command("wait")
async def wait(command):
    await held.wait()


@app.command("free")
async def free(command):
    held.set()


@app.command("log")
def write(command):
    app.log.info("\\ud800 own")
    logging.getLogger("library").warning("of a %s", "library")


@app.on("message_sent")
async def heard(event):
    await app.store.set(event.message.id, event.message.text)


@app.before_message
def judge(message):
    if "bad" in message.text:
        return refuse("no")
    return change(text=message.text.upper()) if message.text.islower() else None


@app.every("0 9 * * mon-fri")
async def daily(job):
    pass


@app.endpoint("echo")
async def echo(request):
    if request.body == b"huge":
        return "x" * 2_000_000
    return {"method": request.method, "body": request.body.decode()}
"""

COMMANDS = ["greet", "break", "wait", "free", "log"]
DECLARED: dict[str, Any] = {
    "permissions": ["command", "endpoint", "message.hook", "message.read", "schedule", "store"],
    "commands": COMMANDS,
    "endpoints": ["echo"],
    "settings": {"greeting": "Hello"},
}


def write(folder: Path, code: str = APP) -> Path:
    (folder / "anapp").mkdir()
    (folder / "anapp" / "__init__.py").write_text(textwrap.dedent(code))
    return folder


def command(name: str, params: str = "") -> dict[str, Any]:
    return {"command": name, "params": params, "room": ROOM, "user": ADA}


def test_the_process_loads_only_the_standard_library() -> None:
    """So that it is small, there at once, and nothing of ours is in it to be misused."""
    code = "import sys, hubbub.apps.host; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in told.stdout.split()}
    assert not loaded & {"pydantic", "pydantic_core", "aiohttp", "orjson", "structlog", "cronsim"}
    ours = {name for name in told.stdout.split() if name.startswith("hubbub")}
    assert all(name == "hubbub" or name.startswith("hubbub.apps") for name in ours)
    assert not ours & {"hubbub.apps.manifest", "hubbub.apps.testing", "hubbub.apps.checking"}


def test_a_life(tmp_path: Path) -> None:
    with running(write(tmp_path), "anapp") as app:
        assert app.start(**DECLARED) == {
            "commands": COMMANDS,
            "events": ["message_sent"],
            "hooks": ["message_sending"],
            "endpoints": ["echo"],
            "jobs": [{"name": "daily", "cron": "0 9 * * mon-fri"}],
        }

        number = app.begin("command", **command("greet", " you "))
        asked = app.next()
        assert asked == Call(
            1, "notify_user", {"user": "u1", "room": "r1", "text": "Hello Ada: you"}
        )
        app.send(Answer(1, None))
        assert app.next() == Answer(number, None)

        assert app.call("settings", settings={"greeting": "Bye"}) is None
        number = app.begin("command", **command("greet"))
        asked = app.next()
        assert isinstance(asked, Call)
        assert asked.args["text"] == "Bye Ada: "
        app.send(Refusal(asked.id, "not-allowed", "notify"))
        assert app.next() == Refusal(number, "failed", "command: Refused")

        message = {"_id": "m1", "rid": "r1", "msg": "text", "u": ADA}
        number = app.begin("event", name="message_sent", payload={"message": message})
        asked = app.next()
        assert asked == Call(3, "store_set", {"key": "m1", "value": "text"})
        app.send(Answer(3, None))
        assert app.next() == Answer(number, None)

        assert app.call("hook", name="message_sending", message=message) == {
            "verdict": "change",
            "message": {"text": "TEXT"},
        }
        body = base64.b64encode(b"x").decode()
        asking = {"name": "echo", "path": "/e", "query": {}, "headers": {}}
        answer = app.call("request", method="POST", body=body, **asking)
        assert answer["status"] == 200
        assert base64.b64decode(answer["body"]) == b'{"method": "POST", "body": "x"}'
        huge = base64.b64encode(b"huge").decode()
        refused = app.call("request", method="POST", body=huge, **asking)
        assert refused.code == "unsendable"
        due = {"$date": 1_700_000_000_000}
        assert app.call("job", id="j", name="daily", data=None, due=due) is None
        assert app.call("stop") is None


def test_handlers_run_beside_each_other(tmp_path: Path) -> None:
    with running(write(tmp_path), "anapp") as app:
        app.start(**DECLARED)
        waiting = app.begin("command", **command("wait"))
        freeing = app.begin("command", **command("free"))
        answers = [app.next(), app.next()]
        assert Answer(waiting, None) in answers
        assert Answer(freeing, None) in answers


def test_more_than_it_can_do_is_refused(tmp_path: Path) -> None:
    with running(write(tmp_path), "anapp") as app:
        app.start(**DECLARED)
        numbers = [app.begin("command", **command("wait")) for _ in range(RUNNING + WAITING + 2)]
        refused = [app.next(), app.next()]
        assert refused == [
            Refusal(number, "busy", "too many calls at once") for number in numbers[-2:]
        ]


def test_one_that_raises_is_logged_and_the_app_goes_on(tmp_path: Path) -> None:
    with running(write(tmp_path), "anapp") as app:
        app.start(**DECLARED)
        assert app.call("command", **command("break")) == Refusal(
            2, "failed", "command: ValueError"
        )
        (line,) = app.told
        assert line["level"] == "error"
        assert 'raise ValueError("of the app")' in line["text"]
        assert app.call("command", **command("log")) is None
        assert app.told[1:] == [
            {"level": "info", "text": "? own"},
            {"level": "warning", "text": "of a library"},
        ]


def test_calls_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with running(write(tmp_path), "anapp") as app:
        assert app.call("command", **command("greet")).code == "not-started"
        app.start(**DECLARED)
        assert app.start(**DECLARED).code == "started-already"
        assert app.call("other").code == "unknown-call"
        assert app.call("answer").code == "unknown-call"
        assert app.call("command").code == "failed"
        assert app.call("command", **command("unknown")).code == "failed"


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ({"commands": [name for name in COMMANDS if name != "greet"]}, "'greet' is not in the man"),
        ({"commands": [*COMMANDS, "more"]}, "manifest's command 'more' has no handler"),
        ({"endpoints": []}, "endpoint 'echo' is not in the manifest"),
        ({"permissions": ["message.read", "schedule"]}, "before_message needs the permission"),
        ({"permissions": ["message.read", "message.hook"]}, "'schedule'"),
        ({"permissions": ["schedule", "message.hook"]}, "on('message_sent') needs the permission"),
    ],
)
def test_what_the_manifest_does_not_declare_is_no_start(
    tmp_path: Path, missing: dict[str, Any], told: str
) -> None:
    with running(write(tmp_path), "anapp") as app:
        refused = app.start(**(DECLARED | missing))
        assert refused.code == "not-declared"
        assert told in refused.reason


@pytest.mark.parametrize(
    ("code", "expected", "told"),
    [
        ("1 / 0", "import-failed", "ZeroDivisionError: division by zero"),
        ("import pymongoo", "import-failed", "No module named 'pymongoo'"),
        ("def", "import-failed", "SyntaxError"),
        ("app = 5", "no-app", "anapp has no `app = App()`"),
        (
            "from hubbub.apps import App\napp = App()\n@app.on('sent')\ndef f(x): ...",
            "import-failed",
            "there is no event 'sent'",
        ),
    ],
)
def test_a_package_that_is_no_app(tmp_path: Path, code: str, expected: str, told: str) -> None:
    with running(write(tmp_path, code), "anapp") as app:
        refused = app.start()
        assert refused.code == expected
        assert told in refused.reason


def test_what_is_no_frame_ends_it(tmp_path: Path) -> None:
    with running(write(tmp_path), "anapp", ends_with=1) as app:
        app.raw(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(EOFError):
            app.next()
