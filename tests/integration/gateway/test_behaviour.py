"""What holds for all endpoints: caches, limits, failures behind, many at once, the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from hubbub.bus import LocalBus
from hubbub.contracts.account import Identity
from hubbub.contracts.events import SettingsChanged, UserChanged
from hubbub.errors import HubbubError, Internal, Timeout, Unavailable
from hubbub.ids import UserId
from services.gateway.service import serving
from services.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import Site, running
from tests.integration.gateway.fakes import FakeAccount, FakeMessaging, made
from tests.waiting import eventually

pytestmark = pytest.mark.integration


def authentications(site: Site) -> int:
    return site.world.calls.count("authenticate")


async def test_a_token_is_checked_once_in_a_while(site: Site) -> None:
    """Ten calls ask the account service once."""
    for _ in range(10):
        assert (await site.get("me", by="ana")).status == 200

    assert authentications(site) == 1


async def test_a_revoked_token_ends_with_the_event(site: Site) -> None:
    """Another door ended it: the event drops what is remembered."""
    await site.get("me", by="ana")
    site.world.tokens.clear()
    await site.bus.publish(UserChanged(user_id=UserId("id-ana")))
    await site.bus.settled()

    assert (await site.get("me", by="ana")).status == 401


async def test_a_setting_takes_effect_with_the_event(site: Site) -> None:
    """The size of a page is the workspace's."""
    site.world.settings["API_Default_Count"] = 2
    await site.bus.publish(SettingsChanged(setting_id="API_Default_Count"))
    await site.bus.settled()
    reply = await site.get("users.list", by="ana")

    assert (reply.body["count"], reply.body["total"]) == (2, 4)


async def test_large_counts_are_cut(site: Site) -> None:
    """More than allowed is the most that is allowed; 0 is everything."""
    site.world.settings["API_Upper_Count_Limit"] = 3
    await site.bus.publish(SettingsChanged(setting_id="API_Upper_Count_Limit"))
    await site.bus.settled()

    assert (await site.get("users.list?count=1000", by="ana")).body["count"] == 3
    assert (await site.get("users.list?count=0", by="ana")).body["count"] == 4


class BrokenMessaging(FakeMessaging):
    """Fails in a chosen way."""

    failure: Exception = RuntimeError("secret detail")

    async def statistics(self, refresh: bool = False) -> dict[str, Any]:
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "status", "error"),
    [
        (RuntimeError("secret detail"), 500, "Internal server error"),
        (Internal("secret detail"), 500, "Internal server error"),
        (Unavailable("nobody answers"), 503, "Service Unavailable"),
        (Timeout("too late"), 503, "Service Unavailable"),
        (HubbubError("secret detail"), 500, "Internal server error"),
    ],
)
async def test_failures_behind_tell_nothing(failure: Exception, status: int, error: str) -> None:
    """A defect is 500 with an id, an absent service 503; no word of the cause."""
    async with running() as site:
        broken = made(BrokenMessaging, site.world)
        broken.failure = failure
        bus = LocalBus()
        await bus.serve(broken)
        await bus.serve(made(FakeAccount, site.world))
        await bus.serve(site.authorization)
        async with serving(bus, GatewaySettings(port=0), CollectorRegistry()) as gateway:
            url = f"http://127.0.0.1:{gateway.port}/api/v1/statistics"
            async with site.session.get(url, headers=site.signed_in("root")) as response:
                raw = await response.read()
                assert response.status == status
                assert ("Retry-After" in response.headers) == (status == 503)
                assert response.headers["X-Request-Id"]
        await bus.drain()
        await bus.close()

    assert b'"success":false' in raw
    assert error.encode() in raw
    assert b"secret" not in raw


async def test_the_request_id_of_a_proxy_is_kept(site: Site) -> None:
    """A plausible one comes back; a strange one is replaced."""
    kept = await site.get("info", headers={"X-Request-Id": "abc-123"})
    replaced = await site.get("info", headers={"X-Request-Id": "a b<script>"})

    assert kept.headers["X-Request-Id"] == "abc-123"
    assert replaced.headers["X-Request-Id"] != "a b<script>"


