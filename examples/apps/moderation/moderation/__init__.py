"""Moderation: words that are not wanted are masked, or their message is not sent.

Only whole words count, however they are written: `Darn` and `DARN` are one word, `darning` is
another. Only what is sent is judged, not what a message is changed to later.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from hubbub.apps import App, Message, Verdict, change, refuse

app = App()


@app.before_message
def judge(message: Message) -> Verdict | None:
    """Mask or refuse what has one of the words, in its text or what is attached."""
    unwanted = pattern(app.settings["words"] or "")
    if unwanted is None:
        return None
    text = masked(unwanted, message.text)
    attachments = [masked(unwanted, attachment) for attachment in message.attachments]
    if text == message.text and attachments == message.attachments:
        return None
    if app.settings["action"] == "refuse":
        return refuse(app.settings["reason"])
    return change(text=text, attachments=attachments or None)


@lru_cache(maxsize=8)
def pattern(words: str) -> re.Pattern[str] | None:
    """What finds any of the words; None when there are none."""
    listed = sorted({re.escape(word.strip()) for word in words.split(",")} - {""})
    return re.compile(rf"(?<!\w)(?:{'|'.join(listed)})(?!\w)", re.IGNORECASE) if listed else None


def masked(unwanted: re.Pattern[str], value: Any) -> Any:
    """A value with stars for the words, wherever a text is in it."""
    match value:
        case str():
            return unwanted.sub(lambda found: "*" * len(found[0]), value)
        case list():
            return [masked(unwanted, inner) for inner in value]
        case dict():
            return {key: masked(unwanted, inner) for key, inner in value.items()}
        case _:
            return value
