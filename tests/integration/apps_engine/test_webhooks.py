"""Integrations on a real database, in front of fake rooms and a server outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from hubbub.audit import Auditor
from hubbub.bus import LocalBus
from hubbub.clock import SystemClock
from hubbub.contracts.account import Account
from hubbub.contracts.apps import Apps
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import Event
from hubbub.contracts.documents import Document, Paging
from hubbub.contracts.events import Audited
from hubbub.contracts.integrations import (
    HookDisabled,
    IntegrationFields,
    IntegrationKind,
    IntegrationNotFound,
    InvalidHook,
    InvalidIntegration,
    OverrideDisabled,
)
from hubbub.contracts.messages import ActionNotAllowed, NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.workspace import PERMISSIONS
from hubbub.errors import BadRequest, HubbubError, LacksPermission, NotAllowed
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.tasks import owned
from services.apps_engine.domain.addresses import Network, networks_of
from services.apps_engine.egress import Egress
from services.apps_engine.metrics import SendingMetrics, WebhookMetrics
from services.apps_engine.migration import expand
from services.apps_engine.store.calls import MongoCallStore
from services.apps_engine.webhooks import calling
from services.apps_engine.webhooks.integrations import IntegrationDoors, Integrations
from tests.integration.apps_engine.outside import Outside, outside, saying, status
from tests.integration.gateway.fakes import FakeAccount, FakeAuthorization, FakeMessaging, made
from tests.integration.gateway.world import Doc, World
from tests.waiting import eventually

pytestmark = pytest.mark.integration

ROOT, ANA, BO, CAT = (UserId(f"id-{name}") for name in ("root", "ana", "bo", "rocket.cat"))
IN, OUT = IntegrationKind.INCOMING, IntegrationKind.OUTGOING
LOOPBACK = networks_of(["127.0.0.0/8"])


class Rooms(FakeMessaging):
    """Stores what integrations add to a message, too."""

    async def send_message(
        self, user_id: UserId, message: NewMessage, allow_empty: bool = False
    ) -> Document:
        impersonates = message.alias or message.avatar or message.emoji
        if impersonates and not self.world.may(user_id, "message-impersonate"):
            raise ActionNotAllowed("Not enough permission")
        bare = message.model_copy(update={"alias": None, "avatar": None, "emoji": None})
        stored = await super().send_message(user_id, bare, allow_empty)
        more = {"bot": message.bot, "alias": message.alias, "emoji": message.emoji}
        stored |= {name: value for name, value in more.items() if value is not None}
        return stored


class Doors(IntegrationDoors, Apps):
    """The engine without apps."""


class Site:
    """An apps engine that can be stopped and started again."""

    def __init__(self, database: Database, world: World, other: Outside, bus: LocalBus) -> None:
        self.database, self.world, self.other, self.bus = database, world, other, bus
        self.general = world.add_room("c", "general", "root", "ana")
        self.ops = world.add_room("p", "ops", "root")
        self.service = made(Doors)
        self.registry = CollectorRegistry()
        self.apps = bus.proxy(Apps)
        self.audit: list[Audited] = []
        self._running: AsyncExitStack | None = None

    async def start(self, allowed: Sequence[Network] = LOOPBACK) -> None:
        self.service.integrations = Integrations(
            self.database,
            account=self.bus.proxy(Account),
            authorization=self.bus.proxy(Authorization),
            messaging=self.bus.proxy(Messaging),
            egress=Egress(allowed),
            metrics=WebhookMetrics(self.registry),
            sent=SendingMetrics(self.registry).by_webhook,
            auditor=Auditor(self._audited, SystemClock()),
        )
        self._running = AsyncExitStack()
        await self._running.enter_async_context(owned(self.service.integrations.run()))

    async def _audited(self, event: Event) -> None:
        assert isinstance(event, Audited)
        self.audit.append(event)

    def counted(self, what: str, outcome: str) -> float:
        """A counter of webhooks."""
        name, labels = f"hubbub_webhook_{what}_total", {"outcome": outcome}
        return self.registry.get_sample_value(name, labels) or 0.0

    async def stop(self) -> None:
        self.registry = CollectorRegistry()
        if self._running is not None:
            await self._running.aclose()
            self._running = None

    async def make(self, kind: IntegrationKind, by: UserId = ROOT, **more: Any) -> Document:
        fields: Doc = {"name": "x", "enabled": True, "username": "rocket.cat"}
        fields |= {"channel": "#general"}
        if kind is OUT:
            fields |= {"event": "sendMessage", "urls": [self.other.url]}
        fields = IntegrationFields.model_validate(fields | more).model_dump()
        made = IntegrationFields(**fields)
        return await self.service.create_integration(by, kind, made)

    async def hear(self, text: str = "hi", room: Doc | None = None, **more: Any) -> str:
        room = room or self.general
        message = {"_id": self.world.new_id("m"), "rid": room["_id"], "msg": text}
        message |= {"u": {"_id": ANA, "username": "ana"}, "ts": self.world.now(), **more}
        await self.service.integrations.on_event("message_sent", message)
        return str(message["_id"])

    async def history(self, hook: Document) -> list[Doc]:
        page = await self.service.integration_history(ROOT, hook["_id"], Paging(count=50))
        return page.items

    async def ended(self, hook: Document, calls: int = 1) -> list[Doc]:
        """The calls of an integration, when all of them came to an end."""

        async def all_ended() -> list[Doc] | None:
            found = await self.history(hook)
            done = len(found) >= calls and all(one["finished"] for one in found)
            return found if done else None

        return await eventually(all_ended, within=30)

    def said(self) -> list[tuple[str, str]]:
        return [(one["u"]["username"], one["msg"]) for one in self.world.messages.values()]


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    world = World()
    for username in ("ana", "bo"):
        world.add_user(username)
    world.add_user("root", "admin", "user")
    world.add_user("rocket.cat", "bot")
    await expand(database)
    bus = LocalBus()
    for kind in (FakeAccount, FakeAuthorization, Rooms):
        await bus.serve(made(kind, world))
    async with outside() as other:
        site = Site(database, world, other, bus)
        await bus.serve(site.service)
        await site.start()
        yield site
        await site.stop()
    await bus.close()


# -- managing


async def test_an_integration_lives(site: Site) -> None:
    hook = await site.make(IN, alias="CI")
    assert len(hook["token"]) == 48
    assert hook["userId"] == CAT
    assert hook["_createdBy"] == {"_id": ROOT, "username": "root"}
    assert (hook["channel"], hook["overrideDestinationChannelEnabled"]) == (["#general"], False)
    change = IntegrationFields.model_validate({"name": "y", "enabled": False})
    changed = await site.service.update_integration(ROOT, IN, change, hook["_id"])
    assert (changed["name"], changed["enabled"], changed["alias"]) == ("y", False, "CI")
    assert changed["token"] == hook["token"]
    assert changed["_updatedBy"]["username"] == "root"
    assert (await site.service.integration(ROOT, hook["_id"]))["name"] == "y"
    await site.service.remove_integration(ROOT, IN, hook["_id"])
    with pytest.raises(IntegrationNotFound):
        await site.service.integration(ROOT, hook["_id"])


async def test_who_did_what_is_audited(site: Site) -> None:
    made = await site.make(OUT, token="a-secret", channel="#general,@ana")
    change = IntegrationFields.model_validate({"urls": ["http://127.0.0.1/other"], "token": "new"})
    await site.service.update_integration(ROOT, OUT, change, made["_id"])
    await site.service.remove_integration(ROOT, OUT, made["_id"])
    with pytest.raises(NotAllowed):
        await site.make(IN, by=ANA)

    told = [(one.action, one.actor, one.target) for one in site.audit]
    assert told == [
        (f"integration.{what}", ROOT, made["_id"]) for what in ("created", "changed", "removed")
    ]
    created, changed, _ = (one.details for one in site.audit)
    assert created == {
        "kind": OUT.value,
        "name": "x",
        "enabled": True,
        "speaks_as": "rocket.cat",
        "channels": ["#general", "@ana"],
    }
    assert changed["changed"] == ["token", "urls"]
    texts = [one.model_dump_json() for one in site.audit]
    assert not any(secret in text for text in texts for secret in ("a-secret", "new", "127.0.0.1"))


async def test_what_it_names_must_be_there(site: Site) -> None:
    wrong: list[tuple[IntegrationKind, Doc, str]] = [
        (IN, {"username": "nobody"}, "error-invalid-user"),
        (IN, {"username": "bo"}, "error-user-lacks-message-impersonate-permission"),
        (IN, {"channel": "#nowhere"}, "error-invalid-room"),
        (IN, {"channel": "@nobody"}, "error-invalid-room"),
        (OUT, {"channel": "#nowhere"}, "error-invalid-room"),
    ]
    for kind, named, code in wrong:
        with pytest.raises(InvalidIntegration) as refused:
            await site.make(kind, **named)
        assert refused.value.code == code
    assert await site.database["rocketchat_integrations"].count_documents({}) == 0


async def test_nobody_without_the_right(site: Site) -> None:
    hook = await site.make(IN)
    with pytest.raises(NotAllowed) as refused:
        await site.make(IN, by=ANA)
    assert refused.value.code == "not_authorized"
    for call in (
        site.service.update_integration(ANA, IN, IntegrationFields(), hook["_id"]),
        site.service.remove_integration(ANA, IN, hook["_id"]),
        site.service.integration(ANA, hook["_id"]),
        site.service.list_integrations(ANA, Paging()),
        site.service.integration_history(ANA, hook["_id"], Paging()),
    ):
        with pytest.raises(LacksPermission):
            await call


async def test_ones_own_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms that one is in, no private ones of others, and nobody else's integrations."""
    _grant(monkeypatch, "manage-own-incoming-integrations", "manage-own-outgoing-integrations")
    theirs = await site.make(IN)
    mine = await site.make(IN, by=ANA)
    listed = await site.service.list_integrations(ANA, Paging())
    assert [one["_id"] for one in listed.items] == [mine["_id"]]
    with pytest.raises(IntegrationNotFound):
        await site.service.integration(ANA, theirs["_id"])
    with pytest.raises(IntegrationNotFound):
        await site.service.remove_integration(ANA, IN, theirs["_id"])
    for kind, wrong, code in (
        (IN, {"channel": "#ops"}, "error-invalid-room"),
        (IN, {"channel": "@bo"}, "error-invalid-channel"),
        (OUT, {"channel": "@bo"}, "error-invalid-channel"),
        (OUT, {"channel": "all_private_groups"}, "error-invalid-channel"),
        (OUT, {"channel": "all_direct_messages"}, "error-invalid-channel"),
        (OUT, {"event": "roomCreated"}, "error-invalid-permissions"),
    ):
        with pytest.raises(InvalidIntegration) as refused:
            await site.make(kind, by=ANA, **wrong)
        assert refused.value.code == code, wrong