async def test_many_at_once(site: Site) -> None:
    """Two hundred sends of twenty clients: each message once, all answered."""
    room = site.world.add_room("c", "town", "ana", "bo")

    async def client(number: int) -> None:
        by = "ana" if number % 2 else "bo"
        for index in range(10):
            body = {"roomId": room["_id"], "text": f"{number}-{index}"}
            assert (await site.post("chat.postMessage", body, by=by)).status == 200

    await asyncio.gather(*(client(number) for number in range(20)))
    history = await site.get(f"channels.history?roomId={room['_id']}&count=0", by="ana")
    texts = [message["msg"] for message in history.body["messages"]]

    assert sorted(texts) == sorted(
        f"{number}-{index}" for number in range(20) for index in range(10)
    )
    moments = [message["ts"] for message in history.body["messages"]]
    assert moments == sorted(moments, reverse=True)


async def test_metrics_have_templates_as_labels(site: Site) -> None:
    """No id, name or unknown path becomes a label."""
    await site.get("users.info?username=bo", by="ana")
    await site.post("method.call/rooms%252Fget", {}, by="ana")
    await site.get("secret-path-of-a-stranger")
    await site.call("PROPFIND", "/api/v1/me")
    exposed = generate_latest(site.registry).decode()

    assert (
        'hubbub_http_requests_total{code="200",method="GET",route="/api/v1/users.info"} 1.0'
        in exposed
    )
    assert 'route="/api/v1/method.call/*"' in exposed
    assert 'code="404",method="GET",route="unknown"' in exposed
    assert 'method="other"' in exposed
    assert "stranger" not in exposed
    assert "hubbub_http_inflight 0.0" in exposed


async def test_the_rate_limit(site: Site) -> None:
    """Eleven calls: refused with the three headers, per endpoint; administrators are free."""
    async with running(rate_limit=True) as limited:
        replies = [await limited.get("me", by="ana") for _ in range(11)]
        others = await limited.get("rooms.get", by="ana")
        free = [await limited.get("me", by="root") for _ in range(12)]
        methods = [await limited.post("method.callAnon/x", {"message": "{"}) for _ in range(12)]

    assert [reply.status for reply in replies] == [200] * 10 + [429]
    assert replies[0].headers["X-RateLimit-Limit"] == "10"
    assert replies[0].headers["X-RateLimit-Remaining"] == "9"
    assert int(replies[0].headers["X-RateLimit-Reset"]) > 1_700_000_000_000
    assert replies[10].body["errorType"] == "error-too-many-requests"
    assert "You must wait" in replies[10].body["error"]
    assert int(replies[10].headers["Retry-After"]) in range(1, 61)
    assert others.status == 200
    assert {reply.status for reply in free} == {200}
    assert {reply.status for reply in methods} == {400}
    # Off by default.
    assert {(await site.get("info")).status for _ in range(15)} == {200}


async def test_guessed_tokens_count(site: Site) -> None:
    """401 until the limit, 429 behind it."""
    guess = {"X-Auth-Token": "x", "X-User-Id": "id-ana"}
    async with running(rate_limit=True) as limited:
        statuses = [(await limited.get("me", headers=guess)).status for _ in range(11)]

    assert statuses == [401] * 10 + [429]


async def test_forwarded_addresses_are_believed_only_when_told(site: Site) -> None:
    """The entry counted from the end; none when there are too few."""
    forged = {"X-Forwarded-For": "1.1.1.1, 2.2.2.2"}
    async with running(rate_limit=True, forwarded_count=1, rate_limit_calls=1) as limited:
        first = await limited.get("info", headers=forged)
        same = await limited.get("info", headers={"X-Forwarded-For": "9.9.9.9, 2.2.2.2"})
        other = await limited.get("info", headers={"X-Forwarded-For": "1.1.1.1, 3.3.3.3"})
    async with running(rate_limit=True, rate_limit_calls=1) as direct:
        await direct.get("info", headers=forged)
        ignored = await direct.get("info", headers={"X-Forwarded-For": "4.4.4.4"})

    assert (first.status, same.status, other.status, ignored.status) == (200, 429, 200, 429)


