"""What apps have to do with messages: their commands, and what they think before one is stored.

What they offer is known here in advance (`AppsChanged`), and where the apps that judge messages
are members: a message that no app wants to be asked about is not held up by a single call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from hubbub.cache import Cache
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.apps import (
    AppCommand,
    AppInvocation,
    AppPreventedSending,
    Apps,
    Offers,
    UnknownAppCommand,
    Verdict,
)
from hubbub.contracts.commands import Invocation, UnknownCommand
from hubbub.contracts.messages import NewMessage
from hubbub.errors import HubbubError
from hubbub.ids import UserId
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.messaging.domain.sending import Person
from services.messaging.metrics import HookMetrics

log = get_logger(__name__)

SENDING: Final = "message_sending"
_FRESH: Final = 60.0  # seconds that what apps offer is believed if an event was lost
_ROOMS_BELIEVED: Final = 30.0  # seconds, if it is not told that a membership began or ended
_JUDGES: Final = 1000
_AGAIN: Final = 5.0  # seconds after nobody answered

RoomsOf = Callable[[UserId], Awaitable[frozenset[str]]]
"""Ids of the rooms that a user is in. Raises: HubbubError."""


@dataclass(slots=True)
class AppsAtHand:
    """What the running apps offer, as far as it is known. `run` is its task."""

    apps: Apps | None = None
    """None: there are none."""
    clock: Clock = field(default_factory=SystemClock)
    metrics: HookMetrics = field(default_factory=HookMetrics)
    rooms_of: RoomsOf | None = None
    """Where a user is a member; None: apps that judge messages do so everywhere."""
    hooked: bool = False
    """Whether an app wants to be asked before messages are stored, at least of some rooms."""
    commands: dict[str, AppCommand] = field(default_factory=dict)
    _bots: frozenset[UserId] = frozenset()
    _judges: tuple[UserId, ...] = ()
    _everywhere: bool = False
    _rooms: Cache[UserId, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._rooms = Cache(self._load, max_age=_ROOMS_BELIEVED, size=_JUDGES, clock=self.clock)

    def offered(self, offers: Offers) -> None:
        """This is what they offer from now on."""
        self.hooked = SENDING in offers.hooks
        self.commands = {command.command: command for command in offers.commands}
        self._bots = frozenset(offers.bots)
        self._judges = tuple(offers.judges)
        self._everywhere = offers.judged_everywhere or self.rooms_of is None

    async def run(self) -> None:
        """Ask what they offer, at once and now and then, until cancelled."""
        if self.apps is None:
            return
        while True:
            heed_cancellation()
            try:
                self.offered(await self.apps.offers())
            except HubbubError:
                await self.clock.sleep(_AGAIN)
            else:
                await self.clock.sleep(_FRESH)

    async def are_judges_in(self, room_id: str) -> bool:
        """Whether an app wants to be asked about the messages of a room. Known without a query
        but for one per app and half a minute, and after its user came or left."""
        if not self.hooked or self._everywhere:
            return self.hooked
        try:
            found = await self._rooms.get_many(self._judges)
        except HubbubError:
            return True  # the engine may know
        return any(room_id in rooms for rooms in found.values())

    def membership_changed(self, user_id: UserId) -> None:
        """A membership of a user began or ended."""
        self._rooms.forget(user_id)

    async def close(self) -> None:
        """Ask no more."""
        await self._rooms.close()

    async def judged(
        self,
        author: Person,
        message: NewMessage,
        room_id: str,
        fits: Callable[[NewMessage], None],
        *,
        with_attachments: bool,
    ) -> NewMessage:
        """A message as the apps let it pass. Whoever does not answer in time is passed by.

        Args:
            fits: raises HubbubError when a message as an app changed it cannot be sent.
            with_attachments: whether apps may change the attachments.

        Raises: AppPreventedSending: an app refused it.
        """
        if self.apps is None or UserId(author.user_id) in self._bots:
            return message  # apps that talk to each other would never end
        try:
            verdict = await self.apps.before_message(_shown(author, message, room_id))
        except HubbubError:
            self.metrics.asked("skipped")
            return message
        if verdict.kind == "refuse":
            self.metrics.asked("refused")
            raise AppPreventedSending(verdict.reason or "An app refused this message")
        changes = _changes(verdict, with_attachments=with_attachments)
        if not changes:
            self.metrics.asked("allowed")
            return message
        changed = message.model_copy(update=changes)
        try:
            fits(changed)
        except HubbubError as error:
            log.info("app_change_refused", app=verdict.app_id, code=str(error.code))
            self.metrics.asked("skipped")
            return message
        self.metrics.asked("changed")
        return changed

    async def _load(self, bots: list[UserId]) -> dict[UserId, frozenset[str]]:
        if self.rooms_of is None:
            raise RuntimeError("nobody knows where apps are")
        return {bot: await self.rooms_of(bot) for bot in bots}

    async def run_command(self, user_id: UserId, invocation: Invocation) -> None:
        """Carry out a command of an app. The caller may see the room.

        Raises: UnknownCommand: it is gone; whatever the app refuses with.
        """
        if self.apps is None:
            raise UnknownCommand("Invalid Command Provided")
        try:
            await self.apps.run_app_command(
                user_id,
                AppInvocation(
                    command=invocation.command,
                    parameters=invocation.parameters,
                    room_id=invocation.room_id,
                    thread_id=invocation.thread_id,
                ),
            )
        except UnknownAppCommand as error:
            raise UnknownCommand(error.reason) from None


def _shown(author: Person, message: NewMessage, room_id: str) -> dict[str, Any]:
    """What apps see of a message that is no message yet."""
    shown: dict[str, Any] = {
        "_id": message.id,
        "rid": room_id,
        "msg": message.text,
        "u": author.reference,
    }
    more = {
        "tmid": message.thread_id,
        "attachments": message.attachments,
        "alias": message.alias,
        "emoji": message.emoji,
    }
    return shown | {name: value for name, value in more.items() if value is not None}


def _changes(verdict: Verdict, *, with_attachments: bool) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if verdict.kind == "change":
        if verdict.text is not None:
            changes["text"] = verdict.text
        if verdict.attachments is not None and with_attachments:
            changes["attachments"] = verdict.attachments
    return changes