def _grant(monkeypatch: pytest.MonkeyPatch, *permissions: str) -> None:
    for permission in permissions:
        monkeypatch.setitem(PERMISSIONS, permission, ("admin", "user"))


# -- incoming


async def test_a_payload_is_posted(site: Site) -> None:
    hook = await site.make(IN, alias="CI", channel="#general,@ana")
    done = await site.apps.deliver_hook(hook["_id"], hook["token"], {"text": "built"}, "d1")
    assert [one.error for one in done] == [None, None]
    assert site.counted("deliveries", "posted") == 1
    assert site.said() == [("rocket.cat", "built")] * 2
    by_webhook = ("hubbub_messages_sent_total", {"via": "webhook"})
    assert site.registry.get_sample_value(*by_webhook) == 2
    message = site.world.messages["d1-0"]
    assert (message["alias"], message["bot"]) == ("CI", {"i": hook["_id"]})
    assert (site.general["_id"], CAT) in site.world.memberships


async def test_a_delivery_that_is_repeated_posts_nothing_twice(site: Site) -> None:
    hook = await site.make(IN)
    for _ in range(2):
        await site.apps.deliver_hook(hook["_id"], hook["token"], {"text": "once"}, "d1")
    assert site.said() == [("rocket.cat", "once")]


async def test_wrong_keys(site: Site) -> None:
    hook, out = await site.make(IN), await site.make(OUT)
    for hook_id, token in (
        (hook["_id"], hook["token"][:-1]),
        (hook["_id"], ""),
        (hook["_id"], "\ud800"),
        ("", ""),
        ("nothing", hook["token"]),
        (out["_id"], out["token"]),
    ):
        with pytest.raises(InvalidHook):
            await site.service.deliver_hook(hook_id, token, {"text": "x"}, "d")
    assert site.said() == []


