"""Rules about device tokens."""

from __future__ import annotations

from datetime import UTC, datetime

from hubbub.contracts.push import Device, DeviceKind
from hubbub.ids import UserId
from services.push.domain import ended_with, fields_of, may_replace, shown, too_many

ANN, BOB = UserId("ann"), UserId("bob")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PHONE = Device(id="d1", kind=DeviceKind.APPLE, value="t1", app_name="main")


def test_what_is_stored_and_shown() -> None:
    """The login is stored and never shown."""
    stored = {"_id": "d1", "createdAt": NOON, **fields_of(PHONE, ANN, "hashed", NOON)}

    assert stored["token"] == {"apn": "t1"}
    assert stored["authToken"] == "hashed"
    assert shown(stored) == {
        "_id": "d1",
        "appName": "main",
        "token": {"apn": "t1"},
        "userId": "ann",
        "enabled": True,
        "createdAt": NOON,
        "_updatedAt": NOON,
    }
    assert "authToken" not in fields_of(PHONE, ANN, None, NOON)


def test_the_secret_is_not_in_a_log() -> None:
    """Whoever prints a device does not print its token."""
    assert "t1" not in repr(PHONE)


def test_who_may_write_over_whom() -> None:
    """The same user, or whoever holds the very device; an id alone proves nothing."""
    assert may_replace(None, PHONE, BOB)
    assert may_replace({"userId": "ann", "token": {"apn": "old"}}, PHONE, ANN)
    assert may_replace({"userId": "ann", "token": {"apn": "t1"}}, PHONE, BOB)
    assert not may_replace({"userId": "ann", "token": {"apn": "other"}}, PHONE, BOB)
    assert not may_replace({"userId": "ann", "token": {"gcm": "t1"}}, PHONE, BOB)
    assert not may_replace({"userId": "ann", "token": "t1"}, PHONE, BOB)


def test_what_goes() -> None:
    """The oldest beyond the limit; those whose login is over, but none without one."""
    devices = [
        {"_id": "c", "authToken": "valid"},
        {"_id": "b", "authToken": "over"},
        {"_id": "a"},
    ]

    assert too_many(devices, 2) == ["a"]
    assert too_many(devices, 3) == []
    assert ended_with(devices, frozenset({"valid"})) == ["b"]
