"""Something that happened here becomes calls to servers outside.

What is to be called is written down before anything is called, so an event that was taken is
never lost; a call that was begun when the process ended is made again (at least once), and what a
server answers is posted once, under an id that belongs to the call.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from hubbub.clock import Clock
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.integrations import IntegrationKind
from hubbub.ddp import limits
from hubbub.errors import BadRequest, HubbubError, Unavailable
from hubbub.ids import RoomId, UserId
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.apps_engine.domain import integrations as rules
from services.apps_engine.domain import outgoing
from services.apps_engine.domain.incoming import Wanted, fields_of
from services.apps_engine.domain.outgoing import Happened, Match
from services.apps_engine.egress import Egress, Refused, Reply, Unanswered
from services.apps_engine.metrics import WebhookMetrics
from services.apps_engine.store.calls import MongoCallStore
from services.apps_engine.store.integrations import MongoIntegrationStore
from services.apps_engine.webhooks.incoming import Incoming
from services.apps_engine.webhooks.places import Places

log = get_logger(__name__)

CALL_WITHIN: Final = 20.0
"""Seconds that a server has for its answer."""
AT_ONCE: Final = 32
"""Calls that are made at the same time."""
AT_ONCE_EACH: Final = 4
"""Of one integration: a slow server is no reason for others to wait."""
MOST_WAITING: Final = 1000
"""Calls of one integration that may be left to do; further ones are not written down."""

_LEASE: Final = timedelta(seconds=60)  # longer than everything that is done for one call
_LOOK: Final = 5.0  # seconds between two looks for what others left behind
_FRESH: Final = 5.0  # seconds that what is known of integrations and rooms may be old
_ROOMS: Final = 1000  # that are remembered
_SHOWN: Final = 10_000  # characters of an answer that history keeps


class Outgoing:
    """Hears what happens and makes calls. `run` is its life."""

    def __init__(
        self,
        store: MongoIntegrationStore,
        calls: MongoCallStore,
        egress: Egress,
        authorization: Authorization,
        places: Places,
        incoming: Incoming,
        metrics: WebhookMetrics,
        now: Callable[[], datetime],
        clock: Clock,
    ) -> None:
        self._store = store
        self._calls = calls
        self._egress = egress
        self._authorization = authorization
        self._places = places
        self._incoming = incoming
        self._metrics = metrics
        self._now = now
        self._clock = clock
        self._known: list[dict[str, Any]] = []
        self._known_until = 0.0  # monotonic seconds
        self._rooms: OrderedDict[tuple[str, str], tuple[float, dict[str, Any] | None]]
        self._rooms = OrderedDict()  # (room, viewer) → (monotonic seconds, room)
        self._wake = asyncio.Event()
        self._running: Counter[str] = Counter()

    def forget(self) -> None:
        """Integrations changed: what is known of them is read anew."""
        self._known_until = 0.0
        self._wake.set()

    async def wanted(self) -> frozenset[str]:
        """The events, by `on_event`'s names, that an enabled integration wants to hear."""
        return outgoing.wanted(await self._integrations())

    async def on_event(
        self, name: str, payload: Mapping[str, Any], *, mark: str | None = None
    ) -> None:
        """Write down the calls that an event leads to. When it returns they will be made.

        The same event may come more than once. Names this does not know are overlooked.

        Args:
            name: `message_sent`, `message_updated`, `file_uploaded`, `room_created`,
                `room_archived`, `member_joined`, `member_left`, `user_created`.
            payload: the document of the message or of the user; of the others
                `{"room": document, or its id, "user": {"_id", "username"}, …}`.
            mark: tells this event from all others and is the same when it comes again; None: its
                content does. Messages are told apart by their ids and edits.

        Raises: Unavailable: not all of it is written down; it should come again.
        """
        if name not in outgoing.HEARD:
            return
        integrations = [one for one in await self._integrations() if one.get("enabled") is True]
        if not integrations:
            return
        for happened in self._understood(name, payload, mark):
            listening = [one for one in integrations if one.get("event") == happened.event]
            if listening and not outgoing.is_own_doing(happened, self._outgoing_ids()):
                await self._heard(happened, listening)

    async def run(self) -> None:
        """Make calls until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                heed_cancellation()
                self._wake.clear()
                pause = _LOOK
                try:
                    while (call := await self._next()) is not None:
                        integration_id = str(call["integration"]["_id"])
                        self._running[integration_id] += 1
                        tasks.create_task(self._make(call, integration_id))
                        heed_cancellation()
                    pause = await self._until_next()
                except HubbubError as error:
                    log.warning("webhooks_interrupted", err_type=type(error).__name__)
                heed_cancellation()
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    # -- hearing

    def _understood(
        self, name: str, payload: Mapping[str, Any], mark: str | None
    ) -> list[Happened]:
        event, now = outgoing.HEARD[name], self._now()
        if event in ("sendMessage", "fileUploaded") or not mark:
            # A message is changed by much that is no edit, and each change is an event.
            mark = outgoing.mark_of(name, payload)
        if event not in ("sendMessage", "fileUploaded"):
            user = payload if event == "userCreated" else payload.get("user")
            room = payload.get("room")
            if isinstance(room, str):
                room = {"_id": room}
            return [
                Happened(
                    event,
                    now,
                    room=room if isinstance(room, Mapping) else None,
                    user=user if isinstance(user, Mapping) else None,
                    mark=mark,
                )
            ]
        if not outgoing.is_told(payload) or not isinstance(payload.get("u"), Mapping):
            return []
        if name == "message_updated" and not payload.get("editedAt"):
            return []  # a reaction, a pin: what was said is the same
        said = Happened(
            event,
            now,
            message=payload,
            room={"_id": payload.get("rid")},
            user=payload["u"],
            mark=mark,
        )
        if name != "message_sent" or not payload.get("file"):
            return [said]
        file_mark = outgoing.mark_of("file_uploaded", payload)
        return [
            said,
            Happened("fileUploaded", now, payload, said.room, said.user, mark=file_mark),
        ]

    async def _heard(self, happened: Happened, listening: list[dict[str, Any]]) -> None:
        happened = await self._with_room(happened, listening)
        site_url: str | None = None
        for integration in listening:
            match = outgoing.concerns(integration, happened)
            if match is None or not await self._may_hear(integration, happened):
                continue
            if site_url is None:
                site_url = await self._store.site_url()
            await self._write_down(integration, happened, match, site_url)

    async def _with_room(self, happened: Happened, listening: list[dict[str, Any]]) -> Happened:
        """With the room's document, seen with the eyes of who did it, or of who is to hear it."""
        room = happened.room
        if room is None or "t" in room:
            return happened
        viewers = [str((happened.user or {}).get("_id") or "")]
        viewers += [rules.maker_of(one) for one in listening]
        for viewer in list(dict.fromkeys(filter(None, viewers)))[:4]:
            found = await self._room(str(room.get("_id")), viewer)
            if found is not None:
                return Happened(
                    happened.event,
                    happened.at,
                    happened.message,
                    found,
                    happened.user,
                    mark=happened.mark,
                )
        return happened

    async def _room(self, room_id: str, viewer: str) -> dict[str, Any] | None:
        key, now = (room_id, viewer), self._clock.monotonic()
        known = self._rooms.get(key)
        if known is not None and now < known[0] + _FRESH:
            return known[1]
        found = await self._places.room_with_id(UserId(viewer), room_id)
        self._rooms[key] = (now, found)
        self._rooms.move_to_end(key)
        while len(self._rooms) > _ROOMS:
            self._rooms.popitem(last=False)
        return found

    async def _may_hear(self, integration: Mapping[str, Any], happened: Happened) -> bool:
        """Whether who made the integration may still know of it: rights end, integrations stay."""
        maker, room = UserId(rules.maker_of(integration)), happened.room
        every = rules.permission(IntegrationKind.OUTGOING, own=False)
        if not maker:
            return False
        if await self._authorization.has_permission(maker, every):
            return True
        if room is None or not rules.EVENTS[happened.event].channel:
            return False
        own = rules.permission(IntegrationKind.OUTGOING, own=True)
        return await self._authorization.has_permission(
            maker, own
        ) and await self._authorization.can_access_room_id(RoomId(str(room["_id"])), maker)

    async def _write_down(
        self, integration: Mapping[str, Any], happened: Happened, match: Match, site_url: str
    ) -> None:
        integration_id = str(integration["_id"])
        body, now = outgoing.body_of(happened, match, site_url), self._now()
        for url in outgoing.texts(integration.get("urls")):
            waiting = await self._calls.waiting(integration_id, MOST_WAITING)
            if waiting >= MOST_WAITING:
                self._metrics.called("late")
                log.warning("webhook_dropped", integration=integration_id, reason="too many wait")
                return
            added = await self._calls.add(
                {
                    "_id": outgoing.call_id(integration_id, url, happened),
                    "type": "outgoing-webhook",
                    "integration": {
                        name: integration.get(name)
                        for name in ("_id", "name", "type", "event", "username", "_createdBy")
                    },
                    "event": happened.event,
                    "url": url,
                    "triggerWord": match.word,
                    "data": body,
                    "step": "mapped-args-to-data",
                    "steps": [
                        {"step": "start-execute-trigger-url", "at": now},
                        {"step": "mapped-args-to-data", "at": now},
                    ],
                    "error": False,
                    "finished": False,
                    "pending": {"due": now, "tries": 0},
                    "_createdAt": now,
                    "_updatedAt": now,
                }
            )
            if added:
                self._wake.set()

    async def _integrations(self) -> list[dict[str, Any]]:
        """The outgoing ones; a copy that is a few seconds old at most."""
        now = self._clock.monotonic()
        if now >= self._known_until:
            until = now + _FRESH
            self._known_until = until  # a change while they are read makes it 0 again
            try:
                self._known = await self._store.all(IntegrationKind.OUTGOING)
            except Unavailable:
                self._known_until = 0.0
                raise
        return self._known

    def _outgoing_ids(self) -> frozenset[str]:
        return frozenset(str(one["_id"]) for one in self._known)

    # -- calling

    async def _next(self) -> dict[str, Any] | None:
        if self._running.total() >= AT_ONCE:
            return None
        return await self._calls.take(self._now(), _LEASE, self._full())

    def _full(self) -> list[str]:
        return [one for one, running in self._running.items() if running >= AT_ONCE_EACH]

    async def _until_next(self) -> float:
        if self._running.total() >= AT_ONCE:
            return _LOOK
        due = await self._calls.next_due(self._full())
        if due is None:
            return _LOOK
        return min(max((due - self._now()).total_seconds(), 0.01), _LOOK)

    async def _make(self, call: Mapping[str, Any], integration_id: str) -> None:
        """One try of one call. It never fails: what is left undone is taken up again later."""
        try:
            await self._call(call, integration_id)
        except HubbubError as error:
            log.warning(
                "webhook_put_off", integration=integration_id, err_type=type(error).__name__
            )
        except Exception:
            # A defect of ours, or a document of another tool: this call ends, all others go on.
            log.exception("webhook_failed", integration=integration_id)
            await self._give_up(call)
        finally:
            self._running[integration_id] -= 1
            if not self._running[integration_id]:
                del self._running[integration_id]
            self._wake.set()

    async def _give_up(self, call: Mapping[str, Any]) -> None:
        try:
            await self._note(str(call["_id"]), "internal-error", {"error": True}, ends=True)
        except HubbubError as error:
            log.warning("webhook_put_off", err_type=type(error).__name__)

    async def _call(self, call: Mapping[str, Any], integration_id: str) -> None:
        call_id, url = str(call["_id"]), str(call["url"])
        integration = await self._store.one(integration_id)
        if integration is None or integration.get("enabled") is not True:
            await self._note(call_id, "integration-disabled", ends=True)
            return
        await self._note(call_id, "pre-http-call")
        body = {"token": integration.get("token", ""), **call["data"]}
        began = self._clock.monotonic()
        try:
            reply = await self._egress.fetch(
                "POST",
                url,
                headers={"Content-Type": "application/json"},
                body=orjson.dumps(body),
                within=CALL_WITHIN,
            )
        except Refused as error:
            self._metrics.called("refused")
            fields = {"error": True, "httpError": str(error)}
            await self._note(call_id, "http-call-refused", fields, ends=True)
            log.info("webhook_refused", integration=integration_id, reason=str(error))
            return
        except Unanswered as error:
            self._metrics.called("failed", self._clock.monotonic() - began)
            await self._failed(call, integration, str(error), None)
            return
        took = self._clock.monotonic() - began
        shown = reply.body[: _SHOWN * 4].decode("utf-8", "replace")[:_SHOWN].replace("\x00", "")
        fields = {"httpStatus": reply.status, "httpResult": shown, "httpError": None}
        await self._note(call_id, "after-http-call", fields)
        if reply.status == outgoing.GONE:
            self._metrics.called("gone", took)
            await self._store.disable(integration_id, url, self._now())
            self.forget()
            await self._note(call_id, "after-process-http-status-410", {"error": True}, ends=True)
            log.info("webhook_gone", integration=integration_id)
        elif reply.status in outgoing.SUCCESSES:
            self._metrics.called("ok", took)
            await self._succeeded(call, integration, reply)
        else:
            self._metrics.called("failed", took)
            await self._failed(call, integration, f"status {reply.status}", reply.status)

    async def _failed(
        self, call: Mapping[str, Any], integration: Mapping[str, Any], why: str, status: int | None
    ) -> None:
        call_id, tries = str(call["_id"]), int(call["pending"]["tries"])
        fields = {"error": True, "httpError": why, "httpStatus": status}
        if integration.get("retryFailedCalls") is not True:
            await self._note(call_id, "failed-and-not-configured-to-retry", fields, ends=True)
        elif tries >= int(integration.get("retryCount") or 0):
            await self._note(call_id, "too-many-retries", fields, ends=True)
        else:
            wait = outgoing.wait_before(str(integration.get("retryDelay")), tries)
            due = self._now() + timedelta(seconds=wait)
            await self._note(call_id, f"going-to-retry-{tries + 1}", fields, due=due)

    async def _succeeded(
        self, call: Mapping[str, Any], integration: Mapping[str, Any], reply: Reply
    ) -> None:
        call_id = str(call["_id"])
        answer = _said(reply.body)
        if answer is None:
            fields: dict[str, Any] = {"error": False}
            await self._note(call_id, "url-response-not-sent-message", fields, ends=True)
            return
        try:
            message_id = await self._post(call, integration, answer)
        except Unavailable:
            raise
        except HubbubError as error:
            fields = {"error": True, "resultError": str(error.code)}
            await self._note(call_id, "url-response-refused", fields, ends=True)
            return
        fields = {"error": False, "resultMessage": {"_id": message_id}}
        await self._note(call_id, "url-response-sent-message", fields, ends=True)

    async def _post(
        self, call: Mapping[str, Any], integration: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> str:
        """Post what a server answered; the message's id. Raises: as messaging does."""
        data = call["data"]
        author = data.get("user_id") if integration.get("impersonateUser") is True else None
        speaker = UserId(str(author or integration.get("userId")))
        fields = fields_of(answer, integration)
        if author is not None:  # somebody who speaks in their own name needs no other face
            fields = {k: v for k, v in fields.items() if k not in ("alias", "avatar", "emoji")}
        target = str(integration.get("targetRoom") or "")
        message_id = f"{call['_id']}-r"
        if target:
            wanted = Wanted(fields, (target,), chosen=False)
            return await self._incoming.say(speaker, wanted, target, message_id)
        room_id = data.get("channel_id")
        if not isinstance(room_id, str):
            raise BadRequest("", code="invalid-channel")
        return await self._incoming.say_in(
            speaker, Wanted(fields, (), chosen=False), RoomId(room_id), message_id
        )

    async def _note(
        self,
        call_id: str,
        step: str,
        fields: Mapping[str, Any] | None = None,
        *,
        due: datetime | None = None,
        ends: bool = False,
    ) -> None:
        await self._calls.note(call_id, step, self._now(), fields, due=due, ends=ends)


def _said(body: bytes) -> dict[str, Any] | None:
    """What a server wants to be posted, if anything."""
    if not body.strip():
        return None
    try:
        answer = limits.loads(body)
        limits.check_values(answer)
    except (limits.BadDocument, BadRequest):
        return None
    if not isinstance(answer, dict) or not (answer.get("text") or answer.get("attachments")):
        return None
    return answer
