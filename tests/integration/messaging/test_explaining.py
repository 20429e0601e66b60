"""The durable facts behind an explanation."""

from __future__ import annotations

import pytest

from hubbub.contracts.messages import NewMessage
from hubbub.ids import MessageId, UserId
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration


async def test_a_message_and_who_was_there(home: House) -> None:
    """Present, past and never; without a word of the message."""
    ada, bob, cid = await home.users("ada", "bob", "cid")
    room_id = await home.room(ada, "bob", kind="p")
    message_id = str((await home.say(ada, room_id, "a secret"))["_id"])
    await home.messaging.leave_room(bob, room_id)

    of_ada = await home.messaging.delivery_facts(message_id, ada)
    of_bob = await home.messaging.delivery_facts(message_id, bob)
    of_cid = await home.messaging.delivery_facts(message_id, cid)

    assert of_ada is not None
    assert of_bob is not None
    assert of_cid is not None
    told = of_ada.message
    assert (told.id, told.room_id, told.room_type) == (message_id, room_id, "p")
    assert (told.author_id, told.hidden, told.deleted_at) == (ada, False, None)
    assert told.sequence is not None
    assert "secret" not in of_ada.model_dump_json()
    [stay] = of_ada.stays
    assert stay.since is not None
    assert (stay.since <= told.ts, stay.until) == (True, None)
    [stay] = of_bob.stays
    assert stay.until is not None
    assert stay.until > told.ts
    assert of_cid.stays == []


async def test_a_message_that_is_gone(home: House) -> None:
    """The trash remembers it; of others there is no trace."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    message_id = str((await home.say(ada, room_id, "gone"))["_id"])
    await home.messaging.delete_message(ada, MessageId(message_id))

    told = await home.messaging.delivery_facts(message_id, ada)

    assert told is not None
    assert told.message.deleted_at is not None or told.message.type == "rm"
    assert await home.messaging.delivery_facts("nowhere", UserId("nobody")) is None


async def test_no_trace_is_stored_when_nobody_traces(home: House) -> None:
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    await home.messaging.send_message(ada, NewMessage(id="m1", room_id=room_id, text="plain"))
    stored = await home.database["rocketchat_message"].find_one({"_id": "m1"})
    assert stored is not None
    assert "_trace" not in stored
