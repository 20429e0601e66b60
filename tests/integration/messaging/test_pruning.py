"""Removing what was said in a stretch of time, and erasing rooms with everything in them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.base import listen
from hubbub.contracts.discussions import NewDiscussion, Pruned, Stretch
from hubbub.contracts.documents import Document
from hubbub.contracts.events import FilesOrphaned
from hubbub.contracts.messages import InvalidRoom
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId
from services.messaging.store import pruning
from tests.integration.messaging.house import House
from tests.waiting import eventually

pytestmark = pytest.mark.integration

BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Keeper:
    """Hears which files are wanted no more."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    @listen(FilesOrphaned, to="one", durable=True)
    async def on_files_orphaned(self, event: FilesOrphaned) -> None:
        self.forgotten += event.file_ids


@pytest.fixture
async def keeper(home: House) -> Keeper:
    """Somebody who keeps files."""
    made = Keeper()
    await home.bus.listen(made, service="gateway")
    return made


async def _room(home: House, *names: str, kind: str = "c") -> tuple[UserId, RoomId]:
    """A room of an administrator, with members."""
    (ada,) = await home.users("ada")
    if names:
        await home.users(*names)
    home.authorization.granted[ada] = {"admin"}
    return ada, await home.room(ada, *names, kind=kind)


async def _clean(home: House, user_id: UserId, room_id: RoomId, **wanted: Any) -> Pruned:
    stretch = Stretch.model_validate({"oldest": BEGINNING, "latest": END, **wanted})
    return await home.messaging.clean_history(user_id, room_id, stretch)


async def _texts(home: House, room_id: str) -> list[str]:
    cursor = home.database.rocketchat_message.find({"rid": room_id, "t": {"$exists": False}})
    return [message["msg"] async for message in cursor.sort("ts")]


async def _records(home: House) -> list[Document]:
    return await home.database.rocketchat__trash.find({"__collection__": "prune"}).to_list()


async def test_a_stretch_goes_with_everything_that_counts_it(home: House) -> None:
    """The room's number and last message, the trash, one record of which messages went."""
    ada, room_id = await _room(home)
    sent = [await home.say(ada, room_id, f"{number}") for number in range(6)]

    done = await _clean(home, ada, room_id, oldest=sent[1]["ts"], latest=sent[5]["ts"])

    assert done == Pruned(count=3, complete=True)
    assert await _texts(home, room_id) == ["0", "1", "5"]
    room = await home.stored_room(room_id)
    assert (room["msgs"], room["lastMessage"]["msg"], room["seq"]) == (3, "5", 6)
    (record,) = await _records(home)
    gone = [message["_id"] for message in sent[2:5]]
    assert record["ids"] == gone
    assert (record["first"], record["last"]) == (sent[2]["ts"], sent[4]["ts"])
    assert (record["rid"], record["users"], record["excludePinned"]) == (room_id, [], False)
    changes = await home.messaging.changes_page(ada, room_id, "deleted", 9, after=sent[0]["ts"])
    assert {entry["_id"] for entry in changes.items} == set(gone)
    kept = home.database.rocketchat__trash.find({"__collection__": "message"})
    assert {one["prunedBy"] async for one in kept} == {record["_id"]}


async def test_the_last_message_is_the_one_that_is_left(home: House) -> None:
    """Inclusive bounds take the newest; what is before becomes the last one."""
    ada, room_id = await _room(home)
    sent = [await home.say(ada, room_id, f"{number}") for number in range(3)]

    await _clean(home, ada, room_id, oldest=sent[1]["ts"], latest=sent[2]["ts"], inclusive=True)

    assert (await home.stored_room(room_id))["lastMessage"]["msg"] == "0"
    await _clean(home, ada, room_id)
    assert "lastMessage" not in await home.stored_room(room_id)
    assert (await _clean(home, ada, room_id)).count == 0


