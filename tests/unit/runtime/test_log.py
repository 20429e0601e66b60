"""Logs are JSON with constant events, and no secret gets into them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from hubbub.telemetry.log import network_of, redacted
from hubbub.telemetry.version import version

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
    assert line["pod"] == socket.gethostname()
    assert line["version"] == version()
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


def test_warnings_that_differ_by_their_request_are_identical() -> None:
    """Libraries' own, too; and none of them becomes an error of logging itself."""
    lines = logged(
        """
        for number in range(100):
            log.warning("too_hot", pan=1, req=f"r{number}", dur_ms=number)
            logging.getLogger("pan").warning("too hot")
        """
    )

    assert [line["msg"] for line in lines] == ["too_hot", "too hot"]


def test_a_storm_that_is_over_is_counted() -> None:
    """With the next line of any kind, once its pause is over."""
    lines = logged(
        """
        import time
        now = [time.monotonic()]
        for processor in __import__("structlog").get_config()["processors"]:
            if type(processor).__name__ == "Collapse":
                processor._clock = lambda: now[0]
        for _ in range(100):
            log.warning("too_hot", pan=1)
        now[0] += 11
        log.info("soup_served")
        log.info("soup_served")
        """
    )

    shown = [(line["msg"], line.get("repeated"), line.get("pan")) for line in lines]
    assert shown == [
        ("too_hot", None, 1),
        ("too_hot", 99, 1),
        ("soup_served", None, None),
        ("soup_served", None, None),
    ]


def test_secrets_in_depth_and_in_other_spellings() -> None:
    """Names as the wire has them, values inside values, texts of people."""
    lines = logged(
        """
        log.info("a", authToken="hunter2", headers={"X-Auth-Token": "hunter2", "Cookie": "hunter2"})
        log.info("b", calls=[{"params": {"userPassword": "hunter2"}}], text="hunter2")
        log.info("c", deep={"a": {"b": {"c": {"d": {"e": "hunter2"}}}}})
        """
    )

    assert len(lines) == 3
    assert "hunter2" not in json.dumps(lines)
    assert lines[1]["text"] == "***"


def test_texts_are_for_developers() -> None:
    """When they ask for them; secrets never are."""
    (line,) = logged('log.info("a", text="hello", token="x")', HUBBUB_LOG_CONTENT="true")
    assert (line["text"], line["token"]) == ("hello", "***")


def test_an_error_has_a_name_and_quotes_no_data() -> None:
    """What the database and checks say of values is cut, in the traceback too."""
    (line,) = logged(
        """
        try:
            raise KeyError('E11000 duplicate key error dup key: { emails.address: "a@b.example" }')
        except KeyError:
            log.exception("not_stored")
        """
    )

    assert line["err_type"] == "KeyError"
    assert "duplicate key" in str(line["err"])
    assert "a@b.example" not in json.dumps(line)


@pytest.mark.parametrize(
    ("environment", "peer"),
    [
        pytest.param({}, "192.0.2.0/24", id="its network"),
        pytest.param({"HUBBUB_LOG_FULL_IP": "true"}, "192.0.2.77", id="whole"),
    ],
)
def test_addresses_of_clients(environment: dict[str, str], peer: str) -> None:
    (line,) = logged('log.info("a", peer="192.0.2.77")', **environment)
    assert line["peer"] == peer


@pytest.mark.parametrize(
    ("address", "network"),
    [
        pytest.param("192.0.2.77", "192.0.2.0/24", id="IPv4"),
        pytest.param("2001:db8:1:2::3", "2001:db8:1::/48", id="IPv6"),
        pytest.param("::ffff:192.0.2.77", "192.0.2.0/24", id="mapped"),
        pytest.param("a word", "***", id="no address"),
    ],
)
def test_networks(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_line_names_its_trace() -> None:
    """So that log and trace find each other."""
    (line,) = logged(
        """
        from opentelemetry.sdk.trace import TracerProvider
        with TracerProvider().get_tracer("t").start_as_current_span("s"):
            log.info("a")
        """
    )
    assert len(str(line["trace_id"])) == 32
    assert len(str(line["span_id"])) == 16


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
        pytest.param(
            "x [type=a, input_value='ana@b', input_type=str]",
            "x [type=a, input_value=***, input_type=str]",
            id="what a check quotes",
        ),
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
