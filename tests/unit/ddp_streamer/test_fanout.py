"""Who gets an event, in which order, and who does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest
from prometheus_client import CollectorRegistry

from hubbub.contracts.event_log import (
    APPS,
    EVERYONE,
    LOGGED,
    PRESENCE,
    AccountChanged,
    Audience,
    ControlEvent,
    EventsMissing,
    Header,
    Kind,
    MembershipBegan,
    MembershipEnded,
    encode_control,
    room_audience,
    user_audience,
)
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.rooms import Membership
from hubbub.ddp.stream import stream_frame
from hubbub.errors import Unavailable
from hubbub.ids import RoomId
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout import MY_MESSAGES, Fanout, Person
from services.ddp_streamer.fanout.queue import WorkQueue
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.shedding import Level
from services.ddp_streamer.tasks import Tasks
from tests.unit.ddp_streamer.stage import FakeListening, FakeRoutes, message_event
from tests.waiting import eventually


class FakeMessaging:
    def __init__(self) -> None:
        self.rooms: dict[str, list[str]] = {}
        self.gate: asyncio.Event | None = None
        self.away = False

    async def memberships_of(self, user_id: str) -> list[Membership]:
        if self.away:
            raise Unavailable("away")
        found = [
            Membership(room_id=RoomId(room_id), room_type="p")
            for room_id in self.rooms.get(user_id, [])
        ]
        if self.gate is not None:
            await self.gate.wait()
        return found


class FakeRights:
    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], bool] = {}
        self.known: dict[tuple[str, str], bool] = {}
        self.permissions: dict[str, set[str]] = {}
        self.gate: asyncio.Event | None = None
        self.told: list[tuple[Any, ...]] = []

    def known_access(self, user_id: str, room_id: str) -> bool | None:
        return self.known.get((user_id, room_id))

    async def learn_access(self, user_id: str, room_id: str) -> bool:
        if self.gate is not None:
            await self.gate.wait()
        self.known[(user_id, room_id)] = self.answers.get((user_id, room_id), False)
        return self.known[(user_id, room_id)]

    async def learn_permissions(self, user_id: str, permissions: str) -> bool:
        if self.gate is not None:
            await self.gate.wait()
        return bool(self.permissions.get(user_id, set()) & set(permissions.split()))

    def membership_changed(self, user_id: str, room_id: str) -> None:
        self.told.append(("membership", user_id, room_id))

    def room_changed(self, room_id: str) -> None:
        self.told.append(("room", room_id))

    def account_changed(self, user_id: str) -> None:
        self.told.append(("account", user_id))

    def rights_changed(self, what: str) -> None:
        self.told.append(("rights", what))


class FakeConsequences:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def account_changed(self, user_id: str, *, rights: bool) -> None:
        self.told.append(("account", user_id, rights))

    def judge_person(self, user_id: str) -> None:
        self.told.append(("judge", user_id))

    def room_access_changed(self, room_id: str, sequence: int) -> None:
        self.told.append(("room", room_id, sequence))

    def rights_changed(self, what: str) -> None:
        self.told.append(("rights", what))

    def user_data_changed(self, user_id: str, payload: bytes) -> None:
        self.told.append(("data", user_id))


@dataclass
class Hall:
    fanout: Fanout
    routes: FakeRoutes = field(default_factory=FakeRoutes)
    messaging: FakeMessaging = field(default_factory=FakeMessaging)
    rights: FakeRights = field(default_factory=FakeRights)
    consequences: FakeConsequences = field(default_factory=FakeConsequences)
    sequence: int = 0

    def listen(self, name: str, *topics: tuple[str, str], user: str = "u") -> FakeListening:
        session = FakeListening(name, user)
        self.fanout.people.enter(user, session)
        for topic in topics:
            self.fanout.topics.add(topic, session)
        return session

    def event(self, event: Event, *, wildcard: bool = False) -> None:
        self.fanout.on_event(event, wildcard=wildcard)

    def say(self, room_id: str, text: str, *, wildcard: bool = False, kind: str = "p") -> None:
        self.sequence += 1
        event = message_event(room_id, text, self.sequence, room_type=kind)
        self.routes.log.append(event)
        self.event(event, wildcard=wildcard)

    def control(self, audience: Audience, event: ControlEvent) -> int:
        self.sequence += 1
        payload = encode_control(event)
        one = Event(audience, self.sequence, 0, 1, "x", Kind.CONTROL, "", "", {}, payload)
        self.routes.log.append(one)
        self.event(one)
        return self.sequence

    def began(self, user: str, room_id: str) -> int:
        event = MembershipBegan(user_id=user, room_id=room_id, room_type="p")
        return self.control(user_audience(user), event)

    def ended(self, user: str, room_id: str) -> int:
        event = MembershipEnded(user_id=user, room_id=room_id)
        return self.control(room_audience(room_id), event)

    async def follow(self, session: FakeListening) -> Person:
        """The session follows the messages of all rooms."""
        person = self.fanout.people.get(session.user_id or "")
        assert person is not None
        await self.fanout.memberships.want(person)
        person.my_messages[session.recipient] = session
        self.fanout.public_rooms.add(person)
        return person


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    async with Tasks() as tasks:
        messaging, rights = FakeMessaging(), FakeRights()
        fanout = Fanout(
            cast("Messaging", messaging),
            rights,
            StreamerMetrics(CollectorRegistry()),
            tasks=tasks,
            coalesce_seconds=0.05,
            legacy_user_status=True,
            queue=WorkQueue(slice_seconds=60.0),  # what is said is heard at once, on any machine
        )
        made = Hall(fanout, messaging=messaging, rights=rights)
        fanout.connect(made.routes, made.consequences)
        tasks.spawn(fanout.run(), "fanout")
        yield made
        await fanout.memberships.close()


TOPIC = ("room-messages", "R1")


async def test_everybody_who_listens_gets_the_same_bytes_once(hall: Hall) -> None:
    first, second = hall.listen("c1", TOPIC), hall.listen("c2", TOPIC, TOPIC)
    other = hall.listen("c3", ("room-messages", "R2"))
    hall.say("R1", "hello")
    assert first.texts == second.texts == ["hello"]
    assert other.texts == []


async def test_the_origin_of_an_ephemeral_event_gets_no_copy(hall: Hall) -> None:
    topic = ("notify-room", "R1/typing")
    writer, reader = hall.listen("c1", topic), hall.listen("c2", topic)
    frame = stream_frame("notify-room", "R1/typing", b'["bob",true]')
    headers = {Header.ORIGIN: "c1"}
    hall.fanout.on_ephemeral(
        Event(
            room_audience("R1"), 0, 0, 0, "", Kind.FRAME, "notify-room", "R1/typing", headers, frame
        )
    )
    assert writer.socket.sent == []
    assert len(reader.socket.sent) == 1


@pytest.mark.parametrize(
    ("audience", "stream", "key"),
    [
        (room_audience("R1"), "room-messages", "R1"),
        (room_audience("R1"), "notify-room", "R2/typing"),
        (room_audience("R1"), "notify-room", "R1/deleteMessage"),
        (user_audience("u"), "notify-user", "u/subscriptions-changed"),
        (user_audience("u"), "notify-user", "v/message"),
        (EVERYONE, "notify-all", "x"),
        (EVERYONE, "apps", "app/added"),
        (APPS, "notify-logged", "x"),
        (LOGGED, "notify-logged", "x"),
    ],
)
async def test_what_is_not_for_the_ephemeral_way_is_refused(
    hall: Hall, audience: Audience, stream: str, key: str
) -> None:
    listener = hall.listen("c1", (stream, key))
    frame = stream_frame(stream, key, b"[1]")
    hall.fanout.on_ephemeral(Event(audience, 0, 0, 0, "", Kind.FRAME, stream, key, {}, frame))
    assert listener.socket.sent == []


def app_event(key: str, *args: Any) -> Event:
    frame = stream_frame("apps", key, orjson.dumps(args))
    return Event(APPS, 0, 0, 0, "", Kind.FRAME, "apps", key, {}, frame)


async def test_what_becomes_of_apps_goes_to_who_listens(hall: Hall) -> None:
    listening = hall.listen("c1", ("apps", "app/added"))
    other = hall.listen("c2", ("apps", "app/removed"))
    hall.fanout.on_ephemeral(app_event("app/added", "poll"))
    assert [frame["fields"]["args"] for frame in listening.socket.sent] == [["poll"]]
    assert other.socket.sent == []


async def test_thousands_of_sockets_do_not_hold_the_loop_and_keep_the_order(hall: Hall) -> None:
    hall.fanout._queue._slice = -1.0  # every point where others may run is used
    sessions = [hall.listen(f"c{number}", TOPIC) for number in range(3000)]
    for number in range(5):
        hall.say("R1", f"m{number}")
    assert sessions[-1].texts == []
    await eventually(lambda: len(sessions[-1].texts) == 5)
    assert all(session.texts == [f"m{n}" for n in range(5)] for session in sessions)


async def test_who_leaves_during_a_long_delivery_gets_nothing_more(hall: Hall) -> None:
    hall.fanout._queue._slice = -1.0  # every point where others may run is used
    sessions = [hall.listen(f"c{number}", TOPIC) for number in range(3000)]
    hall.say("R1", "m0")
    assert sessions[-1].texts == []
    hall.fanout.topics.remove(TOPIC, sessions[-1])
    await eventually(lambda: len(sessions[-2].texts) == 1)
    assert sessions[-1].texts == []


async def test_an_end_takes_effect_in_its_place_among_the_events(hall: Hall) -> None:
    hall.fanout._queue._slice = -1.0  # every point where others may run is used
    bystanders = [hall.listen(f"c{n}", TOPIC, user="other") for n in range(2000)]
    session = hall.listen("c", TOPIC, user="u")
    hall.say("R1", "before")
    hall.ended("u", "R1")
    assert session.ended == []  # the delivery in front of it is not finished
    await eventually(lambda: session.ended == ["R1"])
    assert session.texts == ["before"]
    assert bystanders[0].ended == []


async def test_my_messages_say_what_is_true_for_the_receiver(hall: Hall) -> None:
    hall.messaging.rooms["u"] = ["R1"]
    session = hall.listen("c1", user="u")
    await hall.follow(session)
    hall.say("R1", "joined")
    hall.say("R2", "foreign")
    (frame,) = session.socket.sent
    assert frame["fields"]["eventName"] == MY_MESSAGES[1]
    assert frame["fields"]["args"] == [
        {"_id": "joined"},
        {"roomParticipant": True, "roomType": "p"},
    ]


async def test_public_rooms_wait_for_the_first_answer_in_order(hall: Hall) -> None:
    session = hall.listen("c1", user="u")
    await hall.follow(session)
    hall.rights.answers[("u", "C1")] = True
    hall.rights.gate = asyncio.Event()
    for number in range(3):
        hall.say("C1", f"m{number}", wildcard=True, kind="c")
    hall.say("D1", "not public", wildcard=True, kind="d")
    hall.say("C2", "no access", wildcard=True, kind="c")
    assert session.texts == []
    hall.rights.gate.set()
    await eventually(lambda: len(session.texts) == 3)
    hall.say("C1", "m3", wildcard=True, kind="c")
    assert session.texts == ["m0", "m1", "m2", "m3"]


async def test_a_member_gets_a_public_message_once(hall: Hall) -> None:
    hall.messaging.rooms["u"] = ["C1"]
    session = hall.listen("c1", user="u")
    await hall.follow(session)
    hall.rights.known[("u", "C1")] = True
    hall.say("C1", "once", kind="c")
    hall.event(message_event("C1", "once", 1, room_type="c"), wildcard=True)
    assert session.texts == ["once"]


async def test_a_new_member_gets_what_was_said_since(hall: Hall) -> None:
    session = hall.listen("c1", user="u")
    await hall.follow(session)
    hall.say("R1", "before")
    hall.began("u", "R1")
    hall.say("R1", "in the same moment")  # the membership is not followed yet
    await eventually(lambda: session.texts)
    hall.say("R1", "later")
    await eventually(lambda: len(session.texts) == 2)
    assert session.texts == ["in the same moment", "later"]
    assert hall.routes.held == {room_audience("R1"): 1}


async def test_a_member_who_leaves_hears_no_more_and_holds_nothing(hall: Hall) -> None:
    hall.messaging.rooms["u"] = ["R1"]
    session = hall.listen("c1", user="u")
    await hall.follow(session)
    hall.ended("u", "R1")
    hall.say("R1", "after")
    assert session.texts == []
    assert hall.routes.held == {}


async def test_who_joins_and_leaves_at_once_hears_only_what_lies_between(hall: Hall) -> None:
    session = hall.listen("c1", user="u")
    await hall.follow(session)
    hall.began("u", "R1")
    hall.say("R1", "between")
    hall.ended("u", "R1")
    hall.say("R1", "after")
    for _ in range(20):
        await asyncio.sleep(0)
    assert "after" not in session.texts
    assert hall.routes.held == {}


async def test_an_old_end_does_not_undo_a_newer_beginning(hall: Hall) -> None:
    session = hall.listen("c1", user="u")
    await hall.follow(session)
    hall.began("u", "R1")
    await eventually(lambda: hall.fanout.people.in_room("R1"))
    stale = Event(
        room_audience("R1"),
        hall.sequence - 1,
        0,
        1,
        "x",
        Kind.CONTROL,
        "",
        "",
        {},
        encode_control(MembershipEnded(user_id="u", room_id="R1")),
    )
    hall.event(stale)
    hall.say("R1", "still there")
    assert session.texts == ["still there"]


async def test_changes_while_memberships_are_read_are_not_missed(hall: Hall) -> None:
    hall.messaging.rooms["u"] = ["R1", "R2"]
    hall.messaging.gate = asyncio.Event()
    session = hall.listen("c1", user="u")
    following = asyncio.create_task(hall.follow(session))
    await asyncio.sleep(0.01)
    hall.control(user_audience("u"), MembershipEnded(user_id="u", room_id="R1"))
    hall.began("u", "R3")
    hall.messaging.gate.set()
    await following
    await eventually(lambda: hall.fanout.people.in_room("R3"))
    for room_id in ("R1", "R2", "R3"):
        hall.say(room_id, room_id)
    assert session.texts == ["R2", "R3"]


async def test_memberships_are_given_back_with_the_last_wish(hall: Hall) -> None:
    hall.messaging.rooms["u"] = ["R1", "R2"]
    session = hall.listen("c1", user="u")
    person = await hall.follow(session)
    await hall.fanout.memberships.want(person)
    hall.fanout.memberships.unwant(person)
    assert len(hall.routes.held) == 2
    hall.fanout.memberships.unwant(person)
    assert hall.routes.held == {}
    assert person.places is None


async def test_memberships_that_cannot_be_read_hold_nothing(hall: Hall) -> None:
    hall.messaging.away = True
    session = hall.listen("c1", user="u")
    with pytest.raises(Unavailable):
        await hall.follow(session)
    person = hall.fanout.people.get("u")
    assert person is not None
    assert person.wants == 0
    assert hall.routes.held == {}


def changed(room_id: str, state: int) -> Event:
    args = orjson.dumps(["updated", {"_id": str(state)}])
    return Event(
        room_audience(room_id), 0, 0, 1, "", Kind.ARGS, "notify-user", "rooms-changed", {}, args
    )


async def test_rooms_changed_is_told_at_once_then_paced_with_the_last_state(hall: Hall) -> None:
    hall.messaging.rooms["u"] = ["R1"]
    session = hall.listen("c1", ("notify-user", "u/rooms-changed"), user="u")
    stranger = hall.listen("c2", ("notify-user", "v/rooms-changed"), user="v")
    person = hall.fanout.people.get("u")
    assert person is not None
    await hall.fanout.memberships.want(person)
    for state in range(10):
        hall.event(changed("R1", state))

    def states() -> list[str]:
        return [frame["fields"]["args"][1]["_id"] for frame in session.socket.sent]

    assert states() == ["0"]
    await eventually(lambda: states() == ["0", "9"])
    assert session.socket.sent[0]["fields"]["eventName"] == "u/rooms-changed"
    assert stranger.socket.sent == []
    hall.event(changed("R1", 10))
    hall.ended("u", "R1")
    await asyncio.sleep(0.15)
    assert states() == ["0", "9"]  # no member any more when its turn came


async def test_a_lost_audience_ends_those_who_may_have_missed_something(hall: Hall) -> None:
    hall.messaging.rooms["u"] = ["R1"]
    follower = hall.listen("c1", user="u")
    await hall.follow(follower)
    listener = hall.listen("c2", TOPIC, user="v")
    bystander = hall.listen("c3", ("room-messages", "R2"), user="w")
    hall.fanout.on_lost(room_audience("R1"))
    assert (follower.lost, listener.lost, bystander.lost) == (1, 1, 0)
    hall.fanout.on_lost(user_audience("w"))
    assert bystander.lost == 1
    assert ("account", "w", True) in hall.consequences.told


async def test_what_the_hub_could_not_publish_is_a_loss_for_those_who_listen(hall: Hall) -> None:
    """In its place: who came for what lies before it has had that."""
    hall.messaging.rooms["u"] = ["R1"]
    follower = hall.listen("c1", user="u")
    await hall.follow(follower)
    bystander = hall.listen("c2", ("room-messages", "R2"), user="w")
    hall.control(room_audience("R1"), EventsMissing(reason="too-large"))
    await eventually(lambda: follower.lost == 1)
    assert bystander.lost == 0


async def test_a_new_member_is_told_of_what_is_missing_in_what_it_is_given(hall: Hall) -> None:
    """It passed here before the membership was heard of: only the log tells of it."""
    member, bystander = hall.listen("c1", user="u"), hall.listen("c2", user="v")
    for session in (member, bystander):
        await hall.follow(session)
    payload = encode_control(EventsMissing(reason="too-large"))
    missing = Event(
        room_audience("R1"), hall.sequence + 2, 0, 1, "x", Kind.CONTROL, "", "", {}, payload
    )
    hall.routes.log.append(missing)
    hall.began("u", "R1")
    await eventually(lambda: member.lost)
    assert bystander.lost == 0


async def test_a_room_that_is_lost_while_a_member_is_on_the_way_is_a_loss(hall: Hall) -> None:
    member = hall.listen("c1", user="u")
    person = await hall.follow(member)
    hall.began("u", "R1")
    assert person not in hall.fanout.people.in_room("R1")
    hall.fanout.on_lost(room_audience("R1"))
    assert member.lost == 1
    await eventually(lambda: person in hall.fanout.people.in_room("R1"))
    assert hall.fanout.people.expected("R1") == {}
    hall.began("u", "R2")
    hall.ended("u", "R2")
    hall.fanout.on_lost(room_audience("R2"))
    assert member.lost == 1


async def test_a_member_who_cannot_be_let_in_is_told(hall: Hall) -> None:
    member = hall.listen("c1", user="u")
    await hall.follow(member)
    hall.routes.read = broken_read  # type: ignore[assignment,method-assign]
    hall.began("u", "R1")
    hall.say("R1", "never heard")
    await eventually(lambda: member.lost)
    assert member.texts == []


async def broken_read(*_: object) -> list[Event]:
    raise ValueError("a defect")


@pytest.mark.parametrize(("kind", "lost"), [("c", 1), ("p", 0)])
async def test_what_is_missing_of_a_public_room_concerns_its_readers(
    hall: Hall, kind: str, lost: int
) -> None:
    """They are no members, so that they hear of it by the wildcard alone."""
    hall.messaging.rooms["u"] = []
    reader = hall.listen("c1", user="u")
    await hall.follow(reader)
    payload = encode_control(EventsMissing(reason="too-large"))
    headers = {"Hub-Room-Type": kind}
    audience, delivered = room_audience("R1"), asyncio.Event()
    event = Event(audience, 7, 0, 1, "x", Kind.CONTROL, "", "", headers, payload)
    hall.event(event, wildcard=True)
    hall.fanout.when_delivered(delivered.set)
    async with asyncio.timeout(10):
        await delivered.wait()
    assert reader.lost == lost


async def test_work_over_the_bound_makes_the_queue_full_until_half_is_done() -> None:
    queue = WorkQueue(slice_seconds=0.0, max_waiting=10)
    done: list[int] = []

    def work(number: int) -> Any:
        yield
        done.append(number)

    for number in range(11):
        queue.add(work(number))
    assert queue.full
    await queue.wait_for_room()
    assert 0 < len(done) < 11
    await eventually(lambda: done == list(range(11)))
    assert queue.idle


async def test_a_broken_piece_of_work_does_not_stop_the_next() -> None:
    queue = WorkQueue()
    done: list[str] = []

    def broken() -> Any:
        yield from ()
        raise RuntimeError("broken")

    queue.add(broken())
    queue.call(lambda: done.append("next"))
    assert done == ["next"]


PRIVATE = ("notify-logged", "private-settings-changed")


def setting(setting_id: str) -> Event:
    args = orjson.dumps(["updated", {"_id": setting_id, "value": 1}])
    payload = stream_frame(*PRIVATE, args)
    return Event(LOGGED, 1, 0, 1, "", Kind.FRAME, *PRIVATE, {}, payload)


async def test_settings_go_to_those_who_may_see_them(hall: Hall) -> None:
    sees_all, sees_one, sees_none = (hall.listen(user, PRIVATE, user=user) for user in "abc")
    hall.rights.permissions = {
        "a": {"view-privileged-setting"},
        "b": {"manage-selected-settings", "change-setting-X"},
    }
    for setting_id in ("Y", "X", "Z"):
        hall.event(setting(setting_id))
    await eventually(lambda: len(sees_all.socket.sent) == 3)

    def ids(session: FakeListening) -> list[str]:
        return [frame["fields"]["args"][1]["_id"] for frame in session.socket.sent]

    assert ids(sees_all) == ["Y", "X", "Z"]
    assert ids(sees_one) == ["X"]
    assert ids(sees_none) == []


async def test_settings_of_apps_go_to_who_manages_apps(hall: Hall) -> None:
    topic = ("apps", "app/settingUpdated")
    manages, views = (hall.listen(user, topic, user=user) for user in "ab")
    hall.rights.permissions = {"a": {"manage-apps"}, "b": {"view-privileged-setting"}}
    hall.fanout.on_ephemeral(app_event(topic[1], {"appId": "poll", "setting": {"id": "word"}}))
    hall.event(setting("X"))
    await eventually(lambda: manages.socket.sent)
    assert manages.socket.sent[0]["fields"]["args"][0]["appId"] == "poll"
    assert views.socket.sent == []


async def test_who_stops_listening_to_settings_gets_none_that_waited(hall: Hall) -> None:
    session = hall.listen("c1", PRIVATE, user="a")
    other = hall.listen("c2", PRIVATE, user="b")
    hall.rights.permissions = {"a": {"edit-privileged-setting"}, "b": {"edit-privileged-setting"}}
    hall.rights.gate = asyncio.Event()
    hall.event(setting("X"))
    await asyncio.sleep(0)
    hall.fanout.topics.remove(PRIVATE, session)
    hall.rights.gate.set()
    await eventually(lambda: other.socket.sent)
    assert session.socket.sent == []


def presence(user_id: str, code: int) -> Event:
    fields = {"uid": user_id, "args": [[f"name-{user_id}", code, "text"]], "eventName": user_id}
    payload = {"msg": "changed", "collection": "stream-user-presence", "id": user_id}
    return Event(
        *(PRESENCE, 0, 0, 0, "", Kind.FRAME, "user-presence", ""),
        {Header.UID: user_id},
        orjson.dumps({**payload, "fields": fields}),
    )


async def test_the_old_stream_of_statuses(hall: Hall) -> None:
    session = hall.listen("c1", ("notify-logged", "user-status"))
    hall.fanout.on_ephemeral(presence("v", 2))
    (frame,) = session.socket.sent
    assert frame["collection"] == "stream-notify-logged"
    assert frame["fields"] == {
        "eventName": "user-status",
        "args": [["v", "name-v", 2, "text"]],
    }


def statuses(session: FakeListening) -> list[tuple[str, int]]:
    return [(frame["id"], frame["fields"]["args"][0][1]) for frame in session.socket.sent]


def typing(room_id: str) -> Event:
    key = f"{room_id}/typing"
    payload = stream_frame("notify-room", key, b'["ana",true]')
    return Event(room_audience(room_id), 0, 0, 0, "", Kind.FRAME, "notify-room", key, {}, payload)


async def test_presence_is_late_and_typing_lost_while_the_loop_is_too_slow(hall: Hall) -> None:
    """What is told in the end is what is true then; messages are never given up."""
    session = hall.listen("c1", ("notify-room", "R1/typing"), user="u")
    hall.fanout.topics.add(("room-messages", "R1"), session)
    hall.fanout.presence.watch(session.recipient, ["v", "w", "x"])
    hall.fanout.shed(Level.PRESENCE)
    for user, code in (("v", 1), ("w", 1), ("v", 2)):
        hall.fanout.on_ephemeral(presence(user, code))
    hall.fanout.on_ephemeral(typing("R1"))
    assert [frame["collection"] for frame in session.socket.sent] == ["stream-notify-room"]
    hall.fanout.shed(Level.TYPING)
    hall.fanout.on_ephemeral(typing("R1"))
    hall.say("R1", "hello")
    assert [frame["collection"] for frame in session.socket.sent] == [
        "stream-notify-room",
        "stream-room-messages",
    ]

    session.socket.sent.clear()
    hall.fanout.shed(Level.PRESENCE)
    hall.fanout.on_ephemeral(presence("x", 3))
    hall.fanout.on_ephemeral(typing("R1"))
    hall.fanout.shed(Level.NOTHING)
    hall.fanout.on_ephemeral(presence("w", 0))
    assert [frame["collection"] for frame in session.socket.sent[:1]] == ["stream-notify-room"]
    del session.socket.sent[:1]
    assert statuses(session) == [("w", 1), ("v", 2), ("x", 3), ("w", 0)]
    hall.fanout.shed(Level.NOTHING)
    assert len(session.socket.sent) == 4


async def test_what_was_put_off_lets_messages_pass_and_tells_nobody_what_is_over(
    hall: Hall,
) -> None:
    """Each status is a piece of work of its own, and what is newer of the same user wins."""
    users = [f"v{number}" for number in range(2_000)]
    session = hall.listen("c1", ("room-messages", "R1"), user="u")
    hall.fanout.presence.watch(session.recipient, users)
    hall.fanout.shed(Level.PRESENCE)
    for user in users:
        hall.fanout.on_ephemeral(presence(user, 1))

    def arrive() -> None:
        """While the first of them are told."""
        hall.fanout.shed(Level.NOTHING)
        hall.say("R1", "hello")
        hall.fanout.on_ephemeral(presence(users[-1], 2))
        hall.fanout.shed(Level.NOTHING)

    hall.fanout.when_delivered(arrive)
    await eventually(lambda: len(session.socket.sent) >= len(users) + 1)

    kinds = [frame["collection"] for frame in session.socket.sent]
    assert kinds.index("stream-room-messages") < 5
    session.socket.sent = [one for one in session.socket.sent if "uid" in one["fields"]]
    told = statuses(session)
    assert told.index((users[-1], 2)) < 5
    assert sorted(told) == sorted([(user, 1) for user in users[:-1]] + [(users[-1], 2)])


async def test_a_status_that_cannot_be_told_does_not_keep_back_the_others(hall: Hall) -> None:
    session = hall.listen("c1", user="u")
    hall.fanout.presence.watch(session.recipient, ["v", "w"])
    hall.fanout.shed(Level.PRESENCE)
    for user in ("v", "w"):
        hall.fanout.on_ephemeral(presence(user, 1))
    told = session.socket.send_shared
    session.socket.send_shared = broken  # type: ignore[assignment,method-assign]
    hall.fanout.when_delivered(lambda: hall.fanout.shed(Level.NOTHING))
    assert session.socket.sent == []
    session.socket.send_shared = told  # type: ignore[method-assign]
    hall.fanout.shed(Level.PRESENCE)
    hall.fanout.on_ephemeral(presence("x", 1))
    hall.fanout.on_ephemeral(presence("w", 0))
    hall.fanout.shed(Level.NOTHING)
    assert statuses(session) == [("w", 0)]


def broken(_: SharedFrame) -> bool:
    raise ValueError("a defect")


async def test_roles_are_judged_and_tokens_only_checked(hall: Hall) -> None:
    hall.control(user_audience("u"), AccountChanged(user_id="u", rights=False))
    assert hall.consequences.told == [("account", "u", False)]
    assert hall.rights.told == []
    hall.control(user_audience("u"), AccountChanged(user_id="u"))
    assert hall.consequences.told[1:] == [("account", "u", True)]
    assert hall.rights.told == [("account", "u")]


async def test_the_end_of_a_membership_is_a_reason_to_judge_what_depends_on_it(hall: Hall) -> None:
    hall.listen("c1", user="u")
    ended = MembershipEnded(user_id="u", room_id="R1")
    hall.control(user_audience("u"), ended)
    assert hall.consequences.told == [("judge", "u")]
    assert ("account", "u") in hall.rights.told
