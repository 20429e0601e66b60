"""Requests outside: what is reached, and what is not, with real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.apps_engine.domain.addresses import networks_of
from services.apps_engine.egress import Egress, Refused, Unanswered
from tests.integration.apps_engine.outside import (
    Outside,
    endless,
    never,
    outside,
    saying,
    status,
    to,
)

pytestmark = pytest.mark.integration

LOOPBACK = networks_of(["127.0.0.0/8"])


@pytest.fixture
async def other() -> AsyncIterator[Outside]:
    async with outside() as found:
        yield found


@pytest.fixture
def opened() -> Egress:
    """May reach this machine."""
    return Egress(LOOPBACK)


async def test_an_answer(opened: Egress, other: Outside) -> None:
    other.will(saying({"a": 1}))
    reply = await opened.fetch(
        "POST",
        other.url + "?q=1",
        headers={"X-One": "1", "Host": "elsewhere", "Content-Length": "7", "Connection": "x"},
        body=b"{}",
    )
    assert (reply.status, reply.body) == (200, b'{"a":1}')
    sent = other.received[0]
    assert (sent.method, sent.path, sent.body) == ("POST", "/hook?q=1", b"{}")
    assert sent.headers["X-One"] == "1"
    assert sent.headers["User-Agent"] == "Hubbub"
    assert sent.headers["Host"] == f"127.0.0.1:{other.port}"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fc00::1]",
        "224.0.0.1",
        "255.255.255.255",
        "127.0.0.1.",
        "LOCALHOST",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
    ],
)
async def test_nothing_inside_is_reached(other: Outside, host: str) -> None:
    """However its address is written: refused, or no address at all."""
    with pytest.raises((Refused, Unanswered)):
        await Egress().fetch("GET", f"http://{host}:{other.port}/", within=10.0)
    assert other.received == []


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1/_x",
        "ftp://127.0.0.1/",
        "http://a:b@127.0.0.1/",
        "http://example.org@127.0.0.1/",
        "//127.0.0.1/",
        "",
        "data:text/plain,x",
    ],
)
async def test_only_plain_web_addresses(opened: Egress, address: str) -> None:
    with pytest.raises(Refused):
        await opened.fetch("GET", address)


class Flipping:
    """A name with one address for the first look and another for the next."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers: Iterator[list[str]] = iter(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return next(self._answers)


async def test_a_name_is_looked_up_once_and_the_answer_is_what_is_connected_to(
    other: Outside,
) -> None:
    """What it would resolve to a moment later does not matter: it is not asked again."""
    names = Flipping(["127.0.0.1"], ["10.0.0.1"])
    reply = await Egress(LOOPBACK, look_up=names).fetch(
        "GET", f"http://rebinding.example:{other.port}/"
    )
    assert reply.status == 200
    assert names.asked == 1
    assert other.received[0].headers["Host"] == f"rebinding.example:{other.port}"


@pytest.mark.parametrize("addresses", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["::1"]])
async def test_one_wrong_address_is_enough(other: Outside, addresses: list[str]) -> None:
    with pytest.raises(Refused):
        await Egress(look_up=Flipping(addresses)).fetch("GET", f"http://x.example:{other.port}/")
    assert other.received == []


async def test_the_socket_itself_is_the_last_to_judge(other: Outside) -> None:
    """Even if everything before it were wrong."""
    egress = Egress()

    async def blind(target: object) -> list[str]:
        return ["127.0.0.1"]

    egress._judged = blind  # type: ignore[method-assign]
    with pytest.raises(Unanswered):
        await egress.fetch("GET", f"http://x.example:{other.port}/")
    with pytest.raises(Unanswered):
        await egress.fetch("GET", f"http://127.0.0.1:{other.port}/")
    assert other.received == []


