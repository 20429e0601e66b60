"""The apps engine behind the gateway, as a fake that keeps integrations in memory."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.apps import Apps
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.integrations import (
    Delivery,
    HookDisabled,
    IntegrationFields,
    IntegrationKind,
    IntegrationNotFound,
    InvalidHook,
    InvalidIntegration,
    OverrideDisabled,
)
from hubbub.errors import LacksPermission, NotAllowed
from hubbub.ids import UserId
from tests.integration.gateway.world import Doc, World, page

TOKEN = "fake-token-of-a-hook"


class FakeApps(Apps):
    """Integrations by id; administrators manage them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hooks: dict[str, Doc] = {}
        self.delivered: list[tuple[str, dict[str, Any]]] = []

    async def create_integration(
        self, user_id: UserId, kind: IntegrationKind, fields: IntegrationFields
    ) -> Document:
        if not self.world.may(user_id, "manage-incoming-integrations"):
            raise NotAllowed("Unauthorized", code="not_authorized")
        if not fields.username:
            raise InvalidIntegration("Invalid username", code="error-invalid-username")
        hook = fields.model_dump(by_alias=True, exclude_none=True)
        hook |= {"_id": self.world.new_id("hook"), "type": kind.value, "token": TOKEN}
        self.hooks[hook["_id"]] = hook
        return hook

    async def update_integration(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        fields: IntegrationFields,
        integration_id: str | None = None,
        target_url: str | None = None,
    ) -> Document:
        hook = self._one(user_id, integration_id, target_url)
        hook |= fields.model_dump(by_alias=True, exclude_none=True)
        return hook

    async def remove_integration(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        integration_id: str | None = None,
        target_url: str | None = None,
    ) -> Document:
        return self.hooks.pop(str(self._one(user_id, integration_id, target_url)["_id"]))

    async def integration(
        self, user_id: UserId, integration_id: str, created_by: str | None = None
    ) -> Document:
        return self._one(user_id, integration_id, None)

    async def list_integrations(self, user_id: UserId, paging: Paging) -> Page:
        self._require(user_id)
        return page(list(self.hooks.values()), paging)

    async def integration_history(
        self, user_id: UserId, integration_id: str, paging: Paging
    ) -> Page:
        self._require(user_id)
        return page([{"_id": "c1", "step": "too-many-retries"}], paging)

    async def deliver_hook(
        self, integration_id: str, token: str, payload: dict[str, Any], delivery_id: str
    ) -> list[Delivery]:
        hook = self._hook(integration_id, token)
        if not hook.get("enabled"):
            raise HookDisabled("Service Unavailable")
        if not payload:
            return []
        if payload.get("channel") and not hook.get("overrideDestinationChannelEnabled"):
            raise OverrideDisabled(
                "overriding destination channel is disabled for this integration"
            )
        if payload.get("text") == "not allowed":
            raise NotAllowed("You are not a member of this room")
        self.delivered.append((integration_id, payload))
        named = payload.get("channel") or ["#general"]
        return [
            Delivery(channel=one, error="invalid-channel" if one == "#none" else None)
            for one in named
        ]

    async def check_hook(self, integration_id: str, token: str) -> None:
        self._hook(integration_id, token)

    async def hook_creates(
        self, integration_id: str, token: str, fields: IntegrationFields
    ) -> Document:
        self._hook(integration_id, token)
        return await self.create_integration(UserId("id-root"), IntegrationKind.OUTGOING, fields)

    async def hook_removes(self, integration_id: str, token: str, target_url: str) -> None:
        self._hook(integration_id, token)
        await self.remove_integration(
            UserId("id-root"), IntegrationKind.OUTGOING, target_url=target_url
        )

    def _require(self, user_id: UserId) -> None:
        if not self.world.may(user_id, "manage-incoming-integrations"):
            raise LacksPermission

    def _one(self, user_id: UserId, integration_id: str | None, url: str | None) -> Doc:
        self._require(user_id)
        for hook in self.hooks.values():
            if hook["_id"] == integration_id or url in hook.get("urls", ()):
                return hook
        raise IntegrationNotFound("No integration found.")

    def _hook(self, integration_id: str, token: str) -> Doc:
        hook = self.hooks.get(integration_id)
        if hook is None or token != hook["token"]:
            raise InvalidHook("Invalid integration id or token provided.")
        return hook
