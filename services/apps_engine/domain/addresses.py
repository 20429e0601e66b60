"""Which addresses requests of apps and webhooks may reach. Pure.

What is judged is the address that a connection is made to, never its spelling: `127.1`, `0`,
`2130706433` and `0x7f000001` are 127.0.0.1 once they are resolved, and a name is whatever it
resolves to at that moment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from yarl import URL

Network = IPv4Network | IPv6Network

LONGEST_URL: Final = 2048
"""Characters of an address."""

_SCHEMES: Final = frozenset({"http", "https"})

# Beside what Python calls not global: its list has changed between versions, and some of these
# lead to an IPv4 address inside them.
_NEVER: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/96",  # IPv4-compatible, with the unspecified address and loopback
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # Teredo and other special purposes
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/9",  # link-local and the site-local of long ago
        "ff00::/8",
    )
)
_EMBEDDING: Final[tuple[IPv6Network, ...]] = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("64:ff9b::/96"),
)
"""Networks whose last 32 bits are the IPv4 address that is reached in the end."""


class BadAddress(ValueError):
    """No address that a request can be sent to; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes."""

    url: URL
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two addresses share that belong to one server."""
        return (self.url.scheme, self.host, self.port)


def target_of(address: str | URL) -> Target:
    """Where `address` leads. Raises: BadAddress."""
    text = str(address)
    if not text or len(text) > LONGEST_URL:
        raise BadAddress("an address has 1 to 2048 characters")
    if any(character <= " " or character in '\\\x7f"<>' for character in text):
        raise BadAddress("an address has no white space")
    try:
        url = URL(text)
        host, port = url.raw_host, url.port
    except ValueError:
        raise BadAddress("not an address") from None
    if url.scheme not in _SCHEMES:
        raise BadAddress("only http and https")
    if "@" in re.split("[/?#]", text.partition("://")[2], maxsplit=1)[0]:
        raise BadAddress("an address carries no credentials")
    if not host or not port or "%" in host:
        raise BadAddress("an address names a host")
    return Target(url.with_fragment(None), host.lower().rstrip("."), port)


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks as an operator writes them. Raises: ValueError."""
    return tuple(ip_network(text.strip()) for text in texts)


def may_reach(address: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether a connection may be made to `address`, which is numeric.

    Args:
        allowed: networks that an operator has opened, although they are not the open internet.
    """
    try:
        found = ip_address(address.partition("%")[0])  # a zone is no part of where it leads
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        for network in _EMBEDDING:
            if found in network:
                # The gateway is one thing, what stands behind it another.
                inner = IPv4Address(int(found) & 0xFFFF_FFFF)
                return _is_in(found, allowed) and may_reach(str(inner), allowed)
    if _is_in(found, allowed):
        return True
    return found.is_global and not found.is_multicast and not _is_in(found, _NEVER)


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
