"""Which pages of other origins may call the API."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from services.gateway.rest.answers import Answer

_ALLOWED: Mapping[str, str] = MappingProxyType(
    {
        "Access-Control-Allow-Headers": (
            "Origin, X-Requested-With, Content-Type, Accept, X-User-Id, X-Auth-Token, "
            "x-visitor-token, Authorization, X-2fa-code, X-2fa-method"
        ),
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, HEAD, PATCH",
    }
)
_OFF = 'CORS not enabled. Go to "Admin > General > REST Api" (API_Enable_CORS) to enable it.'


class Cors:
    """The rules for one setting: empty (off), `*`, or a comma list of origins."""

    def __init__(self, setting: str) -> None:
        self._origins = frozenset(part.strip() for part in setting.split(",") if part.strip())

    @property
    def enabled(self) -> bool:
        """Whether pages of any other origin may call."""
        return bool(self._origins)

    def accepts(self, origin: str | None) -> bool:
        """Whether a call may go on. Without the setting browsers decide alone."""
        return origin is None or not self.enabled or "*" in self._origins or origin in self._origins

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """What an answer tells the browser."""
        if not self.enabled:
            return {}
        if "*" in self._origins:
            return {"Access-Control-Allow-Origin": "*", **_ALLOWED}
        if origin is None or origin not in self._origins:
            return {"Vary": "Origin"}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **_ALLOWED}

    def preflight(self) -> Answer:
        """The answer to OPTIONS."""
        if self.enabled:
            return Answer({"success": True})
        return Answer(
            {"success": False, "error": _OFF},
            status=405,
            headers={"Allow": "DELETE, GET, HEAD, POST, PUT"},
        )
