"""Which backend takes the next connection."""

from __future__ import annotations

import asyncio

import pytest

from hubbub.local.door.backends import Backend, Backends, NobodyThere, role_of

A, B, C = (Backend(name, "127.0.0.1", port) for name, port in [("a", 1), ("b", 2), ("c", 3)])


async def first(backends: Backends, sticky: str = "") -> Backend:
    """The backend that would be tried first."""
    async for backend in backends.candidates(within=0, sticky=sticky):
        return backend
    raise AssertionError("candidates end by raising")


@pytest.mark.parametrize(
    ("path", "role"),
    [
        pytest.param("/websocket", "streamer", id="websocket"),
        pytest.param("/sockjs/info", "streamer", id="sockjs"),
        pytest.param("/sockjs/1/abc/websocket", "streamer", id="sockjs websocket"),
        pytest.param("/", "gateway", id="root"),
        pytest.param("/api/v1/info", "gateway", id="rest"),
        pytest.param("/websockets", "gateway", id="longer name"),
        pytest.param("/sockjsx", "gateway", id="another name"),
    ],
)
def test_the_path_decides(path: str, role: str) -> None:
    """Sockets go to streamers, everything else to gateways."""
    assert role_of(path) == role


async def test_the_least_busy_one_is_first() -> None:
    """Connections are counted as long as they are open."""
    backends = Backends()
    backends.replace([A, B])
    with backends.counted(A):
        assert await first(backends) == B
        with backends.counted(B), backends.counted(B):
            assert await first(backends) == A
    assert await first(backends) == A


async def test_every_backend_is_tried_before_giving_up() -> None:
    """One that cannot be reached does not hide the others."""
    backends = Backends()
    backends.replace([A, B])
    candidates = backends.candidates(within=0)

    assert [await anext(candidates), await anext(candidates)] == [A, B]
    with pytest.raises(NobodyThere):
        await anext(candidates)


async def test_a_key_stays_where_it_is() -> None:
    """The requests of one session meet the same process, also when others come and go."""
    backends = Backends()
    backends.replace([A, B, C])
    homes = {key: await first(backends, sticky=key) for key in map(str, range(60))}
    assert set(homes.values()) == {A, B, C}
    backends.replace([A, C])

    for key, home in homes.items():
        if home != B:
            assert await first(backends, sticky=key) == home


async def test_a_newcomer_is_used_at_once() -> None:
    """Who waits for a backend does not wait for a timer."""
    backends = Backends()
    waiting = asyncio.create_task(anext(backends.candidates(within=30)))
    await asyncio.sleep(0)
    backends.replace([A])

    async with asyncio.timeout(1):
        assert await waiting == A
