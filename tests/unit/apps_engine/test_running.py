"""What apps say that they have, and what comes of asking them."""

from __future__ import annotations

from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from hubbub.apps.manifest import Manifest
from hubbub.clock import FakeClock, SystemClock
from hubbub.contracts.apps import AppDisabled, AppFailed
from hubbub.contracts.messaging import Messaging
from hubbub.errors import BadRequest, Timeout, Unavailable
from hubbub.ids import UserId
from services.apps_engine.bot_rooms import BotRooms
from services.apps_engine.bridge import Bridge, Who
from services.apps_engine.hooks import Hooks
from services.apps_engine.metrics import AppsMetrics
from services.apps_engine.running import Declared, RunningApp

MANIFEST = Manifest.parse(
    """
id = "tried"
name = "Tests"
version = "1.0.0"
permissions = ["command", "message.hook", "message.read", "room.read-all", "schedule"]
[commands.known]
"""
)


class Answering:
    """An app that gives one answer, or raises."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        self.asked.append(args)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run(self) -> None:
        return

    async def stop(self) -> None:
        return


def app(name: str, kept: Answering, registry: CollectorRegistry | None = None) -> RunningApp:
    who = Who(name, UserId(f"{name}.bot"), f"{name}.bot", frozenset(MANIFEST.permissions))
    declared = Declared(hooks=("message_sending",))
    bridge = cast(Bridge, None)
    return RunningApp(who, MANIFEST, bridge, kept, AppsMetrics(registry), declared)


def test_what_is_declared() -> None:
    said = {
        "commands": ["known"],
        "events": ["message_sent"],
        "hooks": ["message_sending"],
        "endpoints": [],
        "jobs": [{"name": "daily", "cron": "0 9 * * *"}, {"name": "some", "cron": None}],
    }
    declared = Declared.judged(said, MANIFEST)
    assert declared.commands == ("known",)
    assert declared.events == {"message_sent"}
    assert declared.jobs == {"daily": "0 9 * * *"}
    assert Declared.judged({}, MANIFEST) == Declared()


@pytest.mark.parametrize(
    "said",
    [
        {"commands": ["other"]},
        {"commands": "known"},
        {"commands": [["known"]]},
        {"commands": ["known"] * 101},
        {"endpoints": ["known"]},
        {"events": ["user_created"]},  # needs user.read
        {"events": ["anything"]},
        {"hooks": ["message_deleting"]},
        {"jobs": {"name": "x"}},
        {"jobs": [{"name": "x y", "cron": "* * * * *"}]},
        {"jobs": [{"name": "x", "cron": "never"}]},
    ],
)
def test_what_the_manifest_does_not_say(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Declared.judged(said, MANIFEST)


@pytest.mark.parametrize(
    ("answer", "raised", "outcome"),
    [
        (Unavailable(), AppDisabled, "gone"),
        (Timeout(), AppFailed, "timeout"),
        (BadRequest("not today"), AppFailed, "error"),
    ],
)
async def test_asking_in_vain(answer: Exception, raised: type[Exception], outcome: str) -> None:
    registry = CollectorRegistry()
    with pytest.raises(raised):
        await app("a", Answering(answer), registry).ask("command", {})
    labels = {"app": "a", "hook": "command", "outcome": outcome}
    assert registry.get_sample_value("hubbub_app_calls_total", labels) == 1


def unwritten(*line: str) -> None:
    raise AssertionError(line)


def _rooms() -> BotRooms:
    """Nobody is asked where these apps are: they judge every room."""
    return BotRooms(cast(Messaging, None), SystemClock())


def hooks(**apps: RunningApp) -> Hooks:
    return Hooks(lambda: apps, _rooms(), FakeClock(), unwritten)


MESSAGE = {"rid": "r", "msg": "one"}


async def test_each_app_sees_what_the_one_before_made_of_it() -> None:
    first = Answering({"verdict": "change", "message": {"text": "two"}})
    second = Answering({"verdict": "change", "message": {"attachments": [{"text": "x"}]}})
    verdict = await hooks(a=app("a", first), b=app("b", second)).before_message(MESSAGE)
    assert (verdict.kind, verdict.text, verdict.attachments) == ("change", "two", [{"text": "x"}])
    assert first.asked[0]["message"]["msg"] == "one"
    assert second.asked[0]["message"]["msg"] == "two"


async def test_a_refusal_ends_it() -> None:
    after = Answering()
    refusing = app("a", Answering({"verdict": "refuse", "reason": "no"}))
    verdict = await hooks(a=refusing, b=app("b", after)).before_message(MESSAGE)
    assert (verdict.kind, verdict.reason, verdict.app_id) == ("refuse", "no", "a")
    assert after.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        Unavailable(),
        Timeout(),
        BadRequest("it raised"),
        None,
        "allow",
        {"verdict": "maybe"},
        {"verdict": "change", "message": {"text": 7}},
        {"verdict": "change", "message": {"text": "a\0b"}},
    ],
)
async def test_no_app_holds_up_the_others(answer: Any) -> None:
    allowing = Answering({"verdict": "change", "message": {"text": "two"}})
    broken = app("a", Answering(answer))
    verdict = await hooks(a=broken, b=app("b", allowing)).before_message(MESSAGE)
    assert (verdict.kind, verdict.text) == ("change", "two")


async def test_when_the_time_is_up_the_rest_is_passed_by() -> None:
    clock = FakeClock()

    class Slow(Answering):
        async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
            assert deadline is not None
            assert deadline <= 0.5
            clock.advance(deadline + 0.1)
            raise Timeout

    late = Answering()
    apps = {"a": app("a", Slow()), "b": app("b", late)}
    verdict = await Hooks(lambda: apps, _rooms(), clock, unwritten).before_message(MESSAGE)
    assert verdict.kind == "allow"
    assert late.asked == []


async def test_messages_do_not_wait_for_an_app_that_goes_on_not_to_answer() -> None:
    clock, lines = FakeClock(), []
    misses = [Timeout(), {"verdict": "maybe"}, Timeout(), Timeout()]
    kept = Answering(Timeout(), BadRequest("it raised"), *misses)
    slow, allow = app("a", kept), {"verdict": "allow"}
    hooks = Hooks(lambda: {"a": slow}, _rooms(), clock, lambda *line: lines.append(line))

    async def send(times: int) -> int:
        before = len(kept.asked)
        for _ in range(times):
            assert (await hooks.before_message(MESSAGE)).kind == "allow"
        return len(kept.asked) - before

    assert await send(10) == 5  # an error is an answer; three deadlines in a row are enough
    assert [line[:2] for line in lines] == [("a", "error")]
    clock.advance(16)
    assert await send(10) == 1  # which tries it, in vain
    clock.advance(16)
    kept.answers += [allow] * 10
    assert await send(10) == 10
    assert len(lines) == 1


async def test_an_app_without_a_hook_is_not_asked() -> None:
    kept = Answering()
    silent = app("a", kept)
    silent.declared = Declared()
    hooks = Hooks(lambda: {"a": silent}, _rooms(), SystemClock(), unwritten)
    assert (await hooks.before_message(MESSAGE)).kind == "allow"
    assert kept.asked == []
