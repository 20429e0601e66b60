"""Avatars and custom emoji, on a real database: made anew from what people send, and shown."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from hubbub.contracts.events import RoomChanged, UserChanged
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import RoomId, UserId
from hubbub.mongo import Database
from tests.integration.gateway.conftest import Reply
from tests.integration.gateway.files_site import FileSite, Part, picture, running
from tests.waiting import eventually

pytestmark = pytest.mark.integration

SVG = (
    b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd">'
    b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><script>alert(1)</script>'
    b'<image href="file:///etc/passwd"/><rect width="10" height="10" fill="blue"/></svg>'
)
ANA, BO, ROOT = UserId("id-ana"), UserId("id-bo"), UserId("id-root")


@pytest.fixture
async def site(database: Database) -> AsyncIterator[FileSite]:
    async with running(database) as site:
        yield site


def opened(reply: Reply) -> Image.Image:
    assert reply.status == 200, reply.raw
    return Image.open(io.BytesIO(reply.raw))


def as_text(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def color(image: Image.Image) -> tuple[int, ...]:
    found: Any = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    return tuple(round(part / 255) for part in found)


# -- changing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
async def test_a_picture_becomes_an_avatar(site: FileSite, kind: str) -> None:
    """200 by 200 pixels, drawn anew; the account knows its tag."""
    reply = await site.send("users.setAvatar", Part("image", picture(400, 300, kind), "x"))
    shown = await site.call("GET", "/avatar/ana")

    assert (reply.status, reply.body) == (200, {"success": True})
    assert opened(shown).size == (200, 200)
    assert color(opened(shown)) == (1, 0, 0)
    user = site.world.users["id-ana"]
    assert shown.headers["ETag"] == f'"{user["avatarETag"]}"'
    assert user["avatarOrigin"] == "rest"


async def test_an_svg_is_drawn_by_us(site: FileSite) -> None:
    """What is kept is a picture, without script and without what it refers to."""
    reply = await site.send("users.setAvatar", Part("image", SVG, "avatar.svg", "image/svg+xml"))
    shown = await site.call("GET", "/avatar/ana")

    assert reply.status == 200, reply.raw
    assert shown.headers["Content-Type"] in ("image/png", "image/jpeg")
    assert color(opened(shown)) == (0, 0, 1)


async def test_nothing_but_pixels_is_kept(site: FileSite) -> None:
    """No camera data, which may say where somebody lives."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    exif[0x0112] = 6  # turned
    image = Image.new("RGB", (400, 300), "red")
    image.paste("blue", (0, 0, 400, 150))
    image.save(out, "JPEG", exif=exif)
    await site.send("users.setAvatar", Part("image", out.getvalue(), "x.jpg"))
    shown = opened(await site.call("GET", "/avatar/ana"))

    assert not shown.getexif()
    assert b"secret" not in (await site.call("GET", "/avatar/ana")).raw
    left, right = shown.getpixel((20, 100)), shown.getpixel((180, 100))
    assert (left, right) != (right, left)  # it was turned as the camera was held


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"no picture", id="text"),
        pytest.param(b"<html>", id="html"),
        pytest.param(picture()[:50], id="broken"),
        pytest.param(b"", id="empty"),
        pytest.param(picture(form="BMP"), id="other-format"),
        pytest.param(b"<svg", id="broken-svg"),
        pytest.param(
            b'<!DOCTYPE svg [<!ENTITY a "aaa">]><svg xmlns="http://www.w3.org/2000/svg"/>',
            id="entities",
        ),
    ],
)
async def test_what_is_no_picture(site: FileSite, data: bytes) -> None:
    """Is refused, and the old picture stays."""
    await site.send("users.setAvatar", Part("image", picture(), "x.png"))
    before = site.world.users["id-ana"]["avatarETag"]
    reply = await site.send("users.setAvatar", Part("image", data, "x.png"))

    assert reply.status == 400
    assert reply.body["errorType"] == "error-avatar-invalid-image"
    assert site.world.users["id-ana"]["avatarETag"] == before


async def test_no_picture_at_all(site: FileSite) -> None:
    """The sentence that clients know; a file in another field is none."""
    missing = {"success": False, "error": "The 'image' param is required"}
    assert (await site.post("users.setAvatar", {}, by="ana")).body == missing
    reply = await site.send("users.setAvatar", Part("userId", b"id-ana"))
    assert reply.body == missing
    reply = await site.send("users.setAvatar", Part("file", picture(), "x.png"))
    assert reply.body["errorType"] == "invalid-field"
    reply = await site.send("users.setAvatar", Part("image", bytes(11_000_000), "x.png"))
    assert (reply.status, reply.body["errorType"]) == (413, "error-file-too-large")


