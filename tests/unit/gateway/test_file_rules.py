"""The rules about files: names, types, sizes, parts, initials."""

from __future__ import annotations

import io
import struct
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.gateway.domain import dimensions, file_names, initials, media_types, ranges
from services.gateway.domain.dimensions import Size
from services.gateway.domain.ranges import Part, Unsatisfiable

# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        pytest.param("report.pdf", "report.pdf", id="plain"),
        pytest.param("../../x", "x", id="path"),
        pytest.param("..\\..\\C:\\x.txt", "x.txt", id="windows-path"),
        pytest.param("a\0.png", "a.png", id="nul"),
        pytest.param("a\r\nSet-Cookie: x", "aSet-Cookie: x", id="header"),
        pytest.param("gpj.\u202eexe", "gpj.exe", id="direction"),
        pytest.param("", "file", id="empty"),
        pytest.param("...", "file", id="dots"),
        pytest.param(" \u200d ", "file", id="invisible"),
        pytest.param(".bashrc", "bashrc", id="hidden"),
        pytest.param("e\u0301t\u00e9.txt", "\u00e9t\u00e9.txt", id="composed"),
        pytest.param("👩\u200d🚀.png", "👩\u200d🚀.png", id="emoji"),
        pytest.param("a/", "file", id="folder"),
    ],
)
def test_names_are_made_harmless(given_name: str, kept: str) -> None:
    """They can be shown and saved wherever the receiver is."""
    assert file_names.clean(given_name) == kept


def test_long_names_keep_their_extension() -> None:
    """300 characters are cut to what file systems hold."""
    cut = file_names.clean("é" * 300 + ".jpeg")

    assert len(cut.encode()) <= file_names.LONGEST
    assert cut.endswith("é.jpeg")


@given(st.text())
def test_any_name_is_one_line_and_found_again_in_its_address(name: str) -> None:
    """Whatever it was."""
    cleaned = file_names.clean(name)
    path = file_names.url_path("id", cleaned)

    assert cleaned
    assert "/" not in cleaned
    assert not {unicodedata.category(one) for one in cleaned} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(cleaned.encode()) <= file_names.LONGEST
    assert path.isascii()
    assert unquote(path.rpartition("/")[2]) == cleaned
    assert file_names.clean(cleaned) == cleaned
    for inline in (True, False):
        header = file_names.disposition(cleaned, inline=inline)
        assert header.isascii()
        assert header.isprintable()
        assert header.startswith("inline" if inline else "attachment")


# -- types --------------------------------------------------------------------------------------


def drawn(form: str, width: int = 5, height: int = 7, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "claim", "found"),
    [
        pytest.param(drawn("PNG"), "text/html", "image/png", id="png"),
        pytest.param(drawn("JPEG"), "", "image/jpeg", id="jpeg"),
        pytest.param(drawn("GIF"), "", "image/gif", id="gif"),
        pytest.param(drawn("WEBP"), "", "image/webp", id="webp"),
        pytest.param(drawn("BMP"), "", "image/bmp", id="bmp"),
        pytest.param(b"\0\0\0 ftypavif\0\0", "", "image/avif", id="avif"),
        pytest.param(b"\0\0\0 ftypisom\0\0", "", "video/mp4", id="mp4"),
        pytest.param(b"\0\0\0 ftypM4A \0\0", "", "audio/mp4", id="m4a"),
        pytest.param(b"\x1aE\xdf\xa3\0", "audio/webm", "audio/webm", id="webm-audio"),
        pytest.param(b"\x1aE\xdf\xa3\0", "image/png", "video/webm", id="webm"),
        pytest.param(b"OggS\0", "", "audio/ogg", id="ogg"),
        pytest.param(b"ID3\x03\0\0", "", "audio/mpeg", id="mp3"),
        pytest.param(b"\xff\xfb\x90\x00", "", "audio/mpeg", id="mp3-bare"),
        pytest.param(b"%PDF-1.7", "", "application/pdf", id="pdf"),
        pytest.param(b"PK\x03\x04", "image/png", "application/zip", id="zip"),
        pytest.param(
            b"PK\x03\x04",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            id="docx",
        ),
        pytest.param(b"hello", "text/csv", "text/csv", id="csv"),
        pytest.param(b"hello", "text/html", "text/plain", id="no-html"),
        pytest.param(b"hello", "image/svg+xml", "text/plain", id="no-svg"),
        pytest.param(b"hello", "application/javascript", "text/plain", id="script"),
        pytest.param(b"BMW is a car", "", "text/plain", id="no-bmp"),
        pytest.param(b"MZ is short for", "", "text/plain", id="no-exe"),
        pytest.param(b"<svg onload=alert(1)>", "image/png", "image/svg+xml", id="svg"),
        pytest.param(
            b"<?xml version='1.0'?><!-- x --><svg xmlns='x'/>", "", "image/svg+xml", id="xml-svg"
        ),
        pytest.param(b" \n<ScRiPt>alert(1)</script>", "image/png", "text/html", id="script-tag"),
        pytest.param("<html>".encode("utf-16"), "image/gif", "text/html", id="html-utf-16"),
        pytest.param(b"<p>*hi*</p>", "text/markdown", "text/markdown", id="markdown"),
        pytest.param(b"<svg>", "text/markdown", "image/svg+xml", id="svg-stays"),
        pytest.param(b"<?xml version='1.0'?><note/>", "", "application/xml", id="xml"),
        pytest.param(b"\x00\x01\x02", "image/png", "application/octet-stream", id="binary"),
        pytest.param(b"\xff\xff\xff", "text/plain", "application/octet-stream", id="latin"),
        pytest.param(b"", "image/png", "application/octet-stream", id="nothing"),
        pytest.param("é".encode() * 3000, "", "text/plain", id="cut-character"),
    ],
)
def test_the_bytes_decide(data: bytes, claim: str, found: str) -> None:
    """A claim counts only among types that no browser runs or draws."""
    assert media_types.sniffed(data, claim) == found


