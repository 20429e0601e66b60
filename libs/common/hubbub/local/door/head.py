"""Heads of HTTP requests, as far as a front door must understand them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEAD = 64 * 1024
"""Bytes of a request head; longer ones are left to the HTTP server, which refuses them."""

_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one request."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]  # names in lower case
    raw: bytes  # as it came, with its empty line

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def is_upgrade(self) -> bool:
        """Whether the connection stops speaking HTTP after this request."""
        connection = self.value("connection").lower()
        return bool(self.value("upgrade")) and "upgrade" in connection

    def value(self, name: str) -> str:
        """All values of a header, joined as HTTP joins them; "" when there is none."""
        return ", ".join(value for known, value in self.headers if known == name)

    def forwarded(self, client: str) -> bytes:
        """The same head, byte for byte, with `client` appended to X-Forwarded-For."""
        lines = self.raw[: -len(_END)].split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(b"x-forwarded-for:")]
        before = self.value("x-forwarded-for")
        chain = f"{before}, {client}" if before else client
        return b"\r\n".join([*kept, b"X-Forwarded-For: " + chain.encode("latin-1")]) + _END


def is_complete(received: bytes | bytearray) -> bool:
    """Whether `received` holds a whole head."""
    return _END in received


def parse(received: bytes) -> tuple[Head, bytes]:
    """The head at the start of `received`, and what follows it.

    Raises:
        ValueError: this is not the head of an HTTP/1 request.
    """
    raw, found, rest = received.partition(_END)
    if not found:
        raise ValueError("the head is not complete")
    first, *lines = raw.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ValueError("not an HTTP/1 request line")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError("not a header line")
        headers.append((name.lower(), value.strip()))
    return Head(words[0], words[1], tuple(headers), raw + _END), rest
