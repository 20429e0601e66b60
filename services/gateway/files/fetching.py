"""Pictures from other people's servers, without reaching into our own network.

Whoever gives an address decides where this process connects to. So the host is resolved here,
every address it stands for must be a public one, and the connection goes to one of those that
were checked: what the name says a moment later does not matter. Redirects start over.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from hubbub.errors import HubbubError

WITHIN: Final = 10.0
"""Seconds for everything, redirects included."""
LARGEST: Final = 5 * 1024 * 1024
"""Bytes of a picture."""
REDIRECTS: Final = 3

_LONGEST: Final = 2048  # characters of an address
_SHOWN: Final = 200  # characters of it that an error repeats
_PIECE: Final = 64 * 1024
_MOVED: Final = frozenset({301, 302, 303, 307, 308})

_HEADERS: Final = {"User-Agent": "Hubbub", "Accept": "image/*", "Accept-Encoding": "identity"}

Address = IPv4Address | IPv6Address


class BadAddress(HubbubError):
    """Nothing can or may be fetched there."""

    default_code = "error-avatar-invalid-url"
    status = 400


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or _translated(address)
        if inner is not None:  # what is connected to in the end
            return is_public(inner)
        if address.sixtofour is not None or address.teredo is not None or address.is_site_local:
            return False  # tunnels into somebody's network, and networks of old
    return address.is_global and not address.is_multicast and not address.is_reserved


def _translated(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a network's translator (RFC 6052) would connect to."""
    if address.packed.startswith(b"\x00\x64\xff\x9b" + bytes(8)):
        return IPv4Address(address.packed[12:])
    return None


class _Pinned(AbstractResolver):
    """Gives the addresses that were checked, whatever is asked."""

    def __init__(self, host: str, addresses: list[Address]) -> None:
        self._host = host
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=self._host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Fetcher:
    """Fetches pictures."""

    def __init__(self, *, is_allowed: Callable[[Address], bool] = is_public) -> None:
        """
        Args:
            is_allowed: says which addresses may be connected to.
        """
        self._is_allowed = is_allowed

    async def fetch(self, address: str) -> bytes:
        """What is found at `address`, at most `LARGEST` bytes. Raises: BadAddress."""
        refusal = BadAddress(f"Invalid avatar URL: {address[:_SHOWN]}")
        if len(address) > _LONGEST:
            raise refusal
        try:
            async with asyncio.timeout(WITHIN):
                url = URL(address)
                for _ in range(REDIRECTS + 1):
                    found = await self._ask(url)
                    if isinstance(found, bytes):
                        return found
                    url = url.join(found)
        except (ValueError, OSError, TimeoutError, aiohttp.ClientError):
            raise refusal from None
        raise refusal

    async def _ask(self, url: URL) -> bytes | URL:
        """The bytes there, or where they are instead. Raises: ValueError: not to be asked."""
        if url.scheme not in ("http", "https") or not url.host or url.user or url.password:
            raise ValueError("not an address of the web")
        addresses = await self._addresses(url.host, url.port or 80)
        connector = aiohttp.TCPConnector(resolver=_Pinned(url.host, addresses), limit=1)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={
                    "User-Agent": "Hubbub",
                    "Accept": "image/*",
                    "Accept-Encoding": "identity",
                },
            ) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status in _MOVED and "Location" in answer.headers:
                return URL(answer.headers["Location"])
            if answer.status != 200:
                raise ValueError("nothing there")
            return await _body(answer)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of a host. Raises: ValueError: one of them is not allowed."""
        loop = asyncio.get_running_loop()
        found: list[Any] = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(ip_address(entry[4][0].split("%")[0]) for entry in found))
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise ValueError("not a public address")
        return addresses


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    if (answer.content_length or 0) > LARGEST:
        raise ValueError("too large")
    data = bytearray()
    async for piece in answer.content.iter_chunked(_PIECE):
        data += piece
        if len(data) > LARGEST:
            raise ValueError("too large")
    return bytes(data)
