"""The rules of presence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from hubbub.contracts.presence import Status
from hubbub.ids import UserId
from services.presence.domain import (
    Decision,
    Session,
    Shown,
    User,
    connection_status,
    decide,
    frame,
    merged,
    own_presence,
    visible,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=10)
PAUSE = timedelta(seconds=1)
BOB = UserId("bob-id")

OFFLINE, ONLINE, AWAY, BUSY = Status.OFFLINE, Status.ONLINE, Status.AWAY, Status.BUSY


def decided(session: Session, user: User, now: datetime = NOW) -> Decision:
    return decide(session, user, now, grace=GRACE, pause=PAUSE)


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        pytest.param([], OFFLINE, id="none"),
        pytest.param([ONLINE], ONLINE, id="one-online"),
        pytest.param([AWAY], AWAY, id="one-away"),
        pytest.param([AWAY, ONLINE], ONLINE, id="away-on-one-of-two"),
        pytest.param([ONLINE, AWAY], ONLINE, id="order-does-not-matter"),
        pytest.param([AWAY, AWAY], AWAY, id="both-away"),
        pytest.param([BUSY], OFFLINE, id="connections-are-never-busy"),
    ],
)
def test_connections_merge(statuses: list[Status], result: Status) -> None:
    """Online if any connection is, else away if any is."""
    assert merged(statuses) is result


@pytest.mark.parametrize(
    ("connection", "default", "is_bot", "result"),
    [
        (OFFLINE, None, False, OFFLINE),
        (OFFLINE, ONLINE, False, OFFLINE),
        (OFFLINE, BUSY, False, OFFLINE),
        (OFFLINE, AWAY, False, OFFLINE),
        (OFFLINE, OFFLINE, False, OFFLINE),
        (ONLINE, None, False, ONLINE),
        (ONLINE, ONLINE, False, ONLINE),
        (ONLINE, BUSY, False, BUSY),
        (ONLINE, AWAY, False, AWAY),
        (ONLINE, OFFLINE, False, OFFLINE),
        (AWAY, None, False, AWAY),
        (AWAY, ONLINE, False, AWAY),
        (AWAY, BUSY, False, BUSY),
        (AWAY, OFFLINE, False, OFFLINE),
        (OFFLINE, None, True, OFFLINE),
        (OFFLINE, ONLINE, True, ONLINE),
        (OFFLINE, BUSY, True, BUSY),
        (OFFLINE, OFFLINE, True, OFFLINE),
        (ONLINE, None, True, ONLINE),
        (ONLINE, BUSY, True, BUSY),
    ],
)
def test_visible_status(
    connection: Status, default: Status | None, is_bot: bool, result: Status
) -> None:
    """The whole table of what others see."""
    assert visible(connection, default, is_bot=is_bot) is result


def test_nothing_to_do_when_all_agrees() -> None:
    """A user who is online, and known to be, is neither written nor announced."""
    user = User(BOB, "bob", status=ONLINE, connection=ONLINE)
    session = Session(BOB, statuses=(ONLINE,), announced=Shown(ONLINE))

    decision = decided(session, user)

    assert (decision.write, decision.announce, decision.due) == (False, False, None)


def test_first_connection_is_written_and_announced() -> None:
    """Offline to online."""
    decision = decided(Session(BOB, statuses=(ONLINE,)), User(BOB, "bob"))

    assert decision.shown == Shown(ONLINE)
    assert decision.write
    assert decision.announce


def test_grace_hides_the_end_of_the_last_connection() -> None:
    """Within the grace nothing is visible, and the end of the grace is due."""
    user = User(BOB, "bob", status=AWAY, connection=AWAY)
    ended = NOW - timedelta(seconds=9)
    session = Session(BOB, empty_since=ended, announced=Shown(AWAY))

    decision = decided(session, user)

    assert decision.shown == Shown(AWAY)
    assert not decision.write
    assert not decision.announce
    assert decision.due == ended + GRACE


def test_after_the_grace_the_user_is_offline() -> None:
    """Exactly at its end, not a moment before."""
    user = User(BOB, "bob", status=ONLINE, connection=ONLINE)
    session = Session(BOB, empty_since=NOW - GRACE, announced=Shown(ONLINE))

    decision = decided(session, user)

    assert decision.shown == Shown(OFFLINE)
    assert decision.announce
    assert decision.due is None


def test_who_was_never_connected_has_no_grace() -> None:
    """A person without any connection stays offline whatever they choose by REST."""
    user = User(BOB, "bob", status=OFFLINE, connection=OFFLINE, default=ONLINE)

    assert connection_status(Session(BOB), ONLINE, NOW, GRACE) is OFFLINE
    assert decided(Session(BOB), user).shown == Shown(OFFLINE)


def test_announcements_of_one_user_keep_their_distance() -> None:
    """The second change within the pause is written at once, but announced later."""
    user = User(BOB, "bob", status=ONLINE, connection=ONLINE)
    told = NOW - timedelta(seconds=0.4)
    session = Session(BOB, statuses=(AWAY,), announced=Shown(ONLINE), announced_at=told)

    decision = decided(session, user)

    assert decision.write
    assert not decision.announce
    assert decision.postponed
    assert decision.due == told + PAUSE


def test_there_and_back_within_the_pause_announces_nothing() -> None:
    """What others were told is compared, not what was written last."""
    user = User(BOB, "bob", status=AWAY, connection=AWAY)
    session = Session(
        BOB, statuses=(ONLINE,), announced=Shown(ONLINE), announced_at=NOW - timedelta(seconds=0.4)
    )

    decision = decided(session, user)

    assert decision.write
    assert not decision.announce
    assert decision.due is None


def test_a_changed_text_alone_is_announced() -> None:
    """The status stays, the text is new: nothing to write, but to tell."""
    user = User(BOB, "bob", status=ONLINE, connection=ONLINE, text="lunch")
    session = Session(BOB, statuses=(ONLINE,), announced=Shown(ONLINE, ""))

    decision = decided(session, user)

    assert not decision.write
    assert decision.announce
    assert decision.shown == Shown(ONLINE, "lunch")


def test_own_presence_tells_connection_and_choice_apart() -> None:
    """Invisible while connected."""
    user = User(BOB, "bob", status=OFFLINE, connection=ONLINE, default=OFFLINE, text="away")

    own = own_presence(Session(BOB, statuses=(ONLINE,)), user, NOW, GRACE)

    assert (own.status, own.connection, own.default, own.text) == (
        OFFLINE,
        ONLINE,
        OFFLINE,
        "away",
    )


@pytest.mark.parametrize(
    ("status", "code"), [(OFFLINE, 0), (ONLINE, 1), (AWAY, 2), (BUSY, 3)], ids=str
)
def test_frame(status: Status, code: int) -> None:
    """Document id, uid and event name are the user's id; the status is a number."""
    message = orjson.loads(frame(User(BOB, "bob"), Shown(status, "lunch")))

    assert message == {
        "msg": "changed",
        "collection": "stream-user-presence",
        "id": BOB,
        "fields": {"uid": BOB, "args": [["bob", code, "lunch"]], "eventName": BOB},
    }
