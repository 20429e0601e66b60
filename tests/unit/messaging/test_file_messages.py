"""What messages say about their files."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.files import FileNote, StoredFile
from services.messaging.domain import file_messages


def file(media_type: str, name: str = "a.bin", **fields: Any) -> StoredFile:
    return StoredFile(
        id="f1", name=name, type=media_type, size=9, path=f"/file-upload/f1/{name}", **fields
    )


def test_a_message_carries_its_file() -> None:
    """Twice, as old and new clients look for it."""
    carried = file_messages.carried(file("text/plain", "Notes.TXT"))

    reference = {"_id": "f1", "name": "Notes.TXT", "type": "text/plain", "size": 9, "format": "txt"}
    assert carried == {"file": reference, "files": [reference]}


def test_a_picture_is_shown() -> None:
    """With its size, and a tiny copy that is there before it."""
    shown = file_messages.attachment(
        file("image/png", "a.png", width=4, height=3, preview="xyz"),
        FileNote(description="me"),
    )

    assert shown == {
        "title": "a.png",
        "title_link": "/file-upload/f1/a.png",
        "title_link_download": True,
        "type": "file",
        "description": "me",
        "image_url": "/file-upload/f1/a.png",
        "image_type": "image/png",
        "image_size": 9,
        "image_dimensions": {"width": 4, "height": 3},
        "image_preview": "xyz",
    }


@pytest.mark.parametrize("group", ["audio", "video"])
def test_sounds_and_films_are_played(group: str) -> None:
    """Each under its own keys."""
    shown = file_messages.attachment(file(f"{group}/mp4"), FileNote())

    assert shown[f"{group}_url"] == "/file-upload/f1/a.bin"
    assert shown[f"{group}_type"] == f"{group}/mp4"
    assert "image_url" not in shown
    assert "description" not in shown


@pytest.mark.parametrize("media_type", ["application/pdf", "image/svg+xml", "text/html"])
def test_everything_else_is_offered(media_type: str) -> None:
    """A picture of unknown size, too: nobody should try to draw it."""
    shown = file_messages.attachment(file(media_type), FileNote())

    assert not any(key.endswith("_url") for key in shown)
    assert (shown["format"], shown["size"]) == ("bin", 9)


def test_made_up_attachments_are_no_files() -> None:
    """They stay links like any other."""
    claimed = [{"type": "file", "title_link": "/file-upload/x/y"}, {"type": "x", "text": "file"}]

    assert file_messages.without_claims(claimed) == [
        {"title_link": "/file-upload/x/y"},
        {"type": "x", "text": "file"},
    ]
