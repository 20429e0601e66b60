"""The frames between the engine and one app: calls in both directions, and what they may cost.

What the app may do to us is bounded: frames in size, bytes and calls per second, calls at once,
answers that it does not read in bytes. Whoever owns a conversation hears when a bound is broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any, Protocol

from hubbub.apps import wire
from hubbub.clock import Clock
from hubbub.errors import HubbubError, Internal, RateLimited, Timeout, TooLarge
from hubbub.telemetry.log import get_logger
from services.apps_engine.confinement.report import Confinement
from services.apps_engine.domain.endings import Bounding, Cause
from services.apps_engine.domain.pace import TokenBucket, Window
from services.apps_engine.domain.watch import Silence

log = get_logger(__name__)

_CHUNK = 16 * 1024  # bytes read from an app at once: some milliseconds of work at worst
_FRAME_COST = 1024  # bytes that a frame counts for beside its own
_READ_RATE, _READ_BURST = 2 * 1024 * 1024, 4 * 1024 * 1024  # bytes per second, and at once
_UNREAD = 4 * 1024 * 1024  # bytes that wait for an app to read them
_FETCH_DEADLINE = 10.0  # seconds that `fetch` has, as it waits for others
_AT_ONCE = 16  # calls of one app that are worked on at a time
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")  # of errors, as the wire has them


class AppFailed(HubbubError):
    """The app answered that it could not do it; code and reason are its own words."""

    default_code = "error-app-failed"
    status = 502


class Bridge(Protocol):
    """What an app reaches of us."""

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        """Do what the app asks for. Errors of `hubbub.errors` are told to the app."""
        ...

    def tell(self, name: str, args: dict[str, Any]) -> None:
        """The app said something and wants no answer."""
        ...

    def printed(self, line: str, *, is_error: bool) -> None:
        """The app wrote a line to its standard output or standard error."""
        ...


class Conversation:
    """One socket to an app. `read` is its task; `close` ends all that waits."""

    def __init__(
        self,
        app: str,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        bridge: Bridge,
        *,
        on_broken: Callable[[Cause, str], None],
        bounding: Bounding,
        clock: Clock,
    ) -> None:
        """
        Args:
            on_broken: is told, perhaps more than once, why the app has to end.
        """
        self._app = app
        self._reader, self._writer = streams
        self._bridge = bridge
        self._end = on_broken
        self._bounding = bounding
        self._clock = clock
        self._rate = TokenBucket(bounding.calls_per_second, bounding.calls_at_once)
        self._refusals = Window(bounding.refusals, bounding.refusal_span)
        self._silence = Silence(bounding.silence, bounding.silence_span)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._work: set[asyncio.Task[None]] = set()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self.pid: int | None = None
        """The process that the launcher made to be the app, when it made one."""
        self.confinement: asyncio.Future[Confinement] = asyncio.get_running_loop().create_future()
        """What is active around the app; cancelled when that was never said."""

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        """Call the app and return its answer, unjudged.

        Args:
            deadline: in seconds; that of the wire for this name unless given.

        Raises:
            AppFailed: it answered with an error.
            Timeout: it did not answer in time. A late answer is ignored.
            TooLarge: the call does not fit into a frame.
            HubbubError: that of `close`, when it is closed meanwhile.
        """
        self._last_id = number = self._last_id + 1
        asked = self._clock.monotonic()
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(wire.Call(number, name, args))
            async with asyncio.timeout(wire.DEADLINES[name] if deadline is None else deadline):
                return await answer
        except wire.Unsendable as error:
            raise TooLarge(f"The call {name} of an app cannot be sent: {error}") from error
        except TimeoutError:
            if self._silence.missed(asked, self._clock.monotonic()):
                self._end(Cause.SILENT, "does not answer any more")
            raise Timeout(f"The app did not answer {name} in time") from None
        finally:
            self._pending.pop(number, None)
            answer.cancel()

    def tell(self, name: str, args: dict[str, Any]) -> None:
        """Tell the app something. Raises: TooLarge."""
        try:
            self._send(wire.Tell(name, args))
        except wire.Unsendable as error:
            raise TooLarge(f"{name} cannot be told to an app: {error}") from error

    def finish(self) -> None:
        """Nothing more will be asked; an app that was stopped ends by itself then."""
        if not self._writer.is_closing():
            with contextlib.suppress(OSError):
                self._writer.write_eof()

    async def close(self, error: Callable[[], HubbubError]) -> None:
        """End everything; who waits for an answer gets `error`."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(error())
        self._pending.clear()
        self.confinement.cancel()
        self._writer.close()

    async def read(self) -> str:
        """Take frames until the app closes its side or sends something else; returns how it
        ended, in words that follow on "it"."""
        decoder = wire.Decoder()
        bucket = TokenBucket(_READ_RATE, _READ_BURST)
        try:
            while data := await self._reader.read(_CHUNK):
                frames = decoder.feed(data)
                for frame in frames:
                    self._take(frame)
                cost = len(data) + _FRAME_COST * len(frames)
                if pause := bucket.charge(self._clock.monotonic(), cost):
                    await self._clock.sleep(pause)
        except wire.Broken as error:
            self._end(Cause.BROKEN, f"sent what is no frame: {error}")
            return "sent what is no frame"
        except ConnectionError:
            return "closed its side"
        return "cut a frame" if decoder.pending else "closed its side"

    def _take(self, frame: wire.Frame) -> None:
        if not self.confinement.done():
            self._take_report(frame)
            return
        self._silence.heard()
        match frame:
            case wire.Call():
                self._take_call(frame)
            case wire.Answer(id=number) | wire.Refusal(id=number):
                self._take_answer(number, frame)
            case wire.Tell(name=name, args=args):
                if self._allows():
                    self._bridge.tell(name, args)

    def _take_report(self, frame: wire.Frame) -> None:
        """What comes first comes from the launcher, before anything of the app runs."""
        match frame:
            case wire.Tell(name="process", args={"pid": int(pid)}):
                self.pid = pid
            case wire.Tell(name="confinement", args={"report": report}):
                try:
                    self.confinement.set_result(Confinement.from_json(report))
                except ValueError as error:
                    raise wire.Broken(str(error)) from error
            case _:
                raise wire.Broken("spoke before it was confined")

    def _take_call(self, call: wire.Call) -> None:
        if not self._allows():
            self._send(_refusal(call.id, RateLimited("The app calls too often")))
            return
        task = asyncio.create_task(self._answer(call), name=f"app-{self._app}-{call.name}")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _allows(self) -> bool:
        """Whether the app may call or tell something now; ends it when it asks far too often."""
        now = self._clock.monotonic()
        if self._rate.take(now):
            return True
        self._refusals.add(now)
        if self._refusals.is_full(now):
            self._end(Cause.FLOOD, f"called {self._bounding.refusals} times too often")
        return False

    def _take_answer(self, number: int, frame: wire.Answer | wire.Refusal) -> None:
        if number > self._last_id:
            raise wire.Broken("an answer to a call that was never made")
        answer = self._pending.get(number)
        if answer is None or answer.done():
            return  # its deadline passed, or it was answered already
        if isinstance(frame, wire.Refusal):
            answer.set_exception(AppFailed(frame.reason, code=frame.code))
        else:
            answer.set_result(frame.value)

    async def _answer(self, call: wire.Call) -> None:
        """Do what the app asked for and answer, within the wire's deadline."""
        deadline = _FETCH_DEADLINE if call.name == "fetch" else wire.CALL_DEADLINE
        frame: wire.Frame
        try:
            async with asyncio.timeout(deadline), self._slots:
                value = await self._bridge.call(call.name, call.args)
                frame = wire.Answer(call.id, value)
        except HubbubError as error:
            frame = _refusal(call.id, error)
        except TimeoutError:
            frame = _refusal(call.id, Timeout(f"{call.name} took longer than {deadline:g} s"))
        except Exception:
            log.exception("app_call_failed", app=self._app, method=call.name)
            frame = _refusal(call.id, Internal("Something went wrong inside"))
        try:
            self._send(frame)
        except wire.Unsendable as error:
            self._send(_refusal(call.id, TooLarge(f"The answer cannot be sent: {error}")))

    def _send(self, frame: wire.Frame) -> None:
        """Write a frame. Raises: wire.Unsendable."""
        data = wire.encode(frame)
        if self._writer.is_closing():
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > _UNREAD:
            self._end(Cause.FLOOD, "does not read what is sent to it")


def _refusal(number: int, error: HubbubError) -> wire.Refusal:
    code = error.code if isinstance(error.code, str) else f"error-{error.code}"
    if not _CODE.fullmatch(code):
        code = "error-not-possible"  # no code of ours, and none that the wire could carry
    return wire.Refusal(number, code, error.reason)
