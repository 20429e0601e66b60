"""JetStream in memory, as far as Hubbub uses it: one stream that republishes what it stored.

It speaks the subjects and the JSON of the real one (JetStream API reference; ADR-31 for batched
direct gets). It may fall silent, forget its beginning, lose its end, and be made anew.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from hubbub.contracts.event_log import (
    LIVE_SUBJECTS,
    LOG_STREAM,
    LOG_SUBJECTS,
    PREFIX,
    Header,
)
from tests.simulation.network import Server, block_of, headers_of

_API = "$JS.API."
_APPEND = f"{PREFIX}append."
_EXPECTED = "Nats-Expected-Last-Sequence"


@dataclass(slots=True)
class Stored:
    """One message of the stream."""

    sequence: int
    subject: str
    headers: dict[str, str]
    payload: bytes
    at: float


class JetStream:
    """One stream, named like Hubbub's log, or none."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self.config: dict[str, Any] | None = None
        self.fenced = True
        """It takes events of the present epoch only. False: as a server whose configuration
        lags behind, it takes those of any."""
        self.silent_until = 0.0
        self._created = 0
        self.stored: list[Stored] = []
        self._first = 1
        self._last = 0
        self._tops: dict[str, int] = {}  # subject → sequence of its last message
        server.service = self

    # --- faults -------------------------------------------------------------------------------

    def fall_silent(self, seconds: float) -> None:
        """As while it elects a leader: nothing is stored, nothing is answered."""
        self.silent_until = self._now() + seconds

    def forget_beginning(self, *, older_than: float) -> None:
        """What is older, in seconds, is kept no longer."""
        self.stored = [one for one in self.stored if one.at > self._now() - older_than]
        self._first = self._last + 1 - len(self.stored)

    def lose_end(self, messages: int) -> None:
        """The last messages are gone, as after a loss of power."""
        kept = max(0, len(self.stored) - messages)
        self._last -= len(self.stored) - kept
        del self.stored[kept:]
        self._tops = {stored.subject: stored.sequence for stored in self.stored}

    def vanish(self) -> None:
        """The stream is gone."""
        self.config = None
        self.stored, self._tops = [], {}
        self._first, self._last = 1, 0

    # --- as a service of the server -----------------------------------------------------------

    def take(self, subject: str, reply: str, block: bytes | None, payload: bytes) -> bool:
        if subject.startswith(_API):
            if self._now() >= self.silent_until:
                self._answer(subject[len(_API) :], reply, payload)
            return True
        if not subject.startswith(_APPEND) or self.config is None:
            return False
        accepted: str = self.config["subjects"][0].removesuffix(">")
        if not self.fenced:
            accepted = f"{_APPEND}{subject.split('.')[3]}."
        if not subject.startswith(accepted):
            return False
        if self._now() < self.silent_until:
            return True
        headers = headers_of(block) if block is not None else {}
        self._append(LOG_SUBJECTS + subject[len(accepted) :], reply, headers, payload)
        return True

    def _append(self, subject: str, reply: str, headers: dict[str, str], payload: bytes) -> None:
        expected = headers.pop(_EXPECTED, None)
        if expected is not None and int(expected) != self._last:
            error = {"code": 400, "err_code": 10071, "description": "wrong last sequence"}
            self._reply(reply, {"error": error})
            return
        self._last += 1
        before = self._tops.get(subject, 0)
        if before < self._first:
            before = 0
        self._tops[subject] = self._last
        self.stored.append(Stored(self._last, subject, headers, payload, self._now()))
        self._reply(reply, {"stream": LOG_STREAM, "seq": self._last})
        live = headers | {
            "Nats-Subject": subject,
            Header.SEQUENCE: str(self._last),
            Header.LAST_SEQUENCE: str(before),
        }
        audience = subject[len(LOG_SUBJECTS) :]
        self._server.publish(LIVE_SUBJECTS + audience, "", block_of(live), payload)

    def _answer(self, question: str, reply: str, payload: bytes) -> None:
        kind, _, name = question.rpartition(".")
        body = orjson.loads(payload) if payload else {}
        if kind == "STREAM.CREATE" and self.config is None:
            self.config = body
            self._created += 1
        if self.config is None:
            if kind == "DIRECT.GET":
                self._say(reply, {}, " 503")
            else:
                missing = {"code": 404, "err_code": 10059, "description": "stream not found"}
                self._reply(reply, {"error": missing})
            return
        assert name == LOG_STREAM
        if kind == "DIRECT.GET":
            self._get(reply, body)
        elif kind == "STREAM.DELETE":
            self.vanish()
            self._reply(reply, {"success": True})
        else:
            if kind == "STREAM.UPDATE":
                self.config = body
            self._reply(reply, self._info())

    def _info(self) -> dict[str, Any]:
        state = {
            "messages": len(self.stored),
            "first_seq": self._first,
            "last_seq": self._last,
        }
        return {
            "config": self.config,
            "created": f"2026-01-01T00:00:{self._created:02d}Z",
            "state": state,
        }

    # --- direct gets --------------------------------------------------------------------------

    def _get(self, reply: str, body: dict[str, Any]) -> None:
        known = self._known()
        if "last_by_subj" in body:
            found = [stored for stored in known if stored.subject == body["last_by_subj"]][-1:]
            if not found:
                self._say(reply, {}, " 404 Message Not Found")
                return
            self._say(reply, _headers(found[0]), payload=found[0].payload)
            return
        if "multi_last" in body:
            wanted = set(body["multi_last"])
            last = {stored.subject: stored for stored in known if stored.subject in wanted}
            found = sorted(last.values(), key=lambda stored: stored.sequence)
        else:
            subject = body.get("next_by_subj")
            found = [
                stored
                for stored in known[max(0, body["seq"] - self._first) :]
                if subject is None or stored.subject == subject
            ]
        self._say_all(reply, found, body["batch"])

    def _known(self) -> list[Stored]:
        """What the copy that is asked has."""
        if self._chance.random() >= self._server.weather.lag:
            return self.stored
        until = self._now() - self._chance.random() * self._server.weather.slow
        return [stored for stored in self.stored if stored.at <= until]

    def _say_all(self, reply: str, found: list[Stored], most: int) -> None:
        if not found:
            self._say(reply, {}, " 404 Message Not Found")
            return
        before = 0
        for index, stored in enumerate(found[:most]):
            headers = _headers(stored) | {
                "Nats-Num-Pending": str(len(found) - index - 1),
                Header.LAST_SEQUENCE: str(before),
            }
            self._say(reply, headers, payload=stored.payload)
            before = stored.sequence
        left = str(max(0, len(found) - most))
        end = {"Nats-Num-Pending": left, Header.LAST_SEQUENCE: str(before)}
        self._say(reply, end, " 204 EOB")

    def _reply(self, reply: str, answer: dict[str, Any]) -> None:
        if reply:
            self._server.publish(reply, "", None, orjson.dumps(answer))

    def _say(
        self, reply: str, headers: dict[str, str], status: str = "", payload: bytes = b""
    ) -> None:
        self._server.publish(reply, "", block_of(headers, status), payload)

    def _now(self) -> float:
        return self._server.loop.time()


def _headers(stored: Stored) -> dict[str, str]:
    at = datetime.fromtimestamp(1_700_000_000 + stored.at, UTC)
    return stored.headers | {
        "Nats-Stream": LOG_STREAM,
        "Nats-Subject": stored.subject,
        Header.SEQUENCE: str(stored.sequence),
        "Nats-Time-Stamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
