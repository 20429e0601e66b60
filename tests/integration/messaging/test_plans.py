"""No query of the store reads a whole collection that grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient, monitoring

from hubbub.contracts.documents import Paging
from hubbub.contracts.messages import MessageEdit
from hubbub.ids import MessageId, RoomId, UserId, random_id
from tests.integration.messaging.house import CREATED, House, house

pytestmark = pytest.mark.integration

GROWING = {
    "rocketchat_message",
    "rocketchat_room",
    "rocketchat_subscription",
    "rocketchat__trash",
    "users",
    "rocketchat_moderation_reports",
}
_EXPLAINED = {"find", "aggregate", "count", "findAndModify", "update", "delete", "distinct"}
_NOT_EXPLAINED = frozenset(
    "lsid txnNumber startTransaction autocommit writeConcern readConcern maxTimeMS bypass".split()
)


class Recorder(monitoring.CommandListener):
    """Keeps every command that searches."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in _EXPLAINED:
            return
        command = {
            key: value
            for key, value in event.command.items()
            if key not in _NOT_EXPLAINED and not key.startswith("$")
        }
        if command[event.command_name] in GROWING:
            self.commands.append(command)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


async def test_every_query_uses_an_index(mongo_url: str) -> None:
    """Everything the service does is recorded and explained."""
    recorder = Recorder()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        mongo_url, tz_aware=True, event_listeners=[recorder], w="majority"
    )
    database = client[f"test_{random_id(12)}"]
    try:
        async with house(database) as home:
            await _use_everything(home)
            commands, recorder.commands = recorder.commands, []
            assert len(commands) > 100
            seen: set[str] = set()
            for command in _single(commands):
                plan = await database.command(
                    {"explain": command, "verbosity": "queryPlanner"},
                )
                stages = set(_stages(plan))
                seen |= stages
                assert "COLLSCAN" not in stages, command
            assert "IXSCAN" in seen
    finally:
        await client.drop_database(database.name)
        await client.close()