async def test_a_hook_that_is_off(site: Site) -> None:
    hook = await site.make(IN, enabled=False)
    with pytest.raises(HookDisabled):
        await site.apps.deliver_hook(hook["_id"], hook["token"], {"text": "x"}, "d")


async def test_rooms_that_a_payload_chooses(site: Site) -> None:
    """A stranger learns nothing of rooms that the integration's user cannot see."""
    closed, hook = await site.make(IN), await site.make(IN, overrideDestinationChannelEnabled=True)
    payload = {"text": "x", "channel": ["#general", "general", "@ana", "bo"]}
    with pytest.raises(OverrideDisabled):
        await site.apps.deliver_hook(closed["_id"], closed["token"], payload, "d1")
    done = await site.apps.deliver_hook(hook["_id"], hook["token"], payload, "d2")
    assert [one.error for one in done] == [None] * 4
    for channel in ("#ops", "#nothing", "#", "@", "@nobody", "nothing", site.ops["_id"]):
        with pytest.raises(BadRequest) as refused:
            await site.apps.deliver_hook(
                hook["_id"], hook["token"], {"text": "x", "channel": channel}, "d3"
            )
        assert refused.value.code == "invalid-channel", channel
    many = {"text": "y", "channel": ["#ops", "#general"], "separateResponse": True}
    done = await site.apps.deliver_hook(hook["_id"], hook["token"], many, "d4")
    assert [one.error for one in done] == ["invalid-channel", None]