async def test_cors_when_it_is_on() -> None:
    """Listed origins are echoed, others refused without a body; `*` is for all."""
    async with running(cors_origin="https://a.example, https://b.example") as site:
        listed = await site.get("info", headers={"Origin": "https://b.example"})
        other = await site.get("info", headers={"Origin": "https://evil.example"})
        own = await site.get("info")
        preflight = await site.call(
            "OPTIONS", "/api/v1/me", headers={"Origin": "https://a.example"}
        )
    async with running(cors_origin="*") as site:
        everybody = await site.get("info", headers={"Origin": "https://evil.example"})

    assert listed.headers["Access-Control-Allow-Origin"] == "https://b.example"
    assert listed.headers["Vary"] == "Origin"
    assert (other.status, other.raw) == (403, b"")
    assert own.status == 200
    assert preflight.status == 200
    assert "X-Auth-Token" in preflight.headers["Access-Control-Allow-Headers"]
    assert everybody.headers["Access-Control-Allow-Origin"] == "*"


async def test_landing_page_and_health(site: Site) -> None:
    """A page that runs no script, and one word for whoever asks."""
    page = await site.call("GET", "/")
    health = await site.call("GET", "/health")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert b"<script" not in page.raw
    assert b"/websocket" in page.raw
    assert (health.status, health.raw) == (200, b"ok")


async def test_answers_are_neither_run_nor_framed(site: Site) -> None:
    """Good ones and refusals: no page can take one for a script, or show it as its own."""
    for path, status in (("info", 200), ("me", 401), ("nothing.here", 404)):
        reply = await site.get(path)
        assert reply.status == status
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cache-Control"] == "no-store"


async def test_health_of_a_gateway_that_is_not_ready(site: Site) -> None:
    """500: load balancers and people choose another one."""
    async with (
        serving(
            site.bus, GatewaySettings(port=0), CollectorRegistry(), healthy=lambda: False
        ) as gateway,
        site.session.get(f"http://127.0.0.1:{gateway.port}/health") as response,
    ):
        assert (response.status, await response.text()) == (500, "not healthy")


