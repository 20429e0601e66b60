"""What a message says about its file, in the words that clients know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hubbub.contracts.files import FileNote, StoredFile


def carried(file: StoredFile) -> dict[str, Any]:
    """The fields of a message that name its file: with the message the file goes, too."""
    reference = {
        "_id": file.id,
        "name": file.name,
        "type": file.type,
        "size": file.size,
        "format": _extension(file.name),
    }
    return {"file": reference, "files": [reference]}


def attachment(file: StoredFile, note: FileNote) -> dict[str, Any]:
    """The attachment that shows the file, or offers it where clients cannot show it."""
    shown: dict[str, Any] = {
        "title": file.name,
        "title_link": file.path,
        "title_link_download": True,
        "type": "file",
    }
    if note.description:
        shown["description"] = note.description
    group = file.type.partition("/")[0]
    if group == "image" and file.width and file.height:
        shown |= {
            "image_url": file.path,
            "image_type": file.type,
            "image_size": file.size,
            "image_dimensions": {"width": file.width, "height": file.height},
        }
        if file.preview:
            shown["image_preview"] = file.preview
    elif group in ("audio", "video"):
        shown |= {
            f"{group}_url": file.path,
            f"{group}_type": file.type,
            f"{group}_size": file.size,
        }
    else:
        shown |= {"format": _extension(file.name), "size": file.size}
    return shown


def without_claims(attachments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Attachments that a client made up: links like any other, none of them a file."""
    return [
        {key: value for key, value in attachment.items() if not (key == "type" and value == "file")}
        for attachment in attachments
    ]


def _extension(name: str) -> str:
    stem, dot, last = name.rpartition(".")
    return last.lower() if stem and dot else ""
