"""`/api/apps/…`: apps over REST, and the requests that they answer."""

from __future__ import annotations

import orjson
import pytest

from hubbub.contracts.apps import CHUNK, LONGEST_BODY, LONGEST_PACKAGE
from tests.integration.gateway.conftest import Reply, Site
from tests.integration.gateway.fake_apps import FakeApps

pytestmark = pytest.mark.integration

APPS = "/api/apps"


FORM = {"Content-Type": "multipart/form-data; boundary=line"}


def form(data: bytes, permissions: str = '["store"]', settings: str = "{}") -> bytes:
    """A form with a package, as browsers send it."""
    head = b'--line\r\nContent-Disposition: form-data; name="%b"'
    parts = [
        head % b"permissions" + b"\r\n\r\n" + permissions.encode(),
        head % b"settings" + b"\r\n\r\n" + settings.encode(),
        head % b"app" + b'; filename="echo.zip"\r\n\r\n' + data,
    ]
    return b"\r\n".join([*parts, b"--line--\r\n"])


async def installed(site: Site, body: bytes | None = None) -> Reply:
    return await site.call(
        "POST", APPS, by="root", data=form(b"x") if body is None else body, headers=FORM
    )


async def test_the_life_of_an_app(site: Site, apps: FakeApps) -> None:
    package = bytes(range(256)) * (2 * CHUNK // 256) + b"end"
    reply = await installed(site, form(package, settings='{"a": "b"}'))
    assert reply.status == 200, reply.raw
    assert reply.body["app"]["status"] == "manually_enabled"
    (parts,) = apps.packages.values()
    assert b"".join(parts[index] for index in sorted(parts)) == package
    assert max(map(len, parts.values())) == CHUNK

    for path in (APPS, f"{APPS}/installed"):
        listed = (await site.call("GET", path, by="root")).body["apps"]
        assert [(app["id"], app["bot"]["username"]) for app in listed] == [("echo", "echo.bot")]
    one = (await site.call("GET", f"{APPS}/echo", by="root")).body["app"]
    assert (one["permissions"], one["version"]) == ([{"name": "store"}], "1.0.0")
    settings = (await site.call("GET", f"{APPS}/echo/settings", by="root")).body["settings"]
    assert settings["a"]["value"] == "b"
    lines = (await site.call("GET", f"{APPS}/echo/logs?count=3", by="root")).body["logs"]
    assert [line["text"] for line in lines] == ["0", "1", "2"]

    status = {"status": "manually_disabled"}
    reply = await site.call("POST", f"{APPS}/echo/status", by="root", json=status)
    assert reply.body["status"] == "manually_disabled"
    reply = await site.call("GET", f"{APPS}/echo/status", by="root")
    assert reply.body["status"] == "manually_disabled"
    change = {"settings": [{"id": "a", "value": "c"}]}
    reply = await site.call("POST", f"{APPS}/echo/settings", by="root", json=change)
    assert reply.status == 200
    assert apps.installed["echo"].settings[0].value == "c"

    assert (await site.call("DELETE", f"{APPS}/echo", by="root")).status == 200
    reply = await site.call("DELETE", f"{APPS}/echo", by="root")
    assert (reply.status, reply.body["errorType"]) == (400, "error-app-not-found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/echo"),
        ("GET", "/echo/logs"),
        ("POST", "/echo/status"),
        ("POST", "/echo/settings"),
        ("DELETE", "/echo"),
    ],
)
async def test_only_for_those_who_manage_apps(site: Site, method: str, path: str) -> None:
    assert (await site.call(method, APPS + path)).status == 401
    assert (await site.call(method, APPS + path, by="ana")).status == 403


async def test_what_clients_ask_before_they_sign_in(site: Site) -> None:
    for path in ("installed", "actionButtons", "externalComponents", "marketplace"):
        for by in (None, "ana"):
            reply = await site.call("GET", f"{APPS}/{path}", by=by)
            assert (reply.status, reply.body) == (200, []), path


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (form(b"x", permissions="[]"), 400),
        (form(b"x", permissions="{"), 400),
        (form(b"x", permissions="{}"), 400),
        (form(b"x", permissions="[1]"), 400),
        (form(b"x", settings="[]"), 400),
        (form(b"x" * (LONGEST_PACKAGE + 1)), 413),
        (b"--line--\r\n", 400),
    ],
)
async def test_packages_that_are_none(site: Site, apps: FakeApps, data: bytes, status: int) -> None:
    reply = await installed(site, data)
    assert reply.status == status, reply.raw
    assert apps.installed == {}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("status", {}),
        ("status", {"status": "error_disabled"}),
        ("settings", {}),
        ("settings", {"settings": {}}),
        ("settings", {"settings": [{"value": 1}]}),
        ("elsewhere", {}),
        ("logs", {}),
    ],
)
async def test_changes_that_are_none(site: Site, path: str, body: dict[str, object]) -> None:
    await installed(site)
    reply = await site.call("POST", f"{APPS}/echo/{path}", by="root", json=body)
    assert reply.status == 400, reply.raw


async def test_an_app_answers(site: Site, apps: FakeApps) -> None:
    """It hears what was meant for it; what it answers cannot act as a page of ours."""
    headers = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": "sha256=1",
        "X-Auth-Token": "secret",
        "X-User-Id": "ana",
        "X-Forwarded-For": "10.0.0.1",
        "Cookie": "rc_token=secret",
    }
    body = orjson.dumps({"a": 1})
    path = f"{APPS}/public/echo/some/path?x=1&y=2"
    reply = await site.call("POST", path, headers=headers, data=body)
    assert (reply.status, reply.raw) == (201, body)
    (request,) = apps.requests
    assert (request.method, request.path) == ("POST", "/some/path")
    assert request.query == {"x": "1", "y": "2"}
    assert request.headers["x-hub-signature-256"] == "sha256=1"
    assert "secret" not in str(request.headers)
    assert not {"cookie", "x-user-id", "x-forwarded-for", "host"} & request.headers.keys()
    assert reply.headers["Content-Type"] == "text/html"
    assert reply.headers["Content-Security-Policy"].startswith("sandbox")
    assert "Set-Cookie" not in reply.headers
    assert "X-Frame" not in reply.headers


@pytest.mark.parametrize(
    ("app", "status"), [("none", 404), ("disabled", 503), ("broken", 502), ("..", 404)]
)
async def test_an_app_that_does_not_answer(site: Site, app: str, status: int) -> None:
    reply = await site.call("GET", f"{APPS}/public/{app}/x")
    assert reply.status == status
    assert reply.body["success"] is False


async def test_a_request_that_is_too_large(site: Site, apps: FakeApps) -> None:
    path = f"{APPS}/public/echo/x"
    assert (await site.call("POST", path, data=b"x" * LONGEST_BODY)).status == 201
    assert (await site.call("POST", path, data=b"x" * (LONGEST_BODY + 1))).status == 413
    assert len(apps.requests) == 1
