"""Pictures, drawn away from the event loop: few at a time, so that memory has a bound."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger
from services.gateway.domain import media_types
from services.gateway.files import drawing, rasterize
from services.gateway.files.drawing import Drawn, Undrawable

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE: Final = 2  # pictures; one of 40 million pixels takes 160 MB while it is drawn
_WAITING: Final = 64  # pictures that wait; further ones are refused
_SVG_WITHIN: Final = 15.0  # seconds for its process, start included


class Images:
    """The threads of one process. Close them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="images")
        self._svgs = asyncio.Semaphore(1)
        self._asked = 0

    async def avatar(self, data: bytes) -> Drawn:
        """A square avatar from a picture or an SVG. Raises: Undrawable; Unavailable."""
        if media_types.sniffed(data) == "image/svg+xml":
            data = await self._rasterized(data)
        return await self._drawn(drawing.avatar, data)

    async def preview(self, data: bytes) -> str | None:
        """A tiny copy in base64, None when there is none."""
        return await self._drawn(drawing.preview, data)

    async def converted(self, data: bytes, size: int | None, form: str) -> Drawn:
        """A picture in another size or format. Raises: Undrawable; Unavailable."""
        return await self._drawn(drawing.converted, data, size, form)

    async def initials(self, name: str, size: int, form: str) -> Drawn:
        """The picture of somebody without one. Raises: Unavailable."""
        return await self._drawn(drawing.initials, name, size, form)

    async def emoji(self, data: bytes) -> Drawn:
        """A picture that can serve as an emoji, as it is: it may move. Raises: Undrawable."""
        media_type, size = drawing.check(data)
        if max(size.width, size.height) > drawing.EMOJI:
            raise Undrawable
        await self._drawn(drawing.converted, data, None, "png")
        return Drawn(data, media_type)

    async def close(self) -> None:
        """Finish what is being drawn and stop."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _drawn(self, draw: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        if self._asked >= _AT_ONCE + _WAITING:
            raise Unavailable("Too many pictures at once")
        self._asked += 1
        try:
            work = self._threads.submit(draw, *args, **keywords)
            return await asyncio.wrap_future(work)
        finally:
            self._asked -= 1

    async def _rasterized(self, markup: bytes) -> bytes:
        """An SVG as PNG. Raises: Undrawable."""
        if len(markup) > rasterize.LARGEST:
            raise Undrawable
        async with self._svgs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", rasterize.__name__),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(_SVG_WITHIN):
                    picture, _ = await process.communicate(markup)
            except TimeoutError:
                raise Undrawable from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode != 0:
            raise Undrawable
        return picture