async def test_a_private_room_without_the_integrations_user(site: Site) -> None:
    hook = await site.make(IN, channel="#ops")
    with pytest.raises(NotAllowed) as refused:
        await site.apps.deliver_hook(hook["_id"], hook["token"], {"text": "x"}, "d")
    assert refused.value.code == "error-not-allowed"
    site.world.join(site.ops["_id"], CAT)
    await site.apps.deliver_hook(hook["_id"], hook["token"], {"text": "x"}, "d")
    assert site.said() == [("rocket.cat", "x")]


async def test_hooks_that_make_hooks(site: Site) -> None:
    """With the rights of their user, not of whoever made them."""
    hook = await site.make(IN)
    fields = IntegrationFields(
        name="n",
        username="rocket.cat",
        channel="#general",
        event="sendMessage",
        urls=["http://e.org"],
    )
    with pytest.raises(NotAllowed):
        await site.apps.hook_creates(hook["_id"], hook["token"], fields)
    with pytest.raises(InvalidHook):
        await site.apps.hook_creates(hook["_id"], "wrong", fields)


# -- outgoing


async def test_a_message_calls(site: Site) -> None:
    site.other.will(saying({"text": "roger", "alias": "Robot"}))
    hook = await site.make(OUT, triggerWords=["!go"], token="known")
    await site.hear("nothing for it")
    message_id = await site.hear("!go now")
    (call,) = await site.ended(hook)
    (sent,) = site.other.received
    assert sent.headers["Content-Type"] == "application/json"
    assert (
        sent.json.items()
        >= {
            "token": "known",
            "bot": False,
            "trigger_word": "!go",
            "channel_id": site.general["_id"],
            "channel_name": "general",
            "message_id": message_id,
            "user_id": ANA,
            "user_name": "ana",
            "text": "!go now",
        }.items()
    )
    assert site.said() == [("rocket.cat", "roger")]
    answer = next(iter(site.world.messages.values()))
    assert (answer["alias"], answer["bot"]) == ("Robot", {"i": hook["_id"]})
    assert [one["step"] for one in call["steps"]] == [
        "start-execute-trigger-url",
        "mapped-args-to-data",
        "pre-http-call",
        "after-http-call",
        "url-response-sent-message",
    ]
    assert (call["error"], call["httpStatus"]) == (False, 200)
    assert "known" not in orjson.dumps(call, default=str).decode()


async def test_an_event_that_is_heard_twice_calls_once(site: Site) -> None:
    hook = await site.make(OUT)
    message_id = await site.hear("x")
    await site.hear("x", _id=message_id)
    await site.ended(hook)
    await site.hear("y")
    await site.ended(hook, calls=2)
    assert [one.json["text"] for one in site.other.received] == ["x", "y"]


async def test_answers_go_no_round(site: Site) -> None:
    """Not to the integration that they come from, nor between two of them."""
    site.other.will(saying({"text": "again"}))
    first, second = await site.make(OUT), await site.make(OUT)
    await site.hear("start")
    await site.ended(first)
    await site.ended(second)
    for message in list(site.world.messages.values()):
        await site.service.integrations.on_event("message_sent", message)
    incoming = await site.make(IN)
    await site.hear("by a hook", bot={"i": incoming["_id"]})
    await site.ended(first, calls=2)
    await site.ended(second, calls=2)
    assert len(site.other.received) == 4
    assert site.other.received[-1].json["bot"] == {"i": incoming["_id"]}