class SlowAccount(FakeAccount):
    """Answers when it is let."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def authenticate(self, user_id: UserId, token: str) -> Identity:
        identity = await super().authenticate(user_id, token)
        self.entered.set()
        await self.go_on.wait()
        return identity


async def test_a_change_during_the_check_is_not_overlooked(site: Site) -> None:
    """An answer that a change overtook is used once, not remembered."""
    account = made(SlowAccount, site.world)
    bus = LocalBus()
    await bus.serve(account)
    headers = site.signed_in("ana")
    async with serving(bus, GatewaySettings(port=0), CollectorRegistry()) as gateway:
        first = asyncio.create_task(gateway.authentication.identify(headers))
        await account.entered.wait()
        await bus.publish(UserChanged(user_id=UserId("id-ana")))
        await bus.settled()
        account.go_on.set()
        await first
        await gateway.authentication.identify(headers)
    await bus.drain()
    await bus.close()

    assert authentications(site) == 2


async def test_running_requests_finish_when_the_gateway_stops(site: Site) -> None:
    """A request in progress is answered; no new connection is taken."""
    account = made(SlowAccount, site.world)
    bus = LocalBus()
    await bus.serve(account)
    await bus.serve(made(FakeMessaging, site.world))
    headers = site.signed_in("ana")
    context = serving(bus, GatewaySettings(port=0), CollectorRegistry())
    gateway = await context.__aenter__()
    url = f"http://127.0.0.1:{gateway.port}/api/v1/me"

    async def ask() -> int:
        async with site.session.get(url, headers=headers) as response:
            return response.status

    asked = asyncio.create_task(ask())
    await account.entered.wait()
    stopping = asyncio.create_task(context.__aexit__(None, None, None))

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        except ConnectionError:
            return True
        writer.close()
        return False

    await eventually(refused)
    account.go_on.set()

    assert await asked == 200
    await stopping
    await bus.drain()
    await bus.close()


async def test_a_request_that_takes_too_long() -> None:
    """503 after the time for a request."""
    async with running(request_timeout=0.2) as site:
        account = made(SlowAccount, site.world)
        bus = LocalBus()
        await bus.serve(account)
        settings = GatewaySettings(port=0, request_timeout=0.2)
        async with (
            serving(bus, settings, CollectorRegistry()) as gateway,
            site.session.get(
                f"http://127.0.0.1:{gateway.port}/api/v1/me", headers=site.signed_in("ana")
            ) as response,
        ):
            assert response.status == 503
        account.go_on.set()
        await bus.drain()
        await bus.close()


async def test_long_lists_come_in_steps() -> None:
    """What does not fit into one answer of a service is fetched in several."""
    async with running(max_payload=20_000) as site:
        for number in range(300):
            site.world.add_user(f"user{number:03}")
        room = site.world.add_room("c", "town", "ana", *(f"user{n:03}" for n in range(250)))
        for number in range(20):
            body = {"roomId": room["_id"], "text": f"{number}" + "x" * 4000}
            assert (await site.post("chat.postMessage", body, by="ana")).status == 200
        users = await site.get("users.list?count=0&offset=1", by="ana")
        members = await site.get(f"channels.members?roomId={room['_id']}&count=0", by="ana")
        history = await site.get(f"channels.history?roomId={room['_id']}&count=15", by="ana")

    assert users.body["total"] == 304
    names = [user["username"] for user in users.body["users"]]
    assert len(names) == len(set(names)) == 303
    assert members.body["count"] == 251
    assert [message["msg"].rstrip("x") for message in history.body["messages"]] == [
        str(number) for number in reversed(range(5, 20))
    ]


async def _set(site: Site, **settings: Any) -> None:
    """Change settings of the workspace, as the hub tells of it."""
    site.world.settings |= settings
    for setting_id in settings:
        await site.bus.publish(SettingsChanged(setting_id=setting_id))
    await site.bus.settled()


async def test_cors_as_the_workspace_is_set(site: Site) -> None:
    """Off at first; then as the two settings say, from the moment of the change."""
    evil = {"Origin": "https://evil.example"}
    before = await site.get("info", headers=evil)
    off = await site.call("OPTIONS", "/api/v1/me", headers=evil)
    await _set(site, API_Enable_CORS=True, API_CORS_Origin="*")
    everybody = await site.get("info", headers=evil)
    await _set(site, API_CORS_Origin="https://a.example")
    refused = await site.get("info", headers=evil)
    listed = await site.get("info", headers={"Origin": "https://a.example"})
    await _set(site, API_Enable_CORS=False)
    after = await site.get("info", headers=evil)

    assert "Access-Control-Allow-Origin" not in before.headers
    assert off.status == 405
    assert "API_Enable_CORS" in off.body["error"]
    assert everybody.headers["Access-Control-Allow-Origin"] == "*"
    assert (refused.status, refused.raw) == (403, b"")
    assert listed.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert after.status == 200


async def test_limits_as_the_workspace_is_set() -> None:
    """Fewer calls, then none counted at all."""
    async with running(rate_limit=True) as site:
        await _set(site, API_Enable_Rate_Limiter_Limit_Calls_Default=2)
        few = [(await site.get("me", by="ana")).status for _ in range(3)]
        await _set(site, API_Enable_Rate_Limiter=False)
        free = await site.get("me", by="ana")

    assert few == [200, 200, 429]
    assert free.status == 200
    assert "X-RateLimit-Limit" not in free.headers


async def test_push_test_has_a_limit_of_its_own() -> None:
    """Once a second, whatever the setting says."""
    async with running(rate_limit=True) as site:
        site.authorization.revoked.add("api-bypass-rate-limit")
        statuses = [(await site.post("push.test", {}, by="root")).status for _ in range(2)]

    assert statuses == [400, 429]
