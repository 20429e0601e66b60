"""Endpoints about the server itself: versions, numbers, licences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.gateway.rest.asked import Asked, Flag, Listed
from services.gateway.rest.call import Call
from services.gateway.rest.paging import (
    EVERYTHING,
    Condition,
    Equals,
    cut,
    paged,
    parse_conditions,
    parse_fields,
    parse_paging,
)
from services.gateway.rest.router import Routes
from services.gateway.rest.steps import in_steps

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


class Numbers(Asked):
    """Which numbers."""

    refresh: Flag | None = None
    """Also replace the day's record in the list."""


@routes.get("statistics", permission="view-statistics")
async def statistics(call: Call, asked: Numbers) -> dict[str, Any]:
    """Counts of users, rooms and messages, as of now."""
    return _versioned(await call.services.messaging.statistics(bool(asked.refresh)))


class DailyNumbers(Listed):
    """Which part of the list; `query` knows `_id` (a day, `2026-01-31`) and `uniqueId`."""


@routes.get("statistics.list", permission="view-statistics")
async def list_statistics(call: Call, asked: DailyNumbers) -> dict[str, Any]:
    """Counts day by day, newest first."""
    fields, messaging = parse_fields(asked), call.services.messaging
    wanted = parse_conditions(asked, {"_id": (Equals,), "uniqueId": (Equals,)})
    paging = parse_paging(asked, await call.paging_rules(), sortable={"createdAt"})
    if wanted:
        every = await in_steps(
            messaging.list_statistics, paging.model_copy(update={"offset": 0, "count": EVERYTHING})
        )
        page = cut([one for one in every.items if _fits(one, wanted)], paging)
    else:
        page = await in_steps(messaging.list_statistics, paging)
    answer = paged("statistics", page, paging)
    answer["statistics"] = [fields.of(_versioned(one)) for one in page.items]
    return answer


def _fits(numbers: dict[str, Any], wanted: Mapping[str, Condition]) -> bool:
    return all(
        isinstance(condition, Equals) and numbers.get(key) == condition.value
        for key, condition in wanted.items()
    )


def _versioned(numbers: dict[str, Any]) -> dict[str, Any]:
    return {**numbers, "version": PROTOCOL_VERSION}


@routes.get("licenses.maxActiveUsers")
async def max_active_users(call: Call) -> dict[str, Any]:
    """How many users may be active, any number, and how many are."""
    numbers = await call.services.messaging.statistics()
    return {"maxActiveUsers": None, "activeUsers": numbers["activeUsers"]}