def _single(commands: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Commands that `explain` takes: one update or deletion each."""
    for command in commands:
        for many in ("updates", "deletes"):
            if many in command:
                for one in command[many]:
                    yield {**command, many: [one]}
                break
        else:
            yield command


def _stages(plan: Any) -> Iterator[str]:
    if isinstance(plan, dict):
        for key, value in plan.items():
            if key == "stage":
                yield value
            if key != "rejectedPlans":
                yield from _stages(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from _stages(value)


async def _use_everything(home: House) -> None:
    messaging = home.messaging
    since = datetime.now(UTC) - timedelta(minutes=1)
    ada, bob, eve = await home.users("ada", "bob", "eve")
    home.authorization.granted[ada] = {"admin"}
    room_id = await home.room(ada, "bob")
    await home.room(ada, kind="p")
    three = await messaging.create_direct(ada, ["bob", "eve"])
    await messaging.create_direct(ada, ["bob"])
    await messaging.join_default_rooms(bob)
    await messaging.join_room(eve, room_id)
    first = await home.say(ada, room_id, "@bob @all #general", _id="one")
    await home.say(ada, room_id, "again", _id="one")
    reply = await home.say(bob, room_id, "reply", tmid=first["_id"])
    await home.say(bob, three["rid"], "hi")
    await home.settled()
    await messaging.update_message(ada, MessageEdit.model_validate({"_id": "one", "msg": "new"}))
    await messaging.toggle_reaction(ada, ":x:", first["_id"])
    await messaging.toggle_reaction(ada, ":x:", first["_id"])
    await messaging.delete_message(ada, reply["_id"])
    await home.setting("Message_KeepHistory", value=True)
    hidden = await home.say(ada, room_id, "hidden")
    await messaging.delete_message(ada, hidden["_id"])
    await messaging.get_message(ada, first["_id"])
    for threads in (True, False):
        await messaging.history(
            ada, room_id, latest=datetime.now(UTC), last_seen=since, show_thread_messages=threads
        )
    await messaging.next_messages(ada, room_id, since)
    await messaging.changed_messages(ada, room_id, since, 1)
    await messaging.surrounding_messages(ada, first["_id"])
    await messaging.thread_messages(ada, first["_id"], Paging())
    await messaging.threads(ada, room_id, Paging())
    for change in ("updated", "deleted"):
        await messaging.changes_page(ada, room_id, change, 9, after=since)
        await messaging.changes_page(ada, room_id, change, 9, before=datetime.now(UTC))
        await messaging.changes_page(ada, room_id, change, 9, after=since, threads_only=True)
        await messaging.changes_page(ada, room_id, change, 9, after=since, thread_id=first["_id"])
    await _use_marks(home, ada, room_id, first["_id"])
    await messaging.read_room(bob, room_id, read_threads=True)
    await messaging.read_thread(bob, first["_id"])
    await messaging.set_room_open(bob, room_id, is_open=False)
    await messaging.set_room_open(bob, room_id, is_open=True)
    await messaging.set_favorite(bob, room_id, favorite=True)
    for moment in (None, since):
        await messaging.rooms_of(bob, moment)
        await messaging.subscriptions_of(bob, moment)
    await messaging.subscription_of(bob, room_id)
    await messaging.memberships_of(bob)
    await messaging.room_id_of(ada, "bob")
    await messaging.get_room(ada, name="general")
    for kind in ("c", "p"):
        for wanted in ({}, {"joined_only": True}, {"name": "x"}, {"name_part": "x"}):
            await messaging.list_rooms(bob, kind, Paging(), **wanted)
    await messaging.members(ada, room_id, Paging())
    await messaging.members(ada, room_id, Paging(sort={"name": 1}))
    await messaging.members(ada, room_id, Paging(), name_filter="a", online_only=True)
    await messaging.room_roles(ada, room_id)
    await messaging.find_users_and_rooms(bob, "a")
    await messaging.save_room_settings(ada, room_id, {"roomName": "fresh", "readOnly": True})
    await messaging.add_users(ada, room_id, ["bob"])
    await messaging.remove_user(ada, room_id, "bob")
    await messaging.leave_room(eve, room_id)
    await messaging.erase_room(ada, room_id)
    await messaging.statistics()
    await home.service._desk.effects.repair()
    store = home.service._desk.store
    await store.counters.between(room_id, 0, 9)
    await store.memberships.watching(room_id)
    await store.memberships.to_notify(room_id, None, 10)
    await store.rooms.facts([room_id])


async def _use_marks(home: House, ada: UserId, room_id: RoomId, message_id: str) -> None:
    messaging, message = home.messaging, MessageId(message_id)
    await home.setting("Message_Read_Receipt_Enabled", value=True)
    await messaging.star_message(ada, message, starred=True)
    await messaging.star_message(ada, message, starred=False)
    await messaging.pin_message(ada, message)
    await messaging.pin_message(ada, message)
    await messaging.unpin_message(ada, message)
    await messaging.follow_message(ada, message, following=True)
    await messaging.follow_message(ada, message, following=False)
    await messaging.mark_unread(ada, room_id=room_id)
    await messaging.starred_messages(ada, room_id, Paging())
    await messaging.pinned_messages(ada, room_id, Paging())
    await messaging.mentioning_messages(ada, room_id, Paging())
    await messaging.mentioning_messages(ada, room_id, Paging(), oldest_first=True)
    await messaging.deleted_messages(ada, room_id, CREATED, Paging())
    await messaging.discussion_messages(ada, room_id, Paging(), "x")
    await messaging.threads(ada, room_id, Paging(), kind="following", text="x")
    await messaging.threads(ada, room_id, Paging(), kind="unread")
    for text in ("new", '"new"', "/e/", "!"):
        await messaging.search_messages(ada, room_id, text, Paging())
    await messaging.report_message(ada, message, "spam")
    await messaging.read_receipts(ada, message)
    await messaging.reports_by_user(ada, Paging(), CREATED, datetime.now(UTC), "a")
    await messaging.reported_messages(ada, ada, Paging())
    await messaging.reports_of_message(ada, message, Paging())
    await messaging.dismiss_reports(ada, message_id=message)
    await messaging.dismiss_reports(ada, author_id=ada)
