"""One running app: its process, the calls in both directions, and its end.

Whoever has an `AppProcess` calls the app with deadlines and hears how it ended. What the app may
do to us is bounded: frames in size, calls in number per second and at once, output in speed,
answers that it does not read in bytes. Whatever breaks a bound ends the process; the app's
neighbours have processes of their own and notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from hubbub.apps import wire
from hubbub.clock import Clock
from hubbub.errors import HubbubError, Internal, RateLimited, Timeout, TooLarge, Unavailable
from hubbub.telemetry.log import get_logger
from services.apps_engine.confinement.plan import KILL_THE_APP, Plan
from services.apps_engine.confinement.report import Confinement, Means
from services.apps_engine.domain.boundaries import Boundary, missing
from services.apps_engine.domain.pace import TokenBucket, Window
from services.apps_engine.domain.watch import Bounds, Silence, Watch
from services.apps_engine.output import Output
from services.apps_engine.sampling import sample

log = get_logger(__name__)

_CHUNK = 16 * 1024  # bytes read from an app at once: some milliseconds of work at worst
_FRAME_COST = 1024  # bytes that a frame counts for beside its own
_READ_RATE, _READ_BURST = 2 * 1024 * 1024, 4 * 1024 * 1024  # bytes per second, and at once
_UNREAD = 4 * 1024 * 1024  # bytes that wait for an app to read them
_AT_ONCE = 16  # calls of one app that are worked on at a time
_FETCH_DEADLINE = 10.0  # seconds; others have to answer too
_SAMPLE_INTERVAL = 1.0  # seconds
_GRACE = 2.0  # seconds between the answer to `stop`, SIGTERM and SIGKILL
_KILLED = 5.0  # seconds that the launcher has to kill the app


class AppFailed(HubbubError):
    """The app answered that it could not do it; code and reason are its own words."""

    default_code = "error-app-failed"
    status = 502


class Cause(StrEnum):
    """Why a process ended."""

    STOPPED = "stopped"  # we wanted it
    EXITED = "exited"
    NOT_STARTED = "not-started"
    REFUSED = "refused"  # a boundary that is required could not be had
    BROKEN = "broken"  # it sent what is no frame, or what nobody asked for
    FLOOD = "flood"  # it called far too often, or does not read what it asked for
    LIMITS = "limits"  # processor, memory or disk
    SILENT = "silent"  # it takes calls and answers none
    DEFECT = "defect"  # ours


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended; `detail` is for an administrator to read."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Bounding:
    """What an app may do to the engine."""

    calls_per_second: float = 50.0
    calls_at_once: float = 100.0
    refusals: int = 1_000
    """Calls over the rate within `refusal_span` after which the process is ended."""
    refusal_span: float = 10.0  # seconds
    silence: int = 5
    """Deadlines in a row that pass without a word before the process is ended."""
    silence_span: float = 10.0  # seconds
    use: Bounds = dataclasses.field(default_factory=Bounds)
    required: frozenset[Boundary] = frozenset()
    """Boundaries without which no app is started."""


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


class AppProcess:
    """A process that is becoming, is, or was an app. Made by `spawn`; ends by itself or `stop`."""

    def __init__(
        self,
        plan: Plan,
        bridge: Bridge,
        process: asyncio.subprocess.Process,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        *,
        bounding: Bounding,
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._bridge = bridge
        self._process = process
        self._reader, self._writer = streams
        self._bounding = bounding
        self._clock = clock
        self._rate = TokenBucket(bounding.calls_per_second, bounding.calls_at_once)
        self._refusals = Window(bounding.refusals, bounding.refusal_span)
        self._silence = Silence(bounding.silence, bounding.silence_span)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._work: set[asyncio.Task[None]] = set()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._app_pid = process.pid
        self._confinement: asyncio.Future[Confinement] = asyncio.get_running_loop().create_future()
        self._last_word: asyncio.TimerHandle | None = None
        self._ending: Ending | None = None
        self._gone = asyncio.Event()  # the process itself
        self._ended = asyncio.Event()  # and all that we did for it
        self._outputs = self._make_outputs()
        self._life = asyncio.create_task(self._live(), name=f"app-{plan.app}")

    @classmethod
    async def spawn(
        cls, plan: Plan, bridge: Bridge, *, bounding: Bounding, clock: Clock
    ) -> AppProcess:
        """Start a process as `plan` says. It may end at any time from now on."""
        ours, theirs = socket.socketpair()
        with theirs:
            plan = dataclasses.replace(plan, engine=os.getpid(), channel=theirs.fileno())
            try:
                process = await asyncio.create_subprocess_exec(
                    # Isolated, without writing compiled files, and what is printed is not kept.
                    *(sys.executable, "-I", "-B", "-u", "-m", "services.apps_engine.confinement"),
                    plan.to_argument(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=_environment(plan),
                    cwd="/",
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        streams = await asyncio.open_connection(sock=ours)
        return cls(plan, bridge, process, streams, bounding=bounding, clock=clock)

    @property
    def pid(self) -> int:
        """The process that is the app, as we see it."""
        return self._app_pid

    @property
    def ending(self) -> Ending | None:
        """How it ended, or is ending; None while it runs."""
        return self._ending

    @property
    def confinement(self) -> Confinement | None:
        """What is active around it; None until that is known."""
        known = self._confinement
        return known.result() if known.done() and not known.cancelled() else None

    async def start(self, args: dict[str, Any]) -> dict[str, Any]:
        """Wait until it is confined, and make the call `start`; returns what the app has.

        Raises:
            Unavailable: it ended, or a boundary that is required is not there.
            HubbubError: see `call`.
        """
        try:
            async with asyncio.timeout(wire.DEADLINES["start"]):
                confinement = await asyncio.shield(self._confinement)
        except TimeoutError:
            self._end(Cause.NOT_STARTED, "was not confined in time")
            raise self._unavailable() from None
        except asyncio.CancelledError:
            if self._confinement.cancelled():
                raise self._unavailable() from None
            raise
        if lacking := missing(confinement, self._bounding.required):
            self._end(Cause.REFUSED, f"this machine cannot keep it from: {', '.join(lacking)}")
            raise self._unavailable()
        answer = await self.call("start", args)
        if not isinstance(answer, dict):
            self._end(Cause.BROKEN, "answered `start` with something else than an object")
            raise self._unavailable()
        return answer

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        """Call the app and return its answer, unjudged.

        Args:
            deadline: in seconds; that of the wire for this name unless given.

        Raises:
            AppFailed: it answered with an error.
            Timeout: it did not answer in time. A late answer is ignored.
            TooLarge: the call does not fit into a frame.
            Unavailable: the process is not there any more.
        """
        if self._ending:
            raise self._unavailable()
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
        """Tell the app something; nothing happens when it is gone."""
        if not self._ending:
            self._send(wire.Tell(name, args))

    async def stop(self) -> Ending:
        """Let it finish and end it: by `stop` and the end of what we send, then SIGTERM, then
        SIGKILL. Returns how it ended."""
        if not self._ending:
            with contextlib.suppress(HubbubError):
                await self.call("stop", {})
            self._settle(Cause.STOPPED, "was stopped")
            self._hurry()
            with contextlib.suppress(OSError):
                self._writer.write_eof()  # nothing more will be asked: an app ends by itself then
            for number in (None, signal.SIGTERM):
                if number:
                    self._signal(number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GRACE):
                        await self._process.wait()
                        break
        return await self.kill()

    async def kill(self) -> Ending:
        """End it at once. Returns how it ended, which may be another way than this."""
        self._end(Cause.STOPPED, "was stopped")
        return await self.wait()

    async def reject(self, why: str) -> Ending:
        """End it because of how it began. Returns how it ended: an end of its own goes first."""
        self._end(Cause.NOT_STARTED, why)
        return await self.wait()

    async def wait(self) -> Ending:
        """Wait for its end; nothing of it runs any more when this returns."""
        await self._ended.wait()
        assert self._ending is not None  # noqa: S101 - `_live` sets it before the event
        return self._ending

    async def _live(self) -> None:
        """Own everything that runs for this process, from its start until all of it is gone."""
        helpers = [
            asyncio.create_task(self._guarded(work), name=f"app-{self._plan.app}-{what}")
            for what, work in (("frames", self._read()), ("use", self._watch()))
        ]
        outputs = [asyncio.create_task(self._guarded(output.run())) for output in self._outputs]
        try:
            await self._process.wait()
            self._gone.set()
            # What it said last may still be on its way.
            await self._finish([helpers[0], *outputs])
            self._settle(*self._exit())
        finally:
            self._settle(Cause.STOPPED, "was stopped")
            self._kill_group()  # it is there still when somebody cancels us
            leftover = [*helpers, *outputs, *self._work]
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)
            self._release()
            self._ended.set()

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        self._hurry()
        _, late = await asyncio.wait(tasks, timeout=_GRACE)
        if late:
            log.warning("app_pipes_left_open", app=self._plan.app)

    def _release(self) -> None:
        """Nobody waits for this process any more."""
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(self._unavailable())
        self._pending.clear()
        if self._last_word:
            self._last_word.cancel()
        self._confinement.cancel()
        self._writer.close()

    def _exit(self) -> tuple[Cause, str]:
        code = self._process.returncode or 0
        number = -code if code < 0 else code - 128
        try:
            how = f"was ended by {signal.Signals(number).name}"
        except ValueError:
            how = f"exited with {code}"
        if last := self._outputs[1].last:
            how = f"{how}: {last}"
        return (Cause.EXITED if self._confinement.done() else Cause.NOT_STARTED), how

    async def _read(self) -> None:
        """Take frames until the app closes its side or sends something else."""
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
        except ConnectionError:
            await self._expect_exit("closed its side")
        else:
            await self._expect_exit("cut a frame" if decoder.pending else "closed its side")

    async def _expect_exit(self, how: str) -> None:
        """An app that ends closes its side a moment before it is gone."""
        self._hurry()
        try:
            async with asyncio.timeout(_GRACE):
                await self._gone.wait()
        except TimeoutError:
            self._end(Cause.BROKEN, f"{how} and went on")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`; a defect of ours ends this process instead of leaving it half alive."""
        try:
            await work
        except Exception:
            log.exception("app_process_failed", app=self._plan.app)
            self._end(Cause.DEFECT, "was ended by a defect of the engine")

    def _take(self, frame: wire.Frame) -> None:
        if not self._confinement.done():
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
                self._app_pid = pid
            case wire.Tell(name="confinement", args={"report": report}):
                try:
                    self._confinement.set_result(Confinement.from_json(report))
                except ValueError as error:
                    raise wire.Broken(str(error)) from error
            case _:
                raise wire.Broken("spoke before it was confined")

    def _take_call(self, call: wire.Call) -> None:
        if not self._allows():
            self._send(_refusal(call.id, RateLimited("The app calls too often")))
            return
        task = asyncio.create_task(self._answer(call), name=f"app-{self._plan.app}-{call.name}")
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
            log.exception("app_call_failed", app=self._plan.app, method=call.name)
            frame = _refusal(call.id, Internal("Something went wrong inside"))
        try:
            self._send(frame)
        except wire.Unsendable as error:
            self._send(_refusal(call.id, TooLarge(f"The answer cannot be sent: {error}")))

    def _send(self, frame: wire.Frame) -> None:
        """Write a frame. Raises: wire.Unsendable."""
        data = wire.encode(frame)
        if self._ending or self._writer.is_closing():
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > _UNREAD:
            self._end(Cause.FLOOD, "does not read what is sent to it")

    async def _watch(self) -> None:
        """Look at what the process uses, once it is the app, until it uses too much."""
        watch = Watch(self._bounding.use)
        confinement = await asyncio.shield(self._confinement)
        # A scratch folder that is a file system of its own cannot outgrow its size.
        scratch = None if confinement.has(Means.VIEW) else self._plan.scratch
        while True:
            await self._clock.sleep(_SAMPLE_INTERVAL)
            now = self._clock.monotonic()
            most = self._bounding.use.scratch_files
            seen = await asyncio.to_thread(sample, self._app_pid, now, scratch, most_files=most)
            if seen and (reason := watch.judge(seen)):
                self._end(Cause.LIMITS, reason)

    def _end(self, cause: Cause, detail: str) -> None:
        """Decide the end, once, and bring it about."""
        self._settle(cause, detail)
        self._hurry()
        self._kill()

    def _settle(self, cause: Cause, detail: str) -> None:
        if self._ending is None:
            self._ending = Ending(cause, detail)

    def _hurry(self) -> None:
        """The end of the process is only noticed when its pipes were read to their end."""
        for output in self._outputs:
            output.hurry()

    def _kill(self) -> None:
        """Kill the app. Where it has a process namespace, the launcher outside does it, and
        buries it; should that not be done in time, both are killed."""
        if self._app_pid == self._process.pid:
            self._kill_group()
        elif self._last_word is None:
            self._signal(KILL_THE_APP)
            loop = asyncio.get_running_loop()
            self._last_word = loop.call_later(_KILLED, self._kill_group)

    def _kill_group(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _make_outputs(self) -> tuple[Output, Output]:
        out, err = self._process.stdout, self._process.stderr
        assert out is not None and err is not None  # noqa: S101, PT018 - both are pipes
        return (
            Output(out, lambda line: self._bridge.printed(line, is_error=False), self._clock),
            Output(err, lambda line: self._bridge.printed(line, is_error=True), self._clock),
        )

    def _unavailable(self) -> Unavailable:
        why = f": it {self._ending.detail}" if self._ending else ""
        return Unavailable(f"The app is not running{why}")


def _environment(plan: Plan) -> dict[str, str]:
    """All that an app finds in its environment."""
    return {
        "HOME": plan.scratch,
        "LANG": "C.UTF-8",
        # glibc reserves 64 MiB of addresses for each thread otherwise, and addresses are counted.
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": plan.scratch,
    }


def _refusal(number: int, error: HubbubError) -> wire.Refusal:
    code = error.code if isinstance(error.code, str) else f"error-{error.code}"
    return wire.Refusal(number, code, error.reason)
