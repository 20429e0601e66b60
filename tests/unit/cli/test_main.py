"""The command line answers at once, and says in one line what is wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hubbub.cli.main import COMMANDS, main

NOWHERE = {
    "HUBBUB_NATS_URL": "nats://user:hunter2@127.0.0.1:9",
    "HUBBUB_MONGO_URL": "mongodb://user:hunter2@127.0.0.1:9/x",
    "HUBBUB_MONGO_SERVER_SELECTION_TIMEOUT": "0.2",
}


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A person who knows nothing sees what there is."""
    with pytest.raises(SystemExit) as end:
        main(["--help"])

    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of a command tells what its module's text tells."""
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])

    assert end.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """That is wrong use, but a friendly one."""
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["run", "acount"], "no service 'acount'", id="service"),
        pytest.param(["call", "nodot"], "expected SERVICE.ACTION", id="action"),
        pytest.param(["call", "a.b", "{"], "not JSON", id="json"),
        pytest.param(["call", "a.b", "[]"], "JSON object", id="object"),
        pytest.param(["emit", "a b"], "not the name of an event", id="event"),
        pytest.param(["emit", "a", "1"], "JSON object", id="content"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, one line on standard error."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert complaint in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["services"], id="services"),
        pytest.param(["call", "a.b"], id="call"),
        pytest.param(["emit", "a"], id="emit"),
        pytest.param(["events"], id="events"),
    ],
)
def test_a_missing_broker_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1; the address is named without its credentials."""
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)

    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert "NATS does not answer at nats://***@127.0.0.1:9" in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_wrong_setting_is_wrong_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2 and the name of the variable."""
    monkeypatch.setenv("HUBBUB_NATS_URL", "nats://127.0.0.1:9")
    monkeypatch.setenv("HUBBUB_NATS_STREAM_REPLICAS", "many")

    assert main(["services"]) == 2
    assert "HUBBUB_NATS_STREAM_REPLICAS" in capsys.readouterr().err


def test_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every variable once, each with a meaning; secrets have no default to show."""
    assert main(["settings", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)

    variables = [one["variable"] for one in listed]
    assert len(set(variables)) == len(variables)
    assert {"HUBBUB_OPS_PORT", "HUBBUB_LOG_LEVEL", "HUBBUB_MONGO_URL", "HUBBUB_DATA"} <= set(
        variables
    )
    assert [one["variable"] for one in listed if not one["meaning"]] == []


def test_settings_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    """A word finds the settings that have it in their name."""
    assert main(["settings", "ops", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)

    assert {one["variable"] for one in listed} >= {"HUBBUB_OPS_HOST", "HUBBUB_OPS_PORT"}
    assert all("OPS" in one["variable"] for one in listed)


def test_the_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    """Nobody answers and the port is taken: three problems, each with advice, status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        # In a process of its own: a driver that is closed while it connects leaves its socket
        # to the garbage collector, which would blame a later test.
        ended = subprocess.run(
            [sys.executable, "-m", "hubbub.cli.main", "doctor", "--json", "--port", str(port)],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, **NOWHERE},
            timeout=60,
        )

    assert ended.returncode == 1
    findings = json.loads(ended.stdout)
    problems = {one["subject"]: one for one in findings if one["verdict"] == "problem"}
    assert set(problems) == {f"port {port}", "MongoDB", "NATS"}
    assert all(one["advice"] for one in problems.values())
    assert "hunter2" not in json.dumps(findings)


def test_the_doctor_finds_the_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without running servers it looks at what `hubbub up` would start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUBBUB_MONGO_URL", raising=False)
    monkeypatch.delenv("HUBBUB_NATS_URL", raising=False)
    main(["doctor", "--json"])

    findings = {one["subject"]: one for one in json.loads(capsys.readouterr().out)}
    assert findings["MongoDB"]["verdict"] == "ok"
    assert findings["NATS"]["verdict"] == "ok"


def test_help_loads_nothing_heavy() -> None:
    """A command pays for itself only: listing the commands needs no driver and no server."""
    program = (
        "import sys; from hubbub.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'aiohttp', 'pymongo', 'nats', 'rich', 'uvloop'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=dict(os.environ), timeout=30
    )

    assert ended.returncode == 0, ended.stderr
