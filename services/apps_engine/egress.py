"""Requests to servers outside, on behalf of somebody who may not mean well.

An app or a webhook names an address; the request is made from inside the network, where much
trusts its neighbours. So the name is resolved first, every address that it has is judged, and the
connection is made to what was judged: a name that changes in between gains nothing, because the
socket itself is only opened for an address that passes. A redirect is judged like a new request.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDictProxy
from yarl import URL

from services.apps_engine.domain.addresses import (
    BadAddress,
    Network,
    Target,
    may_reach,
    target_of,
)

CONNECT_WITHIN: Final = 5.0
"""Seconds for finding an address, and again for connecting to it."""
MOST_REDIRECTS: Final = 3
LONGEST_ANSWER: Final = 1024 * 1024
"""Bytes of an answer's body."""
AGENT: Final = "Hubbub"

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AS_GET: Final = frozenset({301, 302, 303})
_OWN_HEADERS: Final = frozenset(
    "host content-length transfer-encoding connection upgrade te trailer expect accept-encoding"
    " proxy-authorization proxy-connection keep-alive".split()
)
"""Headers that say how a request is carried: nobody but us sets them."""
_FOR_ONE_SERVER: Final = frozenset({"authorization", "cookie"})

Permit = Callable[[str, int], bool]
"""Whether requests may go to this host and port at all."""


class EgressError(Exception):
    """No answer. The text is fit to be shown to whoever made the request."""


class Refused(EgressError):
    """The request was not made, and would not be if it were repeated."""


class Unanswered(EgressError):
    """Nobody answered as a server should; another time somebody may."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    url: URL
    """Where it came from, behind all redirects."""


async def look_up(host: str, port: int) -> list[str]:
    """The numeric addresses of a host. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Egress:
    """Makes requests to the open internet, and to the networks that an operator opened."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        look_up: Callable[[str, int], Any] = look_up,
    ) -> None:
        """
        Args:
            allowed: networks beside the open internet.
            look_up: finds the addresses of a host: as `look_up` of this module.
        """
        self._allowed = tuple(allowed)
        self._look_up = look_up

    async def fetch(
        self,
        method: str,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        within: float = 20.0,
        permit: Permit | None = None,
    ) -> Reply:
        """The answer to one request, redirects followed.

        Args:
            within: seconds for all of it.
            permit: asked before each connection, redirects included.

        Raises: Refused; Unanswered.
        """
        sent = {
            name: value
            for name, value in (headers or {}).items()
            if name.lower() not in _OWN_HEADERS
        }
        try:
            async with asyncio.timeout(within):
                return await self._follow(method, address, sent, body, permit)
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except aiohttp.TooManyRedirects:
            raise Refused("too many redirects") from None
        except (aiohttp.ClientError, OSError, ValueError, UnicodeError) as error:
            raise Unanswered(_plainly(error)) from None

    async def _follow(
        self,
        method: str,
        address: str,
        headers: dict[str, str],
        body: bytes | None,
        permit: Permit | None,
    ) -> Reply:
        target = _checked(address, permit)
        for _ in range(MOST_REDIRECTS + 1):
            reply = await self._ask(method, target, headers, body)
            location = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or not location:
                return reply
            before = target
            target = _checked(_joined(target.url, location), permit)
            if reply.status in _AS_GET and method not in ("GET", "HEAD"):
                method, body = "GET", None
                headers = _without(headers, frozenset({"content-type"}))
            if target.origin != before.origin:
                headers = _without(headers, _FOR_ONE_SERVER)
        raise Refused("too many redirects")

    async def _ask(
        self, method: str, target: Target, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        addresses = await self._judged(target)
        connector = aiohttp.TCPConnector(
            resolver=_Known(target.host, addresses),
            use_dns_cache=False,
            force_close=True,
            socket_factory=self._socket,
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=timeout,
                trust_env=False,
                auto_decompress=False,
                headers={"User-Agent": AGENT},
            ) as session,
            session.request(
                method,
                target.url,
                data=body,
                # What is packed could unpack to anything.
                headers={**headers, "Accept-Encoding": "identity"},
                allow_redirects=False,
            ) as response,
        ):
            return Reply(response.status, response.headers, await _body(response), target.url)

    async def _judged(self, target: Target) -> list[str]:
        """Every address of the host. Raises: Refused: one of them must not be reached."""
        async with asyncio.timeout(CONNECT_WITHIN):
            addresses = list(await self._look_up(target.host, target.port))
        if not addresses:
            raise Unanswered("the host has no address")
        if not all(may_reach(address, self._allowed) for address in addresses):
            raise Refused("the address is not one of the open internet")
        return addresses

    def _socket(self, info: Any) -> socket.socket:
        """A socket for the very address that is about to be connected to."""
        family, kind, protocol, _, address = info
        if not may_reach(str(address[0]), self._allowed):
            raise OSError("the address is not one of the open internet")
        return socket.socket(family=family, type=kind, proto=protocol)


class _Known(AbstractResolver):
    """Knows one host, by addresses that were judged."""

    def __init__(self, host: str, addresses: Sequence[str]) -> None:
        self._host = host
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host.lower().rstrip(".") != self._host:
            raise OSError("another host")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _checked(address: str | URL, permit: Permit | None) -> Target:
    try:
        target = target_of(address)
    except BadAddress as error:
        raise Refused(str(error)) from None
    if permit is not None and not permit(target.host, target.port):
        raise Refused("the host is not one that requests may go to")
    return target


def _joined(base: URL, location: str) -> URL:
    try:
        return base.join(URL(location))
    except ValueError:
        raise Refused("redirected to what is no address") from None


def _without(headers: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in names}


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Raises: Refused: more than `LONGEST_ANSWER`, whatever its headers say."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            raise Refused("the answer is larger than 1 MiB")
    return bytes(body)


def _plainly(error: BaseException) -> str:
    """What went wrong, without what the other side said: that may be anything."""
    match error:
        case aiohttp.ClientSSLError():
            return "the certificate does not hold"
        case socket.gaierror():
            return "no such host"
        case aiohttp.ClientConnectorError() | ConnectionError():
            return "no connection"
        case _:
            return f"no answer ({type(error).__name__})"
