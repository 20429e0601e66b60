"""Discussions, and removing what was said."""

from __future__ import annotations

from services.gateway.rest.router import Routes

routes = Routes()
