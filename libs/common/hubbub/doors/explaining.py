"""Asking everybody why a user did not get a message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from hubbub.bus import Bus
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import Contract
from hubbub.contracts.explain import HubRecall, StreamerRecall
from hubbub.contracts.messages import MessageNotFound
from hubbub.contracts.messaging import Messaging
from hubbub.doors.explanation import Access, AskedHub, AskedStreamer, Findings
from hubbub.errors import Timeout, Unavailable
from hubbub.ids import RoomId, UserId

Find = Callable[[str], Awaitable[list[str]]]
"""The instances that serve the contract of this name."""

_DECIDING: Final = (
    "view-c-room",
    "view-p-room",
    "view-d-room",
    "view-joined-room",
    "preview-c-room",
)
_MOST: Final = 200  # instances of one kind that are asked

C = TypeVar("C", bound=Contract)
T = TypeVar("T")


class Explainer:
    """Puts together what the services know. Whoever asks must be allowed to know of every room."""

    def __init__(self, bus: Bus, find: Find) -> None:
        self._bus = bus
        self._find = find

    async def explain(self, user_id: UserId, message_id: str) -> Findings:
        """Everything about one message and one user.

        Raises:
            MessageNotFound: there is no such message, and no trace of it.
            Unavailable, Timeout: the facts cannot be read now.
        """
        facts = await self._bus.proxy(Messaging).delivery_facts(message_id, user_id)
        if facts is None:
            raise MessageNotFound("No such message")
        message = facts.message
        access, hubs, streamers = await asyncio.gather(
            self._access(RoomId(message.room_id), user_id),
            self._find(HubRecall.contract_name),
            self._find(StreamerRecall.contract_name),
        )
        silent: list[str] = []

        async def asked_hub(instance: str) -> AskedHub:
            memory = await self._bus.proxy(HubRecall, to=instance).recall(message_id)
            return AskedHub(instance=instance, memory=memory)

        found = Findings(
            user_id=user_id,
            message=message,
            stays=facts.stays,
            access=access,
            hubs=await _all(asked_hub, hubs, silent),
            streamers=[],
        )
        event = found.event
        moment = event.published if event is not None else int(message.ts.timestamp() * 1000)

        async def asked_streamer(instance: str) -> AskedStreamer:
            memory = await self._bus.proxy(StreamerRecall, to=instance).recall(
                user_id, message.room_id, None if event is None else event.sequence, moment
            )
            return AskedStreamer(instance=instance, memory=memory)

        return found.model_copy(
            update={"streamers": await _all(asked_streamer, streamers, silent), "silent": silent}
        )

    async def _access(self, room_id: RoomId, user_id: UserId) -> Access:
        authorization = self._bus.proxy(Authorization)
        read, held = await asyncio.gather(
            authorization.can_read_room(room_id, user_id),
            authorization.held_permissions(user_id, list(_DECIDING), room_id),
        )
        return Access(read=read, held=held)


async def _all(
    ask: Callable[[str], Awaitable[T]], instances: Sequence[str], silent: list[str]
) -> list[T]:
    """What those of `instances` say that answer; the others are put among the `silent`."""
    asked = sorted(instances)[:_MOST]
    answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
    told: list[T] = []
    for instance, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Unavailable | Timeout):
            silent.append(instance)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            told.append(answer)
    return told
