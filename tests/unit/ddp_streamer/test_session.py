"""Order, overtaking, taking back and parking of what one client asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from hubbub.ddp.messages import Connect, Method, Refused, Sub, Unsub
from hubbub.errors import BadRequest, Unavailable
from services.ddp_streamer import streams
from services.ddp_streamer.fanout import Person
from services.ddp_streamer.rates import Excess, Rule
from services.ddp_streamer.session import (
    AnonymousRefusal,
    Session,
    SessionLimits,
    Work,
)
from services.ddp_streamer.streams import not_allowed
from services.ddp_streamer.tasks import Tasks
from tests.unit.ddp_streamer.stage import FakeHandlers, FakeSocket
from tests.waiting import eventually


@dataclass
class Bench:
    session: Session
    socket: FakeSocket
    handlers: FakeHandlers

    def method(self, call_id: str, name: str = "m") -> None:
        self.session.on_message(Method(call_id, name, []))

    def sub(self, sub_id: str, name: str = "stream-x") -> None:
        self.session.on_message(Sub(sub_id, name, []))

    def unsub(self, sub_id: str) -> None:
        self.session.on_message(Unsub(sub_id))

    @property
    def answers(self) -> list[tuple[Any, ...]]:
        """What was sent, as (kind, ids)."""
        return [_short(frame) for frame in self.socket.sent]

    async def says(self, *expected: tuple[Any, ...], within: float = 2.0) -> None:
        await eventually(lambda: all(item in self.answers for item in expected), within=within)


def _short(frame: dict[str, Any]) -> tuple[Any, ...]:
    match frame:
        case {"msg": "ready", "subs": [sub_id]}:
            return ("ready", sub_id)
        case {"msg": "updated", "methods": [call_id]}:
            return ("updated", call_id)
        case {"error": {"error": code}}:
            return (frame["msg"], frame["id"], code)
        case _:
            return (frame["msg"], frame.get("id"))


@pytest.fixture
async def bench() -> AsyncIterator[Callable[..., Bench]]:
    async with Tasks() as tasks:

        def make(**limits: float) -> Bench:
            socket, handlers = FakeSocket(), FakeHandlers()
            session = Session(socket, handlers, SessionLimits(**limits), tasks)  # type: ignore[arg-type]
            return Bench(session, socket, handlers)

        yield make


async def test_connect_is_answered_with_a_secret_that_repr_does_not_show(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    b.session.on_message(Connect("1", ("1",), "old"))
    assert b.socket.sent == [{"msg": "connected", "session": b.session.secret_id}]
    assert b.session.secret_id not in repr(b.session)
    assert b.session.secret_id != b.session.public_id


async def test_methods_run_one_after_another(bench: Callable[..., Bench]) -> None:
    b = bench()
    gate = b.handlers.gate("1")
    b.method("1")
    b.method("2")
    await eventually(lambda: b.handlers.running == ["1"])
    await asyncio.sleep(0)
    assert b.handlers.running == ["1"]
    gate.set()
    await b.says(("updated", "2"))
    assert b.answers == [("result", "1"), ("updated", "1"), ("result", "2"), ("updated", "2")]


async def test_messages_may_be_on_their_way_together_but_nothing_passes_them(
    bench: Callable[..., Bench],
) -> None:
    """They keep their order by themselves; whatever else comes has its turn behind them."""
    b = bench()
    b.handlers.following = {"say"}
    first, second, other = (b.handlers.gate(name) for name in ("1", "2", "3"))
    b.method("1", "say")
    b.method("2", "say")
    b.method("3")
    b.method("4", "say")
    await eventually(lambda: b.handlers.running == ["1", "2"])
    second.set()
    await b.says(("updated", "2"))
    assert b.handlers.running == ["1", "2"]
    assert b.session.busy
    first.set()
    await eventually(lambda: b.handlers.running == ["1", "2", "3"])
    other.set()
    await b.says(("updated", "4"))
    assert not b.session.busy


async def test_a_message_over_a_limit_waits_for_its_turn(bench: Callable[..., Bench]) -> None:
    """Whether the limit holds for its author is asked first, and others would pass it."""
    b = bench()
    b.handlers.following = {"say"}
    b.handlers.limit = Excess(Rule("r", 1, 1, frozenset({"user"}), unless="permission"), 1.0)
    gate = b.handlers.gate("1")
    b.method("1", "say")
    b.method("2", "say")
    await eventually(lambda: b.handlers.running == ["1"])
    await asyncio.sleep(0)
    assert b.handlers.running == ["1"]
    gate.set()
    await b.says(("updated", "2"))


async def test_messages_on_their_way_end_with_the_socket(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.handlers.following = {"say"}
    b.handlers.gate("1")
    b.method("1", "say")
    await eventually(lambda: b.handlers.running == ["1"])
    b.session.on_closed(1006, "")
    await eventually(lambda: not b.session.busy)
    assert b.answers == []


async def test_reads_overtake_other_methods_but_no_login(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.handlers.parallel = {"read"}
    slow, login = b.handlers.gate("slow"), b.handlers.gate("login")
    b.method("slow")
    b.method("1", "read")
    await b.says(("updated", "1"))
    b.method("login", "login")
    b.method("2", "read")
    slow.set()
    await eventually(lambda: "login" in b.handlers.running)
    assert "2" not in b.handlers.running
    assert b.socket.login_pending
    login.set()
    await b.says(("updated", "2"))
    assert not b.socket.login_pending


async def test_who_is_finishing_begins_nothing_new_but_a_login(
    bench: Callable[..., Bench],
) -> None:
    """What was asked before is answered; a login that crosses the drain is answered too."""
    b = bench()
    gate, login = b.handlers.gate("1"), b.handlers.gate("login")
    b.method("1")
    b.method("2")
    await eventually(lambda: b.handlers.running == ["1"])
    b.session.finish()
    b.method("late")
    b.sub("late-sub")
    b.method("login", "login")
    assert b.session.in_login
    gate.set()
    await b.says(("updated", "1"), ("updated", "2"))
    assert b.session.busy
    login.set()
    await b.says(("updated", "login"))
    await eventually(lambda: not b.session.busy and not b.session.in_login)
    assert b.handlers.running == ["1", "2", "login"]
    assert not [answer for answer in b.answers if answer[1] in {"late", "late-sub"}]


async def test_falsy_results_are_sent_and_none_is_left_out(bench: Callable[..., Bench]) -> None:
    b = bench()
    values: list[Any] = [False, 0, "", None, []]
    for index, value in enumerate(values):
        b.handlers.results = {"m": lambda _, v=value: v}  # type: ignore[misc]
        b.method(str(index))
        await b.says(("updated", str(index)))
    b.handlers.results = {}
    b.method("none")
    await b.says(("updated", "none"))
    results = [frame for frame in b.socket.sent if frame["msg"] == "result"]
    assert [frame["result"] for frame in results[:-1]] == values
    assert "result" not in results[-1]


async def test_every_refusal_is_one_line_in_the_log(bench: Callable[..., Bench]) -> None:
    b = bench()

    def refuse(_: Session) -> None:
        raise BadRequest("hunter2 is wrong", code=400)

    async def deny(_: Session, __: Work) -> None:
        raise not_allowed()

    b.handlers.results = {"m": refuse}
    b.handlers.subs = deny
    with capture_logs() as lines:
        b.method("1")
        await b.says(("updated", "1"))
        b.sub("2")
        await b.says(("nosub", "2", "not-allowed"))
        b.session.on_message(Refused("method", "3", "m", BadRequest("Bad request", code=400)))
    assert [(line["event"], line["what"], line["reason"]) for line in lines] == [
        ("refused", "method", "400"),
        ("refused", "sub", "not-allowed"),
        ("refused", "method", "400"),
    ]
    assert {line["conn"] for line in lines} == {"c1"}
    assert "hunter2" not in str(lines)


async def test_errors_are_answered_and_defects_are_not_shown(
    bench: Callable[..., Bench],
) -> None:
    b = bench()

    def refuse(_: Session) -> None:
        raise BadRequest("Nope", code="error-x", details={"a": 1})

    def break_down(_: Session) -> None:
        raise RuntimeError("secret detail")

    b.handlers.results = {"refused": refuse, "broken": break_down}
    b.method("1", "refused")
    b.method("2", "broken")
    await b.says(("updated", "2"))
    refused, broken = (frame["error"] for frame in b.socket.sent if frame["msg"] == "result")
    assert refused["error"] == "error-x"
    assert refused["details"] == {"a": 1}
    assert broken["error"] == 500
    assert "secret" not in str(broken)


async def test_a_call_that_takes_too_long_does_not_block_the_queue(
    bench: Callable[..., Bench],
) -> None:
    b = bench(call_timeout=0.05)
    b.handlers.gate("1")
    b.method("1")
    b.method("2")
    await b.says(("result", "1", 500), ("updated", "2"))


async def test_a_login_may_take_longer(bench: Callable[..., Bench]) -> None:
    b = bench(call_timeout=0.01)
    gate = b.handlers.gate("1")
    b.method("1", "login")
    await asyncio.sleep(0.05)
    assert b.answers == []
    gate.set()
    await b.says(("result", "1"))


async def test_more_than_the_queue_holds_ends_the_connection(
    bench: Callable[..., Bench],
) -> None:
    b = bench(max_queued=3)
    b.handlers.gate("0")
    for index in range(5):
        b.method(str(index))
    assert b.socket.code == 1008


async def test_unsub_is_answered_whatever_it_means(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.unsub("unknown")
    b.sub("s")
    b.unsub("s")
    assert b.answers == [("nosub", "unknown"), ("ready", "s"), ("nosub", "s")]
    assert [subscription.id for subscription in b.handlers.ended_subs] == ["s"]


async def test_a_queued_sub_that_is_taken_back_never_becomes_active(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    gate = b.handlers.gate("1")
    b.method("1")
    b.sub("s")
    b.unsub("s")
    gate.set()
    await b.says(("updated", "1"))
    assert b.answers.count(("nosub", "s")) == 1
    assert ("ready", "s") not in b.answers
    assert b.session.subscriptions == {}


async def test_a_sub_that_is_judged_just_now_can_be_taken_back(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    judged = asyncio.Event()
    seen: list[bool] = []

    async def judge(session: Session, work: Work) -> None:
        await judged.wait()
        seen.append(work.cancelled)

    b.handlers.subs = judge
    b.sub("s")
    await asyncio.sleep(0)
    b.unsub("s")
    judged.set()
    await eventually(lambda: seen == [True])
    assert b.answers == [("nosub", "s")]


async def test_a_replaced_subscription_is_given_back(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.sub("s", "first")
    b.sub("s", "second")
    assert [subscription.name for subscription in b.handlers.ended_subs] == ["first"]
    assert b.session.subscriptions["s"].name == "second"


def _anonymous_until_login(b: Bench) -> None:
    async def judge(session: Session, work: Work) -> None:
        if session.person is None:
            raise AnonymousRefusal
        assert isinstance(work.message, Sub)
        session.activate(work.message, None)
        session.send(b'{"msg":"ready","subs":["%b"]}' % str(work.message.id).encode())

    def sign_in(session: Session) -> None:
        session.person = Person("u1")

    b.handlers.subs = judge
    b.handlers.results = {"login": sign_in}


async def test_a_sub_ahead_of_the_login_waits_without_blocking(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    _anonymous_until_login(b)
    b.sub("s1")
    b.sub("s2")
    b.method("1")
    b.method("2", "login")
    await b.says(("ready", "s1"), ("ready", "s2"))
    assert b.answers == [
        ("result", "1"),
        ("updated", "1"),
        ("result", "2"),
        ("updated", "2"),
        ("ready", "s1"),
        ("ready", "s2"),
    ]


async def test_a_parked_sub_is_refused_in_the_end(bench: Callable[..., Bench]) -> None:
    b = bench(park=0.05)
    _anonymous_until_login(b)
    b.sub("s")
    await b.says(("nosub", "s", "not-allowed"))


async def test_a_parked_sub_waits_for_a_login_that_is_under_way(
    bench: Callable[..., Bench],
) -> None:
    b = bench(park=0.02)
    _anonymous_until_login(b)
    gate = b.handlers.gate("login")
    b.sub("s")
    b.method("login", "login")
    await asyncio.sleep(0.1)
    assert b.answers == []
    gate.set()
    await b.says(("ready", "s"))


async def test_after_a_failed_login_what_waited_too_long_is_refused(
    bench: Callable[..., Bench],
) -> None:
    b = bench(park=0.02)
    _anonymous_until_login(b)
    gate = b.handlers.gate("login")

    def fail(_: Session) -> None:
        raise Unavailable("away")

    b.handlers.results = {"login": fail}
    b.sub("s")
    b.method("login", "login")
    await asyncio.sleep(0.1)
    gate.set()
    await b.says(("nosub", "s", "not-allowed"))


async def test_on_old_sockets_nothing_is_parked(bench: Callable[..., Bench]) -> None:
    b = bench(park=60, park_age=0)
    _anonymous_until_login(b)
    b.sub("s")
    await b.says(("nosub", "s", "not-allowed"))


async def test_a_parked_sub_can_be_taken_back(bench: Callable[..., Bench]) -> None:
    b = bench(park=0.05)
    _anonymous_until_login(b)
    b.sub("s")
    await eventually(lambda: not b.session.busy)
    b.unsub("s")
    b.method("1", "login")
    await b.says(("updated", "1"))
    await asyncio.sleep(0.1)
    assert [answer for answer in b.answers if answer[1] == "s"] == [("nosub", "s")]


async def test_after_the_socket_closed_nothing_more_is_done(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    gate = b.handlers.gate("1")
    b.method("1")
    b.method("2")
    b.sub("s")
    await eventually(lambda: b.handlers.running == ["1"])
    b.socket.closed = True
    b.session.on_closed(1006, "")
    gate.set()
    await asyncio.sleep(0.01)
    assert b.handlers.running == ["1"]
    assert b.handlers.done == []
    assert b.handlers.closed_sessions == [b.session]


async def test_a_limit_is_answered_in_the_protocol_of_the_call(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    rule = Rule("user", 1, 60, frozenset({"user"}))
    b.handlers.limit = Excess(rule, 2.5)
    b.method("1")
    b.sub("s")
    assert b.answers == [
        ("result", "1", "too-many-requests"),
        ("updated", "1"),
        ("nosub", "s", "too-many-requests"),
    ]
    assert b.socket.sent[0]["error"]["details"] == {"timeToReset": 2500}
    assert "wait 3 seconds" in b.socket.sent[0]["error"]["reason"]


async def test_a_lost_session_hears_nothing_more_and_is_told_once(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    b.sub("s")
    b.session.end_lost()
    b.session.end_lost()
    assert b.session.subscriptions == {}
    assert b.handlers.lost_sessions == [b.session]
    assert ("nosub", "s") not in b.answers


async def test_a_refused_message_is_answered_without_running(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    b.session.on_message(Refused("method", "1", "m", BadRequest("Bad request", code=400)))
    b.session.on_message(Refused("sub", "s", "x", not_allowed()))
    assert b.answers == [("result", "1", 400), ("updated", "1"), ("nosub", "s", "not-allowed")]
    assert b.handlers.running == []


async def test_a_refusal_ends_an_earlier_subscription_of_that_id(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    for sub_id in ("now", "later", "malformed"):
        b.sub(sub_id)
    rule = Rule("user", 1, 60, frozenset({"user"}))
    b.handlers.limit = Excess(rule, 2.5)
    b.sub("now")
    b.handlers.limit = None
    b.session.on_message(Refused("sub", "malformed", "x", not_allowed()))

    async def refuse(session: Session, work: Work) -> None:
        raise not_allowed()

    b.handlers.subs = refuse
    b.sub("later", "stream-y")
    await b.says(
        ("nosub", "now", "too-many-requests"),
        ("nosub", "malformed", "not-allowed"),
        ("nosub", "later", "not-allowed"),
    )
    assert b.session.subscriptions == {}
    assert {ended.id for ended in b.handlers.ended_subs} == {"now", "later", "malformed"}


# --- an offered session ---------------------------------------------------------------------------


async def test_what_is_queued_behind_connect_waits_for_the_identity(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    b.handlers.resumable = "old"
    b.handlers.parallel = {"read"}
    gate = b.handlers.gate("resume")
    b.session.on_message(Connect("1", ("1",), "old"))
    b.sub("s1")
    b.method("m1")
    b.method("m2", "read")
    b.unsub("unknown")
    await b.says(("nosub", "unknown"))
    assert b.answers == [("connected", None), ("nosub", "unknown")]
    assert b.socket.login_pending
    assert b.session.in_login
    gate.set()
    await b.says(("ready", "s1"), ("updated", "m1"), ("updated", "m2"))
    assert b.handlers.running[0] == "resume old"
    assert b.answers.index(("ready", "s1")) < b.answers.index(("updated", "m1"))
    assert not b.socket.login_pending


@pytest.mark.parametrize("offered", [None, "other"])
async def test_a_session_that_cannot_be_known_holds_nothing_up(
    bench: Callable[..., Bench], offered: str | None
) -> None:
    b = bench()
    b.handlers.resumable = "old"
    b.session.on_message(Connect("1", ("1",), offered))
    b.sub("s1")
    assert b.answers == [("connected", None), ("ready", "s1")]
    assert b.handlers.running == []


async def test_a_lost_room_is_dropped_from_what_waits(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.session.end_room("R1")
    assert b.socket.dropped == ["R1"]


# --- events that are missing for good -------------------------------------------------------------


def _open(b: Bench, *rooms: str) -> None:
    for room_id in rooms:
        sub = Sub(f"s-{room_id}", "stream-room-messages", [room_id])
        b.session.activate(sub, streams.plan("room-messages", room_id, "bob"))


async def test_who_knows_nothing_of_positions_is_closed_and_hears_no_more(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    _open(b, "R1", "R2")
    b.session.end_lost("R1")
    b.session.end_lost(None)
    assert b.handlers.lost_sessions == [b.session]
    assert b.session.subscriptions == {}
    await asyncio.sleep(0)
    assert b.socket.sent == []


async def test_who_knows_positions_is_told_once_of_all_rooms(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.socket.positioned = True
    _open(b, "R1", "R2", "R3")
    b.session.end_lost("R2")
    b.session.end_lost("R1")
    await eventually(lambda: len(b.socket.sent) == 3)
    assert b.answers[:2] == [("nosub", "s-R2"), ("nosub", "s-R1")]
    assert b.socket.sent[2]["fields"] == {
        "eventName": "resync",
        "args": [{"rooms": ["R1", "R2"]}],
    }
    assert list(b.session.subscriptions) == ["s-R3"]
    assert b.handlers.lost_sessions == []


async def test_a_loss_of_everything_covers_those_of_rooms(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.socket.positioned = True
    _open(b, "R1", "R2")
    b.session.end_lost("R1")
    b.session.end_lost(None)
    await eventually(lambda: len(b.socket.sent) == 3)
    assert b.socket.sent[2]["fields"]["args"] == [{"rooms": "all"}]
    assert b.session.subscriptions == {}


async def test_a_room_lost_to_who_follows_all_rooms_is_a_loss_of_everything(
    bench: Callable[..., Bench],
) -> None:
    b = bench()
    b.socket.positioned = True
    _open(b, "R1", "R2")
    b.session.subscriptions["s-R2"].follows = Person("bob")
    b.session.end_lost("R1")
    await eventually(lambda: len(b.socket.sent) == 3)
    assert b.socket.sent[2]["fields"]["args"] == [{"rooms": "all"}]
