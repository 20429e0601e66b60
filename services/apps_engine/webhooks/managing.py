"""Making, changing, showing and forgetting integrations."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from hubbub.audit import Auditor
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.integrations import (
    MOST_INTEGRATIONS,
    IntegrationFields,
    IntegrationKind,
    IntegrationNotFound,
    InvalidHook,
    InvalidIntegration,
)
from hubbub.errors import LacksPermission, NotAllowed
from hubbub.ids import UserId, random_id
from hubbub.telemetry.log import get_logger
from services.apps_engine.domain import integrations as rules
from services.apps_engine.store.calls import MongoCallStore
from services.apps_engine.store.integrations import MongoIntegrationStore
from services.apps_engine.webhooks.places import Places

log = get_logger(__name__)

_INCOMING, _OUTGOING = IntegrationKind.INCOMING, IntegrationKind.OUTGOING


class Managing:
    """The doors for who manages integrations."""

    def __init__(
        self,
        store: MongoIntegrationStore,
        calls: MongoCallStore,
        authorization: Authorization,
        places: Places,
        now: Callable[[], datetime],
        changed: Callable[[], None],
        auditor: Auditor,
    ) -> None:
        """
        Args:
            changed: told after each change, for whoever keeps a copy.
        """
        self._store = store
        self._calls = calls
        self._authorization = authorization
        self._places = places
        self._now = now
        self._changed = changed
        self._auditor = auditor

    async def create(
        self, user_id: UserId, kind: IntegrationKind, fields: IntegrationFields
    ) -> dict[str, Any]:
        """See the contract."""
        rights = rules.rights(kind, await self._held(user_id))
        if not rights.some:
            raise NotAllowed("Unauthorized", code="not_authorized")
        settled = rules.settled(kind, fields)
        if await self._store.count() >= MOST_INTEGRATIONS:
            raise InvalidIntegration("Too many integrations", code="error-too-many-integrations")
        settled |= await self._checked(user_id, kind, settled, rights)
        now = self._now()
        token = random_id(48) if kind is _INCOMING else (fields.token or random_id(24)).strip()
        maker = await self._places.user(user_id, user_id=user_id) or {}
        integration = {
            "_id": random_id(),
            **settled,
            "token": token,
            "_createdAt": now,
            "_createdBy": {"_id": user_id, "username": maker.get("username", "")},
            "_updatedAt": now,
        }
        await self._store.add(integration)
        self._changed()
        log.info("integration_created", integration=integration["_id"], kind=kind.value)
        await self._audit("created", user_id, integration)
        return integration

    async def update(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        fields: IntegrationFields,
        integration_id: str | None,
        target_url: str | None,
    ) -> dict[str, Any]:
        """See the contract."""
        stored, rights = await self._managed(user_id, kind, integration_id, target_url)
        settled = rules.settled(kind, fields, stored)
        settled |= await self._checked(user_id, kind, settled, rights)
        if kind is _OUTGOING and fields.token and fields.token.strip():
            settled["token"] = fields.token.strip()
        updater = await self._places.user(user_id, user_id=user_id) or {}
        changed = await self._store.change(
            str(stored["_id"]),
            settled
            | {
                "_updatedAt": self._now(),
                "_updatedBy": {"_id": user_id, "username": updater.get("username", "")},
            },
        )
        if changed is None:
            raise IntegrationNotFound("No integration found.")
        self._changed()
        other = sorted(name for name in settled if settled[name] != stored.get(name))
        await self._audit("changed", user_id, changed, changed=other)
        return changed

    async def remove(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        integration_id: str | None,
        target_url: str | None,
    ) -> dict[str, Any]:
        """See the contract."""
        stored, _ = await self._managed(user_id, kind, integration_id, target_url)
        await self._store.remove(str(stored["_id"]))
        self._changed()
        await self._calls.remove_of(str(stored["_id"]))
        log.info("integration_removed", integration=stored["_id"], kind=kind.value)
        await self._audit("removed", user_id, stored)
        return stored

    async def one(
        self, user_id: UserId, integration_id: str, created_by: str | None
    ) -> dict[str, Any]:
        """See the contract."""
        held = await self._held(user_id)
        self._require_some(held)
        stored = await self._store.one(integration_id)
        if stored is None or not _covered(stored, held, user_id):
            raise IntegrationNotFound("No integration found.")
        if created_by is not None and rules.maker_of(stored) != created_by:
            raise IntegrationNotFound("No integration found.")
        return stored

    async def page(self, user_id: UserId, paging: Paging) -> Page:
        """See the contract."""
        held = await self._held(user_id)
        self._require_some(held)
        found = [one for one in await self._store.all() if _covered(one, held, user_id)]
        return rules.page_of(found, paging)

    async def history(self, user_id: UserId, integration_id: str, paging: Paging) -> Page:
        """See the contract."""
        rights = rules.rights(_OUTGOING, await self._held(user_id))
        if not rights.some:
            raise LacksPermission
        made_by = None if rights.every else user_id
        return await self._calls.history(integration_id, paging, made_by)

    async def incoming(self, integration_id: str, token: str) -> dict[str, Any]:
        """The incoming integration that has this id and this token. Raises: InvalidHook."""
        stored = await self._store.one(integration_id) if integration_id else None
        known = str((stored or {}).get("token") or "")
        # Compared in any case, so that the time says nothing about which ids there are.
        same = secrets.compare_digest(known.encode(), token.encode("utf-8", "surrogatepass"))
        if stored is None or not known or not same or stored.get("type") != _INCOMING.value:
            raise InvalidHook("Invalid integration id or token provided.")
        return stored

    async def _audit(
        self, what: str, user_id: UserId, integration: dict[str, Any], **more: Any
    ) -> None:
        """Tell the audit log. Tokens and addresses stay out of it: an address may be a secret."""
        await self._auditor.tell(
            f"integration.{what}",
            actor=user_id,
            target=str(integration["_id"]),
            kind=str(integration.get("type")),
            name=str(integration.get("name") or ""),
            enabled=integration.get("enabled") is True,
            speaks_as=str(integration.get("username") or ""),
            channels=[str(channel) for channel in integration.get("channel") or []],
            **more,
        )

    async def _managed(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        integration_id: str | None,
        target_url: str | None,
    ) -> tuple[dict[str, Any], rules.Rights]:
        rights = rules.rights(kind, await self._held(user_id))
        if not rights.some:
            raise LacksPermission
        if kind is _OUTGOING and target_url:
            stored = await self._store.calling(target_url)
        else:
            stored = await self._store.one(integration_id) if integration_id else None
        if stored is None or stored.get("type") != kind.value or not rights.cover(stored, user_id):
            raise IntegrationNotFound("No integration found.")
        return stored, rights

    async def _checked(
        self, user_id: UserId, kind: IntegrationKind, settled: dict[str, Any], rights: rules.Rights
    ) -> dict[str, Any]:
        """Who the integration's user is, when everything that it names is there and allowed.

        Raises: InvalidIntegration; NotAllowed.
        """
        if kind is _OUTGOING and not rules.EVENTS[settled["event"]].channel and not rights.every:
            # It would hear of rooms that its maker may know nothing of.
            raise InvalidIntegration(
                "Invalid permission for required Integration creation.",
                code="error-invalid-permissions",
            )
        speaker = await self._places.user(user_id, username=settled["username"])
        if speaker is None:
            raise InvalidIntegration("Invalid user", code="error-invalid-user")
        speaker_id = UserId(str(speaker["_id"]))
        if not await self._authorization.has_permission(speaker_id, rules.IMPERSONATE):
            raise InvalidIntegration(
                f"The user lacks the permission {rules.IMPERSONATE}",
                code="error-user-lacks-message-impersonate-permission",
            )
        for channel in settled["channel"]:
            await self._check_channel(user_id, channel, rights)
        return {"userId": speaker_id, "username": speaker["username"]}

    async def _check_channel(self, user_id: UserId, channel: str, rights: rules.Rights) -> None:
        if rules.is_scope(channel):
            if channel != rules.SCOPES[0] and not rights.every:
                raise InvalidIntegration("Invalid Channel", code="error-invalid-channel")
            return
        name = channel[1:]
        if channel[0] == "@":
            person = await self._places.person(user_id, name)
            if person is None:
                raise InvalidIntegration("Invalid room", code="error-invalid-room")
            if not rights.every and person["_id"] != user_id:
                raise InvalidIntegration("Invalid Channel", code="error-invalid-channel")
            return
        room = await self._places.room(user_id, name)
        if room is None:
            raise InvalidIntegration("Invalid room", code="error-invalid-room")
        if not rights.every and not await self._places.is_member(user_id, str(room["_id"])):
            raise InvalidIntegration("Invalid Channel", code="error-invalid-channel")

    async def _held(self, user_id: UserId) -> frozenset[str]:
        return frozenset(
            await self._authorization.held_permissions(user_id, list(rules.PERMISSIONS))
        )

    def _require_some(self, held: Collection[str]) -> None:
        if not held:
            raise LacksPermission


def _covered(integration: dict[str, Any], held: Collection[str], user_id: str) -> bool:
    try:
        kind = IntegrationKind(str(integration.get("type")))
    except ValueError:  # of another tool
        return False
    return rules.rights(kind, held).cover(integration, user_id)
