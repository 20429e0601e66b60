"""Files of rooms, on a real database: taken, sent, given away, removed."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from hubbub.clock import utc_now
from hubbub.contracts.events import FilesOrphaned, RoomChanged
from hubbub.ids import RoomId
from hubbub.mongo import Database
from tests.integration.gateway.files_site import FileSite, Part, form, picture, running
from tests.integration.gateway.world import Doc
from tests.waiting import eventually

pytestmark = pytest.mark.integration

BIG = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
async def site(database: Database) -> AsyncIterator[FileSite]:
    async with running(database) as site:
        yield site


@pytest.fixture
def room(site: FileSite) -> Doc:
    return site.world.add_room("p", "team", "ana", "bo")


def refusal(code: str, reason: str = "") -> dict[str, Any]:
    text = f"{reason} [{code}]" if reason else f"[{code}]"
    return {"success": False, "error": text, "errorType": code}


async def got(site: FileSite, file: dict[str, str], by: str | None = "ana", **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.call("GET", file["url"], by=by, headers=sent)


# -- two steps ----------------------------------------------------------------------------------


async def test_upload_confirm_download(site: FileSite, room: Doc) -> None:
    """A file is sent in two steps and comes back byte for byte."""
    file = await site.media(room, BIG, "big file.bin")
    confirmed = await site.post(
        f"rooms.mediaConfirm/{room['_id']}/{file['_id']}",
        {"msg": "look", "description": "a file", "tmid": "t1", "customFields": {"k": 1}},
        by="ana",
    )

    assert file["url"] == f"/file-upload/{file['_id']}/big%20file.bin"
    assert len(file["_id"]) >= 17
    message = confirmed.body["message"]
    assert message["file"]["size"] == len(BIG)
    assert message["file"]["type"] == "application/octet-stream"
    assert (message["msg"], message["description"], message["tmid"]) == ("look", "a file", "t1")
    assert message["customFields"] == {"k": 1}
    assert site.world.calls.count("list_public_settings") == 0
    reply = await got(site, file, by="bo")
    assert (reply.status, reply.raw) == (200, BIG)
    record = await site.database.rocketchat_uploads.find_one({"_id": file["_id"]})
    assert record is not None
    assert "expiresAt" not in record
    assert record["userId"] == "id-ana"


async def test_confirming_twice_gives_the_same_message(site: FileSite, room: Doc) -> None:
    """Whatever is said the second time."""
    file = await site.media(room, b"hello")
    path = f"rooms.mediaConfirm/{room['_id']}/{file['_id']}"
    first = await site.post(path, {"msg": "one"}, by="ana")
    second = await site.post(path, {"msg": "two", "fileName": "other.txt"}, by="ana")

    assert first.body["message"] == second.body["message"]
    assert len(site.world.messages) == 1
    record = await site.database.rocketchat_uploads.find_one({"_id": file["_id"]})
    assert record is not None
    assert record["name"] == "a.txt"


async def test_confirming_under_another_name(site: FileSite, room: Doc) -> None:
    """The name is cleaned like any other."""
    file = await site.media(room, b"hello")
    reply = await site.post(
        f"rooms.mediaConfirm/{room['_id']}/{file['_id']}", {"fileName": "../b\u202e.txt"}, by="ana"
    )

    assert reply.body["message"]["file"]["name"] == "b.txt"
    assert "b.txt" in (await got(site, file)).headers["Content-Disposition"]


async def test_who_may_confirm(site: FileSite, room: Doc) -> None:
    """Nobody but the sender, nowhere but in its room, nothing but a file."""
    other = site.world.add_room("p", "other", "ana", "bo")
    foreign = site.world.add_room("p", "foreign", "cy")
    file = await site.media(room, b"hello")

    async def confirmed(room_id: str, file_id: str, by: str | None) -> Any:
        return await site.post(f"rooms.mediaConfirm/{room_id}/{file_id}", {}, by=by)

    for room_id, file_id, by in (
        (room["_id"], file["_id"], "bo"),
        (other["_id"], file["_id"], "ana"),
        (room["_id"], "unknown", "ana"),
        (room["_id"], file["_id"] + "/x", "ana"),
    ):
        reply = await confirmed(room_id, file_id, by)
        assert (reply.status, reply.body) == (400, refusal("invalid-file")), (room_id, file_id, by)
    assert (await confirmed(foreign["_id"], file["_id"], "ana")).status == 403
    assert (await confirmed(room["_id"], file["_id"], "cy")).status == 403
    assert (await confirmed(room["_id"], file["_id"], None)).status == 401
    assert (await confirmed(room["_id"], file["_id"], "ana")).status == 200


async def test_refused_message_leaves_the_file_unsent(site: FileSite, room: Doc) -> None:
    """It can be tried again, and else it expires."""
    file = await site.media(room, b"hello")
    path = f"rooms.mediaConfirm/{room['_id']}/{file['_id']}"
    refused = await site.post(path, {"msg": "refused"}, by="ana")

    assert refused.status == 400
    record = await site.database.rocketchat_uploads.find_one({"_id": file["_id"]})
    assert record is not None
    assert "expiresAt" in record
    assert (await site.post(path, {"msg": "now"}, by="ana")).status == 200


# -- one step -----------------------------------------------------------------------------------


async def test_upload_in_one_step(site: FileSite, room: Doc) -> None:
    """Fields may stand before and behind the file."""
    reply = await site.send(
        f"rooms.upload/{room['_id']}",
        Part("msg", "grüße".encode()),
        Part("file", b"hello", "a.txt", "text/plain"),
        Part("description", b"a text"),
        Part("tmid", b""),
        Part("customFields", b'{"k":1}'),
        Part("content", b"unknown"),
    )

    message = reply.body["message"]
    assert (message["msg"], message["description"]) == ("grüße", "a text")
    assert message["customFields"] == {"k": 1}
    assert message["tmid"] is None
    assert message["file"]["type"] == "text/plain"


async def test_refused_upload_leaves_nothing(site: FileSite, room: Doc) -> None:
    """Where the message is certainly not stored the file goes at once."""
    for fields in (Part("msg", b"refused"), Part("customFields", b"[1]")):
        reply = await site.send(
            f"rooms.upload/{room['_id']}", fields, Part("file", b"hello", "a.txt")
        )
        assert reply.status == 400
    assert await site.files_left() == (0, 0, 0)
    site.messaging.is_away = True
    reply = await site.send(f"rooms.upload/{room['_id']}", Part("file", b"hello", "a.txt"))
    assert reply.status == 503
    assert (await site.files_left())[0] == 1


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["rooms.media", "rooms.upload"])
async def test_no_access_no_upload(site: FileSite, room: Doc, endpoint: str) -> None:
    """Asked before a byte is read; a room that does not exist looks the same."""
    for room_id, by, status in (
        (room["_id"], "cy", 403),
        ("unknown", "ana", 403),
        ("a/b", "ana", 403),
        (room["_id"], None, 401),
    ):
        reply = await site.send(f"{endpoint}/{room_id}", Part("file", b"x", "x"), by=by)
        assert (reply.status, reply.body["success"]) == (status, False)
    assert await site.files_left() == (0, 0, 0)


async def test_no_file(site: FileSite, room: Doc) -> None:
    """A form without one, with one in another field, with an empty one; no form at all."""
    path = f"rooms.media/{room['_id']}"
    for part in (Part("msg", b"hi"), Part("image", b"x", "x.png"), Part("file", b"x")):
        reply = await site.send(path, part)
        assert (reply.status, reply.body) == (400, refusal("invalid-field")), part
    reply = await site.send(path, Part("file", b"", "x.png"))
    assert reply.body == refusal("error-file-empty", "File is empty")
    reply = await site.post(path, {"msg": "hi"}, by="ana")
    assert reply.body == refusal("invalid-body", "Invalid form")
    assert await site.files_left() == (0, 0, 0)


async def test_uploads_off(site: FileSite, room: Doc) -> None:
    """By a setting that holds at once."""
    await site.setting("FileUpload_Enabled", False)
    reply = await site.send(f"rooms.media/{room['_id']}", Part("file", b"x", "x"))

    assert reply.body == refusal("error-file-upload-disabled", "File uploads are disabled")


@pytest.mark.parametrize("told", [True, False], ids=["length-told", "chunked"])
async def test_too_large(site: FileSite, room: Doc, told: bool) -> None:
    """One byte more than the setting; found out while it arrives, and nothing of it stays."""
    await site.setting("FileUpload_MaxFileSize", 300_000)
    path = f"/api/v1/rooms.media/{room['_id']}"

    async def sent(size: int) -> Any:
        body, headers = form(Part("file", bytes(size), "x"))
        if told:
            return await site.call("POST", path, by="ana", data=body, headers=headers)

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        signed = {**site.signed_in("ana"), **headers}
        async with site.session.post(site.base + path, data=pieces(), headers=signed) as answer:
            await answer.read()
            return answer

    assert (await sent(300_000)).status == 200
    before = await site.files_left()
    for size in (300_001, 2_000_000):
        reply = await sent(size)
        assert reply.status == 413
        if told:
            assert reply.body == refusal(
                "error-file-too-large", "File exceeds allowed size of 300000 bytes"
            )
    await eventually(lambda: _equal(site, before), within=5)


async def _equal(site: FileSite, before: tuple[int, int, int]) -> bool:
    return await site.files_left() == before


async def test_types_that_are_not_taken(site: FileSite, room: Doc) -> None:
    """Decided by the bytes, whatever the sender claims."""
    path = f"rooms.media/{room['_id']}"
    await site.setting("FileUpload_MediaTypeWhiteList", "image/*")
    refused = refusal("error-invalid-file-type", "File type is not accepted")

    html = Part("file", b"<html>" + bytes(10_000), "x.png", "image/png")
    assert (await site.send(path, html)).body == refused
    assert (await site.send(path, Part("file", b"text", "x.png", "image/png"))).body == refused
    assert (await site.send(path, Part("file", picture(), "x.html", "text/html"))).status == 200
    await site.setting("FileUpload_MediaTypeBlackList", "image/png")
    assert (await site.send(path, Part("file", picture(), "x.png"))).body == refused
    assert (await site.files_left())[0] == 1


async def test_a_picture_too_large_to_draw(site: FileSite, room: Doc) -> None:
    """50,000 by 50,000 pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + bytes(100)
    reply = await site.send(f"rooms.media/{room['_id']}", Part("file", bomb, "x.png"))

    assert reply.status == 413
    assert reply.body["errorType"] == "error-file-too-large"
    assert await site.files_left() == (0, 0, 0)


