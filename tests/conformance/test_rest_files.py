"""Conformance: files, avatars and emoji over HTTP, through the front door of a whole Hubbub."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import pytest
import requests
from PIL import Image
from rocketchat_API.APIExceptions.RocketExceptions import RocketApiException
from rocketchat_API.rocketchat import RocketChat

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.rest import Answer, Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

BIG = random_id(64).encode() * 40_000  # 2.5 MB
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9" fill="#00f"/></svg>'


def picture(width: int = 64, height: int = 48, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, form)
    return out.getvalue()


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


class Files:
    """Uploads and downloads."""

    def __init__(self, rest: Rest, session: aiohttp.ClientSession) -> None:
        self.rest = rest
        self.session = session

    async def send(
        self,
        endpoint: str,
        user: User | None,
        data: bytes | None = None,
        name: str = "a.txt",
        /,
        *,
        field: str = "file",
        media_type: str = "application/octet-stream",
        **fields: str,
    ) -> Answer:
        """Post a form; the file stands between the other fields."""
        form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
        pairs = list(fields.items())
        for key, value in pairs[::2]:
            form.add_field(key, value)
        if data is not None:
            form.add_field(field, io.BytesIO(data), filename=name, content_type=media_type)
        for key, value in pairs[1::2]:
            form.add_field(key, value)
        async with self.session.post(
            f"{self.rest.url}/api/v1/{endpoint}",
            data=form,
            headers=user.headers if user else None,
        ) as answer:
            return Answer(answer.status, await answer.json(), dict(answer.headers))

    async def get(
        self, path: str, user: User | None = None, method: str = "GET", **headers: str
    ) -> tuple[int, Any, bytes]:
        """Status, headers and bytes of what is at a path."""
        sent = {**(user.headers if user else {}), **headers}
        async with self.session.request(
            method, self.rest.url + path, headers=sent, allow_redirects=False
        ) as answer:
            return answer.status, answer.headers, await answer.read()


@pytest.fixture
async def files(rest: Rest) -> Any:
    async with aiohttp.ClientSession() as session:
        yield Files(rest, session)


async def group_of(rest: Rest, user: User, *members: User) -> dict[str, Any]:
    names = [member.username for member in members]
    body = {"name": f"files-{random_id(8)}", "members": names}
    room: dict[str, Any] = (await rest.post("groups.create", user, **body))["group"]
    return room


async def test_media_and_confirm(files: Files, rest: Rest, ana: User, bo: User) -> None:
    """Two steps, a message with its file, and the bytes for whoever is in the room."""
    room = await group_of(rest, ana, bo)
    media = await files.send(f"rooms.media/{room['_id']}", ana, BIG, "report 1.bin")
    file = media.body["file"]
    confirm = f"rooms.mediaConfirm/{room['_id']}/{file['_id']}"
    sent = await rest.post(confirm, ana, msg="look", description="a report")
    again = await rest.post(confirm, ana, msg="other")

    assert media.status == 200
    assert media.body.keys() == {"file", "success"}
    assert file.keys() == {"_id", "url"}
    assert file["url"].endswith("/report%201.bin")
    message = sent["message"]
    assert again["message"] == message
    assert (message["msg"], message["u"]["_id"], message["rid"]) == ("look", ana.id, room["_id"])
    assert (
        message["file"]
        == {
            "_id": file["_id"],
            "name": "report 1.bin",
            "type": "application/octet-stream",
            "size": len(BIG),
            "format": "bin",
        }
        or message["file"]["type"] == "text/plain"
    )
    assert message["files"] == [message["file"]]
    (attachment,) = message["attachments"]
    assert attachment["title"] == "report 1.bin"
    assert attachment["title_link"] == file["url"]
    assert attachment["title_link_download"] is True
    assert attachment["type"] == "file"
    assert attachment["description"] == "a report"
    history = await rest.get("groups.history", bo, roomId=room["_id"])
    assert history["messages"][0]["file"] == message["file"]
    status, _, data = await files.get(file["url"], bo)
    assert (status, data) == (200, BIG)


async def test_upload_in_one_step(files: Files, rest: Rest, ana: User) -> None:
    """A picture with its size and a tiny copy."""
    room = await group_of(rest, ana)
    answer = await files.send(
        f"rooms.upload/{room['_id']}", ana, picture(), "p.png", msg="hi", description="red"
    )

    (attachment,) = answer.body["message"]["attachments"]
    assert answer.body["message"]["msg"] == "hi"
    assert attachment["image_dimensions"] == {"width": 64, "height": 48}
    assert attachment["image_type"] == "image/png"
    assert attachment["image_size"] == len(picture())
    assert attachment["image_url"] == attachment["title_link"]
    assert base64.b64decode(attachment["image_preview"]).startswith(b"\xff\xd8\xff")


async def test_uploads_that_are_refused(
    files: Files, rest: Rest, ana: User, bo: User, admin: User
) -> None:
    """With their exact codes."""
    room, other = await group_of(rest, ana), await group_of(rest, ana)
    path = f"rooms.media/{room['_id']}"
    for user, status in ((bo, 403), (None, 401)):
        refused = await files.send(path, user, b"x")
        assert (refused.status, refused.body["success"]) == (status, False)
    assert (await files.send("rooms.media/unknown", ana, b"x")).status == 403
    missing = await files.send(path, ana, None, msg="x")
    assert (missing.status, missing.body["errorType"]) == (400, "invalid-field")
    assert missing.body["error"] == "[invalid-field]"
    empty = await files.send(path, ana, b"")
    assert (empty.status, empty.body["success"]) == (400, False)
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    assert (await files.send(path, ana, bomb, "bomb.png")).status == 413
    file = (await files.send(path, ana, b"hello")).body["file"]
    for room_id, user in ((other["_id"], ana),):
        answer = await rest.ask(
            "POST", f"/api/v1/rooms.mediaConfirm/{room_id}/{file['_id']}", user=user, body={}
        )
        assert (answer.status, answer.body["error"]) == (400, "[invalid-file]")


async def test_downloads(files: Files, rest: Rest, ana: User, bo: User, cy: User) -> None:
    """Only for members, by three ways to say who one is; whole, in part, or not again."""
    room = await group_of(rest, ana, bo)
    file = (await files.send(f"rooms.media/{room['_id']}", ana, BIG, "ä.bin")).body["file"]
    url = file["url"]
    signed = f"rc_uid={bo.id}&rc_token={quote(bo.token)}"

    status, headers, data = await files.get(url, bo)
    assert (status, data) == (200, BIG)
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A4.bin"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, max-age=3600"
    assert (await files.get(f"{url}?{signed}"))[0] == 200
    cookies = {"Cookie": signed.replace("&", "; ")}
    assert (await files.get(url, None, "GET", **cookies))[0] == 200
    assert (await files.get(url))[0] == 403
    assert (await files.get(url, cy))[0] == 403
    assert (await files.get("/file-upload/unknown/x", bo))[0] == 404
    part = await files.get(url, bo, "GET", Range="bytes=300000-300009")
    assert (part[0], part[2]) == (206, BIG[300_000:300_010])
    assert part[1]["Content-Range"] == f"bytes 300000-300009/{len(BIG)}"
    beyond = await files.get(url, bo, "GET", Range=f"bytes={len(BIG)}-")
    assert (beyond[0], beyond[1]["Content-Range"]) == (416, f"bytes */{len(BIG)}")
    copy = {"If-None-Match": headers["ETag"]}
    assert (await files.get(url, bo, "GET", **copy))[0] == 304
    head = await files.get(url, bo, "HEAD")
    assert (head[0], head[1]["Content-Length"], head[2]) == (200, str(len(BIG)), b"")
    await rest.post("groups.kick", ana, roomId=room["_id"], userId=bo.id)

    async def is_out() -> bool:
        return (await files.get(url, bo))[0] == 403

    await eventually(is_out, within=5, what="the removed member gets no file any more")


async def test_what_could_run_is_only_saved(files: Files, rest: Rest, ana: User) -> None:
    """Whatever it is called and said to be."""
    room = await group_of(rest, ana)
    for data in (b"<svg><script>alert(1)</script></svg>", b"<html><script>alert(1)</script>"):
        answer = await files.send(
            f"rooms.media/{room['_id']}", ana, data, "../../x.png", media_type="image/png"
        )
        assert answer.body["file"]["url"].endswith("/x.png")
        _, headers, _ = await files.get(answer.body["file"]["url"], ana)
        assert headers["Content-Disposition"].startswith("attachment")
        assert not headers["Content-Type"].startswith("image/png")


async def test_limits_of_the_workspace(
    files: Files, rest: Rest, ana: User, admin: User, database: Database
) -> None:
    """Size, types, and whether files are taken at all: changed while it runs."""
    room = await group_of(rest, ana)
    path = f"rooms.media/{room['_id']}"
    settings = database["rocketchat_settings"]

    async def change(setting_id: str, value: object) -> None:
        await settings.update_one({"_id": setting_id}, {"$set": {"value": value}})

    async def answered(size: int, status: int, code: str = "") -> None:
        async def is_so() -> bool:
            answer = await files.send(path, ana, b"x" * size)
            return answer.status == status and answer.body.get("errorType", "") == code

        await eventually(is_so, within=10, what=f"{status} {code}")

    try:
        await change("FileUpload_MaxFileSize", 200_000)
        await answered(3_000_000, 413, "error-file-too-large")
        await answered(200_001, 413, "error-file-too-large")
        await answered(200_000, 200)
        await change("FileUpload_MediaTypeWhiteList", "image/*")
        await answered(10, 400, "error-invalid-file-type")
        await change("FileUpload_Enabled", False)
        await answered(10, 400, "error-file-upload-disabled")
    finally:
        await change("FileUpload_Enabled", True)
        await change("FileUpload_MediaTypeWhiteList", "")
        await change("FileUpload_MaxFileSize", 104857600)


async def test_files_of_rooms(files: Files, rest: Rest, ana: User, bo: User, cy: User) -> None:
    """Listed by every door, those that are not confirmed too; outsiders are refused."""
    group = await group_of(rest, ana, bo)
    body = {"name": f"files-{random_id(8)}", "members": [bo.username]}
    channel = (await rest.post("channels.create", ana, **body))["channel"]
    direct = (await rest.post("im.create", ana, username=bo.username))["room"]
    for room in (group, channel, direct):
        await files.send(f"rooms.media/{room['_id']}", ana, b"unsent", "unsent.txt")
        await files.send(f"rooms.upload/{room['_id']}", ana, picture(), "sent.png")
    for endpoint, room in (
        ("groups.files", group),
        ("channels.files", channel),
        ("im.files", direct),
        ("dm.files", direct),
    ):
        listed = await rest.get(endpoint, bo, roomId=room["_id"])
        assert [file["name"] for file in listed["files"]] == ["sent.png", "unsent.txt"]
        assert (listed["count"], listed["offset"], listed["total"]) == (2, 0, 2)
        file = listed["files"][0]
        assert file["rid"] == room["_id"]
        assert file["user"]["username"] == ana.username
        assert file["typeGroup"] == "image"
        sent = await rest.get(endpoint, bo, roomId=room["_id"], onlyConfirmed="true")
        assert [file["name"] for file in sent["files"]] == ["sent.png"]
        named = await rest.get(endpoint, bo, roomId=room["_id"], name="UNS")
        assert [file["name"] for file in named["files"]] == ["unsent.txt"]
    images = await rest.get("rooms.images", bo, roomId=group["_id"])
    assert [file["name"] for file in images["files"]] == ["sent.png"]
    for endpoint, room in (("groups.files", group), ("im.files", direct), ("rooms.images", group)):
        answer = await rest.ask(
            "GET", f"/api/v1/{endpoint}", user=cy, query={"roomId": room["_id"]}
        )
        assert answer.status in (400, 403)


async def test_a_file_goes_with_its_message(
    files: Files, rest: Rest, ana: User, database: Database
) -> None:
    """And with its room."""
    room = await group_of(rest, ana)
    kept = await group_of(rest, ana)
    messages = [
        (await files.send(f"rooms.upload/{place['_id']}", ana, BIG)).body["message"]
        for place in (room, room, kept)
    ]
    ids = [message["file"]["_id"] for message in messages]
    await rest.post("chat.delete", ana, roomId=room["_id"], msgId=messages[0]["_id"])

    async def left() -> set[str]:
        chunks = database["rocketchat_uploads.chunks"]
        return set(await chunks.distinct("files_id", {"files_id": {"$in": ids}}))

    async def only(expected: set[str]) -> bool:
        return await left() == expected

    await eventually(lambda: only({ids[1], ids[2]}), within=15, what="the message's file is gone")
    path = messages[0]["attachments"][0]["title_link"]
    assert (await files.get(path, ana))[0] == 404
    await rest.post("groups.delete", ana, roomId=room["_id"])
    await eventually(lambda: only({ids[2]}), within=15, what="the room's files are gone")


async def test_nobody_makes_up_a_file(files: Files, rest: Rest, ana: User, bo: User) -> None:
    """A message that claims somebody's file does not end it."""
    theirs, mine = await group_of(rest, bo), await group_of(rest, ana)
    sent = (await files.send(f"rooms.upload/{theirs['_id']}", bo, b"keep me")).body["message"]
    claim = {"file": sent["file"], "files": [sent["file"]], "attachments": sent["attachments"]}
    forged = (
        await rest.post("chat.sendMessage", ana, message={"rid": mine["_id"], "msg": "x", **claim})
    )["message"]
    assert not {"file", "files"} & forged.keys()
    assert "type" not in forged["attachments"][0]
    await rest.post("chat.delete", ana, roomId=mine["_id"], msgId=forged["_id"])

    path = sent["attachments"][0]["title_link"]
    assert (await files.get(path, ana))[0] == 403
    assert (await files.get(path, bo))[2] == b"keep me"


