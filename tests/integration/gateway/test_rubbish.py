"""Every endpoint with rubbish: a JSON answer with `success`, never a failure of ours."""

from __future__ import annotations

import pytest

from services.gateway.rest.endpoints import table
from services.gateway.rest.router import Endpoint
from tests.integration.gateway.conftest import Reply, Site
from tests.integration.gateway.rubbish import bodies, endpoints, queries, tells_how_it_went

pytestmark = pytest.mark.integration

ALL = list(endpoints(table()))


def understood(reply: Reply) -> bool:
    return (
        reply.status < 500
        and reply.headers["Content-Type"] == "application/json"
        and tells_how_it_went(reply.status, reply.body)
    )


@pytest.mark.parametrize("endpoint", ALL, ids=lambda one: f"{one.method}-{one.name}")
async def test_rubbish(site: Site, endpoint: Endpoint) -> None:
    """By an administrator and by nobody."""
    path = endpoint.path.replace("*", "x")
    for by in ("root", None):
        for query in queries() if endpoint.method == "GET" else ():
            reply = await site.call("GET", f"{path}?{query}", by=by)
            assert understood(reply), (query, reply.status, reply.raw)
        for body in bodies() if endpoint.method == "POST" else ():
            reply = await site.call("POST", path, by=by, json=body)
            assert understood(reply), (body, reply.status, reply.raw)