@given(st.binary(max_size=300), st.text(max_size=30))
def test_any_bytes_have_a_type(data: bytes, claim: str) -> None:
    """And no claim makes them one that a browser shows when they are not."""
    found = media_types.sniffed(data, claim)

    assert media_types.is_a_type(found)
    if media_types.is_inline(found):
        assert media_types.is_inline(media_types.sniffed(data))


@pytest.mark.parametrize("media_type", ["image/svg+xml", "text/html", "application/xml"])
def test_what_runs_is_never_shown(media_type: str) -> None:
    """It may only be saved."""
    assert not media_types.is_inline(media_type)


@pytest.mark.parametrize(
    ("allowed", "refused", "accepted"),
    [
        ("", "", True),
        ("image/*", "", True),
        ("image/png, image/jpeg", "", True),
        ("IMAGE/PNG", "", True),
        ("video/*", "", False),
        ("", "image/png", False),
        ("image/*", "image/png", False),
        ("", "image/*", False),
        ("", "video/*", True),
    ],
)
def test_lists_of_types(allowed: str, refused: str, accepted: bool) -> None:
    """Nothing allowed means everything; what is refused is refused."""
    assert media_types.is_accepted("image/png", allowed, refused) is accepted


# -- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_sizes_are_read(form: str) -> None:
    """As the drawing library sees them, too."""
    data = drawn(form, 321, 123)

    assert dimensions.size_of(data, f"image/{form.lower()}") == Size(321, 123)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"exif": b"Exif\0\0" + bytes(40)}], ids=["lossless", "extended"]
)
def test_other_kinds_of_webp(options: dict[str, object]) -> None:
    """There are three."""
    data = drawn("WEBP", 321, 123, **options)

    assert dimensions.size_of(data, "image/webp") == Size(321, 123)


def test_jpeg_with_much_before_its_size() -> None:
    """What cameras write comes first."""
    data = drawn("JPEG", 40, 30, exif=b"Exif\0\0" + bytes(60_000))

    assert dimensions.size_of(data, "image/jpeg") == Size(40, 30)


def test_a_small_file_may_claim_much() -> None:
    """50,000 by 50,000 pixels in 50 bytes."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header

    size = dimensions.size_of(data, "image/png")

    assert size is not None
    assert size.is_too_large
    assert not Size(8000, 5000).is_too_large


@given(
    st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"]),
    st.sampled_from([b"", drawn("PNG")[:12], b"\xff\xd8", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X"]),
    st.binary(max_size=100),
)
def test_any_bytes_have_a_size_or_none(media_type: str, start: bytes, data: bytes) -> None:
    """Broken files are no error."""
    found = dimensions.size_of(start + data, media_type)

    assert found is None or (found.width > 0 and found.height > 0)


# -- parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-0", Part(0, 0)),
        ("bytes=0-", Part(0, 9)),
        ("bytes=3-5", Part(3, 5)),
        ("bytes=3-500", Part(3, 9)),
        ("bytes=-3", Part(7, 9)),
        ("bytes=-300", Part(0, 9)),
        ("bytes=5-3", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=0-1", None),
        ("bytes=0-99999999999999999999", None),
    ],
)
def test_parts(header: str | None, part: Part | None) -> None:
    """Of ten bytes. What is not understood means everything."""
    assert ranges.wanted_part(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0"])
def test_parts_that_do_not_exist(header: str) -> None:
    """Are said to be none."""
    with pytest.raises(Unsatisfiable):
        ranges.wanted_part(header, 10)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 40))
def test_a_part_lies_within(first: int, last: int, size: int) -> None:
    """Whatever is asked for."""
    try:
        part = ranges.wanted_part(f"bytes={first}-{last}", size)
    except Unsatisfiable:
        assert first >= size
        return

    if part is None:
        assert last < first
        return
    assert 0 <= part.start <= part.end < size
    assert part.content_range(size) == f"bytes {part.start}-{part.end}/{size}"
    assert part.length == len(range(size)[first : last + 1])


@pytest.mark.parametrize(
    ("header", "current"),
    [
        (None, False),
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ("*", True),
        ('"ab"', False),
        ("abc", False),
    ],
)
def test_copies(header: str | None, current: bool) -> None:
    """A client's copy is named by its tag."""
    assert ranges.is_current(header, "abc") is current


# -- initials -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("ana", "AN"),
        ("ana-maria.lee", "AL"),
        ("Ana Lee", "AL"),
        ("x", "X"),
        ("日本", "日本"),
        ("éa", "ÉA"),
        ("", "?"),
        ("<>&", "?"),
    ],
)
def test_initials(name: str, letters: str) -> None:
    """Of the first and the last word."""
    assert initials.initials_of(name) == letters


@given(st.text())
def test_initials_hold_nothing_but_letters(name: str) -> None:
    """No name gets markup into the picture, and it is the same one every time."""
    picture = initials.svg(name, 50).decode()

    assert picture.count("<") == 5
    assert "&" not in picture
    assert picture == initials.svg(name, 50).decode()
