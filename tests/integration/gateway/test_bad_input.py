"""What strangers send by mistake or on purpose. The answer is JSON, and a neighbour still works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from yarl import URL

from tests.integration.gateway.conftest import Site, running
from tests.waiting import eventually

pytestmark = pytest.mark.integration

LOGIN = b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def quick() -> AsyncIterator[Site]:
    """A gateway whose patience is short."""
    async with running(
        header_timeout=0.3,
        body_grace=0.3,
        request_timeout=2.0,
        keepalive_timeout=0.5,
        max_half_open=3,
    ) as site:
        yield site


async def alive(site: Site) -> None:
    """A neighbour is served."""
    assert (await site.get("info")).status == 200


def status_and_body(raw: bytes) -> tuple[int, dict[str, object]]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"application/json" in head.lower()
    return int(head.split(b" ", 2)[1]), orjson.loads(body)


# -- addresses and methods ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/no.such.endpoint",
        "/api/v1/Me",
        "/api/v1/",
        "/api/v1",
        "/api",
        "/api/v2/me",
        "/api/app/anything",
        "/api/v1/me/extra",
        "/api/v1/method.call",
        "/api/v1/method.call/",
        "/api/v1/..%2f..%2fetc/passwd",
        "/nothing",
        "/api/v1//me",
    ],
)
async def test_unknown_addresses(site: Site, path: str) -> None:
    """404 with all four keys, before anything about tokens is looked at."""
    reply = await site.call("GET", path, headers={"X-Auth-Token": "x", "X-User-Id": "y"})

    assert reply.status == 404
    assert reply.body == {
        "success": False,
        "status": "error",
        "error": "API endpoint does not exist.",
        "message": "API endpoint does not exist.",
    }
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/v1/me", "GET, HEAD"),
        ("GET", "/api/v1/login", "POST"),
        ("DELETE", "/api/v1/logout", "GET, HEAD, POST"),
        ("PUT", "/api/v1/method.call/x", "POST"),
        ("PROPFIND", "/api/v1/me", "GET, HEAD"),
    ],
)
async def test_wrong_methods(site: Site, method: str, path: str, allowed: str) -> None:
    """405 with `Allow`."""
    reply = await site.call(method, path)

    assert reply.status == 405
    assert reply.headers["Allow"] == allowed
    assert reply.body["error"] == "Method not allowed."
    assert reply.body["success"] is False


async def test_head_is_get_without_a_body(site: Site) -> None:
    """Same status and headers, no body."""
    reply = await site.call("HEAD", "/api/v1/me", by="ana")

    assert (reply.status, reply.raw) == (200, b"")
    assert reply.headers["Content-Type"] == "application/json"


async def test_options_names_the_setting(site: Site) -> None:
    """Without CORS a preflight is refused in JSON."""
    reply = await site.call("OPTIONS", "/api/v1/me", headers={"Origin": "https://evil.example"})

    assert reply.status == 405
    assert "API_Enable_CORS" in reply.body["error"]
    assert "Access-Control-Allow-Origin" not in reply.headers


# -- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Auth-Token": "undefined", "X-User-Id": "undefined"},
        {"X-Auth-Token": "x"},
        {"X-User-Id": "id-ana"},
        {"X-Auth-Token": "x", "X-User-Id": "id-ana"},
        {"X-Auth-Token": '{"$ne":null}', "X-User-Id": '{"$gt":""}'},
        {"X-Auth-Token": "x" * 5000, "X-User-Id": "id-ana"},
        {"X-Auth-Token": "\u00e9", "X-User-Id": "id-ana"},
    ],
)
async def test_bad_tokens(site: Site, headers: dict[str, str]) -> None:
    """401 with the keys of old and new versions."""
    reply = await site.get("me", headers=headers)

    assert reply.status == 401
    assert reply.body == {
        "success": False,
        "status": "error",
        "error": "You must be logged in to do this.",
        "message": "You must be logged in to do this.",
    }


async def test_the_token_of_somebody_else(site: Site) -> None:
    """Both headers must belong together."""
    mine, other = site.signed_in("ana"), site.signed_in("bo")
    reply = await site.get(
        "me", headers={"X-Auth-Token": mine["X-Auth-Token"], "X-User-Id": other["X-User-Id"]}
    )

    assert reply.status == 401


# -- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b'{"channel":', "invalid-body", id="cut-off"),
        pytest.param(b"\xff\xfe", "invalid-body", id="not-utf-8"),
        pytest.param(b'{"a":NaN}', "invalid-body", id="nan"),
        pytest.param(b'{"a":Infinity}', "invalid-body", id="infinity"),
        pytest.param(b'{"a":1e400}', "invalid-body", id="overflow"),
        pytest.param(b'{"a":"\\ud800"}', "invalid-body", id="lone-surrogate"),
        pytest.param(b"[" * 65 + b"]" * 65, "invalid-body", id="65-deep"),
        pytest.param(b"[" * 100_000, "invalid-body", id="100000-deep"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "invalid-body", id="65-objects-deep"),
        pytest.param(
            b"{%b}" % b",".join(b'"%d":0' % index for index in range(10_001)),
            "invalid-body",
            id="10001-keys",
        ),
        pytest.param(b"[]", "invalid-params", id="array"),
        pytest.param(b'"text"', "invalid-params", id="text"),
        pytest.param(b"5", "invalid-params", id="number"),
        pytest.param(b"null", "invalid-params", id="null"),
        pytest.param(b'{"roomId":"a\\u0000b"}', "invalid-params", id="nul"),
        pytest.param(
            b'{"roomId":"x","a":1180591620717411303424}', "invalid-params", id="two-to-the-70"
        ),
    ],
)
async def test_bad_bodies(site: Site, body: bytes, kind: str) -> None:
    """400 with a code, whatever the content type says."""
    for content_type in ("application/json", "application/json; charset=utf-8", "text/plain"):
        reply = await site.call(
            "POST",
            "/api/v1/chat.postMessage",
            by="ana",
            data=body,
            headers={"Content-Type": content_type},
        )
        assert (reply.status, reply.body["errorType"]) == (400, kind)
    await alive(site)


async def test_operators_are_never_values(site: Site) -> None:
    """Objects where texts are expected are refused by every writing endpoint."""
    room = site.world.add_room("c", "town", "ana")
    operators = ({"$ne": None}, {"$gt": ""}, {"$regex": ".*"}, {"$in": ["a"]}, True, 0, [1])
    for name, keys in (
        ("channels.create", ("name",)),
        ("channels.invite", ("roomId", "userId", "username")),
        ("chat.update", ("roomId", "msgId", "text")),
        ("chat.delete", ("roomId", "msgId")),
        ("chat.react", ("messageId", "emoji")),
        ("im.create", ("username",)),
        ("subscriptions.read", ("rid",)),
        ("users.setStatus", ("status", "message")),
        ("users.register", ("username", "email", "pass")),
    ):
        for key in keys:
            for operator in operators:
                body = dict.fromkeys(keys, "x") | {"roomId": room["_id"]} | {key: operator}
                by = None if name == "users.register" else "ana"
                reply = await site.post(name, body, by=by)
                assert reply.status == 400, (name, key, operator, reply.raw)
    assert site.world.messages == {}
    assert len(site.world.rooms) == 1


async def test_a_login_of_operators(site: Site) -> None:
    """Neither user nor password may be a query."""
    for body in (
        {"user": {"$ne": None}, "password": "x"},
        {"user": "ana", "password": {"$ne": None}},
        {"user": {"username": {"$gt": ""}}, "password": "x"},
        {"resume": {"$ne": None}},
        {"user": ["ana"], "password": "x"},
    ):
        reply = await site.post("login", body)
        assert reply.status in (400, 401)
        assert reply.body["success"] is False


async def test_a_body_that_is_too_large(site: Site) -> None:
    """413 by its length, and by its chunks when it names none."""
    declared = await site.call("POST", "/api/v1/login", data=b" " * (1_048_576 + 1))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    async with site.session.post(site.base + "/api/v1/login", data=chunks()) as response:
        chunked = response.status, orjson.loads(await response.read())

    assert declared.status == chunked[0] == 413
    assert declared.body["errorType"] == "error-request-too-large"
    assert chunked[1]["success"] is False
    assert (await site.call("POST", "/api/v1/login", data=b" " * 1_048_576)).status == 401
    await alive(site)


async def test_a_get_has_no_body(site: Site) -> None:
    """Clients send the content type on GET too; a body there is not looked at."""
    empty = await site.get("me", by="ana", headers={"Content-Type": "application/json"})
    filled = await site.get(
        "me", by="ana", data=b"{rubbish", headers={"Content-Type": "application/json"}
    )

    assert (empty.status, filled.status) == (200, 200)


# -- queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("sort=x", "error-invalid-sort"),
        ('sort={"username":2}', "error-invalid-sort"),
        ('sort={"username":true}', "error-invalid-sort"),
        ("sort=[]", "error-invalid-sort"),
        ('fields={"name":2}', "error-invalid-fields"),
        ('fields={"name":{"$elemMatch":{}}}', "error-invalid-fields"),
        ("fields=1", "error-invalid-fields"),
        ('query={"status":{"$ne":{"$gt":""}}}', "error-invalid-query"),
        ('query={"status":{"$ne":"a","$gt":""}}', "error-invalid-query"),
        ('query={"$or":[{"status":"online"}]}', "error-invalid-query"),
        ('query={"emails.address":{"$gt":""}}', "error-invalid-query"),
        ('query={"username":"ana"}', "error-invalid-query"),
        ("query=" + "[" * 500, "error-invalid-query"),
        ("count=%ff", "invalid-params"),
        ("fields=%00", "invalid-params"),
    ],
)
async def test_bad_queries(site: Site, query: str, code: str) -> None:
    """Nothing unknown is let through to a database."""
    reply = await site.get(f"users.list?{query}", by="ana")

    assert (reply.status, reply.body["errorType"]) == (400, code)


@pytest.mark.parametrize("count", ["-1", "x", "1e9", "99999999999999999999", "", "٣"])
async def test_numbers_that_are_none(site: Site, count: str) -> None:
    """A count or an offset that is no number is the default."""
    url = URL.build(path="/api/v1/users.list", query={"count": count, "offset": count})
    reply = await site.call("GET", str(url), by="ana")

    assert reply.status == 200
    assert (reply.body["count"], reply.body["offset"]) == (4, 0)


async def test_a_query_that_is_too_long(site: Site) -> None:
    """414 beyond 16 KiB; 431 when not even the line can be read."""
    long = await site.get("info?x=" + "a" * 16_384)
    longer = await site.get("info?x=" + "a" * 40_000)

    assert (long.status, long.body["errorType"]) == (414, "error-query-too-long")
    assert (longer.status, longer.body["success"]) == (431, False)
    await alive(site)


# -- HTTP itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"rubbish\r\n\r\n", 400, id="no-http"),
        pytest.param(b"BREW /api/info HTTP/1.1\r\n\r\n", 400, id="unknown-verb"),
        pytest.param(b"GET /api/info HTTP/9.9\r\n\r\n", 400, id="version"),
        pytest.param(
            LOGIN + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            400,
            id="two-lengths",
        ),
        pytest.param(
            LOGIN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, id="unknown-coding"
        ),
        pytest.param(LOGIN + b"Content-Length: -5\r\n\r\n", 400, id="negative-length"),
        pytest.param(LOGIN + b"Bad Header: x\r\n\r\n", 400, id="header-name"),
        pytest.param(
            b"GET /api/info HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"a" * 100_000),
            431,
            id="long-header",
        ),
        pytest.param(
            b"GET /api/info HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"X: y\r\n" * 200),
            431,
            id="many-headers",
        ),
    ],
)
async def test_requests_that_are_no_http(site: Site, request_bytes: bytes, status: int) -> None:
    """An answer in JSON, then the connection closes."""
    code, body = status_and_body(await site.raw(request_bytes))

    assert code == status
    assert body["success"] is False
    await alive(site)


async def test_targets_in_other_forms(site: Site) -> None:
    """An absolute address and a stray fragment reach the endpoint; `*` reaches none."""
    tail = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    absolute = await site.raw(b"GET http://evil.example/api/info" + tail)
    star = await site.raw(b"OPTIONS *" + tail)

    assert status_and_body(absolute)[0] == 200
    assert status_and_body(star)[0] in (400, 405)


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    """Three requests in one packet."""
    one = b"GET /api/info HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /api/v1/nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    raw = await site.raw(one + one + last)

    assert raw.count(b"HTTP/1.1 200") == 2
    assert raw.index(b"HTTP/1.1 404") > raw.rindex(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /api/info HT", id="half-a-line"),
        pytest.param(b"GET /api/info HTTP/1.1\r\nHost: x\r\nX-", id="half-headers"),
    ],
)
async def test_half_requests_end(quick: Site, sent: bytes) -> None:
    """408 after the time for headers, not never."""
    raw = await quick.raw(sent)
    last = raw[raw.rindex(b"HTTP/1.1") :]

    assert status_and_body(last)[0] == 408
    await eventually(lambda: quick.gateway.server.half_open == 0)
    await alive(quick)


@pytest.mark.parametrize("pause", [0.0, 0.1])
async def test_half_a_second_request_ends(quick: Site, pause: float) -> None:
    """Behind a served request, in the same packet or later, half a request ends too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", quick.gateway.port)
    writer.write(b"GET /api/info HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(pause)  # the bytes arrive as one packet or as two
    writer.write(b"GET /api/in")
    async with asyncio.timeout(20):
        raw = await reader.read()
    writer.close()

    assert raw.startswith(b"HTTP/1.1 200")
    await eventually(lambda: quick.gateway.server.half_open == 0)
    await alive(quick)


async def test_only_so_many_half_requests(quick: Site) -> None:
    """The next connection is refused at once, and later ones are served again."""
    held = [await asyncio.open_connection("127.0.0.1", quick.gateway.port) for _ in range(3)]
    await eventually(lambda: quick.gateway.server.half_open == 3)
    code, _ = status_and_body(await quick.raw(b""))

    assert code == 503
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    await eventually(lambda: quick.gateway.server.half_open == 0)
    await alive(quick)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(LOGIN + b'Content-Length: 100\r\n\r\n{"user"', id="length"),
        pytest.param(LOGIN + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", id="chunks"),
    ],
)
async def test_slow_bodies_end(quick: Site, sent: bytes) -> None:
    """408 when a body does not come."""
    code, body = status_and_body(await quick.raw(sent))

    assert (code, body["errorType"]) == (408, "request-timeout")
    await alive(quick)


async def test_chunks_without_end(quick: Site) -> None:
    """Bytes that drip too slowly end with 408 though each of them is in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", quick.gateway.port)
    writer.write(LOGIN + b"Transfer-Encoding: chunked\r\n\r\n")

    async def drip() -> None:
        while not reader.at_eof():
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"}")
    dripping.cancel()
    await asyncio.wait([dripping])
    writer.close()

    assert answer.startswith(b"HTTP/1.1 408")
    await alive(quick)