async def test_edits_and_reactions(site: Site) -> None:
    hook = await site.make(OUT, runOnEdits=True)
    message = {"_id": "m", "rid": site.general["_id"], "msg": "a", "u": {"_id": ANA}}
    on_event = site.service.integrations.on_event
    await on_event("message_sent", message)
    await on_event("message_updated", {**message, "reactions": {":x:": {}}}, mark="1")
    edited = {**message, "msg": "b", "editedAt": site.world.now()}
    await on_event("message_updated", edited, mark="2")
    await on_event("message_updated", {**edited, "reactions": {":x:": {}}}, mark="3")
    await site.ended(hook, calls=2)
    told = sorted((one.json["text"], one.json.get("isEdited")) for one in site.other.received)
    assert told == [("a", None), ("b", True)]


async def test_other_events(site: Site) -> None:
    general = site.general["_id"]
    events: list[tuple[str, str, Doc, str]] = [
        ("roomJoined", "member_joined", {"room": general, "user": {"_id": ANA}}, "user"),
        ("roomLeft", "member_left", {"room": general, "user": {"_id": BO}}, "user"),
        ("roomCreated", "room_created", {"room": {"_id": "r", "t": "p", "name": "n"}}, "room"),
        ("roomArchived", "room_archived", {"room": {"_id": "r", "t": "c"}}, "room"),
        ("userCreated", "user_created", {"_id": "id-new", "username": "new"}, "user"),
    ]
    for event, name, payload, key in events:
        hook = await site.make(OUT, event=event, targetRoom="#general")
        assert await site.service.integrations.wanted() == {name}
        await site.service.integrations.on_event(name, payload)
        await site.ended(hook)
        assert site.other.received[-1].json[key]["_id"]
        await site.service.remove_integration(ROOT, OUT, hook["_id"])
    assert len(site.other.received) == len(events)


async def test_a_file_is_a_message_and_a_file(site: Site) -> None:
    hook = await site.make(OUT, event="fileUploaded")
    await site.hear("", file={"_id": "f"})
    await site.ended(hook)
    assert site.other.received[0].json["message"]["file"] == {"_id": "f"}


async def test_system_messages_and_unknown_events_call_nobody(site: Site) -> None:
    hook = await site.make(OUT)
    await site.hear("ana", t="uj")
    await site.hear("x", u=None)
    await site.service.integrations.on_event("user_changed", {"_id": "x"})
    await site.service.integrations.on_event("message_sent", {})
    assert await site.history(hook) == []


async def test_rooms_that_its_maker_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rights end, integrations stay: they hear no more of it."""
    _grant(monkeypatch, "manage-own-outgoing-integrations")
    site.world.join(site.ops["_id"], ANA)
    hook = await site.make(OUT, by=ANA, channel="#ops")
    root = {"_id": ROOT, "username": "root"}
    await site.hear("before", site.ops, u=root)
    await site.ended(hook)
    site.world.leave(site.ops["_id"], ANA)
    await site.hear("after", site.ops, u=root)
    assert [one["data"]["text"] for one in await site.history(hook)] == ["before"]


async def test_retries_end(site: Site) -> None:
    site.other.will(status(500))
    hook = await site.make(OUT, retryFailedCalls=True, retryCount=1)
    await site.hear()
    (call,) = await site.ended(hook)
    assert len(site.other.received) == 2
    assert site.counted("calls", "failed") == 2
    assert (call["step"], call["error"], call["httpStatus"]) == ("too-many-retries", True, 500)
    assert "going-to-retry-1" in [one["step"] for one in call["steps"]]


async def test_without_retries(site: Site) -> None:
    site.other.will(status(503))
    hook = await site.make(OUT, retryFailedCalls=False)
    await site.hear()
    (call,) = await site.ended(hook)
    assert call["step"] == "failed-and-not-configured-to-retry"
    assert len(site.other.received) == 1


async def test_retries_go_on_after_a_restart(site: Site) -> None:
    """By another process, with what the database knows."""
    site.other.will(status(500))
    hook = await site.make(OUT, retryFailedCalls=True, retryCount=3)

    async def waits() -> bool:
        return any("going-to-retry" in one["step"] for one in await site.history(hook))

    await site.hear("survives")
    await eventually(waits, within=30)
    await site.stop()
    before = len(site.other.received)
    site.other.will(saying({"text": "at last"}))
    await site.start()
    (call,) = await site.ended(hook)
    assert call["step"] == "url-response-sent-message"
    assert len(site.other.received) == before + 1
    assert site.other.received[-1].json["text"] == "survives"
    assert site.said() == [("rocket.cat", "at last")]


async def test_what_was_heard_before_the_end_is_called_after_it(site: Site) -> None:
    """An event that was taken is not lost with the process that took it."""
    hook = await site.make(OUT)
    await site.stop()
    await site.hear("kept")
    await site.start()
    await site.ended(hook)
    assert [one.json["text"] for one in site.other.received] == ["kept"]


async def test_a_server_that_takes_long_is_called_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a call is left alone whose engine is gone."""
    await site.stop()
    monkeypatch.setattr(calling, "_LEASE", timedelta(seconds=2))
    monkeypatch.setattr(calling, "_HOLD", 0.1)
    monkeypatch.setattr(calling, "_LOOK", 0.1)
    await site.start()
    go_on = asyncio.Event()

    async def at_last(_: web.BaseRequest) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(status=500)

    site.other.will(at_last, status(200))
    hook = await site.make(OUT, retryFailedCalls=True, retryDelay="powers-of-ten")
    await site.hear("patience")
    await eventually(lambda: site.other.received, within=30)
    await asyncio.sleep(3)
    assert len(site.other.received) == 1

    go_on.set()
    await site.ended(hook)
    assert len(site.other.received) == 2