# -- avatars ------------------------------------------------------------------------------------


async def test_avatars(files: Files, rest: Rest, ana: User, bo: User, sign_in: SignIn) -> None:
    """Set, shown, told to everybody, reset."""
    watcher = await sign_in(bo)
    await watcher.subscribe("stream-notify-logged", "updateAvatar", False)

    async def told(*, with_picture: bool) -> dict[str, Any]:
        (found,) = await watcher.event(
            "notify-logged",
            "updateAvatar",
            lambda avatar: (
                avatar.get("username") == ana.username and ("etag" in avatar) is with_picture
            ),
        )
        avatar: dict[str, Any] = found
        return avatar

    path = f"/avatar/{ana.username}"
    status, headers, initials = await files.get(path)
    assert (status, headers["Content-Type"]) == (200, "image/svg+xml")
    assert initials.startswith(b"<svg")
    answer = await files.send("users.setAvatar", ana, SVG, "avatar.svg", field="image")
    assert (answer.status, answer.body) == (200, {"success": True})
    etag = (await told(with_picture=True))["etag"]
    assert (await rest.get("me", ana))["avatarETag"] == etag
    status, headers, data = await files.get(f"{path}?etag={etag}&format=png&size=50")
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.format) == ((50, 50), "PNG")
    assert "immutable" in headers["Cache-Control"]
    status, headers, _ = await files.get(f"/api/v1/users.getAvatar?userId={ana.id}")
    assert (status, headers["Location"]) == (307, path)
    refused = await rest.ask("POST", "/api/v1/users.resetAvatar", user=bo, body={"userId": ana.id})
    assert refused.status == 400
    assert (await rest.post("users.resetAvatar", ana)) == {"success": True}
    await told(with_picture=False)
    assert (await files.get(path))[2] == initials
    assert (await rest.get("users.getAvatarSuggestion", ana))["suggestions"] == {}


