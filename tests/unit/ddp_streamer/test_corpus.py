"""Bad input, line by line, on a connection without sockets."""

from __future__ import annotations

import json

import pytest

from hubbub.ddp.websocket import CLOSE, TEXT
from tests.unit.ddp_streamer.corpus import Case, cases
from tests.unit.ddp_streamer.fakes import Client

CALL = b'{"msg":"method","id":"n","method":"echo","params":[]}'
CASES = cases()


def test_the_corpus_covers_its_rows() -> None:
    assert {case.row for case in CASES} >= set(range(12))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row}: {case.name}")
@pytest.mark.parametrize("piece", [None, 1000], ids=["whole", "in pieces"])
def test_bad_input(case: Case, piece: int | None) -> None:
    client = Client()
    neighbour = Client(beside=client)
    step = piece or len(case.data)
    for start in range(0, len(case.data), step):
        client.receive(case.data[start : start + step])
    frames = client.frames()
    if "close" in case.expected:
        opcode, payload = frames[-1]
        assert opcode == CLOSE
        assert int.from_bytes(payload[:2], "big") == case.expected["close"]
        assert len(frames) == 1
    else:
        assert not client.connection.closed
        assert all(opcode == TEXT for opcode, _ in frames)
        first = frames[0][1].decode()
        if "reply" in case.expected:
            assert first == case.expected["reply"]
        elif "refused" in case.expected:
            reason = case.expected["refused"]
            assert json.loads(first)["error"] == {
                "isClientSafe": True,
                "errorType": "Meteor.Error",
                "error": 400,
                "reason": reason,
                "message": f"{reason} [400]",
            }
        else:
            assert "result" in json.loads(first)
            assert frames[1][1] == b'{"msg":"updated","methods":["1"]}'
    neighbour.text(CALL)
    assert len(neighbour.texts()) == 2
