"""Logs are JSON with constant events, and no secret gets into them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from hubbub.telemetry.log import redacted

PROGRAM = """
import logging
from pydantic import SecretStr
from hubbub.settings import load
from hubbub.telemetry import log as logs

logs.configure(load(logs.LogSettings), service="kitchen", instance="kitchen-1")
log = logs.get_logger("cook")
"""


def logged(program: str, **environment: str) -> list[dict[str, object]]:
    """The lines that a process with `program` logs."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(program)],
        capture_output=True,
        check=True,
        timeout=30,
        env={**os.environ, **environment},
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_a_line_says_who_and_what() -> None:
    """Event, level, time, module, service and instance stand in every line."""
    (line,) = logged('log.info("soup_served", bowls=3)')

    assert line["msg"] == "soup_served"
    assert line["bowls"] == 3
    assert line["level"] == "info"
    assert line["logger"] == "cook"
    assert (line["service"], line["instance"]) == ("kitchen", "kitchen-1")
    assert str(line["ts"]).endswith("Z")


def test_libraries_log_in_the_same_form() -> None:
    """What others say through `logging` is JSON too; their small talk is not."""
    lines = logged(
        """
        logging.getLogger("pan").info("small talk")
        logging.getLogger("pan").warning("too %s", "hot")
        """
    )

    assert [(line["msg"], line["logger"]) for line in lines] == [("too hot", "pan")]


def test_secrets_do_not_get_out() -> None:
    """Telling keys are masked, credentials cut from URLs, SecretStr is never opened."""
    lines = logged(
        """
        log.info("a", password="hunter2", login_token="hunter2", x=SecretStr("hunter2"))
        log.info("b", url="mongodb://user:hunter2@db:27017/x")
        log.info("c", urls=["ok"], authorization="Bearer hunter2")
        logging.getLogger("nats").warning("lost nats://user:hunter2@broker:4222")
        """
    )

    assert len(lines) == 4
    assert "hunter2" not in json.dumps(lines)
    assert lines[1]["url"] == "mongodb://***@db:27017/x"


def test_identical_warnings_are_collapsed() -> None:
    """A storm of the same warning is one line; different ones all stand."""
    lines = logged(
        """
        for _ in range(100):
            log.warning("too_hot", pan=1)
        log.warning("too_hot", pan=2)
        """
    )

    assert [line["pan"] for line in lines] == [1, 2]


def test_the_level_is_a_setting() -> None:
    """What is below it is not written."""
    lines = logged('log.info("a"); log.error("b")', HUBBUB_LOG_LEVEL="error")

    assert [line["msg"] for line in lines] == ["b"]


def test_a_traceback_is_structured() -> None:
    """The exception of a failure is data, and shows no values of variables."""
    (line,) = logged(
        """
        password = "hunter2"
        try:
            1 / 0
        except ZeroDivisionError:
            log.error("burnt", exc_info=True)
        """
    )

    exceptions = line["exception"]
    assert isinstance(exceptions, list)
    assert exceptions[0]["exc_type"] == "ZeroDivisionError"
    assert "hunter2" not in json.dumps(exceptions)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("nats://a:b@c:1/x", "nats://***@c:1/x", id="both"),
        pytest.param("nats://token@c:1", "nats://***@c:1", id="token"),
        pytest.param("nats://c:1", "nats://c:1", id="none"),
        pytest.param("http://a@b, http://c:d@e", "http://***@b, http://***@e", id="several"),
    ],
)
def test_redacted(url: str, shown: str) -> None:
    """Only what stands before the `@` of an address is cut."""
    assert redacted(url) == shown


def test_a_reader_that_is_gone_does_not_matter() -> None:
    """A process whose output nobody reads any more goes on, and ends as it would."""
    program = "import os, sys\nr, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w)\n"
    ended = subprocess.run(
        [sys.executable, "-c", program + PROGRAM + 'log.info("a"); sys.exit(7)'],
        capture_output=True,
        timeout=30,
    )

    assert (ended.returncode, ended.stderr) == (7, b"")
