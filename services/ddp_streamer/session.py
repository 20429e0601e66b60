"""One client's DDP session: what it asked for, in order, and what it listens to.

Methods and subs run one after another in the order they came; a client sends its subs right
behind its login and means them with that login's rights. Reads that change nothing may overtake
what is not a login. `unsub` never waits. No task exists unless something waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from hubbub.ddp import messages
from hubbub.ddp.messages import Connect, Id, Inbound, Method, Refused, Sub, Unsub
from hubbub.errors import HubbubError, Internal
from hubbub.ids import random_id, session_id
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.sparing import Sparing
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.connection import Cause
from services.ddp_streamer.fanout import Person, Recipient, Topic
from services.ddp_streamer.fanout.recipients import room_of_topic
from services.ddp_streamer.positions import Allowance, positioned, resync_frame
from services.ddp_streamer.recent import Instant
from services.ddp_streamer.streams import Plan, not_allowed
from services.ddp_streamer.tasks import Tasks
from services.ddp_streamer.work import (
    AnonymousRefusal,
    Handlers,
    Reply,
    SessionLimits,
    Socket,
    Subscription,
    Work,
)

__all__ = [
    "LOGINS",
    "AnonymousRefusal",
    "Handlers",
    "Reply",
    "Session",
    "SessionLimits",
    "Socket",
    "Subscription",
    "Work",
]

log = get_logger(__name__)
_refused = Sparing(log, "refused")

POLICY: Final = "POLICY"
_MAX_FOLLOWING = 64  # messages of one session on their way: one convoy, and the next
_MAX_PARALLEL = 32  # reads of one session that run beside each other

LOGINS: Final = frozenset(
    {"login", "logout", "getNewToken", "removeOtherTokens", "logoutOtherClients"}
)
"""Methods that change who the session is: nothing overtakes them, and some clients never call
anything again when one of them stays unanswered."""


class Session:
    """What one client is and wants. Made for each connection; all calls on the event loop."""

    __slots__ = (
        "_finishing",
        "_followed",
        "_handlers",
        "_limits",
        "_logins",
        "_lost",
        "_lost_rooms",
        "_opened_at",
        "_parallel",
        "_parked",
        "_queue",
        "_running",
        "_tasks",
        "_work",
        "allowance",
        "connection",
        "document",
        "entered",
        "hashed_token",
        "main_presence",
        "person",
        "personal_token",
        "secret_id",
        "sequence",
        "subscriptions",
        "typing",
    )

    def __init__(
        self, connection: Socket, handlers: Handlers, limits: SessionLimits, tasks: Tasks
    ) -> None:
        self.connection = connection
        self._handlers = handlers
        self._limits = limits
        self._tasks = tasks
        self._opened_at = asyncio.get_running_loop().time()
        self._queue: deque[Work] = deque()
        self._work: Work | None = None
        self._running: asyncio.Task[None] | None = None
        self._parallel: set[asyncio.Task[None]] | None = None
        self._followed: set[asyncio.Task[None]] | None = None  # messages on their way
        self._parked: dict[Id, tuple[Work, asyncio.TimerHandle | None]] | None = None
        self._logins = 0
        self._lost = False
        self._lost_rooms: set[str | None] | None = None  # to be told of; None in it: everything
        self._finishing = False
        self.secret_id = session_id()
        """The DDP session id: a credential. Never logged, never in an event or a document."""
        self.subscriptions: dict[Id, Subscription] = {}
        self.person: Person | None = None
        self.entered: Instant | None = None
        """When that person signed in here."""
        self.hashed_token = ""
        self.personal_token = False
        self.document: dict[str, Any] = {}
        """The user's own document as this client has it."""
        self.sequence = 0
        """Counts what presence was told about this socket."""
        self.allowance: Allowance | None = None
        """What may be replayed to a client that says where it was."""
        self.main_presence: Id | None = None
        """The `stream-user-presence` subscription that stays."""
        self.typing: dict[tuple[str, str], tuple[bytes, float]] | None = None
        """Last typing states that were sent: (room, event) → (args, when)."""

    def __repr__(self) -> str:
        return f"<Session of {self.connection.connection_id}>"

    # --- identity -----------------------------------------------------------------------------

    @property
    def recipient(self) -> Recipient:
        return self.connection

    @property
    def public_id(self) -> str:
        """The connection's id, which may be told and stored."""
        return self.connection.connection_id

    @property
    def user_id(self) -> str | None:
        return None if self.person is None else self.person.user_id

    @property
    def busy(self) -> bool:
        """Something was asked that is not answered yet."""
        return bool(self._running or self._queue or self._parallel or self._followed)

    @property
    def closed(self) -> bool:
        return self.connection.closed

    @property
    def in_login(self) -> bool:
        """A login or logout is unanswered."""
        return self._logins > 0

    @property
    def age(self) -> float:
        """Seconds since the socket was opened."""
        return asyncio.get_running_loop().time() - self._opened_at

    def send(self, message: bytes) -> None:
        self.connection.send(message)

    def send_event(self, event: Event) -> None:
        """Send one event of the log to this client alone."""
        placed = self.connection.positioned
        self.send(positioned(event.payload, event.sequence) if placed else event.payload)

    def finish(self) -> None:
        """Begin nothing new but a login: the socket closes when what was asked before is answered.

        What comes now is as if it had come after the close, where clients ask again; only a
        login must not be left without an answer.
        """
        self._finishing = True

    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None:
        self.connection.close(code, reason, cause=cause)

    # --- what the connection tells ------------------------------------------------------------

    def on_message(self, message: Inbound) -> None:
        match message:
            case Method() | Sub():
                self._accept(message)
            case Unsub(id=sub_id):
                self._unsub(sub_id)
            case Connect():
                self._greet(message)
            case Refused(kind="sub"):
                self._refuse_sub(message.id, message.error)
            case Refused():
                self._note_refusal("method", message.error)
                for answer in message.answer():
                    self.send(answer)
            case _:
                raise TypeError(f"not for a session: {type(message).__name__}")

    def on_closed(self, code: int, reason: str) -> None:
        self._queue.clear()
        self._unpark(None)
        for task in (self._running, *(self._parallel or ()), *(self._followed or ())):
            if task is not None:
                task.cancel()
        self.end_all(answer=False)
        self._handlers.closed(self)

    # --- who the client was -------------------------------------------------------------------

    def _greet(self, connect: Connect) -> None:
        self.send(messages.connected(self.secret_id))
        if connect.session is not None and self._handlers.may_resume(connect.session):
            # What is queued behind it waits until it is clear who the client is.
            self._logins += 1
            self.connection.login_pending = True
            self._running = self._tasks.start(self._resume(connect.session), "resume")
            self._running.add_done_callback(self._on_done)

    async def _resume(self, offered: str) -> None:
        try:
            await self._handlers.resume(self, offered)
        except Exception as error:
            _unexpected("connect", error)
        finally:
            self._logins -= 1
            self.connection.login_pending = self._logins > 0

    # --- the queue ----------------------------------------------------------------------------

    def _accept(self, message: Method | Sub) -> None:
        if self._finishing and message.name not in LOGINS:
            return
        excess = self._handlers.excess(self, message)
        if excess is not None and excess.rule.unless is None:
            self._refuse(message, excess.error())
            return
        work = Work(message, excess)
        if isinstance(message, Method):
            if message.name in LOGINS:
                self._logins += 1
                self.connection.login_pending = True
            elif self._may_overtake(message.name):
                self._start_beside(work, message)
                return
        self._queue.append(work)
        if len(self._queue) > self._limits.max_queued:
            self._queue.clear()
            self.connection.close(1008, POLICY)
            return
        self._pump()

    def _may_overtake(self, name: str) -> bool:
        return (
            self._logins == 0
            and (self._running is not None or bool(self._queue or self._followed))
            and len(self._parallel or ()) < _MAX_PARALLEL
            and self._handlers.is_parallel_safe(name)
        )

    def _start_beside(self, work: Work, method: Method) -> None:
        if self._parallel is None:
            self._parallel = set()
        task = self._tasks.start(self._run_method(work, method), "method")
        self._parallel.add(task)
        task.add_done_callback(self._parallel.discard)

    def _pump(self) -> None:
        """Begin what can begin. Subs that need no waiting are answered here, without a task."""
        while self._queue and self._running is None and not self.connection.closed:
            work = self._queue[0]
            follows = self._follows(work)
            if self._followed and not (follows and len(self._followed) < _MAX_FOLLOWING):
                return
            self._queue.popleft()
            if follows:
                self._start_behind(work)
                continue
            if isinstance(work.message, Sub) and self._opened_at_once(work, work.message):
                continue
            self._work = work
            self._running = self._tasks.start(self._run(work), "call")
            self._running.add_done_callback(self._on_done)

    def _follows(self, work: Work) -> bool:
        """Whether it may begin while what was begun before it in the same way is unanswered. A
        limit that it exceeds has to be asked about first, and that takes any time."""
        message = work.message
        return (
            isinstance(message, Method)
            and work.excess is None
            and self._handlers.may_follow(message)
        )

    def _start_behind(self, work: Work) -> None:
        if self._followed is None:
            self._followed = set()
        task = self._tasks.start(self._run(work), "call")
        self._followed.add(task)
        task.add_done_callback(self._on_followed)

    def _on_followed(self, task: asyncio.Task[None]) -> None:
        if self._followed is not None:
            self._followed.discard(task)
        self._pump()

    def _on_done(self, _: asyncio.Task[None]) -> None:
        self._running = None
        self._work = None
        self._pump()

    async def _run(self, work: Work) -> None:
        message = work.message
        if isinstance(message, Method):
            await self._run_method(work, message)
        else:
            await self._run_sub(work, message)

    # --- methods ------------------------------------------------------------------------------

    async def _run_method(self, work: Work, method: Method) -> None:
        is_login = method.name in LOGINS
        reply: Reply | None = None
        try:
            # A login may be held for minutes; it has a bound of its own.
            async with asyncio.timeout(None if is_login else self._limits.call_timeout):
                reply = await self._handlers.call(self, method, work.excess)
            answer = messages.result(method.id, reply.value)
        except HubbubError as error:
            answer = messages.result_error(method.id, error)
            self._note_refusal("method", error)
        except Exception as error:
            answer = messages.result_error(method.id, _unexpected(method.name, error))
        finally:
            if is_login:
                self._logins -= 1
                self.connection.login_pending = self._logins > 0
        if self.connection.closed:
            return
        self.send(answer)
        self.send(messages.updated(method.id))
        if is_login:
            self._settle_parked()
        if reply is not None and reply.after is not None:
            reply.after()

    # --- subscriptions ------------------------------------------------------------------------

    def _opened_at_once(self, work: Work, sub: Sub) -> bool:
        try:
            return self._handlers.subscribe_now(self, work)
        except AnonymousRefusal:
            self._park(work, sub)
        except HubbubError as error:
            self._refuse_sub(sub.id, error)
        return True

    async def _run_sub(self, work: Work, sub: Sub) -> None:
        error: HubbubError | None = None
        try:
            async with asyncio.timeout(self._limits.call_timeout):
                await self._handlers.subscribe(self, work)
        except AnonymousRefusal:
            if not work.cancelled:
                self._park(work, sub)
        except HubbubError as refusal:
            error = refusal
        except Exception as failure:
            error = _unexpected(sub.name, failure)
        if error is not None and not work.cancelled:
            self._refuse_sub(sub.id, error)

    def activate(self, sub: Sub, plan: Plan | None) -> Subscription:
        """The subscription is open from now on. One of the same id is replaced."""
        before = self.subscriptions.get(sub.id)
        opened = self.subscriptions[sub.id] = Subscription(sub, plan)
        if before is not None:
            self._handlers.ended(self, before)
        return opened

    def listens_otherwise(self, topic: Topic) -> bool:
        """Whether any subscription of this session is about `topic`."""
        return any(
            subscription.plan is not None and subscription.plan.topic == topic
            for subscription in self.subscriptions.values()
        )

    def of_room(self, room_id: str) -> list[Subscription]:
        """The subscriptions that need access to this room."""
        return [
            subscription
            for subscription in self.subscriptions.values()
            if subscription.plan is not None and room_of_topic(subscription.plan.topic) == room_id
        ]

    def end(self, subscription: Subscription, error: HubbubError | None = None) -> None:
        """The server ends a subscription, and says so."""
        if self.subscriptions.get(subscription.id) is subscription:
            subscription.refused = error is not None
            del self.subscriptions[subscription.id]
            self._handlers.ended(self, subscription)
            self.send(messages.nosub(subscription.id, error))

    def end_room(self, room_id: str) -> None:
        self.connection.drop_room(room_id)
        for subscription in self.of_room(room_id):
            self.end(subscription, not_allowed())

    def end_all(self, *, answer: bool) -> None:
        """End every subscription; `answer`: with a `nosub` for each."""
        while self.subscriptions:
            sub_id, subscription = self.subscriptions.popitem()
            self._handlers.ended(self, subscription)
            if answer:
                self.send(messages.nosub(sub_id))

    def end_lost(self, room_id: str | None = None) -> None:
        # Nothing more until the client comes anew: it would not know of the hole.
        if self._lost:
            return
        if self.connection.positioned:
            self._begin_anew(room_id)
        else:
            self._lost = True
            self.end_all(answer=False)
            self._handlers.lost(self)

    def _begin_anew(self, room_id: str | None) -> None:
        """End what is concerned, and say once per turn of the loop what that was."""
        if any(subscription.follows for subscription in self.subscriptions.values()):
            room_id = None  # the room is part of what it follows
        if room_id is None:
            self.end_all(answer=True)
        else:
            for subscription in self.of_room(room_id):
                self.end(subscription)
        if self._lost_rooms is None:
            self._lost_rooms = set()
            asyncio.get_running_loop().call_soon(self._tell_lost)
        self._lost_rooms.add(room_id)

    def _tell_lost(self) -> None:
        rooms, self._lost_rooms = self._lost_rooms or set(), None
        named = sorted(room for room in rooms if room is not None)
        self.send(resync_frame(None if None in rooms else named))

    def _unsub(self, sub_id: Id) -> None:
        """Ended, taken back or unknown: the answer is the same, and some clients wait for it."""
        subscription = self.subscriptions.pop(sub_id, None)
        if subscription is not None:
            self._handlers.ended(self, subscription)
        self._take_back(sub_id)
        self.send(messages.nosub(sub_id))

    def _take_back(self, sub_id: Id) -> None:
        for work in [work for work in self._queue if _is_sub(work, sub_id)]:
            work.cancelled = True
            self._queue.remove(work)
        if self._work is not None and _is_sub(self._work, sub_id):
            self._work.cancelled = True
        self._take_back_parked(sub_id)

    # --- parking ------------------------------------------------------------------------------

    def _park(self, work: Work, sub: Sub) -> None:
        """Wait for a login, without holding up what is queued behind.

        Some clients send their subs ahead of the login after a reconnect, and end when one is
        refused.
        """
        loop = asyncio.get_running_loop()
        young = loop.time() - self._opened_at < self._limits.park_age
        if not (young or self._logins) or self.connection.closed:
            self._refuse_sub(sub.id, not_allowed())
            return
        if self._parked is None:
            self._parked = {}
        self._take_back_parked(sub.id)  # the same id again: the later one counts
        timer = loop.call_later(self._limits.park, self._parked_for_long, sub.id)
        self._parked[sub.id] = work, timer

    def _take_back_parked(self, sub_id: Id) -> None:
        if self._parked is not None:
            _, timer = self._parked.pop(sub_id, (None, None))
            if timer is not None:
                timer.cancel()

    def _parked_for_long(self, sub_id: Id) -> None:
        if self._parked is None or sub_id not in self._parked:
            return
        work, _ = self._parked[sub_id]
        if self._logins:
            self._parked[sub_id] = work, None  # judged when that login is decided
        else:
            del self._parked[sub_id]
            self._refuse_sub(sub_id, not_allowed())

    def _settle_parked(self) -> None:
        """A login was decided: judge again, or give up what waited for nothing else."""
        if self.person is not None:
            parked = self._unpark(None)
            self._queue.extendleft(reversed(parked))
        elif not self._logins:
            for work in self._unpark(overdue=True):
                self._refuse_sub(work.message.id, not_allowed())

    def _unpark(self, overdue: bool | None) -> list[Work]:
        """Take out what is parked: all, or only what has waited its time."""
        taken: list[Work] = []
        for sub_id, (work, timer) in list((self._parked or {}).items()):
            if overdue and timer is not None:
                continue
            if timer is not None:
                timer.cancel()
            if self._parked is not None:
                del self._parked[sub_id]
            taken.append(work)
        return taken

    def _note_refusal(self, what: str, error: HubbubError) -> None:
        # Names of methods and events are the client's own words: not in the log.
        _refused(conn=self.public_id, uid=self.user_id, what=what, reason=str(error.code))

    def _refuse(self, message: Method | Sub, error: HubbubError) -> None:
        if isinstance(message, Method):
            self._note_refusal("method", error)
            self.send(messages.result_error(message.id, error))
            self.send(messages.updated(message.id))
        else:
            self._refuse_sub(message.id, error)

    def _refuse_sub(self, sub_id: Id, error: HubbubError) -> None:
        """There is no such subscription: from now on an earlier one of that id is none either."""
        before = self.subscriptions.pop(sub_id, None)
        if before is not None:
            before.refused = True
            self._handlers.ended(self, before)
        self._note_refusal("sub", error)
        self.send(messages.nosub(sub_id, error))


def _is_sub(work: Work, sub_id: Id) -> bool:
    return isinstance(work.message, Sub) and work.message.id == sub_id


def _unexpected(name: str, error: Exception) -> Internal:
    """What nobody foresaw: the client learns an id, the log the rest."""
    error_id = random_id()
    if isinstance(error, TimeoutError):
        log.warning("call_took_too_long", method=name, error_id=error_id)
    else:
        log.error("call_failed", method=name, error_id=error_id, exc_info=error)
    return Internal(error_id=error_id)
