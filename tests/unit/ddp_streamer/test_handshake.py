"""Routes, handshakes and addresses."""

from __future__ import annotations

import pytest

from services.ddp_streamer.handshake import (
    Refusal,
    Route,
    Upgrade,
    check_upgrade,
    client_address,
    neighbourhood,
    route,
)

GOOD = {
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/websocket", Route.RAW),
        ("/websocket/", Route.RAW),
        ("/sockjs/websocket", Route.RAW),
        ("/sockjs/000/abcdefgh/websocket", Route.SOCKJS),
        ("/sockjs/a-long-server-name/x/websocket/", Route.SOCKJS),
        ("/sockjs/info", Route.SOCKJS_INFO),
        ("/health", Route.HEALTH),
        ("/", Route.NONE),
        ("/websocket2", Route.NONE),
        ("/websocket//", Route.NONE),
        ("/sockjs/000/abc/xhr", Route.NONE),
        ("/sockjs/000/abc/xhr_streaming", Route.NONE),
        ("/sockjs/000/abc/eventsource", Route.NONE),
        ("/sockjs/000/abc/htmlfile", Route.NONE),
        ("/sockjs/000/abc/jsonp", Route.NONE),
        ("/sockjs/iframe.html", Route.NONE),
        ("/sockjs/000/any.session/websocket", Route.SOCKJS),
        ("/sockjs/0.0/abc/websocket", Route.NONE),
        ("/sockjs//abc/websocket", Route.NONE),
        ("/sockjs/" + "x" * 65 + "/abc/websocket", Route.NONE),
        ("/sockjs/000/a/b/websocket", Route.NONE),
    ],
)
def test_routes(path: str, wanted: Route) -> None:
    assert route(path, "") is wanted
    assert route("/chat" + path, "/chat") is wanted
    assert route(path, "/chat") is Route.NONE


def test_the_answer_of_a_good_handshake() -> None:
    judged = check_upgrade("GET", (1, 1), GOOD, ("*",))
    assert isinstance(judged, Upgrade)
    assert judged.answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


def test_extensions_and_subprotocols_are_ignored() -> None:
    offer = {
        "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
        "sec-websocket-protocol": "ddp, mqtt",
    }
    assert check_upgrade("GET", (1, 1), GOOD | offer, ()) == check_upgrade("GET", (1, 1), GOOD, ())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"upgrade": ""}, 400),
        ({"upgrade": "h2c"}, 400),
        ({"connection": "keep-alive"}, 400),
        ({"sec-websocket-version": "8"}, 426),
        ({"sec-websocket-version": ""}, 426),
        ({"sec-websocket-key": "short"}, 400),
        ({"sec-websocket-key": ""}, 400),
        ({"content-length": "5"}, 400),
        ({"transfer-encoding": "chunked"}, 400),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_refused_handshakes(change: dict[str, str], status: int) -> None:
    judged = check_upgrade("GET", (1, 1), GOOD | change, ("https://chat.example",))
    assert isinstance(judged, Refusal)
    assert judged.status == status
    assert judged.outcome == ("bad_origin" if status == 403 else "bad_request")


@pytest.mark.parametrize(("method", "http"), [("POST", (1, 1)), ("GET", (1, 0))])
def test_only_a_get_of_http_1_1(method: str, http: tuple[int, int]) -> None:
    assert isinstance(check_upgrade(method, http, GOOD, ("*",)), Refusal)


@pytest.mark.parametrize("origin", ["", "https://chat.example", "https://CHAT.example/"])
def test_allowed_origins(origin: str) -> None:
    headers = GOOD | ({"origin": origin} if origin else {})
    assert isinstance(check_upgrade("GET", (1, 1), headers, ("https://chat.example",)), Upgrade)


@pytest.mark.parametrize(
    ("forwarded", "trusted", "address"),
    [
        ([], 0, "10.0.0.1"),
        (["198.51.100.7"], 0, "10.0.0.1"),
        (["198.51.100.7"], 1, "198.51.100.7"),
        (["6.6.6.6, 198.51.100.7"], 1, "198.51.100.7"),
        (["6.6.6.6", "198.51.100.7, 10.1.1.1"], 2, "198.51.100.7"),
        (["198.51.100.7"], 2, None),
        ([], 1, None),
        (["198.51.100.7:4711"], 1, "198.51.100.7"),
        (["[2001:DB8::1]:4711"], 1, "2001:db8::1"),
        (["2001:db8::1"], 1, "2001:db8::1"),
        (["<script>"], 1, None),
    ],
)
def test_client_address(forwarded: list[str], trusted: int, address: str | None) -> None:
    assert client_address("10.0.0.1", forwarded, trusted) == address


@pytest.mark.parametrize(
    ("address", "unit"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
    ],
)
def test_neighbourhood(address: str, unit: str) -> None:
    assert neighbourhood(address) == unit
