"""How large a picture is, read from its first bytes without drawing it.

Whether a picture may be drawn at all depends on this, so no drawing library is asked.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

MAX_PIXELS: Final = 40_000_000
"""Pixels of a picture; a small file may claim any number of them, and drawing takes four bytes
for each."""

HEAD: Final = 512 * 1024
"""Bytes of a picture within which its size is found. Only what cameras write before it is long."""

_STARTS_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels."""

    width: int
    height: int

    @property
    def is_too_large(self) -> bool:
        """Whether nobody should try to draw it."""
        return self.width * self.height > MAX_PIXELS


def size_of(head: bytes, media_type: str) -> Size | None:
    """The size of a PNG, JPEG, GIF or WebP picture that begins with `head`; None: not found."""
    try:
        match media_type:
            case "image/png":
                found = struct.unpack(">II", head[16:24]) if head[12:16] == b"IHDR" else None
            case "image/gif":
                found = struct.unpack("<HH", head[6:10])
            case "image/webp":
                found = _webp(head)
            case "image/jpeg":
                found = _jpeg(head)
            case _:
                found = None
    except (struct.error, IndexError):
        return None
    return Size(*found) if found and all(found) else None


def _webp(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8X":
            width = int.from_bytes(head[24:27], "little") + 1
            return (width, int.from_bytes(head[27:30], "little") + 1)
        case b"VP8L":
            bits = struct.unpack("<I", head[21:25])[0]
            return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8 ":
            width, height = struct.unpack("<HH", head[26:30])
            return (width & 0x3FFF, height & 0x3FFF)
        case _:
            return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    place = 2
    while place < len(head):
        if head[place] != 0xFF:
            return None
        marker = head[place + 1]
        if marker == 0xFF:  # padding
            place += 1
        elif marker in _ALONE:
            place += 2
        elif marker in _STARTS_OF_FRAME:
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return (width, height)
        else:
            place += 2 + struct.unpack(">H", head[place + 2 : place + 4])[0]
    return None
