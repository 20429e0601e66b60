"""Drawing, and fetching what is to be drawn."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.gateway.files import drawing, fetching, rasterize
from services.gateway.files.drawing import Undrawable
from services.gateway.files.fetching import BadAddress, Fetcher, is_public
from services.gateway.files.portraits import decoded

# -- drawing ------------------------------------------------------------------------------------


def picture(form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (30, 20)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, form)
    return out.getvalue()


@pytest.mark.parametrize(
    ("form", "mode", "media_type"),
    [
        ("PNG", "RGB", "image/jpeg"),
        ("PNG", "RGBA", "image/png"),
        ("PNG", "LA", "image/png"),
        ("PNG", "P", "image/jpeg"),
        ("PNG", "1", "image/jpeg"),
        ("PNG", "I;16", "image/jpeg"),
        ("JPEG", "CMYK", "image/jpeg"),
        ("JPEG", "L", "image/jpeg"),
        ("GIF", "P", "image/jpeg"),
        ("WEBP", "RGBA", "image/png"),
    ],
)
def test_avatars_of_all_kinds_of_pictures(form: str, mode: str, media_type: str) -> None:
    """Square; transparent ones stay so."""
    made = drawing.avatar(picture(form, mode))

    assert made.type == media_type
    with Image.open(io.BytesIO(made.data)) as image:
        assert image.size == (200, 200)
        assert image.get_format_mimetype() == media_type


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_broken_pictures_are_refused(form: str) -> None:
    """At whatever byte they are broken, nothing but the documented error comes out."""
    chance = random.Random(7)
    whole = picture(form, size=(64, 64))
    for _ in range(150):
        data = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(6)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        for draw in (drawing.avatar, drawing.preview):
            try:
                draw(bytes(data))
            except Undrawable:
                continue


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_rubbish_is_no_picture(data: bytes) -> None:
    """Of any kind."""
    assert drawing.preview(data) is None
    with pytest.raises(Undrawable):
        drawing.avatar(data)


# -- SVG ----------------------------------------------------------------------------------------

_SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{}</svg>'


@pytest.mark.parametrize(
    "inner",
    [
        '<image href="/etc/passwd"/>',
        '<image xlink:href="http://127.0.0.1/"/>',
        "<script>alert(1)</script>",
        "<foreignObject><b/></foreignObject>",
        '<filter><feImage href="file:///x"/></filter>',
        '<use href="http://evil/x.svg#a"/>',
        '<g><g><image href="data:image/svg+xml,x"/></g></g>',
    ],
)
def test_nothing_outside_an_svg_is_referred_to(inner: str) -> None:
    """What refers to it is taken out."""
    left = rasterize.harmless(_SVG.format(inner).encode())

    assert "href" not in left
    assert "script" not in left
    assert "foreignObject" not in left


def test_references_within_stay() -> None:
    """Drawings are made of them."""
    left = rasterize.harmless(_SVG.format('<rect id="a"/><use href="#a"/>').encode())

    assert 'href="#a"' in left


@pytest.mark.parametrize(
    "markup",
    [
        b"",
        b"<svg",
        b"text",
        b"<html/>",
        b'<!DOCTYPE svg [<!ENTITY a "a">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        b'<!DOCTYPE svg [<!ENTITY % a SYSTEM "file:///etc/passwd">]><svg/>',
        b"<svg>" + b"<g>" * 1000 + b"</g>" * 1000 + b"</svg>",
        b"<svg>" + b"<g/>" * 30_000 + b"</svg>",
        b"<svg>" + b" " * 600_000 + b"</svg>",
        "<svg/>".encode("utf-16"),
    ],
)
def test_other_markup_is_refused(markup: bytes) -> None:
    """Entities, depth, number, length."""
    with pytest.raises(rasterize.Refused):
        rasterize.harmless(markup)


@given(st.binary(max_size=100))
def test_any_markup_is_drawn_or_refused(data: bytes) -> None:
    """And nothing else."""
    for markup in (data, b"<svg>" + data + b"</svg>"):
        try:
            rasterize.harmless(markup)
        except rasterize.Refused:
            continue


# -- fetching -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "64:ff9b::a00:1", "2001:0:a00:1::1", "fec0::1"),
    ],
)
def test_addresses_of_our_own(address: str) -> None:
    """However they are written."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"]
)
def test_addresses_of_the_open_internet(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def elsewhere(handler: Handler) -> AsyncIterator[str]:
    """Somebody else's server."""
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def everywhere(_: Any) -> bool:
    return True


async def test_a_picture_is_fetched() -> None:
    """Without telling the other side anything about us; redirections are followed."""
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers)
        left = int(request.path[1:])
        if left:
            raise web.HTTPFound(f"/{left - 1}")
        return web.Response(body=b"picture")

    async with elsewhere(handler) as url:
        fetcher = Fetcher(is_allowed=everywhere)
        assert await fetcher.fetch(f"{url}/3") == b"picture"
        assert await fetcher.fetch(url.replace("127.0.0.1", "localhost") + "/0") == b"picture"
        with pytest.raises(BadAddress):
            await fetcher.fetch(f"{url}/4")
    assert not any({"Cookie", "Authorization", "X-Auth-Token"} & headers.keys() for headers in seen)


