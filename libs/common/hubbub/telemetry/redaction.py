"""What must not get into a log: secrets, texts of people, whole addresses, data in errors."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, Literal

import structlog
from structlog.typing import ExcInfo, WrappedLogger

EventDict = MutableMapping[str, Any]

_SECRET_KEYS: Final = re.compile(
    r"(^|_)(password|passwd|token|resume|authorization|cookie|digest|secret|credential)s?$"
)
_CONTENT_KEYS: Final = re.compile(r"(^|_)(text|content|body)$")
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|-")
_MASK: Final = "***"
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")
_QUOTED: Final = re.compile(r"(dup key: |input_value=)(\{[^}]*\}|'[^']*'|\"[^\"]*\"|[^,\]]*)")
_DEEPEST: Final = 4  # levels of a value that are looked through
_LONGEST_ERROR: Final = 300  # characters


def redacted(text: str) -> str:
    """`text` without the user names and passwords that URLs in it carry, and without the data
    that errors of the database and of checks quote."""
    return _QUOTED.sub(rf"\1{_MASK}", _CREDENTIALS.sub(f"{_MASK}@", text))


def name_error(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Say in two plain keys what the traceback is about."""
    given = event.get("exc_info")
    if not given:
        return event
    error = given if isinstance(given, BaseException) else sys.exc_info()[1]
    if isinstance(given, tuple):
        error = given[1]
    if error is not None:
        event.setdefault("err_type", type(error).__name__)
        event.setdefault("err", str(error)[:_LONGEST_ERROR])
    return event


_transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def traceback(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """A traceback as data, with the errors' own words redacted."""
    stacks = _transform(exc_info)
    for stack in stacks:
        stack["exc_value"] = redacted(str(stack.get("exc_value", "")))
    return stacks


@lru_cache(maxsize=1024)
def _kind_of(key: str) -> Literal["secret", "content", "plain"]:
    """What a value of this key is. `authToken`, `X-Auth-Token` and `auth_token` are the same."""
    name = _WORD.sub("_", key).lower()
    if _SECRET_KEYS.search(name):
        return "secret"
    return "content" if _CONTENT_KEYS.search(name) else "plain"


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The network of a client's address: /24, of IPv6 /48; what is no address is hidden."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return _MASK
    mapped = getattr(found, "ipv4_mapped", None) or found
    bits = 24 if mapped.version == 4 else 48
    return str(ipaddress.ip_network((mapped, bits), strict=False))


class Redaction:
    """Masks what must not get out."""

    def __init__(self, *, content: bool, full_ip: bool) -> None:
        self._masked = frozenset({"secret"} if content else {"secret", "content"})
        self._full_ip = full_ip

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for key, value in event.items():
            if key == "peer" and isinstance(value, str) and value and not self._full_ip:
                event[key] = network_of(value)
            elif key != "exc_info":
                event[key] = self._shown(key, value, _DEEPEST)
        return event

    def _shown(self, key: str, value: Any, depth: int) -> Any:
        if _kind_of(key) in self._masked:
            return _MASK
        if isinstance(value, str):
            return redacted(value) if "://" in value or _QUOTED.search(value) else value
        if isinstance(value, Mapping):
            if not depth:
                return _MASK
            return {
                str(name): self._shown(str(name), one, depth - 1) for name, one in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._shown("", one, depth - 1) for one in value] if depth else _MASK
        return value
