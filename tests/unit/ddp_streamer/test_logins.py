"""Logins that wait, tokens that vanish, documents that change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest
from prometheus_client import CollectorRegistry

from hubbub.bus.caller import NobodyAnswers
from hubbub.clock import FakeClock
from hubbub.contracts.account import Account, LoginExpired, LoginResult, StoredToken
from hubbub.contracts.event_log import Audience, user_audience
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.presence import Presence
from hubbub.ddp.messages import Method
from hubbub.ddp.stream import stream_frame
from hubbub.errors import Internal, Timeout, Unauthenticated, Unavailable
from hubbub.ids import UserId
from services.ddp_streamer.fanout import Fanout, Rights
from services.ddp_streamer.identities import Holder, Identities, Identity
from services.ddp_streamer.login_pace import LoginPace
from services.ddp_streamer.logins import Logins
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.presence_link import PresenceLink
from services.ddp_streamer.session import Session, SessionLimits
from services.ddp_streamer.tasks import Tasks
from tests.unit.ddp_streamer.stage import FakeHandlers, FakeRoutes, FakeSocket
from tests.unit.ddp_streamer.test_fanout import FakeRights
from tests.waiting import eventually

BOB = user_audience("bob")
PACE_START = 100.0  # logins that begin at once


class FakeAccount:
    def __init__(self) -> None:
        self.tokens = {"good": "bob"}
        self.away = 0
        self.defects = 0
        self.away_to_verify = 0
        self.logins = 0
        self.resumes = 0
        self.knows_many = True
        self.verified: list[int] = []
        self.logout_gate: asyncio.Event | None = None
        self.document: dict[str, Any] = {"username": "bob", "name": "Bob"}

    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        self.logins += 1
        self._fail()
        token = parameters["resume"]
        if token not in self.tokens:
            raise LoginExpired("You've been logged out by the server. Please log in again.")
        return self._welcome(token)

    async def resume(self, tokens: list[str]) -> list[LoginResult | None]:
        if not self.knows_many:
            raise NobodyAnswers("account: nobody answers")
        self.logins += 1
        self.resumes += 1
        self._fail()
        return [self._welcome(token) if token in self.tokens else None for token in tokens]

    def _fail(self) -> None:
        if self.defects:
            self.defects -= 1
            raise Internal(error_id="e1")
        if self.away:
            self.away -= 1
            raise (Unavailable if self.away % 2 else Timeout)("away")

    def _welcome(self, token: str) -> LoginResult:
        return LoginResult(
            user_id=UserId(self.tokens[token]),
            token=token,
            hashed_token="#" + token,
            token_expires=datetime(2030, 1, 1, tzinfo=UTC),
            type="resume",
            user={**self.document, "roles": ["admin"]},
        )

    async def logout(self, user_id: str, hashed_token: str) -> None:
        self.tokens.pop(hashed_token[1:])
        if self.logout_gate is not None:
            await self.logout_gate.wait()

    async def verify_tokens(self, tokens: list[StoredToken]) -> list[bool]:
        self.verified.append(len(tokens))
        if not self.knows_many:
            raise NobodyAnswers("account: nobody answers")
        if self.away_to_verify:
            self.away_to_verify -= 1
            raise Unavailable("away")
        return [self.tokens.get(one.hashed_token[1:]) == one.user_id for one in tokens]

    async def verify_token(self, user_id: str, hashed_token: str) -> None:
        if self.away_to_verify:
            self.away_to_verify -= 1
            raise Unavailable("away")
        if self.tokens.get(hashed_token[1:]) != user_id:
            raise Unauthenticated("gone")

    async def logout_other_clients(self, user_id: str, hashed_token: str) -> LoginResult:
        self.tokens["new"] = user_id
        return LoginResult(
            user_id=UserId(user_id),
            token="new",
            hashed_token="#new",
            token_expires=datetime(2030, 1, 1, tzinfo=UTC),
            type="resume",
            user={},
        )

    async def me(self, user_id: str) -> dict[str, Any]:
        return self.document


class FakeIdentities:
    """The identities of earlier sessions, by their ids."""

    def __init__(self) -> None:
        self.kept: dict[str, Identity] = {}
        self.noted: list[tuple[str, str]] = []
        self.away = 0
        self.takes = 0
        self.gate: asyncio.Event | None = None

    def may_be(self, offered: str | None) -> bool:
        return offered is not None

    async def take(self, offered: str, session: Holder) -> Identity | None:
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        self.takes += 1
        return self.kept.pop(offered, None)

    def remember(self, session: Holder) -> None:
        self.noted.append(("remember", session.hashed_token))

    def forget(self, session: Holder) -> None:
        self.noted.append(("forget", session.public_id))

    def taken(self, session: Holder) -> None:
        self.noted.append(("taken", session.public_id))

    async def tell_taken(self, identity: Identity) -> None:
        self.noted.append(("told", identity.connection_id))


class Routes(FakeRoutes):
    meanwhile: Callable[[], object] | None = None
    """Happens between the answer of account and the moment when events are routed."""

    def changed_lately(self, audience: Audience) -> bool:
        if self.meanwhile is not None:
            self.meanwhile()
        return self.meanwhile is not None


@dataclass
class Desk:
    logins: Logins
    account: FakeAccount
    routes: Routes
    clock: FakeClock
    fanout: Fanout
    tasks: Tasks
    identities: FakeIdentities

    def session(self, name: str = "c1") -> tuple[Session, FakeSocket]:
        socket = FakeSocket(name)
        return Session(socket, FakeHandlers(), SessionLimits(), self.tasks), socket

    async def signed_in(self, token: str = "good", name: str = "c1") -> tuple[Session, FakeSocket]:
        session, socket = self.session(name)
        await self.logins.login(session, login(token))
        return session, socket


def login(token: str) -> Method:
    return Method("1", "login", [{"resume": token}])


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Tasks() as tasks:
        account, routes, clock = FakeAccount(), Routes(), FakeClock()
        metrics = StreamerMetrics(CollectorRegistry())
        rights = cast("Rights", FakeRights())
        fanout = Fanout(cast("Messaging", None), rights, metrics, tasks=tasks)
        identities = FakeIdentities()
        logins = Logins(
            cast("Account", account),
            fanout,
            routes,
            PresenceLink(cast("Presence", None), "i"),
            cast("Identities", identities),
            metrics,
            tasks=tasks,
            clock=clock,
            pace=LoginPace(start=PACE_START, clock=clock),
        )
        yield Desk(logins, account, routes, clock, fanout, tasks, identities)


async def test_a_login_tells_the_own_document_and_nothing_else(desk: Desk) -> None:
    session, socket = await desk.signed_in()
    assert socket.sent == [
        {
            "msg": "added",
            "collection": "users",
            "id": "bob",
            "fields": {"username": "bob", "name": "Bob"},
        }
    ]
    assert socket.authenticated
    assert session.user_id == "bob"
    assert desk.routes.held == {BOB: 1}


async def test_a_login_is_held_while_nobody_can_decide_it(desk: Desk) -> None:
    desk.account.away = 12
    session, _ = await desk.signed_in()
    assert session.user_id == "bob"
    pauses = desk.clock.pauses
    assert 0.1 <= pauses[0] <= 0.2
    assert all(pause <= 5 for pause in pauses)
    assert pauses[-1] > 2


async def test_a_defect_of_a_moment_refuses_nobody(desk: Desk) -> None:
    """One that stays is told."""
    desk.account.defects = 2
    session, _ = await desk.signed_in()
    assert session.user_id == "bob"
    assert desk.account.logins == 3

    desk.account.defects = 100
    with pytest.raises(Internal):
        await desk.signed_in(name="c2")
    assert desk.account.logins == 6


async def test_after_two_minutes_a_held_login_is_given_up_without_a_refusal(desk: Desk) -> None:
    desk.account.away = 10_000
    session, socket = desk.session()
    with pytest.raises(Unavailable) as caught:
        await desk.logins.login(session, login("good"))
    assert caught.value.code == 503
    assert caught.value.reason == "Login temporarily unavailable"
    assert 2 <= caught.value.details["retryAfter"] <= 8
    assert 100 < desk.clock.monotonic() <= 120
    assert not socket.closed  # only after the client has the answer


async def test_a_refused_login_is_refused_at_once(desk: Desk) -> None:
    session, _ = desk.session()
    with pytest.raises(LoginExpired):
        await desk.logins.login(session, login("stale"))
    assert desk.account.logins == 2  # with the others, and alone for the reason
    assert desk.routes.held == {}


async def test_another_user_on_the_same_socket_takes_its_place(desk: Desk) -> None:
    desk.account.tokens["other"] = "ann"
    session, socket = await desk.signed_in()
    await desk.logins.login(session, login("other"))
    assert session.user_id == "ann"
    shown = [(frame["msg"], frame["id"]) for frame in socket.sent]
    assert shown == [("added", "bob"), ("removed", "bob"), ("added", "ann")]
    assert desk.routes.held == {user_audience("ann"): 1}
    assert desk.fanout.people.get("bob") is None


async def test_only_sockets_of_a_token_that_is_gone_are_closed(desk: Desk) -> None:
    desk.account.tokens["kept"] = "bob"
    gone, gone_socket = await desk.signed_in("good", "c1")
    _, kept_socket = await desk.signed_in("kept", "c2")
    del desk.account.tokens["good"]
    desk.logins.account_changed("bob")
    await eventually(lambda: gone_socket.code == 1008)
    assert gone_socket.sent[-1]["fields"] == {
        "eventName": "bob/force_logout",
        "args": [gone.secret_id],
    }
    assert not kept_socket.closed


async def test_a_logout_is_not_taken_for_a_revocation(desk: Desk) -> None:
    session, socket = await desk.signed_in()
    desk.account.logout_gate = asyncio.Event()
    handlers = FakeHandlers()
    handlers.own = lambda session, method: desk.logins.logout(session, method)
    session._handlers = handlers
    session.on_message(Method("2", "logout", []))
    await eventually(lambda: "good" not in desk.account.tokens)
    desk.logins.account_changed("bob")  # the log is faster than the answer
    await asyncio.sleep(0.01)
    assert not socket.closed
    desk.account.logout_gate.set()
    await eventually(lambda: socket.sent[-1] == {"msg": "updated", "methods": ["2"]})
    assert not socket.closed
    assert session.user_id is None
    assert {"msg": "removed", "collection": "users", "id": "bob"} in socket.sent
    assert desk.routes.held == {}


async def test_a_token_that_was_revoked_during_the_login_is_noticed(desk: Desk) -> None:
    desk.routes.meanwhile = lambda: desk.account.tokens.pop("good", None)
    _, socket = await desk.signed_in()
    await eventually(lambda: socket.code == 1008)


def user_data(diff: dict[str, Any], unset: dict[str, int] | None = None) -> bytes:
    args = orjson.dumps([{"type": "updated", "id": "bob", "diff": diff, "unset": unset or {}}])
    return stream_frame("notify-user", "bob/userData", args)


async def test_changes_of_known_fields_reach_the_users_collection(desk: Desk) -> None:
    _, socket = await desk.signed_in()
    socket.sent.clear()
    desk.logins.user_data_changed("bob", user_data({"status": "away", "settings.name": "x"}))
    desk.logins.user_data_changed("bob", user_data({"name": "Bob"}))  # nothing new
    assert socket.sent == []
    desk.logins.user_data_changed("bob", user_data({"username": "rob"}, {"name": 1}))
    assert socket.sent == [
        {
            "msg": "changed",
            "collection": "users",
            "id": "bob",
            "fields": {"username": "rob"},
            "cleared": ["name"],
        }
    ]


async def test_a_part_of_a_field_is_read_whole(desk: Desk) -> None:
    _, socket = await desk.signed_in()
    emails = [{"address": "b@x.org", "verified": True}]
    desk.account.document["emails"] = emails
    desk.logins.user_data_changed("bob", user_data({"emails.0.verified": True}))
    await eventually(lambda: socket.sent[-1].get("fields") == {"emails": emails})


# --- identities that come back --------------------------------------------------------------------


def kept(token: str = "good", personal: bool = False) -> Identity:
    return Identity("bob", "#" + token, personal, "streamer-0", "c0")


async def test_a_session_comes_back_as_who_it_was(desk: Desk) -> None:
    desk.identities.kept["old"] = kept(personal=True)
    session, socket = desk.session()
    await desk.logins.resume(session, "old")
    assert session.user_id == "bob"
    assert (session.hashed_token, session.personal_token) == ("#good", True)
    assert [(frame["msg"], frame["id"]) for frame in socket.sent] == [("added", "bob")]
    assert socket.sent[0]["fields"] == {"username": "bob", "name": "Bob"}
    assert ("told", "c0") in desk.identities.noted
    assert socket.authenticated


@pytest.mark.parametrize("offered", ["unknown", "revoked"])
async def test_without_an_identity_the_socket_is_simply_anonymous(desk: Desk, offered: str) -> None:
    desk.identities.kept["revoked"] = kept("gone")
    session, socket = desk.session()
    await desk.logins.resume(session, offered)
    assert session.user_id is None
    assert socket.sent == []
    assert not socket.closed
    assert desk.routes.held == {}
    assert (("forget", "c1") in desk.identities.noted) is (offered == "revoked")


async def test_what_nobody_can_say_is_waited_for(desk: Desk) -> None:
    desk.identities.kept["old"] = kept()
    desk.identities.away = 8
    session, _ = desk.session()
    await desk.logins.resume(session, "old")
    assert session.user_id == "bob"
    assert len(desk.clock.pauses) == 8


async def test_nobody_waits_behind_those_whose_sessions_cannot_be_looked_up(desk: Desk) -> None:
    """Who somebody was is found out before the turn to log in."""
    desk.identities.gate = asyncio.Event()
    coming = [
        asyncio.create_task(desk.logins.resume(desk.session(f"r{n}")[0], f"old{n}"))
        for n in range(int(PACE_START) + 1)
    ]
    await asyncio.sleep(0)
    session, _ = await desk.signed_in()
    assert session.user_id == "bob"
    desk.identities.gate.set()
    await asyncio.gather(*coming)


async def test_an_identity_is_taken_once_however_often_its_login_is_tried(desk: Desk) -> None:
    desk.identities.kept["old"] = kept()
    desk.account.away_to_verify = 3
    session, _ = desk.session()
    await desk.logins.resume(session, "old")
    assert session.user_id == "bob"
    assert desk.identities.takes == 1


async def test_many_resume_in_few_calls(desk: Desk) -> None:
    """A token that is not good is told why, and takes nobody with it."""
    sessions = [desk.session(f"c{n}")[0] for n in range(20)]
    tokens = ["good"] * 19 + ["gone"]
    outcomes = await asyncio.gather(
        *(
            desk.logins.login(session, login(token))
            for session, token in zip(sessions, tokens, strict=True)
        ),
        return_exceptions=True,
    )
    assert [session.user_id for session in sessions] == ["bob"] * 19 + [None]
    assert isinstance(outcomes[-1], LoginExpired)
    assert desk.account.resumes == 1


async def test_tokens_of_many_are_looked_at_in_one_call(desk: Desk) -> None:
    """Only who has lost the own is sent away."""
    users = [f"u{n}" for n in range(20)]
    desk.account.tokens |= {f"t-{user_id}": user_id for user_id in users}
    sockets = {user_id: (await desk.signed_in(f"t-{user_id}", user_id))[1] for user_id in users}
    del desk.account.tokens["t-u7"]
    for user_id in users:
        desk.logins.account_changed(user_id)
    await eventually(lambda: sockets["u7"].code == 1008)
    assert desk.account.verified == [20]
    assert [user_id for user_id in users if sockets[user_id].closed] == ["u7"]


async def test_an_account_of_an_earlier_version_is_asked_one_by_one(desk: Desk) -> None:
    desk.account.knows_many = False
    session, socket = await desk.signed_in()
    assert session.user_id == "bob"
    del desk.account.tokens["good"]
    desk.logins.account_changed("bob")
    await eventually(lambda: socket.code == 1008)


async def test_who_cannot_be_known_for_two_minutes_comes_again_later(desk: Desk) -> None:
    desk.identities.away = 10_000
    session, socket = desk.session()
    await desk.logins.resume(session, "old")
    assert session.user_id is None
    assert socket.sent == []
    assert 100 < desk.clock.monotonic() <= 120


async def test_an_identity_follows_what_happens_to_the_login(desk: Desk) -> None:
    session, socket = await desk.signed_in()
    reply = await desk.logins.logout_other_clients(session, Method("2", "logoutOtherClients", []))
    assert reply.value == {"token": "new", "tokenExpires": datetime(2030, 1, 1, tzinfo=UTC)}
    assert session.hashed_token == "#new"
    await desk.logins.logout(session, Method("3", "logout", []))
    assert desk.identities.noted == [
        ("remember", "#good"),
        ("remember", "#new"),
        ("forget", "c1"),
    ]
    assert not socket.closed


async def test_a_closed_socket_keeps_its_identity_and_a_revoked_one_does_not(desk: Desk) -> None:
    session, _ = await desk.signed_in()
    desk.logins.leave(session, answer=False)
    assert desk.identities.noted == [("remember", "#good")]
    _, socket = await desk.signed_in(name="c2")
    del desk.account.tokens["good"]
    desk.logins.account_changed("bob")
    await eventually(lambda: socket.code == 1008)
    assert desk.identities.noted[-1] == ("forget", "c2")


async def test_the_socket_whose_client_came_back_elsewhere_is_closed(desk: Desk) -> None:
    _, old = await desk.signed_in(name="c1")
    _, other = await desk.signed_in(name="c2")
    desk.logins.taken("bob", "c1")
    desk.logins.taken("ann", "c2")
    assert old.code == 1008
    assert not other.closed
    assert ("taken", "c1") in desk.identities.noted
