"""Objects that strangers hand in to be stored as they are: attachments, custom fields."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from hubbub.errors import BadRequest

MAX_DEPTH: Final = 16
_INT64: Final = 2**63
_CUSTOM_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LINK_KEYS: Final = frozenset(
    "message_link author_link author_icon title_link image_url audio_url video_url thumb_url"
    " url".split()
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def check_storable(value: Any, depth: int = MAX_DEPTH) -> None:
    """Make sure that the database can keep `value` and hand it out unchanged.

    Raises:
        BadRequest: too deep, integers beyond 64 bit, NaN, NUL or lone surrogates in text, keys
            that mean something to the database.
    """
    match value:
        case str():
            _check_text(value)
        case bool() | None:
            return
        case int():
            if not -_INT64 <= value < _INT64:
                raise _no_match("an integer is beyond 64 bit")
        case float():
            if not math.isfinite(value):
                raise _no_match("a number is not finite")
        case Mapping() | list():
            if depth == 0:
                raise _no_match("nested too deep")
            for item in value if isinstance(value, list) else _checked_values(value):
                check_storable(item, depth - 1)
        case _:
            return


def check_custom_fields(fields: Mapping[str, Any]) -> None:
    """Raises: BadRequest: a key is not made of letters, digits, `_` and `-`."""
    if not all(_CUSTOM_KEY.fullmatch(key) for key in fields):
        raise _no_match("customFields has a key that is not allowed")
    check_storable(dict(fields))


def check_attachments(attachments: list[dict[str, Any]]) -> None:
    """Raises: BadRequest: a link is neither http(s) nor a path, or `check_storable` refuses."""
    check_storable(attachments)
    for attachment in attachments:
        _check_links(attachment)


def is_safe_link(link: Any) -> bool:
    """Whether a client may follow or load `link`: http, https, or relative."""
    if not isinstance(link, str):
        return False
    # Browsers skip white space and control characters inside a scheme.
    squeezed = "".join(character for character in link if character > " ")
    scheme = _SCHEME.match(squeezed)
    return scheme is None or scheme[0].lower() in {"http:", "https:"}


def _check_links(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_links(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _LINK_KEYS and item is not None and not is_safe_link(item):
                raise BadRequest(f"{key} is not a link to the web", code="invalid-params")
            _check_links(item)


def _checked_values(mapping: Mapping[Any, Any]) -> list[Any]:
    for key in mapping:
        if not isinstance(key, str) or key.startswith("$") or "." in key or not key:
            raise _no_match("a key is not allowed")
        _check_text(key)
    return list(mapping.values())


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise _no_match("text holds NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _no_match("text is not valid Unicode") from None


def _no_match(reason: str) -> BadRequest:
    return BadRequest("Match failed", code=400, details={"problem": reason})
