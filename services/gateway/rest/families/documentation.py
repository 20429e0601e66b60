"""The API's own description, for tools that read OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache

from services.gateway.rest import openapi
from services.gateway.rest.answers import Answer, Encoded
from services.gateway.rest.call import Call
from services.gateway.rest.families.server import PROTOCOL_VERSION
from services.gateway.rest.router import Routes


def describing(families: Iterable[Routes]) -> Routes:
    """The endpoint that describes the endpoints of `families`, and itself."""
    routes = Routes()
    described = [*families, routes]

    @cache
    def text() -> bytes:
        endpoints = (endpoint for family in described for endpoint in family.endpoints)
        return openapi.encoded(endpoints, version=PROTOCOL_VERSION)

    @routes.get("openapi.json", access="anonymous")
    async def document(call: Call) -> Answer:
        """This description of the API, as OpenAPI 3.1."""
        # The first time it takes a moment, which other calls need not wait for.
        return Encoded(await asyncio.to_thread(text))

    return routes
