"""`chat.*`: stars, pins, follows, reports."""

from __future__ import annotations

from services.gateway.rest.router import Routes

routes = Routes()
