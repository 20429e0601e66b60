"""Doing what earlier writes left to do, whoever made them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from hubbub.clock import Clock
from hubbub.contracts.base import Event
from hubbub.contracts.events import FilesOrphaned
from hubbub.errors import HubbubError
from hubbub.mongo import Unreachable
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.messaging.funnel import Funnel
from services.messaging.store import Store
from services.messaging.store.transactions import NotStored, OutcomeUnknown

log = get_logger(__name__)

Publish: TypeAlias = Callable[[Event], Awaitable[None]]

_LEASE: Final = 30.0  # seconds in which nobody else begins the same chore, also after a failure
_DEADLINE: Final = 5.0  # seconds for one transaction


class Chores:
    """Works on what is noted in the store. `run` is its life; `attend` does some at once."""

    def __init__(
        self, store: Store, funnel: Funnel, publish: Publish, *, clock: Clock, interval: float
    ) -> None:
        """
        Args:
            publish: tells other services; at least once.
            interval: seconds between two looks for what others left behind.
        """
        self._store = store
        self._funnel = funnel
        self._publish = publish
        self._clock = clock
        self._interval = interval

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            heed_cancellation()
            await self._clock.sleep(self._interval)
            try:
                while (chore := await self._store.chores.take(None, _LEASE)) is not None:
                    heed_cancellation()
                    await self._do(chore, self._clock.monotonic() + _LEASE / 2)
            except (Unreachable, HubbubError, NotStored, OutcomeUnknown) as error:
                log.warning("chores_interrupted", err_type=type(error).__name__)

    async def attend(self, chore_ids: Sequence[str], within: float) -> None:
        """Do these chores now; what is not done in `within` seconds is done later.

        Never fails: what they follow from is committed, and so is their note.
        """
        until = self._clock.monotonic() + within
        for chore_id in chore_ids:
            try:
                chore = await self._store.chores.take(chore_id, _LEASE)
                if chore is not None:
                    await self._do(chore, until)
            except (Unreachable, HubbubError, NotStored, OutcomeUnknown) as error:
                log.warning("chore_put_off", err_type=type(error).__name__)

    async def _do(self, chore: Mapping[str, Any], until: float) -> None:
        """Work on a chore until it is done or `until`, monotonic, has passed."""
        match chore.get("kind"):
            case "erase-room":
                finished = await self._erase(str(chore["rid"]), until)
            case "orphaned-files":
                await self._publish(FilesOrphaned(file_ids=[str(one) for one in chore["files"]]))
                finished = True
            case _:
                return  # noted by a newer version, which will look after it
        if finished:
            await self._store.chores.strike(str(chore["_id"]))
        else:
            await self._store.chores.postpone(str(chore["_id"]), 0)

    async def _erase(self, room_id: str, until: float) -> bool:
        """Erase a room with everything in it; whether that is finished."""
        erasing = self._store.erasing
        await self._funnel.turn(
            room_id, lambda: erasing.remove_room(room_id, self._deadline, noted=True)
        )
        while await erasing.remove_memberships(room_id, self._deadline):
            if self._clock.monotonic() > until:
                return False
        more, chores = True, list[str]()
        while more:
            if self._clock.monotonic() > until:
                return False
            more, chores = await erasing.remove_messages(room_id, self._deadline)
            await self.attend(chores, until - self._clock.monotonic())
        await erasing.remove_traces(room_id)
        return True

    @property
    def _deadline(self) -> float:
        return self._clock.monotonic() + _DEADLINE
