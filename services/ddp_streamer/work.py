"""What clients ask of a session, and who sees to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hubbub.ddp import ejson, messages
from hubbub.ddp.messages import Method, Sub
from services.ddp_streamer.connection import Cause, Peer
from services.ddp_streamer.fanout import Person, Recipient
from services.ddp_streamer.rates import Excess
from services.ddp_streamer.recent import Instant
from services.ddp_streamer.streams import Plan

if TYPE_CHECKING:
    from services.ddp_streamer.session import Session


class AnonymousRefusal(Exception):
    """A sub is refused only because nobody is signed in on the socket."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A method's result, and what is to be done when the client has it."""

    value: Any = messages.MISSING
    after: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of one session. Times in seconds."""

    max_queued: int = 256
    call_timeout: float = 30.0
    park: float = 3.0
    """How long a sub waits for the login that would allow it."""
    park_age: float = 15.0
    """On sockets younger than this."""


class Socket(Recipient, Protocol):
    """What a session needs of its connection."""

    peer: Peer
    authenticated: bool
    login_pending: bool
    positioned: bool

    @property
    def closed(self) -> bool: ...
    def close(self, code: int, reason: str = "", *, cause: Cause | None = None) -> None: ...
    def drop_room(self, room_id: str) -> None: ...


class Subscription:
    """An active subscription."""

    __slots__ = ("_wish", "follows", "id", "name", "plan", "refused", "since")

    def __init__(self, sub: Sub, plan: Plan | None) -> None:
        self.id = sub.id
        self.name = sub.name
        self._wish = _digest(sub)
        self.plan = plan
        """None: a publication without events."""
        self.follows: Person | None = None
        """Whose memberships it holds."""
        self.since: Instant | None = None
        """When messages began to come by it; None where it is about something else."""
        self.refused = False
        """The server has ended it because the user may not listen any more."""

    def is_same(self, sub: Sub) -> bool:
        """Whether `sub` asks for what this one is."""
        return self._wish == _digest(sub)


class Work:
    """A method or sub that waits for its turn, or is being worked on."""

    __slots__ = ("cancelled", "excess", "message")

    def __init__(self, message: Method | Sub, excess: Excess | None) -> None:
        self.message = message
        self.excess = excess
        """The limit that it exceeds, unless the user holds the permission that lifts it."""
        self.cancelled = False
        """The client has taken the sub back."""


class Handlers(Protocol):
    """What the router does for sessions."""

    def excess(self, session: Session, message: Method | Sub) -> Excess | None:
        """Count the message; the limit that it exceeds, if any."""
        ...

    def is_parallel_safe(self, name: str) -> bool:
        """Whether the method may run beside others."""
        ...

    def may_follow(self, method: Method) -> bool:
        """Whether the method may begin while others of that kind, begun before it, are not
        answered yet: they stay in order all the same."""
        ...

    def may_resume(self, offered: str | None) -> bool:
        """Whether `offered` can be the id of an earlier session."""
        ...

    async def resume(self, session: Session, offered: str) -> None:
        """Sign in whoever the session `offered` belonged to, if anybody."""
        ...

    async def call(self, session: Session, method: Method, excess: Excess | None) -> Reply:
        """Run a method. Raises: HubbubError."""
        ...

    def subscribe_now(self, session: Session, work: Work) -> bool:
        """Open the subscription if that needs no waiting; False when it does.

        Raises: HubbubError, AnonymousRefusal.
        """
        ...

    async def subscribe(self, session: Session, work: Work) -> None:
        """Open the subscription. Raises: HubbubError, AnonymousRefusal."""
        ...

    def ended(self, session: Session, subscription: Subscription) -> None:
        """A subscription is over: give back what it held."""
        ...

    def lost(self, session: Session) -> None:
        """Events are missing: the client has to come anew."""
        ...

    def closed(self, session: Session) -> None:
        """The socket is gone; subscriptions have been given back."""
        ...


def _digest(sub: Sub) -> bytes:
    """Name and parameters of a sub in a few bytes: a client may send a megabyte of them."""
    wish = ejson.dumps([sub.name, sub.params])
    return hashlib.blake2b(wish, digest_size=16).digest()
