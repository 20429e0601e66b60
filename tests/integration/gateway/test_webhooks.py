"""`integrations.*` and `/hooks/…`: statuses and texts as clients know them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from hubbub.errors import LacksPermission
from tests.integration.gateway.conftest import Site, running
from tests.integration.gateway.fake_apps import TOKEN, FakeApps

pytestmark = pytest.mark.integration

INCOMING: dict[str, Any] = {
    "type": "webhook-incoming",
    "name": "ci",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general",
    "scriptEnabled": False,
}
OUTGOING: dict[str, Any] = {
    **INCOMING,
    "type": "webhook-outgoing",
    "event": "sendMessage",
    "urls": ["https://example.org/x"],
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def made(site: Site, **more: Any) -> str:
    reply = await site.post("integrations.create", {**INCOMING, **more}, by="root")
    assert reply.status == 200, reply.raw
    return f"/hooks/{reply.body['integration']['_id']}/{TOKEN}"


async def test_the_life_of_an_integration(site: Site) -> None:
    created = (await site.post("integrations.create", INCOMING, by="root")).body["integration"]
    about = {"type": "webhook-incoming", "integrationId": created["_id"]}
    changed = await site.call(
        "PUT", "/api/v1/integrations.update", by="root", json={**about, "alias": "CI"}
    )
    assert changed.body["integration"]["alias"] == "CI"
    assert changed.body["integration"]["name"] == "ci"
    found = await site.get(f"integrations.get?integrationId={created['_id']}", by="root")
    assert found.body["integration"]["alias"] == "CI"
    listed = await site.get("integrations.list", by="root")
    assert (listed.body["items"], listed.body["total"], listed.body["offset"]) == (1, 1, 0)
    history = await site.get(f"integrations.history?id={created['_id']}", by="root")
    assert (history.body["items"], len(history.body["history"])) == (1, 1)
    removed = await site.post("integrations.remove", about, by="root")
    assert removed.body["integration"]["_id"] == created["_id"]
    again = await site.post("integrations.remove", about, by="root")
    assert (again.status, again.body["error"]) == (400, "No integration found.")


async def test_an_outgoing_one_by_its_address(site: Site) -> None:
    await site.post("integrations.create", OUTGOING, by="root")
    about = {"type": "webhook-outgoing", "target_url": "https://example.org/x"}
    removed = await site.post("integrations.remove", about, by="root")
    assert removed.body["integration"]["urls"] == ["https://example.org/x"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "create", {**INCOMING, "type": "x"}, 400, "Invalid integration type."),
        ("POST", "create", {}, 400, "must have required property 'type' [invalid-params]"),
        (
            "POST",
            "create",
            {**INCOMING, "username": ""},
            400,
            "Invalid username [error-invalid-username]",
        ),
        ("POST", "create", {**INCOMING, "channel": 5}, 400, "must be string [invalid-params]"),
        ("POST", "remove", {"type": "x"}, 400, "Invalid integration type."),
        (
            "POST",
            "remove",
            {"type": "webhook-outgoing"},
            400,
            "An integrationId or target_url needs to be provided.",
        ),
        (
            "POST",
            "remove",
            {"type": "webhook-incoming"},
            400,
            "must have required property 'integrationId' [invalid-params]",
        ),
        ("PUT", "update", {**INCOMING, "integrationId": "x"}, 400, "No integration found."),
        ("GET", "history", None, 400, "Invalid integration id."),
        ("GET", "history?id=%20", None, 400, "Invalid integration id."),
        (
            "GET",
            "get",
            None,
            400,
            "must have required property 'integrationId' [invalid-params]",
        ),
        ("GET", "get?integrationId=x", None, 400, "No integration found."),
    ],
)
async def test_refusals(
    site: Site, method: str, path: str, body: Any, status: int, error: str
) -> None:
    reply = await site.call(method, f"/api/v1/integrations.{path}", by="root", json=body)
    assert (reply.status, reply.body["error"]) == (status, error)


async def test_without_the_right(site: Site) -> None:
    unmade = await site.post("integrations.create", INCOMING, by="ana")
    assert (unmade.status, unmade.body["errorType"]) == (400, "not_authorized")
    for reply in (
        await site.get("integrations.list", by="ana"),
        await site.get("integrations.history?id=x", by="ana"),
        await site.get("integrations.get?integrationId=x", by="ana"),
        await site.post(
            "integrations.remove", {"type": "webhook-incoming", "integrationId": "x"}, by="ana"
        ),
    ):
        assert reply.status == 403
        assert reply.body["error"] == LacksPermission().message
    assert (await site.get("integrations.list")).status == 401


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"Content-Type": "application/json"}, b'{"text":"hi \\u00fc"}'),
        ({}, b'{"text":"hi \\u00fc"}'),
        (FORM, b"payload=" + quote('{"text":"hi ü"}').encode()),
        (FORM, b'{"text":"hi \\u00fc"}'),
        (FORM, quote('{"text":"hi ü"}').encode()),
        (FORM, b"text=hi+%C3%BC"),
    ],
)
async def test_forms_of_a_payload(
    site: Site, apps: FakeApps, headers: dict[str, str], data: bytes
) -> None:
    path = await made(site)
    reply = await site.call("POST", path, data=data, headers=headers)
    assert (reply.status, reply.body) == (200, {"success": True})
    assert [payload for _, payload in apps.delivered] == [{"text": "hi ü"}]


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        (FORM, b"payload=%7Bnot+json", 400),
        (FORM, b"payload=[]", 400),
        (FORM, b"text=%ff", 400),
        (FORM, "text=ü".encode(), 400),
        ({}, b"[1]", 400),
        ({}, b'"x"', 400),
        ({}, b"{", 400),
        ({}, b'{"text":NaN}', 400),
        ({}, b'{"a":' * 100 + b"1" + b"}" * 100, 400),
        ({}, b'{"text":"a\\u0000b"}', 400),
        ({}, b'{"text":"\\ud800"}', 400),
        ({}, b'{"text":"' + b"x" * 1_100_000 + b'"}', 413),
    ],
)
async def test_bad_input(
    site: Site, apps: FakeApps, headers: dict[str, str], data: bytes, status: int
) -> None:
    reply = await site.call("POST", await made(site), data=data, headers=headers)
    assert reply.status == status
    assert reply.body["success"] is False
    assert apps.delivered == []


async def test_empty_posts_nothing_and_says_so(site: Site, apps: FakeApps) -> None:
    path = await made(site)
    for method, data in (("POST", b""), ("POST", b"{}"), ("GET", None), ("HEAD", None)):
        reply = await site.call(method, path, data=data)
        assert reply.status == 200
    assert apps.delivered == []


async def test_with_a_user_in_the_address(site: Site, apps: FakeApps) -> None:
    hook, token = (await made(site)).removeprefix("/hooks/").split("/")
    reply = await site.call("POST", f"/hooks/{hook}/somebody/{token}/", json={"text": "x"})
    assert reply.status == 200
    assert len(apps.delivered) == 1


async def test_unknown_ones(site: Site) -> None:
    path = await made(site)
    for wrong in (f"{path}x", "/hooks/x/y", "/hooks/x", "/hooks/a/b/c/d", f"/hooks/%00/{TOKEN}"):
        reply = await site.call("POST", wrong, json={"text": "x"})
        if "%00" in wrong:
            assert reply.status == 400
            continue
        assert (reply.status, reply.body) == (
            404,
            {"success": False, "error": "Invalid integration id or token provided."},
        )


async def test_what_hooks_are_refused(site: Site) -> None:
    path = await made(site)
    reply = await site.call("POST", path, json={"text": "x", "channel": ["#a"]})
    assert (reply.status, reply.body) == (
        400,
        {
            "success": False,
            "error": "overriding destination channel is disabled for this integration",
        },
    )
    reply = await site.call("POST", path, json={"text": "not allowed"})
    assert (reply.status, reply.body) == (400, {"success": False, "error": "error-not-allowed"})
    reply = await site.call("POST", await made(site, enabled=False), json={"text": "x"})
    assert (reply.status, reply.body["error"]) == (503, "Service Unavailable")


async def test_separate_answers(site: Site) -> None:
    path = await made(site, overrideDestinationChannelEnabled=True)
    body = {"text": "x", "separateResponse": True, "channel": ["#general", "#none"]}
    reply = await site.call("POST", path, json=body)
    assert reply.status == 200
    assert reply.body["responses"] == [
        {"channel": "#general"},
        {"channel": "#none", "error": "invalid-channel"},
    ]
    reply = await site.call("POST", path, json={**body, "channel": ["#none"]})
    assert (reply.status, reply.body["success"]) == (400, False)
    assert reply.body["responses"] == [{"channel": "#none", "error": "invalid-channel"}]


async def test_services_that_make_their_own(site: Site, apps: FakeApps) -> None:
    key = (await made(site)).removeprefix("/hooks/")
    assert (await site.call("GET", f"/hooks/info/{key}")).body == {"success": True}
    assert len((await site.call("GET", f"/hooks/sample/{key}")).body) == 3
    wanted = {
        "event": "newMessageOnChannel",
        "name": "n",
        "target_url": "https://example.org/in",
        "data": {"channel_name": "general", "trigger_words": ["!x"]},
    }
    reply = await site.call("POST", f"/hooks/add/{key}", json=wanted)
    assert reply.status == 200, reply.raw
    assert (reply.body["channel"], reply.body["triggerWords"]) == ("#general", ["!x"])
    gone = {"target_url": "https://example.org/in"}
    assert (await site.call("POST", f"/hooks/remove/{key}", json=gone)).status == 200
    reply = await site.call("POST", f"/hooks/remove/{key}", json=gone)
    assert (reply.status, reply.body["error"]) == (400, "integration-not-found")
    for verb, method in (("add", "POST"), ("remove", "POST"), ("info", "GET"), ("sample", "GET")):
        body = None if method == "GET" else {**wanted, **gone}
        reply = await site.call(method, f"/hooks/{verb}/x/y", json=body)
        assert reply.status == 404, verb


async def test_each_hook_is_counted_by_itself() -> None:
    async with running(rate_limit=True, rate_limit_calls=2) as site:
        first, second = await made(site), await made(site)
        codes = [(await site.call("POST", first, json={"text": "x"})).status for _ in range(3)]
        assert codes == [200, 200, 429]
        assert (await site.call("POST", second, json={"text": "x"})).status == 200


async def test_the_token_is_in_no_log(
    site: Site, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever becomes of a call."""
    path = await made(site)
    for body in (b'{"text":"x"}', b"{", b'{"text":"not allowed"}', b'{"channel":["#x"]}'):
        await site.call("POST", path, data=body)
    await site.call("POST", f"{path}-wrong-one", json={"text": "x"})
    output = capfd.readouterr()
    told = output.out + output.err + caplog.text
    assert TOKEN not in told
    assert TOKEN not in str(orjson.dumps([str(one) for one in site.registry.collect()]))
