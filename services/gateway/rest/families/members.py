"""What members are to a room: roles, mutes, blocks, notifications."""

from __future__ import annotations

from services.gateway.rest.router import Routes

routes = Routes()
