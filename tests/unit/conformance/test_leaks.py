"""The search for secrets finds those that are there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hubbub.bus.keys import new_seed
from hubbub.ids import random_id
from tests.conformance import leaks


class Metrics(BaseHTTPRequestHandler):
    """A process that shows `text`."""

    text = b"hubbub_nats_connected 1\n"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: this is no test of the server."""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a Hubbub that keeps its secrets."""
    monkeypatch.setattr(leaks, "_USED", set())
    folder = tmp_path / "data"
    (folder / "log").mkdir(parents=True)
    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        lines = (
            f'{{"msg":"service_ready"}}\n{{"port":{server.server_port},"msg":"ops_listening"}}\n'
        )
        (folder / "log" / "account.log").write_text(lines)
        yield folder
        server.shutdown()
        thread.join()


def told(data: Path, text: str) -> None:
    with (data / "log" / "account.log").open("a") as log:
        log.write(f"{text}\n")


def test_kept_secrets_are_kept(data: Path) -> None:
    leaks.keep_secret(random_id(43))
    leaks.keep_password("a password with spaces")
    leaks.keep_password("")

    leaks.assert_kept(data)


@pytest.mark.parametrize("wrapped", ['{{"token":"{}"}}', "resume={}&x", "{}"])
def test_a_token_in_a_log_is_found(data: Path, wrapped: str) -> None:
    told(data, wrapped.format(leaks.keep_secret(random_id(43))))

    with pytest.raises(AssertionError, match=r"account\.log': 1"):
        leaks.assert_kept(data)


def test_passwords_and_their_digests_are_found(data: Path) -> None:
    leaks.keep_password("a password with spaces")
    told(data, hashlib.sha256(b"a password with spaces").hexdigest())
    told(data, "he said a password with spaces.")

    with pytest.raises(AssertionError, match=r"account\.log': 2"):
        leaks.assert_kept(data)
    with pytest.raises(AssertionError, match="1 secrets"):
        leaks.assert_not_told('{"error":"wrong: a password with spaces"}')


def test_seeds_and_metrics_are_searched(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = new_seed()
    (data / "nats-keys").mkdir()
    (data / "nats-keys" / "push.nk").write_bytes(seed)
    monkeypatch.setattr(Metrics, "text", b'hubbub_nats_connected{x="%b"} 1\n' % seed)

    with pytest.raises(AssertionError, match="metrics"):
        leaks.assert_kept(data)


@pytest.mark.parametrize(
    "line", ['{"msg":"nats_forbidden"}', "cid:1 - Publish Violation - Subject"]
)
def test_what_the_broker_refused_is_found(data: Path, line: str) -> None:
    told(data, line)

    with pytest.raises(AssertionError, match=r"nats_forbidden|Violation"):
        leaks.assert_kept(data)


def test_an_empty_search_is_none(data: Path) -> None:
    (data / "log" / "account.log").write_text("")

    with pytest.raises(AssertionError, match="nothing to search"):
        leaks.assert_kept(data)
