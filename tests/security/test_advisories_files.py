"""Advisories about files, and about addresses that the server is asked to fetch. One test each.

The mistake was made in another product, and is tried on this one. Each shows as well that the
same call of the rightful user works.
"""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from hubbub.mongo import Database
from tests.conformance.conftest import SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.rest import Rest, User
from tests.conformance.test_rest_files import Files, data_url, picture
from tests.security.test_advisories_content import group, said

pytestmark = pytest.mark.conformance


async def test_cve_2024_39713_the_server_fetches_nothing_from_within(
    rest: Rest, sign_in: SignIn, ana: User
) -> None:
    """No address of this machine or its network is connected to: not for a picture, not for a
    link in a message. Who has no right makes no webhook; what becomes of those that administrators
    make is shown elsewhere."""
    knocks: list[str] = []

    async def knocked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.append("somebody came")
        writer.close()

    server = await asyncio.start_server(knocked, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()  # it does notice who comes
        writer.close()
        assert len(knocks) == 1
        client = await sign_in(ana)
        room_id = await group(rest, ana)
        for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"):
            for address in (f"http://{host}:{port}/x.png", f"http://a@{host}:{port}/x.png"):
                body = {"avatarUrl": address}
                refused = await rest.ask("POST", "/api/v1/users.setAvatar", user=ana, body=body)
                assert refused.status == 400, address
                with pytest.raises(CallFailed):
                    await client.call("setAvatarFromService", address, "image/png", "url")
                await said(rest, ana, room_id, f"look: {address}")
        for address in (
            f"http://[::1]:{port}/",
            f"http://[::ffff:127.0.0.1]:{port}/",
            f"http://0:{port}/",
            f"http://0.0.0.0:{port}/",
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            f"gopher://127.0.0.1:{port}/_x",
        ):
            refused = await rest.ask(
                "POST", "/api/v1/users.setAvatar", user=ana, body={"avatarUrl": address}
            )
            assert refused.status == 400, address
        for endpoint in ("webdav.getMyAccounts",):
            absent = await rest.ask("POST", f"/api/v1/{endpoint}", user=ana, body={})
            assert absent.status == 404, endpoint
        hook = {"type": "webhook-outgoing", "name": "x", "event": "sendMessage", "enabled": True}
        hook |= {"username": "rocket.cat", "channel": "#general", "urls": [f"http://127.1:{port}"]}
        unmade = await rest.ask("POST", "/api/v1/integrations.create", user=ana, body=hook)
        assert unmade.status == 400, unmade
        async with rest._session.post(f"{rest.url}/hooks/x/y", json={}) as answer:
            assert answer.status == 404
        await client.settle()
    assert len(knocks) == 1
    picked = await rest.ask(
        "POST", "/api/v1/users.setAvatar", user=ana, body={"avatarUrl": data_url(picture())}
    )
    assert picked.status == 200, picked


async def test_cve_2026_45687_fields_of_an_upload_are_the_servers(
    files: Files, rest: Rest, database: Database, ana: User, bo: User
) -> None:
    """Whatever a form or a confirmation has beside the file."""
    mine, theirs = await group(rest, ana), await group(rest, bo)
    forged = {
        "store": "FileSystem:Uploads",
        "path": "/etc/passwd",
        "userId": bo.id,
        "rid": theirs,
        "_id": "chosen",
        "type": "text/html",
        "size": "1",
        "url": "http://evil.example/",
        "complete": "true",
        "etag": "x",
    }
    sent = await files.send(f"rooms.media/{mine}", ana, b"hello", "a.txt", **forged)
    file_id = sent.body["file"]["_id"]
    confirm = f"rooms.mediaConfirm/{mine}/{file_id}"
    message = (await rest.post(confirm, ana, msg="x", file=forged, u={"_id": bo.id}, **forged))[
        "message"
    ]
    stored = await database["rocketchat_uploads"].find_one({"_id": file_id})
    assert stored is not None
    assert file_id != "chosen"
    assert (stored["rid"], stored["userId"], stored["size"]) == (mine, ana.id, 5)
    assert "passwd" not in str(stored)
    assert "evil.example" not in str(stored) + str(message)
    assert (message["rid"], message["u"]["_id"]) == (mine, ana.id)
    elsewhere = await rest.ask(
        "POST", f"/api/v1/rooms.mediaConfirm/{theirs}/{file_id}", user=bo, body={}
    )
    assert elsewhere.status in (400, 403)
    assert (await files.get(sent.body["file"]["url"], ana))[2] == b"hello"
    assert (await files.get(sent.body["file"]["url"], bo))[0] == 403


async def test_cve_2026_48616_files_belong_to_their_room(
    files: Files, rest: Rest, ana: User, bo: User
) -> None:
    """Neither a member of another room, nor a made-up pair of id and token, nor a guess."""
    mine, theirs = await group(rest, ana), await group(rest, bo)
    sent = [await files.send(f"rooms.upload/{mine}", ana, picture(), "p.png") for _ in range(5)]
    urls = [one.body["message"]["attachments"][0]["title_link"] for one in sent]
    own = await files.send(f"rooms.upload/{theirs}", bo, b"mine", "m.txt")
    assert (await files.get(own.body["message"]["attachments"][0]["title_link"], bo))[0] == 200
    ids = {URL(url).parts[2] for url in urls}
    assert len(ids) == 5
    assert all(len(one) >= 17 for one in ids)
    assert len({one[:6] for one in ids}) == 5  # no clock, no counter
    for url in urls:
        for query in (
            "",
            f"?rc_uid={bo.id}&rc_token={bo.token}",
            f"?rc_uid={ana.id}&rc_token={bo.token}",
            f"?rc_room_type=c&rc_rid={theirs}&rc_uid={bo.id}&rc_token={bo.token}",
            "?token=x&download",
        ):
            assert (await files.get(url + query))[0] == 403, query
        assert (await files.get(url, bo))[0] == 403
        cookie = {"Cookie": f"rc_uid={ana.id}; rc_token={bo.token}"}
        assert (await files.get(url, None, "GET", **cookie))[0] == 403
        assert (await files.get(url, ana))[0] == 200