async def test_avatars_that_are_refused(
    files: Files, rest: Rest, ana: User, bo: User, admin: User
) -> None:
    """No picture, somebody else's, addresses of our own network."""
    missing = await rest.ask("POST", "/api/v1/users.setAvatar", user=ana, body={})
    assert missing.body == {"success": False, "error": "The 'image' param is required"}
    other = await files.send(
        "users.setAvatar", ana, picture(), "x.png", field="image", userId=bo.id
    )
    assert (other.status, other.body["errorType"]) == (400, "error-not-allowed")
    by_admin = await files.send(
        "users.setAvatar", admin, picture(), "x.png", field="image", username=bo.username
    )
    assert by_admin.status == 200
    for address in (files.rest.url + "/avatar/x", "http://[::1]/", "file:///etc/passwd"):
        answer = await rest.ask(
            "POST", "/api/v1/users.setAvatar", user=ana, body={"avatarUrl": address}
        )
        assert (answer.status, answer.body["errorType"]) == (400, "error-avatar-invalid-url")
    unknown = await rest.ask("GET", "/api/v1/users.getAvatar", query={"username": "nobody-x"})
    assert (unknown.status, unknown.body["errorType"]) == (400, "error-invalid-user")


async def test_avatars_of_rooms(files: Files, rest: Rest, ana: User, bo: User) -> None:
    """Set with the other settings of a room; shown to who may see it."""
    room = await group_of(rest, ana)
    before = await files.get(f"/avatar/room/{room['_id']}", bo)
    await rest.post("rooms.saveRoomSettings", ana, rid=room["_id"], roomAvatar=data_url(picture()))
    etag = (await rest.get("groups.info", ana, roomId=room["_id"]))["group"]["avatarETag"]

    path = f"/avatar/room/{room['_id']}?etag={etag}"
    assert (await files.get(path, ana))[1]["Content-Type"] in ("image/png", "image/jpeg")
    for user in (bo, None):
        status, headers, data = await files.get(path, user)
        assert (status, headers["Content-Type"], data) == (200, "image/svg+xml", before[2])


