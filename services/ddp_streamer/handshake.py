"""What a request on the public port asks for, and whether it is a proper WebSocket handshake.

Pure: headers in, a decision out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from hubbub.ddp.websocket import accept_key


class Route(Enum):
    """What a path is for."""

    RAW = auto()
    SOCKJS = auto()
    SOCKJS_INFO = auto()
    HEALTH = auto()
    NONE = auto()


_SOCKJS_SESSION = re.compile(r"/sockjs/[^/.]{1,64}/[^/]{1,128}/websocket")
_FIXED = {
    "/websocket": Route.RAW,
    "/sockjs/websocket": Route.RAW,
    "/sockjs/info": Route.SOCKJS_INFO,
    "/health": Route.HEALTH,
}


def route(path: str, root: str) -> Route:
    """The route of a path (without query). One trailing slash does not count."""
    if not path.startswith(root):
        return Route.NONE
    path = path[len(root) :].removesuffix("/")
    if found := _FIXED.get(path):
        return found
    return Route.SOCKJS if _SOCKJS_SESSION.fullmatch(path) else Route.NONE


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A proper handshake; `answer` is the HTTP answer that completes it."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answer with this status and text; `outcome` is the label it is counted under."""

    status: int
    text: str
    outcome: Literal["bad_request", "bad_origin"] = "bad_request"


def check_upgrade(
    method: str, http: tuple[int, int], headers: Mapping[str, str], allowed_origins: Sequence[str]
) -> Upgrade | Refusal:
    """Judge an upgrade request (RFC 6455 4.2.1).

    Extensions and subprotocols that the client offers are never negotiated: a deflate context
    costs more memory than the whole connection, and frames could not be shared.
    """
    if method != "GET" or http < (1, 1):
        return Refusal(400, "a WebSocket handshake is a GET of HTTP/1.1")
    if "content-length" in headers or "transfer-encoding" in headers:
        return Refusal(400, "a WebSocket handshake has no body")
    connection = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    if headers.get("upgrade", "").strip().lower() != "websocket" or "upgrade" not in connection:
        return Refusal(400, 'can "Upgrade" only to "WebSocket"')
    if headers.get("sec-websocket-version", "").strip() != "13":
        return Refusal(426, "the WebSocket version is 13")
    accept = accept_key(headers.get("sec-websocket-key", "").strip())
    if accept is None:
        return Refusal(400, "no proper Sec-WebSocket-Key")
    origin = headers.get("origin", "").strip().rstrip("/").lower()
    if origin and "*" not in allowed_origins and origin not in allowed_origins:
        return Refusal(403, "this origin may not connect", "bad_origin")
    return Upgrade(
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )


def client_address(
    socket_peer: str | None, forwarded_for: Sequence[str], trusted: int
) -> str | None:
    """The client's address behind `trusted` proxies; None when it cannot be known.

    `forwarded_for`: the values of all `X-Forwarded-For` headers, in order. Only the entries that
    trusted proxies appended count; what stands in front of them may be forged.
    """
    if trusted == 0:
        return socket_peer
    entries = [entry.strip() for value in forwarded_for for entry in value.split(",")]
    return _plain(entries[-trusted]) if len(entries) >= trusted else None


def neighbourhood(address: str) -> str:
    """The unit that limits per address count: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def _plain(entry: str) -> str | None:
    """An entry of `X-Forwarded-For` without port and brackets; None if it is no address."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ipaddress.ip_address(entry))
    except ValueError:
        return None
