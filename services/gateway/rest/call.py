"""One REST call, as an endpoint sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from hubbub.contracts.account import Identity
from hubbub.doors.explaining import Explainer
from hubbub.doors.methods import Services
from hubbub.errors import Unauthenticated
from hubbub.ids import RoomId, UserId
from services.gateway.files.shelves import Shelves
from services.gateway.metrics import GatewayMetrics
from services.gateway.rest.answers import Forbidden, Refusal
from services.gateway.rest.authentication import Authentication
from services.gateway.rest.forms import InMemory, Pace, Sink, receive
from services.gateway.rest.paging import PagingRules
from services.gateway.rest.requests import Parameters
from services.gateway.rest.workspace import Workspace
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Door:
    """What all calls share."""

    services: Services
    authentication: Authentication
    workspace: Workspace
    metrics: GatewayMetrics
    settings: GatewaySettings
    shelves: Shelves | None = None
    """Files and pictures; None: this gateway has no database to keep them in."""
    explainer: Explainer | None = None
    """Asks everybody about one message; None: nobody can be found on this bus."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who asks for what."""

    door: Door
    caller: Identity | None
    query: Parameters
    body: Parameters
    headers: Mapping[str, str]
    address: str
    """The client's, or empty when it is unknown."""
    rest: str = ""
    """What the path has behind the name of an endpoint that ends in `/*`, decoded: an id, or
    several with slashes between. One final slash is ignored."""
    file: InMemory | None = None
    """The file of the form, where the endpoint takes small ones and one was sent."""
    request: web.BaseRequest | None = None
    """What arrived, for handlers that read or write at their own pace."""
    request_id: str = ""
    """What the answer and the log call this request."""

    @property
    def services(self) -> Services:
        """Proxies of the services."""
        return self.door.services

    @property
    def identity(self) -> Identity:
        """The signed-in caller. Raises: Unauthenticated."""
        if self.caller is None:
            raise Unauthenticated("Invalid user")
        return self.caller

    @property
    def user_id(self) -> UserId:
        """The signed-in caller's id. Raises: Unauthenticated."""
        return self.identity.user_id

    async def may(self, permission: str, room_id: RoomId | None = None) -> bool:
        """Whether the caller holds `permission`."""
        caller = self.caller.user_id if self.caller else None
        return await self.services.authorization.has_permission(caller, permission, room_id)

    async def require(self, permission: str, room_id: RoomId | None = None) -> None:
        """Raises: Forbidden: the caller lacks `permission`."""
        if not await self.may(permission, room_id):
            raise Forbidden

    @property
    def shelves(self) -> Shelves:
        """Files and pictures. Raises: Refusal: there is no place for them."""
        if self.door.shelves is None:
            raise Refusal("No files are kept here", code="error-file-upload-disabled")
        return self.door.shelves

    @property
    def incoming(self) -> web.BaseRequest:
        """The request itself."""
        if self.request is None:
            raise LookupError("this endpoint was not declared to read or write by itself")
        return self.request

    async def receive(self, sink: Sink, *, name: str, limit: int) -> Parameters:
        """Read a form with a file of at most `limit` bytes: see `forms.receive`."""
        settings = self.door.settings
        pace = Pace(settings.upload_grace, settings.min_upload_rate, settings.upload_timeout)
        fields = await receive(self.incoming, sink, name=name, limit=limit, pace=pace)
        return Parameters(fields, textual=True)

    async def prove_second_factor(self) -> None:
        """Raises: NotAllowed: the caller has a second factor, and it was not shown."""
        await self.services.account.prove_second_factor(
            self.user_id,
            self.identity.hashed_token,
            self.headers.get("X-2fa-code") or None,
            self.headers.get("X-2fa-method") or None,
        )

    async def paging_rules(self) -> PagingRules:
        """How many items a page may have, as the workspace is set."""
        return await self.door.workspace.paging_rules()
