"""Endpoints about the server itself."""

from __future__ import annotations

from typing import Any, Final

from services.gateway.rest.call import Call
from services.gateway.rest.router import Routes

PROTOCOL_VERSION: Final = "8.0.0"
"""The level of the API that is spoken. Clients choose styles of parameters by it."""

_MINIMUM_CLIENTS: Final = {"desktop": "3.9.6", "mobile": "4.39.0"}
_MARKETPLACE_API: Final = "1.48.2"

routes = Routes()


@routes.get("info", access="optional")
@routes.get("info", access="optional", unversioned=True)
async def info(call: Call) -> dict[str, Any]:
    """Which version of the API this is."""
    answer: dict[str, Any] = {
        "version": PROTOCOL_VERSION.rpartition(".")[0],
        "minimumClientVersions": _MINIMUM_CLIENTS,
    }
    if call.caller is not None and await call.may("view-statistics"):
        answer["version"] = PROTOCOL_VERSION
        answer["info"] = {
            "version": PROTOCOL_VERSION,
            "build": {},
            "commit": {},
            "marketplaceApiVersion": _MARKETPLACE_API,
        }
    return answer


@routes.get("statistics", permission="view-statistics")
async def statistics(call: Call) -> dict[str, Any]:
    """Counts of users, rooms and messages."""
    return {"version": PROTOCOL_VERSION, **await call.services.messaging.statistics()}