async def test_nothing_of_the_record_comes_from_the_client(site: FileSite, room: Doc) -> None:
    """Fields of a form named like fields of the record change nothing."""
    fields = {
        "_id": "mine",
        "rid": "other",
        "userId": "id-bo",
        "type": "text/html",
        "size": "1",
        "store": "x",
        "path": "/etc/passwd",
        "url": "http://evil",
        "complete": "false",
        "messageId": "m",
        "expiresAt": "2999-01-01",
        "$set": "x",
        "a.b": "x",
    }
    reply = await site.send(
        f"rooms.media/{room['_id']}",
        *(Part(name, value.encode()) for name, value in fields.items()),
        Part("file", b"hello", "a.txt", "application/x-evil"),
    )

    record = await site.database.rocketchat_uploads.find_one({"_id": reply.body["file"]["_id"]})
    assert record is not None
    assert record.keys() == {
        *("_id", "rid", "userId", "messageId", "store", "name", "uploadedAt", "expiresAt"),
        *("size", "type", "typeGroup", "extension", "complete"),
    }
    assert (record["rid"], record["userId"]) == (room["_id"], "id-ana")
    assert (record["size"], record["type"]) == (5, "text/plain")
    assert record["_id"] != "mine"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../x", "x"),
        ("x" * 300 + ".txt", "x" * 251 + ".txt"),
        ("evil.svg", "evil.svg"),
        ("a%00b.png", "a%00b.png"),
        ("ünï.txt", "ünï.txt"),
    ],
)
async def test_names(site: FileSite, room: Doc, name: str, kept: str) -> None:
    """Stored under a random id; the name is only told."""
    file = await site.media(room, b"hello", name)
    record = await site.database.rocketchat_uploads.find_one({"_id": file["_id"]})

    assert record is not None
    assert record["name"] == kept
    assert (await got(site, file)).raw == b"hello"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"rubbish", id="rubbish"),
        pytest.param(b"--XXboundaryXX\r\n", id="begun"),
        pytest.param(b"--XXboundaryXX\r\n\r\n\r\n--XXboundaryXX--\r\n", id="no-headers"),
        pytest.param(b"--XXboundaryXX\r\nX: " + b"x" * 100_000, id="long-header"),
        pytest.param(b"--XXboundaryXX\r\n" + b"X: y\r\n" * 1000 + b"\r\n", id="many-headers"),
        pytest.param(
            b'--XXboundaryXX\r\nContent-Disposition: form-data; name="file"; filename="a\0.png"'
            b"\r\n\r\nx\r\n--XXboundaryXX--\r\n",
            id="nul-in-name",
        ),
        pytest.param(
            b'--XXboundaryXX\r\nContent-Disposition: form-data; name="file"; filename="a"'
            b"\r\n\r\nhello",
            id="broken-off",
        ),
        pytest.param(
            b"--XXboundaryXX\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n"
            b"--XXboundaryXX--\r\n",
            id="nested",
        ),
        pytest.param(
            b"".join(
                b'--XXboundaryXX\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nx\r\n' % n
                for n in range(60)
            )
            + b"--XXboundaryXX--\r\n",
            id="many-fields",
        ),
        pytest.param(
            b'--XXboundaryXX\r\nContent-Disposition: form-data; name="msg"\r\n\r\n\xff\xfe\r\n'
            b"--XXboundaryXX--\r\n",
            id="no-utf-8",
        ),
        pytest.param(
            b'--XXboundaryXX\r\nContent-Disposition: form-data; name="msg"\r\n\r\na\0b\r\n'
            b"--XXboundaryXX--\r\n",
            id="nul-in-field",
        ),
    ],
)
async def test_broken_forms(site: FileSite, room: Doc, body: bytes) -> None:
    """Are refused, and nothing of them stays."""
    headers = {"Content-Type": "multipart/form-data; boundary=XXboundaryXX"}
    reply = await site.call(
        "POST", f"/api/v1/rooms.upload/{room['_id']}", by="ana", data=body, headers=headers
    )

    assert (reply.status, reply.body["success"]) == (400, False)
    assert await site.files_left() == (0, 0, 0)


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed"]
)
async def test_forms_without_a_boundary(site: FileSite, room: Doc, content_type: str) -> None:
    """Are none."""
    reply = await site.call(
        "POST",
        f"/api/v1/rooms.media/{room['_id']}",
        by="ana",
        data=b"--x\r\n",
        headers={"Content-Type": content_type},
    )

    assert reply.body == refusal("invalid-body", "Invalid form")