async def test_methods_for_avatars(files: Files, ana: User, sign_in: SignIn) -> None:
    """As realtime clients change theirs."""
    client = await sign_in(ana)
    assert await client.call("getAvatarSuggestion") == {}
    await client.call("setAvatarFromService", data_url(picture()), "image/png", "upload")
    path = f"/avatar/{ana.username}"
    assert (await files.get(path))[1]["Content-Type"] in ("image/png", "image/jpeg")
    with pytest.raises(CallFailed) as refused:
        await client.call("setAvatarFromService", "http://127.0.0.1/x", "", "url")
    assert refused.value.code == "error-avatar-invalid-url"
    await client.call("resetAvatar")
    assert (await files.get(path))[1]["Content-Type"] == "image/svg+xml"
    with pytest.raises(CallFailed) as unknown:
        await client.call("sendFileMessage", "GENERAL", "GridFS:Uploads", {})
    assert unknown.value.code == 404


# -- emoji --------------------------------------------------------------------------------------


async def test_custom_emoji(files: Files, rest: Rest, ana: User, admin: User) -> None:
    """Made, listed, shown, changed, removed; by who may."""
    name = f"e-{random_id(6)}"
    refused = await files.send(
        "emoji-custom.create", ana, picture(), "e.png", field="emoji", name=name
    )
    assert refused.status == 403
    made = await files.send(
        "emoji-custom.create", admin, picture(), "e.png", field="emoji", name=name, aliases=""
    )
    assert (made.status, made.body) == (200, {"success": True})
    listed = (await rest.get("emoji-custom.list", ana))["emojis"]["update"]
    (emoji,) = [one for one in listed if one["name"] == name]
    assert emoji["extension"] == "png"
    status, headers, data = await files.get(f"/emoji-custom/{name}.png")
    assert (status, headers["Content-Type"], data) == (200, "image/png", picture())
    no_image = await files.send(
        "emoji-custom.create", admin, b"text", "e.png", field="emoji", name=name + "2"
    )
    assert no_image.body["errorType"] == "emoji-is-not-image"
    async with files.session.post(
        f"{rest.url}/api/v1/emoji-custom.update",
        data={"_id": emoji["_id"], "name": name, "aliases": "x" + name},
        headers=admin.headers,
    ) as answer:
        assert answer.status == 200
    empty = await rest.ask("POST", "/api/v1/emoji-custom.delete", user=admin, body={})
    assert empty.body["error"] == 'The "emojiId" params is required!'
    await rest.post("emoji-custom.delete", admin, emojiId=emoji["_id"])
    assert (await files.get(f"/emoji-custom/{name}.png"))[0] == 404