async def test_avatars_of_others(site: FileSite) -> None:
    """Only by who may, named in the form before or behind the picture."""
    image = Part("image", picture(), "x.png")
    refused = await site.send("users.setAvatar", Part("username", b"bo"), image)
    for parts in ((Part("username", b"bo"), image), (image, Part("userId", b"id-bo"))):
        reply = await site.send("users.setAvatar", *parts, by="root")
        assert reply.status == 200
    unknown = await site.send("users.setAvatar", image, Part("userId", b"nobody"), by="root")

    assert refused.body["errorType"] == "error-not-allowed"
    assert "avatarETag" in site.world.users["id-bo"]
    assert "avatarETag" not in site.world.users["id-root"]
    assert unknown.body["errorType"] == "error-invalid-user"


async def test_reset(site: FileSite) -> None:
    """The initials are back."""
    await site.send("users.setAvatar", Part("image", picture(), "x.png"))
    assert (await site.post("users.resetAvatar", {"userId": "id-ana"}, by="bo")).status == 400
    reply = await site.post("users.resetAvatar", {}, by="ana")
    shown = await site.call("GET", "/avatar/ana")

    assert reply.body == {"success": True}
    assert shown.headers["Content-Type"] == "image/svg+xml"
    assert site.world.users["id-ana"]["avatarETag"] is None
    assert await site.database.rocketchat_avatars.count_documents({}) == 0


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/x.png",
        "http://localhost/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://10.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://user:password@example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "ftp://example.org/",
        "//example.org/x.png",
        "nonsense",
        "http://",
        "http://exa mple/",
        "http://" + "a" * 3000,
    ],
)
async def test_addresses_that_are_not_asked(site: FileSite, address: str) -> None:
    """Nothing of our own network, and nothing but the web."""
    reply = await site.post("users.setAvatar", {"avatarUrl": address}, by="ana")

    assert reply.status == 400
    assert reply.body["errorType"] == "error-avatar-invalid-url"
    assert reply.body["error"].startswith("Invalid avatar URL: ")
    assert len(reply.body["error"]) < 300


async def test_an_address_that_holds_the_picture(site: FileSite) -> None:
    """Nothing is fetched."""
    reply = await site.post("users.setAvatar", {"avatarUrl": as_text(picture())}, by="ana")

    assert reply.status == 200, reply.raw
    assert opened(await site.call("GET", "/avatar/ana")).size == (200, 200)


async def test_suggestions(site: FileSite) -> None:
    """There are none."""
    reply = await site.get("users.getAvatarSuggestion", by="ana")

    assert reply.body == {"suggestions": {}, "success": True}


# -- showing ------------------------------------------------------------------------------------


async def test_where_an_avatar_is(site: FileSite) -> None:
    """A redirection, also for nobody; unknown users are refused."""
    for query in ("username=ana", "userId=id-ana", "user=ANA"):
        for by in (None, "bo"):
            headers = site.signed_in(by) if by else {}
            async with site.session.get(
                f"{site.base}/api/v1/users.getAvatar?{query}",
                headers=headers,
                allow_redirects=False,
            ) as answer:
                assert (answer.status, answer.headers["Location"]) == (307, "/avatar/ana")
                assert await answer.json() == "/avatar/ana"
    assert (
        (await site.get("users.getAvatar?username=ana"))
        .headers["Content-Type"]
        .startswith("image/")
    )
    reply = await site.get("users.getAvatar?username=nobody")
    assert (reply.status, reply.body["errorType"]) == (400, "error-invalid-user")
    reply = await site.get("users.getAvatar")
    assert reply.body["errorType"] == "error-user-param-not-provided"