async def test_large_fields_are_refused(site: FileSite, room: Doc) -> None:
    """Only the file may be large."""
    reply = await site.send(
        f"rooms.upload/{room['_id']}",
        Part("file", b"hello", "a.txt"),
        Part("msg", b"x" * 100_000),
    )

    assert reply.status == 413
    assert await site.files_left() == (0, 0, 0)


# -- slow and endless senders -------------------------------------------------------------------


async def _raw(site: FileSite, room: Doc, headers: bytes, body: bytes) -> bytes:
    signed = b"".join(
        f"{name}: {value}\r\n".encode() for name, value in site.signed_in("ana").items()
    )
    return await site.raw(
        b"POST /api/v1/rooms.media/%b HTTP/1.1\r\nHost: x\r\n%b%b"
        b"Content-Type: multipart/form-data; boundary=XXboundaryXX\r\n\r\n%b"
        % (room["_id"].encode(), signed, headers, body),
        within=10,
    )


@pytest.mark.parametrize(
    ("headers", "wrap"),
    [
        pytest.param(b"Content-Length: 100000\r\n", False, id="too-short"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", True, id="chunked-without-end"),
    ],
)
async def test_bodies_that_do_not_end(database: Database, headers: bytes, wrap: bool) -> None:
    """Are given up, and what came of them is removed."""
    async with running(database, upload_grace=0.3, min_upload_rate=1_000_000) as site:
        room = site.world.add_room("p", "team", "ana")
        body, _ = form(Part("file", b"x" * 5000, "x"))
        body = body[:-30]
        sent = b"%x\r\n%b\r\n" % (len(body), body) if wrap else body
        answer = await _raw(site, room, headers, sent)

        assert answer.startswith(b"HTTP/1.1 408 ")
        await eventually(lambda: _equal(site, (0, 0, 0)), within=5)


async def test_a_body_may_take_longer_than_headers(database: Database) -> None:
    """The time for headers is over when they are there, however soon the body follows them."""
    async with running(database, header_timeout=0.3) as site:
        room = site.world.add_room("p", "team", "ana")
        body, _ = form(Part("file", b"x" * 50_000, "x"))
        signed = "".join(f"{name}: {value}\r\n" for name, value in site.signed_in("ana").items())
        head = (
            f"POST /api/v1/rooms.media/{room['_id']} HTTP/1.1\r\nHost: x\r\n{signed}"
            "Content-Type: multipart/form-data; boundary=XXboundaryXX\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()

        def sent() -> bytes:
            # From a thread: pieces then arrive at any moment of the server's turn.
            answer = b""
            with socket.create_connection(("127.0.0.1", site.gateway.port), timeout=10) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(2):  # the second one on a connection that was idle
                    client.sendall(head)
                    for start in range(0, 20_000, 50):
                        client.sendall(body[start : start + 50])
                    for start in range(20_000, len(body), 10_000):
                        time.sleep(0.2)
                        client.sendall(body[start : start + 10_000])
                    answer = client.recv(65_536)
                    time.sleep(0.5)  # an idle connection is not cut either
                return answer.partition(b"\r\n")[0]

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(8) as threads:  # the loop's own are needed to resolve names
            work = [loop.run_in_executor(threads, sent) for _ in range(8)]
            assert set(await asyncio.gather(*work)) == {b"HTTP/1.1 200 OK"}


async def test_a_sender_who_goes_away_leaves_nothing(site: FileSite, room: Doc) -> None:
    """What was stored of the file goes at once."""
    body, _ = form(Part("file", BIG, "x"))
    signed = "".join(f"{name}: {value}\r\n" for name, value in site.signed_in("ana").items())
    _, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port)
    writer.write(
        f"POST /api/v1/rooms.media/{room['_id']} HTTP/1.1\r\nHost: x\r\n{signed}"
        "Content-Type: multipart/form-data; boundary=XXboundaryXX\r\n"
        "Content-Length: 10000000\r\n\r\n".encode()
        + body[:-100]
    )
    await writer.drain()
    await eventually(lambda: _has_pieces(site), within=5)
    writer.transport.abort()

    await eventually(lambda: _equal(site, (0, 0, 0)), within=5)


async def _has_pieces(site: FileSite) -> bool:
    return (await site.files_left())[2] > 1


async def test_so_many_uploads_at_once(database: Database) -> None:
    """Further ones are told to come again."""
    async with running(database, max_uploads=1) as site:
        room = site.world.add_room("p", "team", "ana")
        body, _ = form(Part("file", BIG, "x"))
        signed = "".join(f"{name}: {value}\r\n" for name, value in site.signed_in("ana").items())
        _, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port)
        writer.write(
            f"POST /api/v1/rooms.media/{room['_id']} HTTP/1.1\r\nHost: x\r\n{signed}"
            "Content-Type: multipart/form-data; boundary=XXboundaryXX\r\n"
            "Content-Length: 10000000\r\n\r\n".encode()
            + body[:-100]
        )
        await writer.drain()
        await eventually(lambda: _has_pieces(site), within=5)
        reply = await site.send(f"rooms.media/{room['_id']}", Part("file", b"x", "x"))
        writer.transport.abort()

        assert reply.status == 503
        assert "Retry-After" in reply.headers
        await eventually(lambda: _equal(site, (0, 0, 0)), within=5)


