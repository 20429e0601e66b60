"""The page at `/`: what this is and how to talk to it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hubbub</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
code { background: #f2f2f2; padding: .1rem .3rem; border-radius: .2rem; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818; }
       code { background: #2a2a2a; } a { color: #8ab4f8; } }
</style>
</head>
<body>
<h1>Hubbub</h1>
<p>A real-time messaging backend that speaks Rocket.Chat's realtime and REST protocols:
existing clients, bots and SDKs connect to this address unchanged.</p>
<ul>
<li>REST: <a href="/api/info"><code>/api/info</code></a>, everything else under
<code>/api/v1/</code></li>
<li>WebSocket (DDP): <code>/websocket</code> and <code>/sockjs/</code></li>
<li>Health: <a href="/health"><code>/health</code></a></li>
</ul>
<p>The documentation is in the folder <code>docs/</code> of the source: <code>protocol.md</code>
lists what is spoken, <code>operations.md</code> how to run it.</p>
</body>
</html>
"""

_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "Hubbub",
}


def landing_page() -> web.Response:
    """The page."""
    return web.Response(body=_PAGE.encode(), headers=_HEADERS)


def health(*, healthy: bool) -> web.Response:
    """Whether new requests should come here."""
    return web.Response(
        status=200 if healthy else 500,
        text="ok" if healthy else "not healthy",
        headers={
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Server": "Hubbub",
        },
    )
