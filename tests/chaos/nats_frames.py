"""What a NATS server says to its client, cut into whole protocol messages. Pure."""

from __future__ import annotations

_END = b"\r\n"
_WITH_PAYLOAD = (b"MSG ", b"HMSG ")


class Splitter:
    """Collects bytes and gives back the protocol messages that are complete."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; every message that is whole by now, in order, payload included."""
        self._waiting += data
        messages = []
        while (length := self._length()) is not None and length <= len(self._waiting):
            messages.append(bytes(self._waiting[:length]))
            del self._waiting[:length]
        return messages

    def _length(self) -> int | None:
        """Bytes of the first message; None while its first line is not complete."""
        end = self._waiting.find(_END)
        if end < 0:
            return None
        length = end + len(_END)
        if self._waiting.startswith(_WITH_PAYLOAD):
            # The last word of the line is the number of bytes that follow, headers included.
            length += int(self._waiting[:end].rsplit(b" ", 1)[1]) + len(_END)
        return length
