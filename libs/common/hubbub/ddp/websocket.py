"""WebSocket frames (RFC 6455), the server's side, without I/O and without extensions.

`FrameParser` takes bytes as they come and gives messages; it keeps no buffer while a connection
is idle. Builders make whole frames, so that one bytes object can be written to many sockets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from hubbub.ddp.messages import MESSAGE_TOO_BIG, PROTOCOL_ERROR, UNSUPPORTED_DATA, ProtocolViolation

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
FRAGMENT: Final = -1
"""A part of a message arrived whose end is still to come; the payload given with it is empty."""

NO_STATUS: Final = 1005
"""Stands for a close frame without a code (RFC 6455 7.1.5); never sent."""

MAX_CONTROL_PAYLOAD: Final = 125  # bytes
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FIN = 0x80
_MASK = 0x80


class FrameParser:
    """An incremental parser of what one client sends.

    feed(data)           hand over bytes, as many or few as arrived
    next()               the next (opcode, payload), or None when more bytes are needed

    Text is checked to be UTF-8. A message longer than `max_message` bytes is refused by its
    declared length, before its bytes arrive. After a violation the parser must not be used.
    """

    __slots__ = ("_buffer", "_max_message", "_partial", "_position")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._buffer: bytes | bytearray = b""
        self._position = 0  # where the next frame begins in the buffer
        self._partial: bytearray | None = None  # of a fragmented message under way

    def feed(self, data: bytes) -> None:
        """Take bytes from the network."""
        if self._position == len(self._buffer):
            self._buffer = data
        elif isinstance(self._buffer, bytearray):
            del self._buffer[: self._position]
            self._buffer += data
        else:  # from here on a bytearray: a long message in small pieces must not be copied anew
            self._buffer = bytearray(self._buffer[self._position :])
            self._buffer += data
        self._position = 0

    @property
    def buffered(self) -> int:
        """Bytes kept for later."""
        partial = 0 if self._partial is None else len(self._partial)
        return len(self._buffer) - self._position + partial

    def next(self) -> tuple[int, bytes] | None:
        """The next whole message or control frame, `(FRAGMENT, b"")`, or None.

        Raises:
            ProtocolViolation: 1002 (no RFC 6455 client would send this), 1007 (binary, or text
                that is not UTF-8), 1009 (longer than allowed).
        """
        buffer, position = self._buffer, self._position
        available = len(buffer) - position
        if available < 2:
            self._keep_rest()
            return None
        first, second = buffer[position], buffer[position + 1]
        opcode, length = self._check_head(first, second)
        head = 2
        if length == 126:
            head = 4
            if available >= head:
                length = int.from_bytes(buffer[position + 2 : position + 4], "big")
                if length < 126:  # RFC 6455 5.2: the shortest form must be used
                    raise ProtocolViolation(1002, PROTOCOL_ERROR)
        elif length == 127:
            head = 10
            if available >= head:
                length = int.from_bytes(buffer[position + 2 : position + 10], "big")
                if length < 65536 or length >> 63:
                    raise ProtocolViolation(1002, PROTOCOL_ERROR)
        if available < head:
            self._keep_rest()
            return None
        if opcode < CLOSE:
            so_far = 0 if self._partial is None else len(self._partial)
            if so_far + length > self._max_message:
                raise ProtocolViolation(1009, MESSAGE_TOO_BIG)
        body = position + head + 4
        end = body + length
        if len(buffer) < end:
            self._keep_rest()
            return None
        payload = unmask(buffer[body:end], buffer[body - 4 : body])
        self._position = end
        if end == len(buffer):
            self._buffer, self._position = b"", 0
        return self._message(opcode, payload, final=first >= _FIN)

    def _check_head(self, first: int, second: int) -> tuple[int, int]:
        """Opcode and 7-bit length of a frame that may come now."""
        opcode, length = first & 0x0F, second & 0x7F
        allowed = (
            not first & 0x70  # reserved bits belong to extensions; none was negotiated
            and second & _MASK
            and (
                (opcode in (TEXT, BINARY) and self._partial is None)
                or (opcode == CONTINUATION and self._partial is not None)
                or (
                    opcode in (CLOSE, PING, PONG) and first & _FIN and length <= MAX_CONTROL_PAYLOAD
                )
            )
        )
        if not allowed:
            raise ProtocolViolation(1002, PROTOCOL_ERROR)
        if opcode == BINARY:
            raise ProtocolViolation(1007, UNSUPPORTED_DATA)
        return opcode, length

    def _message(self, opcode: int, payload: bytes, *, final: bool) -> tuple[int, bytes]:
        if opcode >= CLOSE:
            return opcode, payload
        if opcode == TEXT and final:
            _check_text(payload)
            return TEXT, payload
        if self._partial is None:
            self._partial = bytearray()
        self._partial += payload
        if not final:
            return FRAGMENT, b""
        whole = bytes(self._partial)
        self._partial = None
        _check_text(whole)
        return TEXT, whole

    def _keep_rest(self) -> None:
        """Let go of what was consumed, so that a partial frame does not hold a whole chunk."""
        if self._position:
            self._buffer = self._buffer[self._position :]
            self._position = 0


def unmask(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """`payload` XORed with the repeated four bytes of `mask` (RFC 6455 5.3)."""
    length = len(payload)
    repeated = (mask * ((length + 3) >> 2))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(
        length, "little"
    )


def _check_text(payload: bytes) -> None:
    if payload.isascii():
        return
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(1007, UNSUPPORTED_DATA) from None


def text_frame(payload: bytes) -> bytes:
    """A whole text frame, header and payload."""
    return _frame(TEXT, payload)


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping; `payload` at most 125 bytes."""
    return _frame(PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """A pong; `payload` is that of the ping it answers."""
    return _frame(PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; `NO_STATUS` makes one without a code. Long reasons are cut."""
    if code == NO_STATUS:
        return _frame(CLOSE, b"")
    text = reason.encode()[: MAX_CONTROL_PAYLOAD - 2].decode(errors="ignore")
    return _frame(CLOSE, code.to_bytes(2, "big") + text.encode())


def close_status(payload: bytes) -> tuple[int, str]:
    """Code and reason in the payload of a client's close frame.

    Raises:
        ProtocolViolation: 1002: a code that must not be sent, or half a code; 1007: the reason
            is not UTF-8.
    """
    if not payload:
        return NO_STATUS, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not _may_be_sent(code):
        raise ProtocolViolation(1002, PROTOCOL_ERROR)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(1007, UNSUPPORTED_DATA) from None


def _may_be_sent(code: int) -> bool:
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((_FIN | opcode, length)) + payload
    if length < 65536:
        return bytes((_FIN | opcode, 126)) + length.to_bytes(2, "big") + payload
    return bytes((_FIN | opcode, 127)) + length.to_bytes(8, "big") + payload


def accept_key(key: str) -> str | None:
    """The `Sec-WebSocket-Accept` for a client's key; None if it is not base64 of 16 bytes."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324
