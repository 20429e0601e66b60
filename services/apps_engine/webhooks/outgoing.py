"""Something that happened here becomes calls to servers outside, which are written down.

What is to be called is written down before anything is called, so an event that was taken is
never lost, and under an id that is the same when the event comes again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from hubbub.clock import Clock
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.integrations import IntegrationKind
from hubbub.errors import Unavailable
from hubbub.ids import RoomId, UserId
from hubbub.telemetry.log import get_logger
from services.apps_engine.domain import integrations as rules
from services.apps_engine.domain import outgoing
from services.apps_engine.domain.outgoing import Happened, Match
from services.apps_engine.metrics import WebhookMetrics
from services.apps_engine.store.calls import MongoCallStore
from services.apps_engine.store.integrations import MongoIntegrationStore
from services.apps_engine.webhooks.places import Places

log = get_logger(__name__)

MOST_WAITING: Final = 1000
"""Calls of one integration that may be left to do; further ones are not written down."""

_FRESH: Final = 5.0  # seconds that what is known of integrations and rooms may be old
_ROOMS: Final = 1000  # that are remembered


class Outgoing:
    """Hears what happens and writes down the calls that it leads to."""

    def __init__(
        self,
        store: MongoIntegrationStore,
        calls: MongoCallStore,
        authorization: Authorization,
        places: Places,
        metrics: WebhookMetrics,
        wake: Callable[[], None],
        now: Callable[[], datetime],
        clock: Clock,
    ) -> None:
        """
        Args:
            wake: called when there may be something to call.
        """
        self._store = store
        self._calls = calls
        self._authorization = authorization
        self._places = places
        self._metrics = metrics
        self._wake = wake
        self._now = now
        self._clock = clock
        self._known: list[dict[str, Any]] = []
        self._known_until = 0.0  # monotonic seconds
        self._rooms: OrderedDict[tuple[str, str], tuple[float, dict[str, Any] | None]]
        self._rooms = OrderedDict()  # (room, viewer) → (monotonic seconds, room)

    def forget(self) -> None:
        """Integrations changed: what is known of them is read anew."""
        self._known_until = 0.0
        self._wake()

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
                self._wake()

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
