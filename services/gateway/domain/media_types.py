"""What a file is: told from its first bytes, not from what its sender claims.

A claim decides only among types that look alike and that no browser runs or draws: a text that
is said to be CSV is CSV, but a page that is said to be a picture is a page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

HEAD: Final = 4096
"""Bytes of a file that decide about its type."""

UNKNOWN: Final = "application/octet-stream"
TEXT: Final = "text/plain"

INLINE: Final = frozenset(
    "image/png image/jpeg image/gif image/webp image/avif video/mp4 video/webm audio/mpeg"
    " audio/ogg video/ogg application/pdf".split()
)
"""Types that a browser may show by itself; everything else it may only save."""

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"fLaC", "audio/flac"),
    (b"MThd", "audio/midi"),
    (b"#!AMR", "audio/amr"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh91AY&SY", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"(\xb5/\xfd", "application/zstd"),
    (b"7z\xbc\xaf'\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-cfb"),
    (b"\x7fELF", "application/x-elf"),
    (b"\x00asm", "application/wasm"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"OTTO", "font/otf"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
)
_BINARY: Final = (
    (b"BM", "image/bmp"),
    (b"ID3", "audio/mpeg"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
)
"""Marks that texts begin with, too: they count only where a zero byte follows soon."""
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS: Final = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
"""Brands of ISO media files; other ones are `video/mp4`."""

_ZIPPED: Final = re.compile(
    r"application/(vnd\.openxmlformats-officedocument\.[a-z.-]+|vnd\.oasis\.opendocument\.[a-z.-]+"
    r"|epub\+zip|java-archive|vnd\.android\.package-archive|vnd\.apple\.(pages|numbers|keynote))"
)
_COMPOUND: Final = re.compile(r"application/(msword|vnd\.ms-(excel|powerpoint|outlook|project))")
_PLAIN: Final = re.compile(
    r"text/(csv|markdown|tab-separated-values|calendar|vcard|x-(log|python|c|java|go|rust|diff"
    r"|patch|yaml|toml|ini))|application/(json|x-ndjson|yaml|toml|sql)"
)
"""Claims that are believed of a text: nothing a browser would run."""

_MARKUP: Final = re.compile(
    rb"<(!doctype\s+html|html|head|body|title|meta|link|style|script|iframe|object|embed|svg|div"
    rb"|img|table|form|input|a|p|b|h[1-6]|br|center|font|base|math|video|audio|template)[\s>/]",
    re.IGNORECASE,
)
_SVG: Final = re.compile(rb"<(?:[a-z]+:)?svg[\s>/]", re.IGNORECASE)
_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,99}")


def sniffed(head: bytes, claimed: str = "") -> str:
    """The media type of a file that begins with `head` and is claimed to be `claimed`."""
    found = _by_magic(head[:HEAD])
    claim = claimed.partition(";")[0].strip().lower()
    if found == "application/zip" and _ZIPPED.fullmatch(claim):
        return claim
    if found == "application/x-cfb":
        return claim if _COMPOUND.fullmatch(claim) else found
    if found == "video/webm" and claim == "audio/webm":
        return claim
    if found == "audio/ogg" and claim == "video/ogg":
        return claim
    if found == "video/mp4" and claim in ("audio/mp4", "audio/m4a", "audio/x-m4a"):
        return "audio/mp4"
    # Told as what it claims, a text with tags in it (Markdown, source code) is shown as text.
    if found in (TEXT, "text/html", "application/xml") and _PLAIN.fullmatch(claim):
        return claim
    return found


def _by_magic(head: bytes) -> str:
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    for magic, media_type in _BINARY:
        if head.startswith(magic) and b"\x00" in head[:64]:
            return media_type
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[:4] == b"OggS":
        return "audio/ogg"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"  # frame sync of layer III
    if head[:2] == b"\xff\xf1" or head[:2] == b"\xff\xf9":
        return "audio/aac"
    if head[257:262] == b"ustar":
        return "application/x-tar"
    return _textual(head)


def _textual(head: bytes) -> str:
    """Texts are told by having no bytes that texts do not have."""
    if not head:
        return UNKNOWN
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", errors="ignore").encode()
    else:
        text = head.removeprefix(b"\xef\xbb\xbf")
    if _SVG.search(text):
        return "image/svg+xml"
    if _MARKUP.search(text):
        return "text/html"
    if text.lstrip().startswith(b"<?xml"):
        return "application/xml"
    if any(byte < 32 and byte not in b"\t\n\x0b\x0c\r\x1b" for byte in text):
        return UNKNOWN
    try:
        text.decode()
    except UnicodeDecodeError as error:
        # The end of a full head may cut a character in two.
        if len(head) < HEAD or error.start < len(text) - 3:
            return UNKNOWN
    return TEXT


def group(media_type: str) -> str:
    """What clients sort files by: `image`, `video`, `audio`, `text`, `application`, …"""
    return media_type.partition("/")[0]


def is_inline(media_type: str) -> bool:
    """Whether a browser may show it."""
    return media_type in INLINE


def is_accepted(media_type: str, allowed: str, refused: str) -> bool:
    """Whether a workspace takes files of this type.

    Args:
        allowed, refused: comma lists of types, `image/*` for all of a group. Nothing allowed
            means everything is.
    """
    if _is_listed(media_type, refused):
        return False
    return not allowed.strip() or _is_listed(media_type, allowed)


def _is_listed(media_type: str, listed: str) -> bool:
    entries = {entry.strip().lower() for entry in listed.split(",")}
    return bool(entries & {media_type, f"{group(media_type)}/*", "*/*", "*"})


def is_a_type(text: str) -> bool:
    """Whether `text` is the name of a media type, without parameters."""
    return _TYPE.fullmatch(text) is not None


EXTENSIONS: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
}
"""Extensions of the pictures that are made here."""