async def test_many_messages_go_in_portions(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each portion has its own record; a limit takes the oldest."""
    monkeypatch.setattr(pruning, "PORTION", 4)
    monkeypatch.setattr("services.messaging.pruning.PORTION", 4)
    ada, room_id = await _room(home)
    for number in range(11):
        await home.say(ada, room_id, f"{number}")

    assert (await _clean(home, ada, room_id, limit=6)).count == 6
    assert await _texts(home, room_id) == ["6", "7", "8", "9", "10"]
    assert (await _clean(home, ada, room_id)).count == 5

    assert [len(record["ids"]) for record in await _records(home)] == [4, 2, 4, 1]
    assert (await home.stored_room(room_id))["msgs"] == 0


async def test_what_is_left_alone(home: House) -> None:
    """Pinned messages, other people's, threads, discussions: where the caller says so."""
    ada, room_id = await _room(home, "bob")
    bob = UserId("u-bob")
    pinned, thread = await home.say(ada, room_id, "pinned"), await home.say(ada, room_id, "thread")
    await home.say(bob, room_id, "reply", tmid=thread["_id"])
    await home.say(bob, room_id, "bob")
    await home.database.rocketchat_message.update_one(
        {"_id": pinned["_id"]}, {"$set": {"pinned": True}}
    )
    await home.messaging.create_discussion(
        ada, NewDiscussion.model_validate({"prid": room_id, "t_name": "d"})
    )
    everything = {
        "exclude_pinned": True,
        "ignore_threads": True,
        "ignore_discussions": True,
        "usernames": ["bob"],
    }

    assert (await _clean(home, ada, room_id, **everything)).count == 1
    assert await _texts(home, room_id) == ["pinned", "thread", "reply"]
    assert (await _clean(home, ada, room_id, exclude_pinned=True, ignore_threads=True)).count == 1
    assert await home.database.rocketchat_room.count_documents({"prid": room_id}) == 0
    assert await _texts(home, room_id) == ["pinned", "thread", "reply"]
    assert (await _clean(home, ada, room_id, exclude_pinned=True)).count == 2
    assert await _texts(home, room_id) == ["pinned"]
    (first, *_) = await _records(home)
    assert (first["users"], first["excludePinned"], first["ignoreDiscussion"]) == (
        ["bob"],
        True,
        True,
    )


async def test_threads_know_what_is_left_of_them(home: House) -> None:
    """A first message counts its remaining replies; unread marks of threads that are gone go."""
    ada, room_id = await _room(home, "bob")
    bob = UserId("u-bob")
    old = await home.say(bob, room_id, "old")
    kept = await home.say(bob, room_id, "kept")
    await home.say(ada, room_id, "x", tmid=old["_id"])
    first = await home.say(ada, room_id, "1", tmid=kept["_id"])
    second = await home.say(ada, room_id, "2", tmid=kept["_id"])
    await home.settled()
    assert set((await home.membership(bob, room_id))["tunread"]) == {old["_id"], kept["_id"]}

    await _clean(home, ada, room_id, oldest=kept["ts"], latest=second["ts"])
    await _clean(home, ada, room_id, latest=kept["ts"])

    assert await home.message(first["_id"]) is None
    parent = await home.message(kept["_id"])
    assert parent is not None
    assert (parent["tcount"], parent["tlm"]) == (1, second["ts"])
    assert (await home.membership(bob, room_id))["tunread"] == [kept["_id"]]

    await _clean(home, ada, room_id, oldest=kept["ts"])
    parent = await home.message(kept["_id"])
    assert parent is not None
    assert not {"tcount", "tlm", "replies"} & parent.keys()


async def test_files_go_with_their_messages_or_without(home: House, keeper: Keeper) -> None:
    """Whoever keeps files is told; `files_only` leaves the message, which then says so."""
    ada, room_id = await _room(home)
    one, two, three = [await home.say(ada, room_id, f"{number}") for number in range(3)]
    for number, message in enumerate((one, two, three)):
        await home.database.rocketchat_message.update_one(
            {"_id": message["_id"]},
            {
                "$set": {
                    "file": {"_id": f"f{number}", "name": "a.png"},
                    "files": [{"_id": f"f{number}"}, {"_id": f"g{number}"}],
                    "attachments": [{"type": "file", "title": "a.png"}, {"text": "quote"}],
                }
            },
        )

    done = await _clean(home, ada, room_id, files_only=True, latest=two["ts"], inclusive=True)
    assert done.count == 2
    await eventually(lambda: sorted(keeper.forgotten) == ["f0", "f1", "g0", "g1"])
    emptied = await home.message(one["_id"])
    assert emptied is not None
    assert not {"file", "files"} & emptied.keys()
    assert emptied["attachments"] == [
        {"text": "quote"},
        {"color": "#FD745E", "text": "_File removed by prune_"},
    ]
    assert (await _clean(home, ada, room_id, files_only=True, latest=two["ts"])).count == 0

    await home.messaging.delete_message(ada, three["_id"])
    await eventually(lambda: keeper.forgotten[4:] == ["f2", "g2"])
    assert await home.database.hubbub_chores.count_documents({}) == 0


async def test_who_may_not_clean(home: House) -> None:
    """It needs the permission and access; a group looks like nothing from outside."""
    ada, room_id = await _room(home, "bob")
    (eve,) = await home.users("eve")
    group = await home.room(ada, kind="p")

    with pytest.raises(NotAllowed):
        await _clean(home, UserId("u-bob"), room_id)
    for unseen in (group, RoomId("nowhere")):
        with pytest.raises(InvalidRoom):
            await _clean(home, eve, unseen)


async def test_sends_go_on_meanwhile(home: House) -> None:
    """Numbers stay right when a room is written to while it is cleaned."""
    ada, room_id = await _room(home)
    for number in range(20):
        await home.say(ada, room_id, f"old {number}")
    latest = await home.service._desk.now()

    async def talk() -> None:
        for number in range(20):
            await home.say(ada, room_id, f"new {number}")

    done, _ = await asyncio.gather(_clean(home, ada, room_id, latest=latest), talk())

    left = await _texts(home, room_id)
    assert done.count + len(left) == 40
    assert all(text.startswith("new") for text in left)
    room = await home.stored_room(room_id)
    assert (room["msgs"], room["lastMessage"]["msg"]) == (len(left), "new 19")


async def test_an_erased_room_leaves_nothing(home: House, keeper: Keeper) -> None:
    """Room and memberships are in the trash, messages and files are gone."""
    ada, room_id = await _room(home, "bob")
    sent = await home.say(ada, room_id)
    await home.database.rocketchat_message.update_one(
        {"_id": sent["_id"]}, {"$set": {"file": {"_id": "f1"}}}
    )

    await home.messaging.erase_room(ada, room_id)

    for collection in ("rocketchat_message", "rocketchat_subscription"):
        assert await home.database[collection].count_documents({"rid": room_id}) == 0
    assert await home.database.rocketchat_room.find_one({"_id": room_id}) is None
    await eventually(lambda: keeper.forgotten == ["f1"])
    assert await home.database.hubbub_chores.count_documents({}) == 0
    kinds = await home.database.rocketchat__trash.distinct("__collection__")
    assert kinds == ["room", "subscription"]
    changes = await home.messaging.subscriptions_of(UserId("u-bob"), BEGINNING)
    assert len(changes.remove) == 1
    with pytest.raises(InvalidRoom):
        await home.messaging.erase_room(ada, room_id)


async def test_what_a_dead_process_left_is_erased(home: House) -> None:
    """A room that went, with its note, while nobody did the rest."""
    ada, room_id = await _room(home, "bob")
    await home.say(ada, room_id)
    desk = home.service._desk
    await desk.store.erasing.remove_room(room_id, desk.deadline)
    assert await home.database.rocketchat_message.count_documents({"rid": room_id}) == 1
    await home.database.hubbub_chores.update_many(
        {}, {"$set": {"due": datetime.now(UTC) - timedelta(seconds=1)}}
    )

    async def is_gone() -> bool:
        counts = [
            await home.database[collection].count_documents({"rid": room_id})
            for collection in ("rocketchat_message", "rocketchat_subscription")
        ]
        return counts == [0, 0] and await home.database.hubbub_chores.count_documents({}) == 0

    await eventually(is_gone, within=5)


async def test_an_erased_discussion_leads_nowhere(home: House) -> None:
    """The message in the parent stays, without what it led to."""
    ada, room_id = await _room(home)
    made = await home.messaging.create_discussion(
        ada, NewDiscussion.model_validate({"prid": room_id, "t_name": "d"})
    )

    await home.messaging.erase_room(ada, made["_id"])

    (left,) = await home.database.rocketchat_message.find({"rid": room_id}).to_list()
    assert left["t"] == "discussion-created"
    assert not {"drid", "dcount", "dlm"} & left.keys()


async def test_a_group_of_others_looks_like_none(home: House) -> None:
    """Neither erasing nor changing it tells that it is there."""
    ada, room_id = await _room(home, kind="p")
    (eve,) = await home.users("eve")

    for unseen in (room_id, RoomId("nowhere")):
        with pytest.raises(InvalidRoom):
            await home.messaging.erase_room(eve, unseen)
        with pytest.raises(InvalidRoom):
            await home.messaging.save_room_settings(eve, unseen, {"roomTopic": "x"})
    assert (await home.stored_room(room_id))["u"]["_id"] == ada