async def test_continue_is_said(site: FileSite, room: Doc) -> None:
    """Some clients wait for it before they send a large body."""
    body, headers = form(Part("file", b"hello", "x"))
    async with site.session.post(
        f"{site.base}/api/v1/rooms.media/{room['_id']}",
        data=body,
        headers={**site.signed_in("ana"), **headers},
        expect100=True,
    ) as answer:
        assert answer.status == 200


# -- downloads ----------------------------------------------------------------------------------


async def test_headers_of_a_download(site: FileSite, room: Doc) -> None:
    """A picture may be shown, in a box from which it reaches nothing."""
    file = await site.media(room, picture(), "ä b.png")
    reply = await got(site, file)

    assert reply.headers["Content-Type"] == "image/png"
    assert reply.headers["Content-Disposition"] == "inline; filename*=UTF-8''%C3%A4%20b.png"
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "private, max-age=3600"
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["ETag"] == f'"{file["_id"]}"'
    assert reply.headers["Content-Length"] == str(len(picture()))
    assert "X-Request-Id" in reply.headers
    for forced in ("?download", "?download="):
        reply = await site.call("GET", file["url"] + forced, by="ana")
        assert reply.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/svg"),
        (b"<html><script>alert(1)</script></html>", "text/html"),
        (b"just a text", "text/plain"),
        (b"PK\x03\x04", "application/zip"),
    ],
)
async def test_what_is_only_saved(site: FileSite, room: Doc, data: bytes, media_type: str) -> None:
    """Whatever the sender calls it."""
    reply = await site.send(f"rooms.media/{room['_id']}", Part("file", data, "x.png", "image/png"))
    reply = await got(site, reply.body["file"])

    assert reply.headers["Content-Type"].startswith(media_type)
    assert reply.headers["Content-Disposition"].startswith("attachment")
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_who_may_download(site: FileSite, room: Doc) -> None:
    """Members of the room, asked anew each time; by headers, cookies or query."""
    other = site.world.add_room("p", "other", "cy", "ana")
    file, foreign = await site.media(room, b"hello"), await site.media(other, b"x", by="cy")
    token = site.signed_in("bo")
    cookies = f"rc_uid={token['X-User-Id']}; rc_token={token['X-Auth-Token']}"
    query = f"?rc_uid={token['X-User-Id']}&rc_token={token['X-Auth-Token']}"
    url = file["url"]

    assert (await site.call("GET", url, by="bo")).status == 200
    assert (await site.call("GET", url, headers={"Cookie": cookies})).status == 200
    assert (await site.call("GET", url + query)).status == 200
    assert (await site.call("GET", f"/file-upload/{file['_id']}/any%2Fname", by="bo")).status == 200
    assert (await site.call("GET", f"/file-upload/{file['_id']}", by="bo")).status == 200
    for path, by, status in (
        (url, None, 403),
        (url + query + "x", None, 403),
        (url, "cy", 403),
        (foreign["url"], "bo", 403),
        ("/file-upload/unknown/a.txt", "bo", 404),
        ("/file-upload/unknown/a.txt", None, 403),
        ("/file-upload/", "bo", 404),
        ("/file-upload/..%2F..%2Fetc%2Fpasswd", "bo", 404),
    ):
        reply = await site.call("GET", path, by=by)
        assert (reply.status, reply.body["success"]) == (status, False), path
    site.world.leave(room["_id"], "id-bo")
    assert (await site.call("GET", url, by="bo")).status == 403
    copy = {"If-None-Match": f'"{file["_id"]}"'}
    assert (await site.call("GET", url, by="bo", headers=copy)).status == 403