async def test_initials(site: FileSite) -> None:
    """For whoever has no picture or is unknown: the same ones every time, and no markup."""
    first = await site.call("GET", "/avatar/ana")

    assert first.headers["Content-Type"] == "image/svg+xml"
    assert first.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert ElementTree.fromstring(first.raw).tag.endswith("svg")
    assert (await site.call("GET", "/avatar/uid/id-ana")).raw == first.raw
    assert (await site.call("GET", "/avatar/@ana")).raw == first.raw
    assert (await site.call("GET", "/avatar/nobody")).status == 200
    hostile = await site.call("GET", "/avatar/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert b"script" not in hostile.raw
    long = await site.call("GET", "/avatar/" + "x" * 5000)
    assert long.status == 200


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "jpg"])
@pytest.mark.parametrize("has_picture", [False, True], ids=["initials", "picture"])
async def test_formats_and_sizes(site: FileSite, form: str, has_picture: bool) -> None:
    """Both are chosen by the client, within bounds."""
    if has_picture:
        await site.send("users.setAvatar", Part("image", picture(), "x.png"))
    for size, pixels in ((50, 50), (3, 8), (99_999, 1024)):
        reply = await site.call("GET", f"/avatar/ana?format={form}&size={size}")
        image = opened(reply)
        assert image.size == (pixels, pixels)
        assert (image.format or "").lower() == form.replace("jpg", "jpeg")
        assert reply.headers["Content-Type"] == f"image/{form.replace('jpg', 'jpeg')}"
    for query in ("format=exe&size=-1", "size=x", "format=", "etag=x&size="):
        assert (await site.call("GET", f"/avatar/ana?{query}")).status == 200


async def test_copies_of_avatars(site: FileSite) -> None:
    """With its tag in the address a picture may be kept for ever, else for a while."""
    await site.send("users.setAvatar", Part("image", picture(), "x.png"))
    etag = site.world.users["id-ana"]["avatarETag"]
    kept = await site.call("GET", f"/avatar/ana?etag={etag}")
    small = await site.call("GET", f"/avatar/ana?etag={etag}&size=20")
    other = await site.call("GET", "/avatar/ana?etag=old")

    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert small.headers["Cache-Control"] == kept.headers["Cache-Control"]
    assert small.headers["ETag"] != kept.headers["ETag"]
    assert other.headers["Cache-Control"] == "public, max-age=300"
    for path, tag in (("/avatar/ana", kept), ("/avatar/ana?size=20", small)):
        headers = {"If-None-Match": tag.headers["ETag"]}
        reply = await site.call("GET", path, headers=headers)
        assert (reply.status, reply.raw) == (304, b"")


async def test_only_for_who_is_signed_in(site: FileSite) -> None:
    """When the workspace says so."""
    await site.setting("Accounts_AvatarBlockUnauthenticatedAccess", True)
    token = site.signed_in("bo")
    cookies = f"rc_uid={token['X-User-Id']}; rc_token={token['X-Auth-Token']}"

    for path in ("/avatar/ana", "/avatar/uid/id-ana", "/avatar/room/x"):
        assert (await site.call("GET", path)).status == 403
        assert (await site.call("GET", path, headers={"Cookie": cookies})).status == 200


async def test_avatars_of_rooms(site: FileSite) -> None:
    """A room that one may not see looks like one that does not exist."""
    room = site.world.add_room("p", "secret-plans", "ana")
    channel = site.world.add_room("c", "news", "ana")
    etag = await site.pictures.keep_room_avatar(RoomId(room["_id"]), as_text(picture()))
    path = f"/avatar/room/{room['_id']}"

    member = await site.call("GET", f"{path}?etag={etag}", by="ana")
    assert opened(member).size == (200, 200)
    assert member.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    for by in ("bo", None):
        outsider = await site.call("GET", path, by=by)
        assert outsider.headers["Content-Type"] == "image/svg+xml"
        assert b">SP<" not in outsider.raw
    assert b">NE<" in (await site.call("GET", f"/avatar/room/{channel['_id']}", by="bo")).raw
    assert b">SP<" not in (await site.call("GET", "/avatar/room/unknown", by="bo")).raw


# -- by other ways ------------------------------------------------------------------------------


async def test_pictures_as_text(site: FileSite) -> None:
    """What the methods of realtime clients use."""
    await site.pictures.set_user_avatar(ANA, as_text(picture()))
    assert opened(await site.call("GET", "/avatar/ana")).size == (200, 200)
    assert site.world.users["id-ana"]["avatarOrigin"] == "url"
    with pytest.raises(NotAllowed):
        await site.pictures.reset_user_avatar(BO, ANA)
    await site.pictures.reset_user_avatar(ROOT, ANA)
    assert site.world.users["id-ana"]["avatarETag"] is None
    for text in ("data:image/png;base64,%%%", "data:,x", as_text(b"no picture")):
        with pytest.raises(BadRequest, match=r"Invalid image"):
            await site.pictures.set_user_avatar(ANA, text)
    with pytest.raises(BadRequest, match=r"Invalid image"):
        await site.pictures.keep_room_avatar(RoomId("r"), "http://example.org/x.png")


