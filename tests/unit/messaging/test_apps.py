"""What apps have to do with messages."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from hubbub.clock import FakeClock
from hubbub.contracts.apps import AppCommand, AppPreventedSending, Apps, Offers, Verdict
from hubbub.contracts.messages import NewMessage
from hubbub.errors import BadRequest, HubbubError, Timeout, Unavailable
from hubbub.ids import UserId
from services.messaging.apps import AppsAtHand
from services.messaging.domain.sending import Person
from services.messaging.metrics import HookMetrics

ANN = Person("ann", "ann")
OFFERS = Offers(
    hooks=["message_sending"],
    commands=[AppCommand(command="remind", app_id="reminders")],
    bots=[UserId("reminders.bot")],
)
MESSAGE = NewMessage(id="m", room_id="r", text="hello")


class FakeApps:
    """Says one thing of every message."""

    def __init__(self, verdict: Verdict | HubbubError) -> None:
        self.verdict = verdict
        self.asked: list[dict[str, Any]] = []

    async def before_message(self, message: dict[str, Any]) -> Verdict:
        self.asked.append(message)
        if isinstance(self.verdict, HubbubError):
            raise self.verdict
        return self.verdict


def at_hand(
    verdict: Verdict | HubbubError, registry: CollectorRegistry | None = None
) -> tuple[AppsAtHand, FakeApps]:
    apps = FakeApps(verdict)
    known = AppsAtHand(cast(Apps, apps), FakeClock(), HookMetrics(registry))
    known.offered(OFFERS)
    return known, apps


def anything(_: NewMessage) -> None:
    return


async def judged(
    verdict: Verdict | HubbubError, *, with_attachments: bool = True, author: Person = ANN
) -> NewMessage:
    known, _ = at_hand(verdict)
    return await known.judged(author, MESSAGE, "r", anything, with_attachments=with_attachments)


async def test_changes() -> None:
    verdict = Verdict(kind="change", text="hallo", attachments=[{"text": "x"}])
    changed = await judged(verdict)
    assert (changed.text, changed.attachments, changed.id) == ("hallo", [{"text": "x"}], "m")
    assert (await judged(verdict, with_attachments=False)).attachments is None


async def test_a_refusal() -> None:
    with pytest.raises(AppPreventedSending, match="not here") as refused:
        await judged(Verdict(kind="refuse", reason="not here"))
    assert refused.value.code == "error-app-prevented-sending"


@pytest.mark.parametrize("error", [Unavailable(), Timeout(), BadRequest("nonsense")])
async def test_without_an_answer_the_message_goes_as_it_is(error: HubbubError) -> None:
    registry = CollectorRegistry()
    known, _ = at_hand(error, registry)
    assert await known.judged(ANN, MESSAGE, "r", anything, with_attachments=True) is MESSAGE
    labels = {"outcome": "skipped"}
    assert registry.get_sample_value("hubbub_messaging_hooks_total", labels) == 1


async def test_a_change_that_cannot_be_sent() -> None:
    def too_long(_: NewMessage) -> None:
        raise BadRequest("too long")

    known, _ = at_hand(Verdict(kind="change", text="x" * 10_000))
    assert await known.judged(ANN, MESSAGE, "r", too_long, with_attachments=True) is MESSAGE


async def test_apps_are_not_asked_about_apps() -> None:
    known, apps = at_hand(Verdict(kind="refuse"))
    bot = Person("reminders.bot", "reminders.bot")
    assert await known.judged(bot, MESSAGE, "r", anything, with_attachments=True) is MESSAGE
    assert apps.asked == []


def test_what_they_offer() -> None:
    known, _ = at_hand(Verdict())
    assert known.hooked
    assert list(known.commands) == ["remind"]
    known.offered(Offers())
    assert not known.hooked
    assert known.commands == {}


class Workspace:
    """Where users are members, and how often somebody looked."""

    def __init__(self) -> None:
        self.rooms = {UserId("mod.bot"): frozenset({"r"})}
        self.looks = 0
        self.away = False

    async def rooms_of(self, user_id: UserId) -> frozenset[str]:
        self.looks += 1
        if self.away:
            raise Unavailable
        return self.rooms[user_id]


async def test_a_message_is_for_apps_whose_user_is_in_its_room() -> None:
    workspace, clock = Workspace(), FakeClock()
    known = AppsAtHand(cast(Apps, FakeApps(Verdict())), clock, rooms_of=workspace.rooms_of)
    try:
        assert not await known.are_judges_in("r")
        known.offered(Offers(hooks=["message_sending"], judges=[UserId("mod.bot")]))
        assert [await known.are_judges_in(room) for room in "rsrs"] == [True, False] * 2
        assert workspace.looks == 1

        workspace.rooms[UserId("mod.bot")] = frozenset({"s"})
        known.membership_changed(UserId("somebody"))
        assert await known.are_judges_in("r")
        known.membership_changed(UserId("mod.bot"))
        assert [await known.are_judges_in(room) for room in "rs"] == [False, True]
        assert workspace.looks == 2

        workspace.away = True
        known.membership_changed(UserId("mod.bot"))
        assert await known.are_judges_in("r")  # the engine may know

        known.offered(Offers(hooks=["message_sending"], judged_everywhere=True))
        assert await known.are_judges_in("anywhere")
        assert workspace.looks == 3
    finally:
        await known.close()


def test_without_a_hook_a_message_costs_nothing() -> None:
    """All that stands in the way of a send is one look at a flag. The limit is generous."""
    known, apps = at_hand(Verdict())
    known.offered(Offers())
    rounds, asked = 100_000, 0
    began = time.perf_counter()
    for _ in range(rounds):
        if known.hooked:
            asked += 1
    each = (time.perf_counter() - began) / rounds
    assert (asked, apps.asked) == (0, [])
    assert each < 0.0001, f"{each * 1e6:.1f} µs"