async def test_parts_of_a_file(site: FileSite, room: Doc) -> None:
    """Across the pieces it is stored in."""
    file = await site.media(room, BIG)
    size = len(BIG)
    for asked, start, end in (
        ("bytes=0-0", 0, 0),
        ("bytes=261119-261121", 261_119, 261_121),
        ("bytes=500000-", 500_000, size - 1),
        ("bytes=-5", size - 5, size - 1),
        ("bytes=100-9999999", 100, size - 1),
    ):
        reply = await got(site, file, Range=asked)
        assert reply.status == 206
        assert reply.raw == BIG[start : end + 1]
        assert reply.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
        assert reply.headers["Content-Length"] == str(end - start + 1)
    for asked in ("bytes=0-1,5-6", "lines=1-2", "bytes=x"):
        reply = await got(site, file, Range=asked)
        assert (reply.status, len(reply.raw)) == (200, size)
    reply = await got(site, file, Range=f"bytes={size}-")
    assert (reply.status, reply.raw) == (416, b"")
    assert reply.headers["Content-Range"] == f"bytes */{size}"


async def test_copies_of_a_file(site: FileSite, room: Doc) -> None:
    """A file never changes, so its tag is for ever."""
    file = await site.media(room, b"hello")
    tag = f'"{file["_id"]}"'

    assert (await got(site, file, If_None_Match=tag)).status == 304
    assert (await got(site, file, If_None_Match='"x"')).status == 200
    assert (await got(site, file, Range="bytes=1-2", If_Range=tag)).raw == b"el"
    assert (await got(site, file, Range="bytes=1-2", If_Range='"x"')).raw == b"hello"


