"""Errors as REST clients know them."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from hubbub.contracts.rooms import LastOwner, RoomNotFound
from hubbub.errors import (
    BadRequest,
    Conflict,
    HubbubError,
    Internal,
    Invalid,
    NotAllowed,
    NotFound,
    RateLimited,
    Timeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from services.gateway.rest.answers import (
    Answer,
    Forbidden,
    InvalidParams,
    PlainRefusal,
    Refusal,
    Unsuccessful,
    login_refused,
    refusal,
    success,
)


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        pytest.param(
            BadRequest("", code="invalid-channel"),
            400,
            {"success": False, "error": "[invalid-channel]", "errorType": "invalid-channel"},
            id="no-reason",
        ),
        pytest.param(
            LastOwner("You are the last owner."),
            400,
            {
                "success": False,
                "error": "You are the last owner. [error-you-are-last-owner]",
                "errorType": "error-you-are-last-owner",
            },
            id="not-allowed-is-a-refusal",
        ),
        pytest.param(
            RoomNotFound("x", details={"a": 1}),
            400,
            {
                "success": False,
                "error": "x [error-room-not-found]",
                "errorType": "error-room-not-found",
                "details": {"a": 1},
            },
            id="details",
        ),
        pytest.param(
            BadRequest("Email already exists.", code=403),
            400,
            {"success": False, "error": "Email already exists. [403]", "errorType": "403"},
            id="numbers-become-texts",
        ),
        pytest.param(
            PlainRefusal("Just words"),
            400,
            {"success": False, "error": "Just words"},
            id="plain",
        ),
        pytest.param(Unsuccessful(), 400, {"success": False}, id="nothing-said"),
        pytest.param(
            InvalidParams("must be string", "must be array"),
            400,
            {
                "success": False,
                "error": "must be string\n must be array [invalid-params]",
                "errorType": "invalid-params",
            },
            id="several-faults",
        ),
        pytest.param(
            Invalid("x", details={"fields": [{"path": "a", "problem": "must be b"}]}),
            400,
            {
                "success": False,
                "error": "must be b [invalid-params]",
                "errorType": "invalid-params",
            },
            id="faults-found-by-a-service",
        ),
        pytest.param(
            Forbidden(),
            403,
            {
                "success": False,
                "error": "User does not have the permissions required for this action "
                "[error-unauthorized]",
                "errorType": "error-unauthorized",
            },
            id="no-right",
        ),
        pytest.param(
            TooLarge("x"),
            413,
            {"success": False, "error": "x [error-too-large]", "errorType": "error-too-large"},
            id="too-large",
        ),
    ],
)
def test_refusals(error: HubbubError, status: int, body: dict[str, object]) -> None:
    """Status and body, key by key."""
    answer = refusal(error)

    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated("x"), 401),
        (Unavailable("mongodb://secret"), 503),
        (Timeout("x"), 503),
        (Internal("secret"), 500),
        (HubbubError("secret"), 500),
        (Conflict("x"), 400),
        (NotFound("x"), 400),
        (NotAllowed("x"), 400),
        (Refusal("x", code="y"), 400),
    ],
)
def test_statuses(error: HubbubError, status: int) -> None:
    """What is ours tells nothing; every answer has `success` and a text as error."""
    answer = refusal(error)

    assert answer.status == status
    assert answer.body["success"] is False
    assert isinstance(answer.body["error"], str)
    assert "secret" not in str(answer.body)


def test_too_many_says_when_to_come_back() -> None:
    """Whole seconds, rounded up, in the text and the header."""
    answer = refusal(RateLimited("x", details={"timeToReset": 57_200.0}))

    assert answer.status == 429
    assert answer.headers["Retry-After"] == "58"
    assert "You must wait 58 seconds" in answer.body["error"]
    assert answer.body["errorType"] == "error-too-many-requests"


def test_dates_are_iso_with_milliseconds() -> None:
    """Deep inside too, and never as `$date`."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678999, UTC)
    encoded = success({"a": [{"ts": moment}], "key": {1: "x"}}).encoded()

    assert orjson.loads(encoded) == {
        "a": [{"ts": "2026-01-02T03:04:05.678Z"}],
        "key": {"1": "x"},
        "success": True,
    }


def test_what_json_cannot_carry_is_an_error_here() -> None:
    """The caller answers 500; nothing half-written leaves."""
    with pytest.raises(TypeError):
        Answer({"a": object()}).encoded()


def test_refused_logins_are_the_same_bytes() -> None:
    """Without a reason nothing differs; with one its code is a text."""
    told = login_refused(
        NotAllowed("TOTP Required", code="totp-required", details={"method": "totp"})
    )

    assert login_refused().encoded() == login_refused().encoded()
    assert told.body == {
        "success": False,
        "status": "error",
        "error": "totp-required",
        "message": "TOTP Required",
        "details": {"method": "totp"},
    }
    assert login_refused(NotAllowed("gone", code=403)).body["error"] == "403"