async def test_pictures_go_with_their_owner(site: FileSite) -> None:
    """Of users and of rooms."""
    room = site.world.add_room("p", "team", "ana")
    await site.pictures.set_user_avatar(ANA, as_text(picture()))
    await site.pictures.keep_room_avatar(RoomId(room["_id"]), as_text(picture()))
    await site.bus.publish(UserChanged(user_id=ANA))
    await site.bus.settled()
    assert await site.database.rocketchat_avatars.count_documents({}) == 2
    await site.bus.publish(UserChanged(user_id=ANA, deleted=True))
    await site.bus.publish(RoomChanged(room_id=RoomId(room["_id"]), deleted=True))

    async def none_left() -> bool:
        return await site.database.rocketchat_avatars.count_documents({}) == 0

    await eventually(none_left, within=5)


# -- emoji --------------------------------------------------------------------------------------


async def test_emoji(site: FileSite) -> None:
    """Made, shown, changed with and without a picture, removed."""
    made = await site.send(
        "emoji-custom.create",
        Part("name", b"party"),
        Part("emoji", picture(64, 64), "p.png"),
        Part("aliases", b"fun, :joy:"),
        by="root",
    )
    assert made.body == {"success": True}
    (emoji,) = (await site.pictures.custom_emoji()).update
    assert (emoji["name"], emoji["aliases"], emoji["extension"]) == ("party", ["fun", "joy"], "png")
    assert emoji.keys() == {"_id", "name", "aliases", "extension", "etag", "_updatedAt"}
    shown = await site.call("GET", "/emoji-custom/party.png")
    assert (shown.status, shown.raw) == (200, picture(64, 64))
    assert shown.headers["Content-Type"] == "image/png"
    assert (await site.call("GET", "/emoji-custom/other.png")).status == 404
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    changed = await site.call(
        "POST",
        "/api/v1/emoji-custom.update",
        by="root",
        data=f"_id={emoji['_id']}&name=party2&aliases=fun".encode(),
        headers=form,
    )
    assert changed.status == 200, changed.raw
    moving = picture(32, 32, "GIF")
    await site.send(
        "emoji-custom.update",
        Part("_id", emoji["_id"].encode()),
        Part("emoji", moving, "p.gif"),
        by="root",
    )
    (after,) = (await site.pictures.custom_emoji(emoji["_updatedAt"])).update
    assert (after["name"], after["aliases"], after["extension"]) == ("party2", ["fun"], "gif")
    assert after["etag"] != emoji["etag"]
    assert (await site.call("GET", "/emoji-custom/party2.gif")).raw == moving
    gone = await site.post("emoji-custom.delete", {"emojiId": emoji["_id"]}, by="root")
    assert gone.body == {"success": True}
    left = await site.pictures.custom_emoji(emoji["_updatedAt"])
    assert (left.update, [one["_id"] for one in left.remove]) == ([], [emoji["_id"]])


async def test_emoji_that_are_refused(site: FileSite) -> None:
    """By whom, without what, and what is no picture."""
    picture_part = Part("emoji", picture(64, 64), "p.png")

    async def made(*parts: Part, by: str = "root") -> Reply:
        return await site.send("emoji-custom.create", *parts, by=by)

    assert (await made(Part("name", b"a"), picture_part, by="ana")).status == 403
    assert (await made(Part("name", b"a"))).body["errorType"] == "invalid-field"
    assert (await made(picture_part)).body["errorType"] == "invalid-params"
    for data in (b"text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", picture(2000, 10)):
        reply = await made(Part("name", b"a"), Part("emoji", data, "p.png"))
        assert reply.body["errorType"] == "emoji-is-not-image"
    for name in (b"../x", b"a b", b":a:", "ä".encode(), b"x" * 65):
        reply = await made(Part("name", name), picture_part)
        assert reply.body["errorType"] == "error-input-is-not-a-valid-field"
    assert (await made(Part("name", b"a"), Part("aliases", b"b"), picture_part)).status == 200
    for name in (b"a", b"b"):
        assert (await made(Part("name", name), picture_part)).status == 400
    assert (await made(Part("name", b"c"), Part("aliases", b"b"), picture_part)).status == 400
    assert (await made(Part("name", b"c"), picture_part)).status == 200
    missing = await site.post("emoji-custom.delete", {}, by="root")
    assert missing.body == {"success": False, "error": 'The "emojiId" params is required!'}
    assert (await site.post("emoji-custom.delete", {"emojiId": "x"}, by="root")).status == 400
    assert (await site.post("emoji-custom.update", {"_id": "x"}, by="root")).status == 400
