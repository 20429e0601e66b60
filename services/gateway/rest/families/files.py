"""Files in rooms: sent, listed, and given to whoever may read the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.contracts.documents import Document, Page
from hubbub.contracts.files import FileNote
from hubbub.errors import HubbubError
from hubbub.ids import RoomId
from services.gateway.domain import file_names
from services.gateway.files.uploads import described, message_id_of, renamed
from services.gateway.rest.answers import Forbidden, InvalidParams, Refusal
from services.gateway.rest.asked import Asked, Flag, Paged, Required, Word, ask
from services.gateway.rest.call import Call
from services.gateway.rest.families.room_doors import reading, reading_direct
from services.gateway.rest.paging import paged, parse_paging
from services.gateway.rest.requests import Parameters, json_object
from services.gateway.rest.router import Routes, Upload
from services.gateway.rest.validation import filled
from services.gateway.store.uploads import SORTABLE, Wanted

routes = Routes()

_FILE = Upload("file")


class Note(Asked):
    """What is said with a file."""

    msg: Word | None = None
    description: Word | None = None
    tmid: Word | None = None
    """The message that is replied to."""
    file_name: Word | None = None
    """Another name for the file."""


class ConfirmedNote(Note):
    """What is said with a file that was uploaded before."""

    custom_fields: dict[str, Any] | None = None


@routes.post("rooms.media/*", upload=_FILE, asked=Note)
async def media(call: Call) -> dict[str, Any]:
    """Upload a file into a room. Nobody sees it before `rooms.mediaConfirm`."""
    room_id = await _room(call)
    record, _ = await _taken(call, room_id)
    path = file_names.url_path(record["_id"], record["name"])
    return {"file": {"_id": record["_id"], "url": path}}


@routes.post("rooms.mediaConfirm/*")
async def media_confirm(call: Call, asked: ConfirmedNote) -> dict[str, Any]:
    """Send the message of an uploaded file. Repeating it gives the same message."""
    room_id, _, file_id = call.rest.partition("/")
    if not room_id or not file_id or "/" in file_id:
        raise Refusal("", code="invalid-file")
    await _check_access(call, room_id)
    record = await call.shelves.files.hold(file_id, room_id, call.user_id)
    return {"message": await _sent(call, record, asked, asked.custom_fields)}


@routes.post("rooms.upload/*", upload=_FILE, asked=Note)
async def upload(call: Call) -> dict[str, Any]:
    """Upload a file and send its message: both steps in one."""
    room_id = await _room(call)
    record, fields = await _taken(call, room_id)
    try:
        return {"message": await _sent(call, record, ask(Note, fields), _custom_fields(fields))}
    except HubbubError as refusal:
        # Where the outcome is not known the message may be there; without it the file expires.
        if not refusal.retryable:
            await call.shelves.files.store.remove(record["_id"])
        raise


def _custom_fields(fields: Parameters) -> dict[str, Any] | None:
    """Custom fields as a form carries them. Raises: InvalidParams: no JSON object."""
    text = fields.text("customFields")
    found = json_object(text) if text else None
    if text and found is None:
        raise InvalidParams("must be object")
    return found


async def _room(call: Call) -> RoomId:
    if "/" in call.rest:
        raise Forbidden
    await _check_access(call, call.rest)
    return RoomId(call.rest)


async def _check_access(call: Call, room_id: str) -> None:
    """Raises: Forbidden: there is no such room, or none the caller may enter."""
    if not await call.services.authorization.can_access_room_id(RoomId(room_id), call.user_id):
        raise Forbidden


async def _taken(call: Call, room_id: RoomId) -> tuple[Document, Parameters]:
    """The file of the form, stored, and the form's other fields."""
    rules = await call.shelves.file_rules()
    async with call.shelves.files.arriving(room_id, call.identity, rules) as arrival:
        fields = await call.receive(arrival, name=_FILE.field, limit=rules.limit)
        record = await arrival.finish()
    call.door.metrics.uploaded(record["size"])
    return record, fields


async def _sent(
    call: Call, record: Document, asked: Note, custom_fields: dict[str, Any] | None
) -> Document:
    file = renamed(described(record), asked.file_name)
    note = filled(
        FileNote,
        {
            "text": asked.msg or "",
            "description": asked.description,
            "thread_id": asked.tmid or None,
            "custom_fields": custom_fields,
        },
    )
    message = await call.services.messaging.send_file_message(
        call.user_id, RoomId(record["rid"]), message_id_of(record), file, note
    )
    await call.shelves.files.sent(record, file.name, asked.description)
    call.door.metrics.message_sent()
    return message


# -- lists --------------------------------------------------------------------------------------


class Files(Paged):
    """Which files of a room are wanted."""

    name: Word | None = None
    """Only files whose name holds this text, in any case."""
    type_group: Word | None = None
    """`image`, `video`, `audio`, `text`, `application`."""
    only_confirmed: Flag = False
    """Whether files are left out that no message carries yet."""


async def files(call: Call, room: Document, asked: Files) -> Mapping[str, Any]:
    """The files of a room, by name."""
    await _check_access(call, room["_id"])
    paging = parse_paging(asked, await call.paging_rules(), sortable=SORTABLE)
    wanted = Wanted(
        room["_id"],
        name=asked.name or "",
        type_group=asked.type_group or "",
        only_confirmed=asked.only_confirmed,
    )
    page = await call.shelves.files.store.page(wanted, paging)
    return paged("files", _shown(call, page), paging)


reading(routes, "files", files)
reading_direct(routes, "files", files)


class Images(Paged):
    """Which pictures of a room are wanted."""

    room_id: Required
    starting_from_id: Word | None = None
    """The newest one that is wanted; absent: the newest of all."""


@routes.get("rooms.images")
async def images(call: Call, asked: Images) -> dict[str, Any]:
    """The pictures of a room, the newest first."""
    await _check_access(call, asked.room_id)
    paging = parse_paging(asked, await call.paging_rules())
    store = call.shelves.files.store
    until = None
    if asked.starting_from_id:
        start = await store.one(asked.starting_from_id)
        if start is None or start["rid"] != asked.room_id:
            raise Refusal("", code="invalid-file")
        until = (start["uploadedAt"], start["_id"])
    return paged("files", _shown(call, await store.images(asked.room_id, until, paging)), paging)


def _shown(call: Call, page: Page) -> Page:
    """Files as clients know them."""
    items = []
    for record in page.items:
        path = file_names.url_path(record["_id"], record["name"])
        places = {"path": path, "url": call.shelves.root_url + path}
        items.append({**record, **places})
    return Page(items=items, total=page.total)
