"""Makes the calls that outgoing webhooks led to, and posts what is answered.

A call that was begun when the process ended is made again (at least once), and what a server
answers is posted once, under an id that belongs to the call.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from hubbub.clock import Clock
from hubbub.ddp import limits
from hubbub.errors import BadRequest, HubbubError, Unavailable
from hubbub.ids import RoomId, UserId
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.apps_engine.domain import outgoing
from services.apps_engine.domain.incoming import Wanted, fields_of
from services.apps_engine.egress import Egress, Refused, Reply, Unanswered
from services.apps_engine.metrics import WebhookMetrics
from services.apps_engine.store.calls import MongoCallStore
from services.apps_engine.store.integrations import MongoIntegrationStore
from services.apps_engine.webhooks.incoming import Incoming

log = get_logger(__name__)

CALL_WITHIN: Final = 20.0
"""Seconds that a server has for its answer."""
AT_ONCE: Final = 32
"""Calls that are made at the same time."""
AT_ONCE_EACH: Final = 4
"""Of one integration: a slow server is no reason for others to wait."""

_LEASE: Final = timedelta(seconds=15)  # after which a call is made again whose engine is gone
_HOLD: Final = 4.0  # seconds between two words that a call is still being made
_LOOK: Final = 5.0  # seconds between two looks for what others left behind
_SHOWN: Final = 10_000  # characters of an answer that history keeps


class Caller:
    """Makes calls. `run` is its life."""

    def __init__(
        self,
        store: MongoIntegrationStore,
        calls: MongoCallStore,
        egress: Egress,
        incoming: Incoming,
        metrics: WebhookMetrics,
        disabled: Callable[[str], Awaitable[None]],
        now: Callable[[], datetime],
        clock: Clock,
    ) -> None:
        """
        Args:
            disabled: called with the id of an integration that was disabled because its server
                is gone.
        """
        self._store = store
        self._calls = calls
        self._egress = egress
        self._incoming = incoming
        self._metrics = metrics
        self._disabled = disabled
        self._now = now
        self._clock = clock
        self._wake = asyncio.Event()
        self._running: Counter[str] = Counter()  # integration → calls under way
        self._held: dict[str, int] = {}  # call under way → which repetition it is

    def wake(self) -> None:
        """There may be something to call."""
        self._wake.set()

    async def run(self) -> None:
        """Make calls until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hold())
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

    async def _hold(self) -> None:
        """Keep what is being called from being called again, however long its server takes."""
        while True:
            heed_cancellation()
            await self._clock.sleep(_HOLD)
            if not self._held:
                continue
            try:
                await self._calls.hold(self._held, self._now() + _LEASE)
            except HubbubError as error:
                log.warning("webhooks_not_held", err_type=type(error).__name__)

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
        call_id = str(call["_id"])
        self._held[call_id] = int(call["pending"]["tries"])
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
            self._held.pop(call_id, None)
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
            if await self._store.disable(integration_id, url, self._now()):
                await self._disabled(integration_id)
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
