"""What a message's attachments may contain. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from services.gateway.rest.requests import WrongValue

_LINKS: Final = frozenset(
    "message_link author_link author_icon title_link"
    " image_url audio_url video_url thumb_url".split()
)
_TEXTS: Final = _LINKS | frozenset("title text author_name color description".split())
_ACTION_LINKS: Final = ("url", "image")
_SCHEMES: Final = frozenset({"", "http", "https"})


def _checked(value: Any) -> Any:
    if found := problems(value):
        raise WrongValue("\n ".join(found))
    return value


def _safe(value: Any) -> Any:
    if isinstance(value, str) and not link_is_safe(value):
        raise WrongValue('must match format "uri"')
    return value


def problems(attachments: Any) -> list[str]:
    """What is wrong with `attachments`, in the validator's words; empty when all is well."""
    if not isinstance(attachments, list):
        return ["must be array"]
    return [problem for attachment in attachments for problem in _problems(attachment)]


def link_is_safe(link: str) -> bool:
    """Whether a link leads to a web page or into this site, and runs nothing."""
    # Browsers drop control characters and leading white space before they read the scheme.
    cleaned = "".join(char for char in link if char.isprintable() and not char.isspace())
    try:
        return urlsplit(cleaned).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _problems(attachment: Any) -> Iterator[str]:
    if not isinstance(attachment, dict):
        yield "must be object"
        return
    for key, value in attachment.items():
        if key in _TEXTS and value is not None and not isinstance(value, str):
            yield "must be string"
        elif key in _LINKS and isinstance(value, str) and not link_is_safe(value):
            yield 'must match format "uri"'
    actions = attachment.get("actions")
    if actions is None:
        return
    if not isinstance(actions, list) or not all(isinstance(one, dict) for one in actions):
        yield "must be array"
        return
    for action in actions:
        for key in _ACTION_LINKS:
            link = action.get(key)
            if link is not None and not (isinstance(link, str) and link_is_safe(link)):
                yield 'must match format "uri"'


Attachments = Annotated[list[dict[str, Any]], BeforeValidator(_checked)]
"""Attachments of a message, without links that run something."""

Link = Annotated[str, BeforeValidator(_safe)]
"""A link to a web page or into this site; empty counts as none."""
