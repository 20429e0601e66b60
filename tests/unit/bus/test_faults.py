"""Errors on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from hubbub import errors
from hubbub.bus.faults import decode_error, encode_error
from hubbub.errors import HubbubError, Internal, NotFound, Unavailable
from tests.unit.bus.shop import SoldOut


class Choosy(NotFound):
    """Takes other arguments than its parents."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} is not {where}", code="error-choosy", details={"what": what})


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HubbubError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_arrives_as_itself(kind: type[HubbubError]) -> None:
    """Type, code, reason, details, id and retryable survive."""
    error = kind("why", code=4711, details={"a": [1, None]}, error_id="e1")

    arrived = decode_error(encode_error(error))

    assert type(arrived) is kind
    assert (arrived.reason, arrived.code, arrived.details) == ("why", 4711, {"a": [1, None]})
    assert (arrived.error_id, arrived.retryable) == ("e1", kind.retryable)


@pytest.mark.parametrize(
    "error", [SoldOut("gone"), Choosy("hat", "here")], ids=["subclass", "own constructor"]
)
def test_declared_subclasses_arrive_as_themselves(error: HubbubError) -> None:
    """Also when their constructor takes other arguments."""
    arrived = decode_error(encode_error(error))

    assert type(arrived) is type(error)
    assert (arrived.message, arrived.details) == (error.message, error.details)


def test_strangers_arrive_as_their_nearest_known_parent() -> None:
    """A class that we do not have is read by the names of its parents."""
    fault = {
        "type": ["RoomVanished", "NotFound", "HubbubError"],
        "code": "error-room-vanished",
        "message": "gone",
        "details": {},
        "retryable": True,
        "id": None,
    }

    arrived = decode_error(orjson.dumps({"error": fault}))

    assert type(arrived) is NotFound
    assert arrived.code == "error-room-vanished"
    assert arrived.retryable is True
    assert NotFound.retryable is False


def test_of_two_classes_with_one_name_the_parents_decide() -> None:
    """Services may choose the same name."""
    first = type("Clash", (NotFound,), {})
    second = type("Clash", (Unavailable,), {})

    assert type(decode_error(encode_error(first("a")))) is first
    assert type(decode_error(encode_error(second("b")))) is second


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"error":5}',
        b'{"error":{"type":null}}',
        b'{"error":{"type":["NotFound"],"code":[],"details":7,"id":7,"message":null}}',
        b"\xff",
    ],
)
def test_nonsense_is_still_an_error(body: bytes) -> None:
    """Whatever comes back, the caller gets a HubbubError."""
    assert isinstance(decode_error(body), HubbubError)


def test_details_that_are_no_json_do_not_hide_the_error() -> None:
    """They are written as text."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    error = Internal("x", details={"when": moment, "who": object, "by": {3: 4}})

    arrived = decode_error(encode_error(error))

    assert arrived.details["when"].startswith("2026-01-01")
    assert arrived.details["by"] == {"3": 4}