async def test_a_redirection_inward_is_not_followed() -> None:
    """Each address is checked, not only the first."""
    reached: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        raise web.HTTPFound(f"http://localhost:{request.url.port}/inside")

    def loopback_only_v4_literal(address: Any) -> bool:
        return not reached  # what is allowed before the first answer is not allowed after it

    async with elsewhere(handler) as url:
        with pytest.raises(BadAddress):
            await Fetcher(is_allowed=loopback_only_v4_literal).fetch(f"{url}/outside")
    assert reached == ["/outside"]


async def test_the_checked_address_is_the_one_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that means something else a moment later changes nothing."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo
    asked: list[str] = []

    async def rebinding(host: Any, port: Any, **options: Any) -> Any:
        asked.append(str(host))
        if len(asked) > 1:
            raise AssertionError("the name was resolved twice")
        return await real("127.0.0.1", port, **options)

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=request.host)

    async with elsewhere(handler) as url:
        monkeypatch.setattr(loop, "getaddrinfo", rebinding)
        port = url.rpartition(":")[2]
        found = await Fetcher(is_allowed=everywhere).fetch(f"http://rebind.example:{port}/x")
    assert found.decode() == f"rebind.example:{port}"
    assert asked == ["rebind.example"]


async def test_one_bad_address_among_good_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever mixes them wants the bad one to be taken."""
    loop = asyncio.get_running_loop()

    async def mixed(*_: Any, **__: Any) -> Any:
        return [(2, 1, 6, "", ("1.1.1.1", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]

    monkeypatch.setattr(loop, "getaddrinfo", mixed)
    with pytest.raises(BadAddress):
        await Fetcher().fetch("http://mixed.example/")


@pytest.mark.parametrize("kind", ["announced", "endless", "slow", "failed", "closed"])
async def test_other_servers_do_not_keep_us(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with too much nor with too little."""
    monkeypatch.setattr(fetching, "WITHIN", 0.5)
    monkeypatch.setattr(fetching, "LARGEST", 1000)

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        match kind:
            case "announced":
                return web.Response(body=b"x" * 1001)
            case "failed":
                raise web.HTTPNotFound
            case "closed":
                assert request.transport is not None
                request.transport.abort()
                return response
            case "slow":
                await response.prepare(request)
                await asyncio.Event().wait()
            case _:
                await response.prepare(request)
                while True:
                    await response.write(b"x" * 100)
        return response

    async with elsewhere(handler) as url, asyncio.timeout(5):
        with pytest.raises(BadAddress):
            await Fetcher(is_allowed=everywhere).fetch(url)


@given(st.text(max_size=60))
@settings(max_examples=60)
def test_any_text_is_an_address_or_none(text: str) -> None:
    """No other error comes out; nothing is reached."""

    def nowhere(_: Any) -> bool:
        return False

    with pytest.raises(BadAddress):
        asyncio.run(Fetcher(is_allowed=nowhere).fetch("http://127.0.0.1/" + text))
    if "://" not in text:
        with pytest.raises(BadAddress):
            asyncio.run(Fetcher(is_allowed=nowhere).fetch(text))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data:image/png;base64,aGk=", b"hi"),
        ("data:image/svg+xml;charset=utf-8;base64,aGk=", b"hi"),
        ("data:image/png;base64,", b""),
    ],
)
def test_pictures_as_text(text: str, data: bytes) -> None:
    assert decoded(text) == data
