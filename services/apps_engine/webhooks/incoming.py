"""A payload from outside becomes messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubbub.contracts.integrations import Delivery, HookDisabled
from hubbub.contracts.messaging import Messaging
from hubbub.errors import HubbubError, Timeout, Unavailable
from hubbub.ids import RoomId, UserId
from services.apps_engine.domain.incoming import Wanted, message_id, understood
from services.apps_engine.webhooks.places import Places


class Incoming:
    """Posts as an integration's user, by messaging's ordinary rules."""

    def __init__(self, messaging: Messaging, places: Places, sent: Callable[[], None]) -> None:
        """
        Args:
            sent: told of each message that was accepted.
        """
        self._messaging = messaging
        self._places = places
        self._sent = sent

    async def deliver(
        self, integration: Mapping[str, Any], payload: Mapping[str, Any], delivery_id: str
    ) -> list[Delivery]:
        """See `deliver_hook` of the contract. Raises as it does."""
        if integration.get("enabled") is not True:
            raise HookDisabled("Service Unavailable")
        wanted = understood(payload, integration)
        if wanted is None:
            return []
        speaker = UserId(str(integration.get("userId")))
        done = []
        for index, channel in enumerate(wanted.channels):
            done.append(await self._one(speaker, wanted, channel, message_id(delivery_id, index)))
        return done

    async def say(self, speaker: UserId, wanted: Wanted, channel: str, message_id: str) -> str:
        """Post a message; its id. Raises: what messaging refuses; BadRequest."""
        room_id = await self._places.to_speak_in(speaker, channel, chosen=wanted.chosen)
        return await self._send(speaker, wanted, room_id, message_id)

    async def say_in(
        self, speaker: UserId, wanted: Wanted, room_id: RoomId, message_id: str
    ) -> str:
        """Post a message in a room, which its speaker joins if it is public; its id.

        Raises: what messaging refuses.
        """
        await self._places.enter(speaker, room_id)
        return await self._send(speaker, wanted, room_id, message_id)

    async def _send(self, speaker: UserId, wanted: Wanted, room_id: RoomId, message_id: str) -> str:
        message = wanted.message(message_id, room_id)
        stored = await self._messaging.send_message(speaker, message, allow_empty=True)
        self._sent()
        return str(stored["_id"])

    async def _one(
        self, speaker: UserId, wanted: Wanted, channel: str, message_id: str
    ) -> Delivery:
        try:
            await self.say(speaker, wanted, channel, message_id)
        except (Unavailable, Timeout):
            raise  # repeating the whole delivery is right, and posts nothing twice
        except HubbubError as error:
            if not wanted.separate:
                raise
            return Delivery(channel=channel, error=str(error.code))
        return Delivery(channel=channel)