async def test_what_waits_is_not_held(site: Site) -> None:
    """Only the very try that is being made: not its repetition, and not what has ended."""
    await site.stop()
    calls, now = MongoCallStore(site.database), site.world.now()
    later = now + timedelta(hours=1)
    for call_id in ("begun", "waits", "ended"):
        await calls.add({"_id": call_id, "pending": {"due": now, "tries": 0}})
    await calls.note("waits", "going-to-retry-1", now, due=later)
    await calls.note("ended", "too-many-retries", now, ends=True)

    await calls.hold({"begun": 0, "waits": 0, "ended": 0}, now + timedelta(minutes=1))

    found = site.database["rocketchat_integration_history"].find({})
    due = {one["_id"]: one.get("pending", {}).get("due") async for one in found}
    assert due == {"begun": now + timedelta(minutes=1), "waits": later, "ended": None}


async def test_documents_of_other_tools_hold_up_nobody(site: Site) -> None:
    """What cannot be worked with ends, and the next call is made."""
    hook, broken = await site.make(OUT), await site.make(OUT, retryFailedCalls=True)
    integrations = site.database["rocketchat_integrations"]
    change = {"retryCount": "many", "urls": [site.other.url, 7, None], "triggerWords": {"a": 1}}
    await integrations.update_one({"_id": broken["_id"]}, {"$set": change})
    site.service.integrations.outgoing.forget()
    site.other.will(status(500))
    await site.hear("first")
    (call,) = await site.ended(broken)
    assert (call["step"], call["error"]) == ("internal-error", True)
    site.other.will(status(200))
    await site.ended(hook)


async def test_gone_is_switched_off(site: Site) -> None:
    site.other.will(status(410))
    hook = await site.make(OUT, retryFailedCalls=True)
    await site.hear()
    (call,) = await site.ended(hook)
    assert call["step"] == "after-process-http-status-410"
    assert (await site.service.integration(ROOT, hook["_id"]))["enabled"] is False
    told = [(one.action, one.actor, one.target) for one in site.audit]
    assert told[1:] == [("integration.disabled", None, hook["_id"])]
    await site.hear("more")
    assert len(await site.history(hook)) == 1


async def test_inside_is_not_called(site: Site) -> None:
    """Nobody opened this machine to webhooks here; and it is not tried again."""
    await site.stop()
    await site.start(allowed=())
    port = site.other.port
    urls = [f"http://{host}:{port}/" for host in ("127.0.0.1", "localhost", "2130706433", "[::1]")]
    hook = await site.make(OUT, urls=urls, retryFailedCalls=True)
    await site.hear()
    calls = await site.ended(hook, calls=4)
    assert {one["error"] for one in calls} == {True}
    assert "http-call-refused" in {one["step"] for one in calls}
    assert site.other.received == []


