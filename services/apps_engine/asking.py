"""Calls from outside into one app: commands and requests."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hubbub.contracts.apps import (
    LONGEST_BODY,
    AppFailed,
    AppInvocation,
    EndpointAnswer,
    EndpointRequest,
    NoSuchEndpoint,
    UnknownAppCommand,
)
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messaging import Messaging
from hubbub.ddp import ejson
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from services.apps_engine.running import RunningApp

_Name = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
_Value = Annotated[str, Field(max_length=8192, pattern=r"^[^\r\n\x00]*$")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    status: int = Field(default=200, ge=200, le=599)
    headers: dict[_Name, _Value] = Field(default={}, max_length=50)
    body: str = Field(default="", max_length=LONGEST_BODY * 4 // 3 + 4)


class Asking:
    """Finds the app that is meant, and asks it."""

    def __init__(
        self,
        apps: Callable[[], Mapping[str, RunningApp]],
        authorization: Authorization,
        messaging: Messaging,
    ) -> None:
        self._apps = apps
        self._authorization = authorization
        self._messaging = messaging

    async def run_command(self, user_id: UserId, invocation: AppInvocation) -> None:
        """See `AppActions.run_app_command`."""
        name = invocation.command.lower()
        app, permission = self._with_command(name)
        if permission is not None and not await self._authorization.has_permission(
            user_id, permission, RoomId(invocation.room_id)
        ):
            raise NotAllowed(f"/{name} takes the permission {permission}")
        # What the caller may not see, the command does not reach.
        room = await self._messaging.get_room(user_id, room_id=invocation.room_id)
        app.bridge.invoked(user_id, invocation.room_id)
        asked: dict[str, Any] = {
            "command": name,
            "params": invocation.parameters,
            "room": ejson.encode({k: v for k, v in room.items() if k != "lastMessage"}),
            "user": await app.bridge.person(user_id=user_id),
        }
        if invocation.thread_id is not None:
            asked["thread"] = invocation.thread_id
        await app.ask("command", asked)

    def _with_command(self, name: str) -> tuple[RunningApp, str | None]:
        for _, app in sorted(self._apps().items()):
            for command in app.commands:
                if command.command == name:
                    return app, command.permission
        raise UnknownAppCommand("Invalid Command Provided")

    async def serve_endpoint(self, app_id: str, request: EndpointRequest) -> EndpointAnswer:
        """See `AppActions.serve_endpoint`."""
        app = self._apps().get(app_id)
        if app is None:
            raise NoSuchEndpoint("There is no such app, or it is not running")
        name = self._endpoint(app, request)
        answer = await app.ask(
            "request",
            {
                "name": name,
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": request.headers,
                "body": base64.b64encode(request.body).decode(),
            },
        )
        try:
            said = _Answer.model_validate(answer)
            body = base64.b64decode(said.body, validate=True)
        except (ValidationError, binascii.Error):
            app.metrics.asked(app_id, "request", "error", 0.0)
            raise AppFailed(f"{app.manifest.name} answered nonsense") from None
        return EndpointAnswer(status=said.status, headers=dict(said.headers), body=body)

    def _endpoint(self, app: RunningApp, request: EndpointRequest) -> str:
        declared = app.declared.endpoints if app.declared is not None else ()
        for name in declared:
            endpoint = app.manifest.endpoints[name]
            if endpoint.path == request.path and request.method in endpoint.methods:
                return name
        raise NoSuchEndpoint(f"{app.manifest.name} does not answer this")
