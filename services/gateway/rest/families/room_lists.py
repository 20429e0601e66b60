"""Directories, and lists of rooms for administrators."""

from __future__ import annotations

from services.gateway.rest.router import Routes

routes = Routes()
