"""Everything about integrations in one: their doors, their events, their life."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from hubbub.audit import Auditor
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import Account
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.integrations import (
    Delivery,
    IntegrationActions,
    IntegrationFields,
    IntegrationKind,
    InvalidHook,
)
from hubbub.contracts.messaging import Messaging
from hubbub.ids import UserId
from hubbub.mongo import Database
from services.apps_engine.egress import Egress
from services.apps_engine.metrics import HookOutcome, WebhookMetrics
from services.apps_engine.store.calls import MongoCallStore
from services.apps_engine.store.integrations import MongoIntegrationStore
from services.apps_engine.webhooks.calling import Caller
from services.apps_engine.webhooks.incoming import Incoming
from services.apps_engine.webhooks.managing import Managing
from services.apps_engine.webhooks.outgoing import Outgoing
from services.apps_engine.webhooks.places import Places


class Integrations:
    """What the doors of integrations stand on, and what works behind them."""

    def __init__(
        self,
        database: Database,
        *,
        account: Account,
        authorization: Authorization,
        messaging: Messaging,
        egress: Egress,
        metrics: WebhookMetrics,
        sent: Callable[[], None],
        auditor: Auditor,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            sent: told of each message that an integration posted.
        """
        self._clock = clock or SystemClock()
        self._metrics = metrics
        self._auditor = auditor
        store, calls = MongoIntegrationStore(database), MongoCallStore(database)
        places = Places(messaging, account)
        self.incoming = Incoming(messaging, places, sent)
        self._caller = Caller(
            store,
            calls,
            egress,
            self.incoming,
            metrics,
            self._gone,
            self._now,
            self._clock,
        )
        self.outgoing = Outgoing(
            store,
            calls,
            authorization,
            places,
            metrics,
            self._caller.wake,
            self._now,
            self._clock,
        )
        self.managing = Managing(
            store, calls, authorization, places, self._now, self.forget, auditor
        )

    async def run(self) -> None:
        """Make the calls of outgoing webhooks until cancelled."""
        await self._caller.run()

    def forget(self) -> None:
        """Integrations changed: what is known of them is read anew."""
        self.outgoing.forget()

    async def _gone(self, integration_id: str) -> None:
        self.forget()
        await self._auditor.tell("integration.disabled", actor=None, target=integration_id)

    async def wanted(self) -> frozenset[str]:
        """The events that `on_event` is of use for now."""
        return await self.outgoing.wanted()

    async def on_event(
        self, name: str, payload: Mapping[str, Any], *, mark: str | None = None
    ) -> None:
        """See `Outgoing.on_event`."""
        await self.outgoing.on_event(name, payload, mark=mark)

    async def deliver(
        self, integration_id: str, token: str, payload: dict[str, Any], delivery_id: str
    ) -> list[Delivery]:
        """See `deliver_hook` of the contract."""
        outcome: HookOutcome = "refused"
        try:
            integration = await self.managing.incoming(integration_id, token)
            done = await self.incoming.deliver(integration, payload, delivery_id)
            outcome = "empty" if not done else "posted"
        except InvalidHook:
            outcome = "unknown"
            raise
        finally:
            self._metrics.delivered(outcome)
        return done

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.time() * 1000) / 1000, UTC)


class IntegrationDoors(IntegrationActions):
    """The actions of the contract. Whoever has them sets `integrations`."""

    integrations: Integrations

    async def create_integration(
        self, user_id: UserId, kind: IntegrationKind, fields: IntegrationFields
    ) -> dict[str, Any]:
        """See the contract."""
        return await self.integrations.managing.create(user_id, kind, fields)

    async def update_integration(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        fields: IntegrationFields,
        integration_id: str | None = None,
        target_url: str | None = None,
    ) -> dict[str, Any]:
        """See the contract."""
        managing = self.integrations.managing
        return await managing.update(user_id, kind, fields, integration_id, target_url)

    async def remove_integration(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        integration_id: str | None = None,
        target_url: str | None = None,
    ) -> dict[str, Any]:
        """See the contract."""
        managing = self.integrations.managing
        return await managing.remove(user_id, kind, integration_id, target_url)

    async def integration(
        self, user_id: UserId, integration_id: str, created_by: str | None = None
    ) -> dict[str, Any]:
        """See the contract."""
        return await self.integrations.managing.one(user_id, integration_id, created_by)

    async def list_integrations(self, user_id: UserId, paging: Paging) -> Page:
        """See the contract."""
        return await self.integrations.managing.page(user_id, paging)

    async def integration_history(
        self, user_id: UserId, integration_id: str, paging: Paging
    ) -> Page:
        """See the contract."""
        return await self.integrations.managing.history(user_id, integration_id, paging)

    async def deliver_hook(
        self, integration_id: str, token: str, payload: dict[str, Any], delivery_id: str
    ) -> list[Delivery]:
        """See the contract."""
        return await self.integrations.deliver(integration_id, token, payload, delivery_id)

    async def check_hook(self, integration_id: str, token: str) -> None:
        """See the contract."""
        await self.integrations.managing.incoming(integration_id, token)

    async def hook_creates(
        self, integration_id: str, token: str, fields: IntegrationFields
    ) -> dict[str, Any]:
        """See the contract."""
        managing = self.integrations.managing
        hook = await managing.incoming(integration_id, token)
        user_id = UserId(str(hook.get("userId")))
        return await managing.create(user_id, IntegrationKind.OUTGOING, fields)

    async def hook_removes(self, integration_id: str, token: str, target_url: str) -> None:
        """See the contract."""
        managing = self.integrations.managing
        hook = await managing.incoming(integration_id, token)
        user_id = UserId(str(hook.get("userId")))
        await managing.remove(user_id, IntegrationKind.OUTGOING, None, target_url)