async def test_redirects_are_judged_anew(other: Outside, opened: Egress) -> None:
    for location in (
        "http://169.254.169.254/latest/meta-data/",
        f"http://[::1]:{other.port}/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        f"http://user@127.0.0.1:{other.port}/",
        "//0/",
        "http://[",
    ):
        other.will(to(location))
        with pytest.raises(Refused):
            await opened.fetch("GET", other.url)


async def test_three_redirects_are_followed_and_no_more(opened: Egress, other: Outside) -> None:
    other.will(to("/1"), to("2"), to(f"http://127.0.0.1:{other.port}/3", 307), saying({}))
    reply = await opened.fetch("GET", other.url)
    assert (reply.status, reply.url.path) == (200, "/3")
    assert len(other.received) == 4
    other.will(to("/again"))
    with pytest.raises(Refused):
        await opened.fetch("GET", other.url)
    assert len(other.received) == 8


async def test_what_a_redirect_carries_on(opened: Egress, other: Outside) -> None:
    """Another server gets no credentials; the answer to a POST is fetched by GET."""
    secret = {"Authorization": "secret", "Content-Type": "application/json", "X-Kept": "1"}
    async with outside("127.0.0.2") as third:
        other.will(to(f"http://127.0.0.2:{third.port}/in", 303))
        await opened.fetch("POST", other.url, headers=secret, body=b"{}")
        other.will(to(f"http://127.0.0.2:{third.port}/in", 307))
        await opened.fetch("POST", other.url, headers=secret, body=b"{}")
    assert [(one.method, one.body) for one in third.received] == [("GET", b""), ("POST", b"{}")]
    assert all("Authorization" not in one.headers for one in third.received)
    assert all(one.headers["X-Kept"] == "1" for one in third.received)
    assert [one.headers["Authorization"] for one in other.received] == ["secret", "secret"]


async def test_hosts_may_be_limited(opened: Egress, other: Outside) -> None:
    """Also behind a redirect."""
    other.will(to(f"http://127.0.0.2:{other.port}/"))
    with pytest.raises(Refused):
        await opened.fetch("GET", other.url, permit=lambda host, port: host == "127.0.0.1")
    with pytest.raises(Refused):
        await opened.fetch("GET", other.url, permit=lambda host, port: False)
    assert len(other.received) == 1


async def test_answers_end_at_a_mebibyte(opened: Egress, other: Outside) -> None:
    other.will(saying(b"x" * 1_048_576))
    assert len((await opened.fetch("GET", other.url)).body) == 1_048_576
    for large in (saying(b"x" * 1_048_577), endless):
        other.will(large)
        with pytest.raises(Refused):
            await opened.fetch("GET", other.url)


async def test_what_is_packed_is_not_unpacked(opened: Egress, other: Outside) -> None:
    other.will(status(200, **{"Content-Encoding": "gzip"}))
    assert (await opened.fetch("GET", other.url)).body == b""
    assert other.received[0].headers["Accept-Encoding"] == "identity"


async def test_nobody_waits_for_ever(opened: Egress, other: Outside) -> None:
    other.will(never)
    with pytest.raises(Unanswered):
        await opened.fetch("GET", other.url, within=0.2)

    async def stuck(host: str, port: int) -> list[str]:
        await asyncio.sleep(3600)
        return []

    with pytest.raises(Unanswered):
        await Egress(look_up=stuck).fetch("GET", "http://x.example/", within=0.2)


async def test_no_proxy_of_the_environment(
    opened: Egress, other: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would resolve names by itself."""
    async with outside() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await opened.fetch("GET", other.url)).status == 200
    assert proxy.received == []


async def test_servers_that_are_not_there_or_speak_otherwise(opened: Egress) -> None:
    async def rude(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unanswered):
        await opened.fetch("GET", f"http://127.0.0.1:{port}/")
    with pytest.raises(Unanswered):
        await opened.fetch("GET", f"https://127.0.0.1:{port}/")
    server.close()
    await server.wait_closed()
    with pytest.raises(Unanswered):
        await opened.fetch("GET", f"http://127.0.0.1:{port}/")