# -- a client that nobody here wrote ------------------------------------------------------------


# The client leaves the files that it sends open.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
async def test_rocketchat_api(rest: Rest, admin: User, tmp_path: Path) -> None:
    """Files, avatars and emoji as PyPI `rocketchat_API` sends and reads them."""
    room = await group_of(rest, admin)
    (tmp_path / "avatar.svg").write_bytes(SVG)
    (tmp_path / "picture one.png").write_bytes(picture())

    def talk() -> None:
        with requests.Session() as session:
            client = RocketChat(
                admin.username, admin.password, server_url=rest.url, session=session
            )
            media = client.rooms_media(room["_id"], str(tmp_path / "picture one.png"))
            assert unquote(media["file"]["url"]).endswith("picture one.png")
            confirmed = client.rooms_media_confirm(room["_id"], media["file"]["_id"], msg="hi")
            assert confirmed["message"]["msg"] == "hi"
            listed = list(client.groups_files(room_id=room["_id"]))
            assert [file["name"] for file in listed] == ["picture one.png"]
            assert client.users_set_avatar(str(tmp_path / "avatar.svg"))["success"]
            assert client.users_get_avatar(username=admin.username)
            assert client.users_reset_avatar(user_id=admin.id)["success"]
            assert client.users_get_avatar(username=admin.username).startswith("<svg")
            with pytest.raises(RocketApiException):
                client.users_get_avatar(username="nobody-at-all")

    await asyncio.to_thread(talk)