async def test_head(site: FileSite, room: Doc) -> None:
    """All headers, no bytes; the connection goes on."""
    file = await site.media(room, BIG)
    for _ in range(2):
        reply = await site.call("HEAD", file["url"], by="ana")
        assert (reply.status, reply.raw) == (200, b"")
        assert reply.headers["Content-Length"] == str(len(BIG))
    assert (await site.call("POST", file["url"], by="ana", json={})).status == 405


async def test_a_reader_who_stops_is_cut_off(database: Database) -> None:
    """It holds a few pieces and no longer than the setting says."""
    async with running(database, download_stall=0.3) as site:
        room = site.world.add_room("p", "team", "ana")
        file = await site.media(room, BIG * 16)
        signed = "".join(f"{name}: {value}\r\n" for name, value in site.signed_in("ana").items())
        reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port, limit=1024)
        writer.write(f"GET {file['url']} HTTP/1.1\r\nHost: x\r\n{signed}\r\n".encode())

        def bad_input() -> float:
            value = site.registry.get_sample_value(
                "hubbub_http_bad_input_total", {"kind": "slow_reader"}
            )
            return value or 0.0

        await eventually(lambda: bad_input() == 1, within=10)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(len(BIG) * 16)
        writer.close()


async def test_a_file_that_lost_a_piece_is_not_whole(site: FileSite, room: Doc) -> None:
    """The connection ends before the promised length: no client takes that for the file."""
    file = await site.media(room, BIG)
    await site.database["rocketchat_uploads.chunks"].delete_one({"files_id": file["_id"], "n": 2})

    import aiohttp

    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await got(site, file)


