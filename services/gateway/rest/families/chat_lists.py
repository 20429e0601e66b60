"""`chat.*`: searching and listing messages."""

from __future__ import annotations

from services.gateway.rest.router import Routes

routes = Routes()
