"""The apps engine behind the gateway, as a fake that keeps integrations and apps in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hubbub.contracts.apps import (
    App,
    AppDisabled,
    AppFailed,
    AppNotFound,
    Apps,
    AppSetting,
    AppStatus,
    Chunk,
    EndpointAnswer,
    EndpointRequest,
    LogLine,
    NoSuchEndpoint,
    PermissionsNotGranted,
)
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

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "fake-token-of-a-hook"


class FakeApps(Apps):
    """Integrations by id; administrators manage them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hooks: dict[str, Doc] = {}
        self.delivered: list[tuple[str, dict[str, Any]]] = []
        self.packages: dict[str, dict[int, bytes]] = {}
        self.installed: dict[str, App] = {}
        self.requests: list[EndpointRequest] = []

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

    async def begin_package(self, user_id: UserId) -> str:
        self._require_managing(user_id)
        package = self.world.new_id("package")
        self.packages[package] = {}
        return package

    async def add_to_package(self, user_id: UserId, package_id: str, chunk: Chunk) -> None:
        self.packages[package_id][chunk.index] = chunk.data

    async def install(
        self,
        user_id: UserId,
        package_id: str,
        permissions: list[str],
        settings: dict[str, Any] | None = None,
        enable: bool = True,
    ) -> App:
        """Every package is the app `echo`, and asks for `store`."""
        if permissions != ["store"]:
            raise PermissionsNotGranted("Echo also asks for: store")
        app = App(
            id="echo",
            name="Echo",
            version="1.0.0",
            status=AppStatus.ENABLED,
            permissions=permissions,
            bot_id=UserId("echo.bot"),
            bot_username="echo.bot",
            settings=[
                AppSetting(name=name, type="string", value=value, is_set=True)
                for name, value in (settings or {}).items()
            ],
            installed_at=NOW,
            updated_at=NOW,
        )
        self.installed[app.id] = app
        return app

    async def list_apps(self, user_id: UserId) -> list[App]:
        self._require_managing(user_id)
        return list(self.installed.values())

    async def app(self, user_id: UserId, app_id: str) -> App:
        self._require_managing(user_id)
        if app_id not in self.installed:
            raise AppNotFound
        return self.installed[app_id]

    async def enable(self, user_id: UserId, app_id: str) -> App:
        return await self._with(user_id, app_id, status=AppStatus.ENABLED)

    async def disable(self, user_id: UserId, app_id: str) -> App:
        return await self._with(user_id, app_id, status=AppStatus.DISABLED)

    async def update_settings(self, user_id: UserId, app_id: str, settings: dict[str, Any]) -> App:
        changed = [AppSetting(name=name, type="string", value=settings[name]) for name in settings]
        return await self._with(user_id, app_id, settings=changed)

    async def remove(self, user_id: UserId, app_id: str) -> None:
        del self.installed[app_id]

    async def logs(self, user_id: UserId, app_id: str, count: int = 100) -> list[LogLine]:
        await self.app(user_id, app_id)
        return [LogLine(at=NOW, level="info", text=str(number)) for number in range(count)]

    async def serve_endpoint(self, app_id: str, request: EndpointRequest) -> EndpointAnswer:
        self.requests.append(request)
        match app_id:
            case "echo":
                headers = {"Content-Type": "text/html", "Set-Cookie": "a=b", "X-Frame": "no"}
                return EndpointAnswer(status=201, headers=headers, body=request.body)
            case "disabled":
                raise AppDisabled("It is not running")
            case "broken":
                raise AppFailed("It answered nonsense")
            case _:
                raise NoSuchEndpoint("There is no such app, or it is not running")

    async def _with(self, user_id: UserId, app_id: str, **fields: Any) -> App:
        changed = (await self.app(user_id, app_id)).model_copy(update=fields)
        self.installed[app_id] = changed
        return changed

    def _require_managing(self, user_id: UserId) -> None:
        if not self.world.may(user_id, "manage-apps"):
            raise LacksPermission

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