# -- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_pictures_are_looked_at(site: FileSite, room: Doc, kind: str) -> None:
    """How large they are, and a tiny copy."""
    reply = await site.send(
        f"rooms.upload/{room['_id']}", Part("file", picture(640, 480, kind), "x")
    )

    file = reply.body["message"]["file"]
    assert (file["width"], file["height"]) == (640, 480)
    assert len(file["preview"]) < 2000


async def test_a_broken_picture_is_a_file(site: FileSite, room: Doc) -> None:
    """It has a size, since its head is whole, and no copy."""
    data = picture(640, 480)[:60]
    reply = await site.send(f"rooms.upload/{room['_id']}", Part("file", data, "x.png"))

    assert reply.status == 200
    assert "preview" not in reply.body["message"]["file"]


# -- lists --------------------------------------------------------------------------------------


async def _several(site: FileSite, room: Doc) -> None:
    await site.database.users.insert_one({"_id": "id-ana", "username": "ana", "name": "Ana"})
    for number, (name, data) in enumerate(
        (("c.txt", b"text"), ("a.png", picture()), ("b.GIF", picture(form="GIF")), ("d.txt", b"x"))
    ):
        file = await site.media(room, data, name)
        if number != 3:
            await site.post(f"rooms.mediaConfirm/{room['_id']}/{file['_id']}", {}, by="ana")


async def test_files_of_a_room(site: FileSite, room: Doc) -> None:
    """By name; narrowed by name, kind and whether they were sent."""
    await _several(site, room)

    async def listed(**query: str) -> list[str]:
        asked = "&".join(f"{key}={value}" for key, value in query.items())
        reply = await site.get(f"groups.files?roomId={room['_id']}&{asked}", by="bo")
        assert reply.status == 200, reply.raw
        return [file["name"] for file in reply.body["files"]]

    assert await listed() == ["a.png", "b.GIF", "c.txt", "d.txt"]
    assert await listed(sort='{"name":-1}') == ["d.txt", "c.txt", "b.GIF", "a.png"]
    assert await listed(sort='{"uploadedAt":1}') == ["c.txt", "a.png", "b.GIF", "d.txt"]
    assert await listed(name=".g") == ["b.GIF"]
    assert await listed(name=".*") == []
    assert await listed(typeGroup="image") == ["a.png", "b.GIF"]
    assert await listed(onlyConfirmed="true") == ["a.png", "b.GIF", "c.txt"]
    assert await listed(count="2", offset="1") == ["b.GIF", "c.txt"]
    reply = await site.get(f"groups.files?roomId={room['_id']}&count=1&offset=1", by="bo")
    assert (reply.body["count"], reply.body["offset"], reply.body["total"]) == (1, 1, 4)
    file = reply.body["files"][0]
    assert file.keys() >= {
        *("_id", "name", "type", "size", "rid", "userId", "uploadedAt", "url", "path"),
        *("typeGroup", "user"),
    }
    assert file["user"] == {"_id": "id-ana", "username": "ana", "name": "Ana"}
    assert file["path"] == f"/file-upload/{file['_id']}/b.GIF"
    assert file["url"].endswith(file["path"])
    assert "messageId" not in file