NONSENSE = [
    (b"", "url-response-not-sent-message"),
    (b"ok", "url-response-not-sent-message"),
    (b"[]", "url-response-not-sent-message"),
    (b'{"text":NaN}', "url-response-not-sent-message"),
    (b"[" * 10_000, "url-response-not-sent-message"),
    (b'{"text":"a\\u0000"}', "url-response-not-sent-message"),
    (b'{"other":1}', "url-response-not-sent-message"),
    (b'{"text":{"$ne":null}}', "url-response-refused"),
    (b'{"text":"x","attachments":["y"]}', "url-response-refused"),
    (b'{"text":"' + b"x" * 6000 + b'"}', "url-response-refused"),
    (b"\xff\xfe", "url-response-not-sent-message"),
    (b"x" * 2_000_000, "http-call-refused"),
]


async def test_answers_that_make_no_sense(site: Site) -> None:
    hook = await site.make(OUT)
    for number, (body, step) in enumerate(NONSENSE, start=1):
        site.other.will(saying(body))
        message_id = await site.hear()
        calls = await site.ended(hook, calls=number)
        (call,) = [one for one in calls if one["data"]["message_id"] == message_id]
        assert call["step"] == step, body[:50]
        assert len(str(call.get("httpResult") or "")) <= 10_000
    assert site.said() == []


async def test_answers_in_the_name_of_who_asked(site: Site) -> None:
    site.other.will(saying({"text": "me", "alias": "Root"}))
    hook = await site.make(OUT, impersonateUser=True)
    await site.hear("x")
    await site.ended(hook)
    assert site.said() == [("ana", "me")]
    assert "alias" not in next(iter(site.world.messages.values()))


async def test_answers_go_to_the_target_room(site: Site) -> None:
    site.other.will(saying({"text": "there", "channel": "#ops", "roomId": site.ops["_id"]}))
    site.world.add_room("c", "target", "root")
    hook = await site.make(OUT, targetRoom="#target")
    await site.hear("x")
    await site.ended(hook)
    message = next(iter(site.world.messages.values()))
    assert site.world.rooms[message["rid"]]["name"] == "target"


async def test_what_is_removed_calls_no_more(site: Site) -> None:
    site.other.will(status(500))
    await site.make(OUT, retryFailedCalls=True, retryDelay="powers-of-two")
    await site.hear()
    await eventually(lambda: len(site.other.received) == 1)
    await site.service.remove_integration(ROOT, OUT, target_url=site.other.url)
    assert await site.database["rocketchat_integration_history"].count_documents({}) == 0
    await site.hear("more")
    assert await site.service.integrations.wanted() == frozenset()


async def test_a_slow_server_holds_up_nobody_else(site: Site) -> None:
    held = asyncio.Event()

    async def slow(_: Any) -> Any:
        await held.wait()
        raise ConnectionResetError

    async with outside() as stuck:
        stuck.will(slow)
        await site.make(OUT, urls=[stuck.url], retryFailedCalls=False)
        quick = await site.make(OUT)
        for _ in range(8):
            await site.hear()
        await site.ended(quick, calls=8)
        assert len(site.other.received) == 8
        assert 1 <= len(stuck.received) <= 4
        held.set()


async def test_history_is_kept_for_a_while_and_shown_in_pages(site: Site) -> None:
    hook = await site.make(OUT)
    for number in range(3):
        await site.hear(str(number))
    await site.ended(hook, calls=3)
    page = await site.service.integration_history(ROOT, hook["_id"], Paging(offset=1, count=1))
    assert (len(page.items), page.total) == (1, 3)
    assert "pending" not in page.items[0]
    indexes = await site.database["rocketchat_integration_history"].index_information()
    assert any(index.get("expireAfterSeconds") for index in indexes.values())


async def test_errors_are_of_ours(site: Site) -> None:
    """Whatever a stranger sends: a refusal, never a defect."""
    hook = await site.make(IN, overrideDestinationChannelEnabled=True)
    rubbish: list[Any] = [None, "", 5, [], {}, {"$ne": None}, [{"$gt": ""}], "\u202e" * 99, "a\x00"]
    for name in ("text", "alias", "tmid", "channel", "roomId", "attachments", "icon_url", "bot"):
        for value in rubbish:
            payload, refusal = {"msg": "x", name: value}, None
            try:
                await site.apps.deliver_hook(hook["_id"], hook["token"], payload, "d")
            except HubbubError as error:
                refusal = error
            assert refusal is None or refusal.status < 500, (payload, refusal)
