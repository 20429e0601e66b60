"""One running app: its process, the calls in both directions, and its end.

Whoever has an `AppProcess` calls the app with deadlines and hears how it ended. What the app may
do to us is bounded: frames in size, calls in number per second and at once, output in speed,
answers that it does not read in bytes. Whatever breaks a bound ends the process; the app's
neighbours have processes of their own and notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

from hubbub.apps import wire
from hubbub.clock import Clock
from hubbub.errors import HubbubError, Unavailable
from hubbub.telemetry.log import get_logger
from services.apps_engine.confinement.plan import KILL_THE_APP, Plan
from services.apps_engine.confinement.report import Confinement, Means
from services.apps_engine.conversation import AppFailed, Bridge, Conversation
from services.apps_engine.domain.boundaries import missing
from services.apps_engine.domain.endings import Bounding, Cause, Ending
from services.apps_engine.domain.watch import Watch
from services.apps_engine.output import Output
from services.apps_engine.sampling import sample

__all__ = ["AppFailed", "AppProcess", "Bounding", "Bridge", "Cause", "Ending"]

log = get_logger(__name__)

_SAMPLE_INTERVAL = 1.0  # seconds
_GRACE = 2.0  # seconds between the answer to `stop`, SIGTERM and SIGKILL
_KILLED = 5.0  # seconds that the launcher has to kill the app


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
        self._bounding = bounding
        self._clock = clock
        self._talk = Conversation(
            plan.app, streams, bridge, on_broken=self._end, bounding=bounding, clock=clock
        )
        self._last_word: asyncio.TimerHandle | None = None
        self._ending: Ending | None = None
        self._gone = asyncio.Event()  # the process itself
        self._ended = asyncio.Event()  # and all that we did for it
        self._outputs = self._make_outputs()
        # Lives longer than the request that starts it, and must not carry its deadline: what the
        # app asks for later would find no time left.
        self._life = asyncio.create_task(
            self._live(), name=f"app-{plan.app}", context=contextvars.Context()
        )

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
        return self._talk.pid or self._process.pid

    @property
    def ending(self) -> Ending | None:
        """How it ended, or is ending; None while it runs."""
        return self._ending

    @property
    def confinement(self) -> Confinement | None:
        """What is active around it; None until that is known."""
        known = self._talk.confinement
        return known.result() if known.done() and not known.cancelled() else None

    async def start(self, args: dict[str, Any]) -> dict[str, Any]:
        """Wait until it is confined, and make the call `start`; returns what the app has.

        Raises:
            Unavailable: it ended, or a boundary that is required is not there.
            HubbubError: see `call`.
        """
        try:
            async with asyncio.timeout(wire.DEADLINES["start"]):
                confinement = await asyncio.shield(self._talk.confinement)
        except TimeoutError:
            self._end(Cause.NOT_STARTED, "was not confined in time")
            raise self._unavailable() from None
        except asyncio.CancelledError:
            if self._talk.confinement.cancelled():
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
        """Call the app and return its answer, unjudged; see `Conversation.call`.

        Raises:
            Unavailable: the process is not there any more.
        """
        if self._ending:
            raise self._unavailable()
        return await self._talk.call(name, args, deadline)

    def tell(self, name: str, args: dict[str, Any]) -> None:
        """Tell the app something; nothing happens when it is gone. Raises: TooLarge."""
        if not self._ending:
            self._talk.tell(name, args)

    async def stop(self) -> Ending:
        """Let it finish and end it: by `stop` and the end of what we send, then SIGTERM, then
        SIGKILL. Returns how it ended."""
        if not self._ending:
            with contextlib.suppress(HubbubError):
                await self.call("stop", {})
            self._settle(Cause.STOPPED, "was stopped")
            self._hurry()
            self._talk.finish()
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
            for what, work in (("frames", self._converse()), ("use", self._watch()))
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
            leftover = [*helpers, *outputs]
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)
            await self._talk.close(self._unavailable)
            if self._last_word:
                self._last_word.cancel()
            self._ended.set()

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        self._hurry()
        _, late = await asyncio.wait(tasks, timeout=_GRACE)
        if late:
            log.warning("app_pipes_left_open", app=self._plan.app)

    def _exit(self) -> tuple[Cause, str]:
        code = self._process.returncode or 0
        number = -code if code < 0 else code - 128
        try:
            how = f"was ended by {signal.Signals(number).name}"
        except ValueError:
            how = f"exited with {code}"
        if last := self._outputs[1].last:
            how = f"{how}: {last}"
        return (Cause.EXITED if self._talk.confinement.done() else Cause.NOT_STARTED), how

    async def _converse(self) -> None:
        """Talk with the app. One that ends closes its side a moment before it is gone."""
        how = await self._talk.read()
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

    async def _watch(self) -> None:
        """Look at what the process uses, once it is the app, until it uses too much."""
        watch = Watch(self._bounding.use)
        confinement = await asyncio.shield(self._talk.confinement)
        # A scratch folder that is a file system of its own cannot outgrow its size.
        scratch = None if confinement.has(Means.VIEW) else self._plan.scratch
        while True:
            await self._clock.sleep(_SAMPLE_INTERVAL)
            now = self._clock.monotonic()
            most = self._bounding.use.scratch_files
            seen = await asyncio.to_thread(sample, self.pid, now, scratch, most_files=most)
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
        if self._talk.pid is None:
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
