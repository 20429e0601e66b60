"""One REST call, as an endpoint sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hubbub.contracts.account import Identity
from hubbub.doors.methods import Services
from hubbub.errors import Unauthenticated
from hubbub.ids import RoomId, UserId
from services.gateway.metrics import GatewayMetrics
from services.gateway.rest.answers import Forbidden
from services.gateway.rest.authentication import Authentication
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

    async def paging_rules(self) -> PagingRules:
        """How many items a page may have, as the workspace is set."""
        return await self.door.workspace.paging_rules()