async def test_files_of_other_kinds_of_rooms(site: FileSite) -> None:
    """Public and direct ones; outsiders learn nothing."""
    channel = site.world.add_room("c", "open", "ana")
    direct = site.world.add_room("d", None, None, "ana", "bo")
    for room in (channel, direct):
        await site.media(room, b"x", "x.txt")
    for path in (
        f"channels.files?roomId={channel['_id']}",
        "channels.files?roomName=open",
        f"im.files?roomId={direct['_id']}",
        f"dm.files?roomId={direct['_id']}",
    ):
        reply = await site.get(path, by="bo")
        assert [file["name"] for file in reply.body["files"]] == ["x.txt"], path
    assert (await site.get(f"im.files?roomId={direct['_id']}", by="cy")).status in (400, 403)
    assert (await site.get(f"groups.files?roomId={channel['_id']}", by="bo")).status == 400


async def test_pictures_of_a_room(site: FileSite, room: Doc) -> None:
    """The newest first, from one on."""
    await _several(site, room)
    path = f"rooms.images?roomId={room['_id']}"
    reply = await site.get(path, by="bo")

    assert [file["name"] for file in reply.body["files"]] == ["b.GIF", "a.png"]
    oldest = reply.body["files"][1]["_id"]
    reply = await site.get(f"{path}&startingFromId={oldest}", by="bo")
    assert [file["name"] for file in reply.body["files"]] == ["a.png"]
    assert reply.body["total"] == 1
    assert (await site.get(f"{path}&startingFromId=unknown", by="bo")).status == 400
    assert (await site.get(path, by="cy")).status == 403


# -- the end of files ---------------------------------------------------------------------------


async def test_unsent_files_expire(database: Database) -> None:
    """After a day; those with a message stay, also when that was never noted."""
    async with running(database, file_cleaning_interval=0.05) as site:
        room = site.world.add_room("p", "team", "ana")
        sent, unsent, half = [await site.media(room, BIG, f"{n}.bin") for n in range(3)]
        young = await site.media(room, b"young")
        records = site.database.rocketchat_uploads
        record = await records.find_one({"_id": half["_id"]})
        assert record is not None
        site.world.messages[record["messageId"]] = {"_id": record["messageId"]}
        await site.post(f"rooms.mediaConfirm/{room['_id']}/{sent['_id']}", {}, by="ana")
        yesterday = utc_now() - timedelta(hours=1)
        await records.update_many(
            {"_id": {"$in": [unsent["_id"], half["_id"]]}}, {"$set": {"expiresAt": yesterday}}
        )
        # What an upload left behind whose process died.
        await records.insert_one({"_id": "dead", "complete": False, "expiresAt": yesterday})
        await site.database["rocketchat_uploads.chunks"].insert_one({"files_id": "dead", "n": 0})

        await eventually(lambda: _left(site, {sent["_id"], half["_id"], young["_id"]}), within=10)
        kept = {sent["_id"], half["_id"], young["_id"]}
        assert set(await site.database["rocketchat_uploads.files"].distinct("_id")) == kept
        assert set(await site.database["rocketchat_uploads.chunks"].distinct("files_id")) == kept
        assert (await got(site, unsent)).status == 404
        noted = await records.find_one({"_id": half["_id"]})
        assert noted is not None
        assert "expiresAt" not in noted


async def _left(site: FileSite, ids: set[str]) -> bool:
    return set(await site.database.rocketchat_uploads.distinct("_id")) == ids


async def test_files_of_deleted_messages_go(site: FileSite, room: Doc) -> None:
    """As often as it is told."""
    gone, kept = await site.media(room, BIG), await site.media(room, b"kept")
    for _ in range(2):
        await site.bus.publish(FilesOrphaned(file_ids=[gone["_id"], "unknown"]))
        await site.bus.settled()

    await eventually(lambda: _left(site, {kept["_id"]}), within=5)
    assert await site.files_left() == (1, 1, 1)
    assert (await got(site, gone)).status == 404


async def test_files_of_deleted_rooms_go(site: FileSite, room: Doc) -> None:
    """Also those that were never sent."""
    other = site.world.add_room("p", "other", "ana")
    for _ in range(3):
        await site.media(room, b"x")
    kept = await site.media(other, b"kept")
    await site.bus.publish(RoomChanged(room_id=RoomId(room["_id"])))
    await site.bus.settled()
    assert (await site.files_left())[0] == 4
    await site.bus.publish(RoomChanged(room_id=RoomId(room["_id"]), deleted=True))

    await eventually(lambda: _left(site, {kept["_id"]}), within=5)
