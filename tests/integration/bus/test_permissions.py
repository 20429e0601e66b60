"""What a real NATS server lets each user do, and what happens when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from nats.errors import NoRespondersError
from structlog.testing import capture_logs

from hubbub.bus import BusSettings, NatsBus
from hubbub.bus.broker import make_keys
from hubbub.bus.connection import Connection
from hubbub.bus.keys import key_file
from hubbub.bus.permissions import CLI, COMPONENTS, Rights, all_rights, app_rights
from hubbub.contracts.documents import Document
from hubbub.contracts.events import Audited
from hubbub.contracts.push import Device, Push
from hubbub.errors import Unavailable
from hubbub.ids import UserId
from hubbub.local import servers
from tests.waiting import eventually

pytestmark = pytest.mark.integration

APP = "app"
EVERYBODY = {**all_rights(), APP: app_rights("polls")}


class Forbidden(NamedTuple):
    """What a user may not do."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


TO_ALL = Forbidden(
    publish=(
        "hubbub.v1.live.room.GENERAL",
        "hubbub.v1.live.user.x",
        "hubbub.v1.event-log.room.GENERAL",
        "_INBOX.messaging.x",
        "$SYS.REQ.SERVER.PING",
        "anything",
    ),
    subscribe=(),
)
TO_SERVICES = Forbidden(
    publish=(
        "$JS.API.STREAM.PURGE.HUBBUB_EVENTS",
        "$JS.API.STREAM.DELETE.HUBBUB_DOMAIN",
        "$JS.API.STREAM.MSG.DELETE.HUBBUB_EVENTS",
        "$JS.API.CONSUMER.DELETE.HUBBUB_DOMAIN.account=audit=happened",
    ),
    subscribe=(
        ">",
        "hubbub.>",
        "hubbub.v1.append.>",
        "hubbub.v1.rpc.>",
        "hubbub.v1.rpc.account.login",  # asked beside the group, it would hear the passwords
        "hubbub.v1.rpc.messaging.*",
        "_INBOX.>",
        "_INBOX.cli.>",
        "$JS.>",
    ),
)
_LOG = (
    "hubbub.v1.append.1.room.GENERAL",
    "hubbub.v1.live.control",
    "$JS.API.STREAM.UPDATE.HUBBUB_EVENTS",
)
_DATABASE = ("hubbub.v1.event.user.changed", "hubbub.v1.event.membership.changed")
FORBIDDEN = {
    "account": Forbidden(
        (*_LOG, *_DATABASE, "hubbub.v1.ephemeral.room.x", "hubbub.v1.rpc.push.forget"),
        ("hubbub.v1.live.>", "hubbub.v1.event.user.changed", "_INBOX.gateway.>"),
    ),
    "authorization": Forbidden(
        (*_LOG, *_DATABASE, "hubbub.v1.rpc.account.login", "$KV.hubbub_sessions.x"),
        ("hubbub.v1.live.>", "_INBOX.account.>"),
    ),
    "ddp-streamer": Forbidden(
        (
            *_LOG,
            *_DATABASE,
            "hubbub.v1.event.audit.happened",
            "hubbub.v1.rpc-to.stream-hub-1.hub-recall.recall",
            "hubbub.v1.rpc-to.ddp-streamer-1.streamer-control.drain",
            "$JS.API.STREAM.DELETE.KV_hubbub_sessions",
            "hubbub.v1.dead-letter.account.audit.happened",
        ),
        ("hubbub.v1.event.audit.happened", "hubbub.v1.*.>", "$KV.>"),
    ),
    "gateway": Forbidden(
        (
            *_LOG,
            *_DATABASE,
            "hubbub.v1.ephemeral.user.x",
            "$KV.hubbub_sessions.x",
            "hubbub.v1.rpc-to.ddp-streamer-1.streamer-control.drain",
        ),
        ("hubbub.v1.live.>", "hubbub.v1.ephemeral.>", "_INBOX.ddp-streamer.>"),
    ),
    "messaging": Forbidden(
        (
            *_LOG,
            *_DATABASE,
            "hubbub.v1.ephemeral.room.x",
            "hubbub.v1.rpc.account.login",
            "$JS.ACK.HUBBUB_DOMAIN.account=audit=happened.1.1.1.1.0",
        ),
        ("hubbub.v1.live.>", "_INBOX.gateway.>"),
    ),
    "operator": Forbidden(
        (
            *_LOG,
            *_DATABASE,
            "hubbub.v1.rpc.account.login",
            "hubbub.v1.rpc.apps-engine.list_apps",  # it declares apps, and is no administrator
            "hubbub.v1.ephemeral.room.x",
        ),
        ("hubbub.v1.live.>", "hubbub.v1.event.user.changed"),
    ),
    "presence": Forbidden(
        (
            *_LOG,
            *_DATABASE,
            "hubbub.v1.ephemeral.room.x",
            "$KV.hubbub_presence_instances.ddp-streamer-1",
            "hubbub.v1.rpc.messaging.send",
        ),
        ("hubbub.v1.live.>", "$KV.hubbub_sessions.>"),
    ),
    "apps-engine": Forbidden(
        (
            *_LOG,
            *_DATABASE,
            "hubbub.v1.rpc.push.register_token",
            "hubbub.v1.ephemeral.room.x",
            "hubbub.v1.event.user.changed",
        ),
        ("hubbub.v1.live.>", "hubbub.v1.ephemeral.>"),
    ),
    "push": Forbidden(
        (*_LOG, *_DATABASE, "hubbub.v1.rpc.account.login", "$JS.API.STREAM.NAMES"),
        ("hubbub.v1.live.>", "hubbub.v1.ephemeral.>"),
    ),
    "stream-hub": Forbidden(
        (
            "hubbub.v1.rpc.account.login",
            "hubbub.v1.ephemeral.room.x",
            "hubbub.v1.event.audit.happened",
            "$KV.hubbub_sessions.x",
        ),
        ("hubbub.v1.rpc.hub-recall.*", "hubbub.v1.ephemeral.>"),
    ),
    CLI: Forbidden((*_LOG[:2], "hubbub.v1.ephemeral.room.x", "$KV.hubbub_sessions.x"), ()),
    APP: Forbidden(
        (
            *_LOG,
            *_DATABASE,
            "hubbub.v1.rpc.appbridge.other.read",
            "hubbub.v1.rpc.account.login",
            "hubbub.v1.ephemeral.room.x",
            "$SRV.PING",
            "$JS.API.INFO",
        ),
        ("hubbub.v1.apps.other.>", "hubbub.v1.apps.>", "hubbub.v1.live.>", "$SRV.PING"),
    ),
}


class Site:
    """A NATS server that knows everybody's key."""

    def __init__(self, url: str, keys: Path) -> None:
        self.url = url
        self.keys = keys

    @asynccontextmanager
    async def signed_in(self, user: str) -> AsyncIterator[tuple[Connection, list[str]]]:
        """A connection, and what the server complained about."""
        complaints: list[str] = []

        async def complained(error: Exception) -> None:
            complaints.append(str(error))

        client = Connection()
        client.key_file = key_file(self.keys, user)
        await client.connect(
            self.url, error_cb=complained, inbox_prefix=f"_INBOX.{user}", allow_reconnect=False
        )
        try:
            yield client, complaints
        finally:
            await client.close()

    def bus(self, service: str) -> NatsBus:
        settings = BusSettings(nats_url=self.url, nats_keys=self.keys, nats_reconnect_wait=0.05)
        return NatsBus(settings, service=service, instance=f"{service}-1")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    keys = tmp_path / "keys"
    configuration = make_keys(keys, rights=EVERYBODY)
    async with servers.nats(tmp_path / "nats", configuration=configuration) as server:
        yield Site(server.url, keys)


@pytest.mark.parametrize("user", EVERYBODY)
async def test_what_is_forbidden_is_refused(site: Site, user: str) -> None:
    """Each of it by a permissions violation that names it."""
    forbidden = _forbidden(user)
    async with site.signed_in(user) as (client, complaints):
        for subject in forbidden.publish:
            await client.publish(subject, b"{}")
        for subject in forbidden.subscribe:
            await client.subscribe(subject)
        await client.flush()
        await client.flush()

    refused = {
        f'permissions violation for {operation} to "{subject.lower()}"'
        for operation, subjects in (
            ("publish", forbidden.publish),
            ("subscription", forbidden.subscribe),
        )
        for subject in subjects
    }
    assert {one.removeprefix("nats: ").rstrip('"') + '"' for one in complaints} == refused


def _forbidden(user: str) -> Forbidden:
    own = FORBIDDEN[user]
    service = TO_SERVICES if user != CLI else Forbidden((), ())
    # A service may hear those who ask it, in its group.
    groups = {f"hubbub.v1.rpc.{user}.*"}
    return Forbidden(
        publish=(*TO_ALL.publish, *service.publish, *own.publish),
        subscribe=tuple(
            dict.fromkeys([*service.subscribe, *own.subscribe, *(groups if user != CLI else ())])
        ),
    )


@pytest.mark.parametrize("user", EVERYBODY)
async def test_what_is_allowed_is_done(site: Site, user: str) -> None:
    """Every line of the table, as narrow as it is used and as wide as it stands there."""
    rights: Rights = EVERYBODY[user]
    async with site.signed_in(user) as (client, complaints):
        for subject in rights.publish:
            await client.publish(subject.replace("*", "x").replace(">", "x.y"), b"{}")
        for subject in rights.subscribe:
            name, _, group = subject.partition(" ")
            await client.subscribe(name, queue=group)
            await client.subscribe(name.replace("*", "x").replace(">", "x.y"), queue=group)
        await client.flush()
        await client.flush()

    assert complaints == []


async def test_nobody_gets_in_without_a_key(site: Site, tmp_path: Path) -> None:
    """Neither without any, nor with one that the server does not know."""
    make_keys(tmp_path / "other")
    for file in (None, key_file(tmp_path / "other", "account")):
        client = Connection()
        client.key_file = file
        complaints: list[str] = []

        async def complained(error: Exception, heard: list[str] = complaints) -> None:
            heard.append(str(error))

        connecting = asyncio.create_task(client.connect(site.url, error_cb=complained))
        await eventually(partial(_is_refused, complaints), within=30)
        assert not client.is_connected
        connecting.cancel()
        await asyncio.wait([connecting])


def _is_refused(complaints: list[str]) -> bool:
    return any("Authorization Violation" in one for one in complaints)


async def test_an_answer_is_no_licence_to_write_to_inboxes(site: Site) -> None:
    """Whoever was asked may answer; who was not may not, and nobody answers for ever."""
    async with (
        site.signed_in(CLI) as (asking, _),
        site.signed_in("push") as (answering, complaints),
    ):
        questions: asyncio.Queue[str] = asyncio.Queue()
        answers: list[bytes] = []

        async def asked(message: object) -> None:
            questions.put_nowait(getattr(message, "reply", ""))

        async def answered(message: object) -> None:
            answers.append(getattr(message, "data", b""))

        await answering.subscribe("hubbub.v1.rpc.push.*", queue="push", cb=asked)
        await answering.flush()
        inbox = asking.new_inbox()
        await asking.subscribe(inbox, cb=answered)
        await answering.publish(inbox, b"unasked")
        await answering.flush()
        await asking.publish("hubbub.v1.rpc.push.forget", b"{}", reply=inbox)
        async with asyncio.timeout(10):
            reply = await questions.get()
        for text in (b"first", b"second"):
            await answering.publish(reply, text)
        await answering.flush()
        await answering.flush()
        await asking.flush()

        # What is refused was said behind what is not.
        await eventually(lambda: len(complaints) == 2 and bool(answers))
        assert answers == [b"first"]


async def test_services_call_each_other(site: Site) -> None:
    """Through keys, inboxes and groups; whom a service may not call it does not reach."""
    rights = site.bus("authorization")
    account = site.bus("account")
    push = site.bus("push")
    buses = [rights, account, push]
    try:
        for bus in buses:
            await bus.connect()
        await rights.publish(
            Audited.model_validate(
                {"at": "2026-01-01T00:00:00Z", "actor": None, "action": "role.given", "target": "x"}
            )
        )
        with pytest.raises(NoRespondersError):
            await account.client.request("hubbub.v1.rpc.authorization.roles_of", b"{}", timeout=10)
        with capture_logs() as logs:
            await push.client.publish("hubbub.v1.rpc.authorization.roles_of", b"{}")
            await push.client.subscribe("hubbub.v1.live.room.GENERAL")
            for _ in range(2):
                await push.client.publish("hubbub.v1.append.1.room.GENERAL", b"{}")
            await push.client.flush()
            await eventually(lambda: sum(push.metrics.violations.values()) == 4, within=30)
    finally:
        for bus in buses:
            await bus.close()

    assert push.metrics.violations == {"publish": 3, "subscribe": 1}
    assert rights.metrics.violations == account.metrics.violations == {"publish": 0, "subscribe": 0}
    told = [line for line in logs if line["event"] == "nats_forbidden"]
    assert [(line["log_level"], line["operation"], line["subject"]) for line in told] == [
        ("error", "publish", "hubbub.v1.rpc.authorization.roles_of"),
        ("error", "subscribe", "hubbub.v1.live.room.general"),
        ("error", "publish", "hubbub.v1.append.1.room.general"),
        ("error", "publish", "hubbub.v1.append.1.room.general"),
    ]


class SlowPush(Push):
    """Answers later than its callers are silent about."""

    def __init__(self) -> None:
        self.asked = 0

    async def tokens_of(self, user_id: UserId) -> list[Document]:
        self.asked += 1
        await asyncio.sleep(2.5)
        return [{"of": user_id}]

    async def register_token(
        self, user_id: UserId, device: Device, hashed_token: str | None = None
    ) -> Document:
        raise NotImplementedError

    async def remove_token(self, user_id: UserId, value: str) -> bool:
        raise NotImplementedError

    async def forget_user(self, user_id: UserId) -> None:
        raise NotImplementedError


async def test_a_request_that_is_sent_again_is_answered(site: Site) -> None:
    """To the only instance there is, by the same connection: the server allows both answers."""
    slow = SlowPush()
    asking, answering = site.bus("gateway"), site.bus("push")
    try:
        await asking.connect()
        await answering.connect()
        await answering.serve(slow)

        assert await asking.proxy(Push).tokens_of(UserId("u1")) == [{"of": "u1"}]
        assert slow.asked > 1
        await eventually(lambda: asking.metrics.nats.second() == slow.asked - 1, within=20)
        assert answering.metrics.violations == {"publish": 0, "subscribe": 0}
    finally:
        await asking.close()
        await answering.close()


class PatientPush(SlowPush):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    async def tokens_of(self, user_id: UserId) -> list[Document]:
        self.asked += 1
        await self.release.wait()
        return [{"of": user_id}]


async def test_who_leaves_a_server_answers_what_it_was_asked_there(site: Site) -> None:
    """Over the connection by which it was asked: the server allows no other. Whoever asks anew
    is answered over the new one."""
    patient = PatientPush()
    asking, answering = site.bus("gateway"), site.bus("push")
    answering._link._random = lambda: 0.0
    try:
        await asking.connect()
        await answering.connect()
        await answering.serve(patient)
        call = asyncio.create_task(asking.proxy(Push).tokens_of(UserId("u1")))
        await eventually(lambda: patient.asked == 1, within=20)
        await answering._link._on_lame_duck()
        await eventually(lambda: answering.metrics.reconnects == 1, within=20)
        assert len(answering._link._formers) == 1
        patient.release.set()

        assert await call == [{"of": "u1"}]
        assert await asking.proxy(Push).tokens_of(UserId("u2")) == [{"of": "u2"}]
        await eventually(lambda: not answering._link._formers, within=20)
        assert answering.metrics.violations == {"publish": 0, "subscribe": 0}
    finally:
        await asking.close()
        await answering.close()


async def test_who_ends_does_not_wait_for_what_it_left(site: Site) -> None:
    """A connection that was left ends with the bus."""
    patient = PatientPush()
    asking, answering = site.bus("gateway"), site.bus("push")
    answering._link._random = lambda: 0.0
    try:
        await asking.connect()
        await answering.connect()
        await answering.serve(patient)
        call = asyncio.create_task(asking.proxy(Push).tokens_of(UserId("u1")))
        await eventually(lambda: patient.asked == 1, within=20)
        await answering._link._on_lame_duck()
        await eventually(lambda: len(answering._link._formers) == 1, within=20)
    finally:
        await answering.close()
        await asking.close()

    assert not answering._link._formers
    with pytest.raises(Unavailable):
        await call


async def test_a_new_key_is_used_at_the_next_connect(tmp_path: Path) -> None:
    """A secret that is exchanged needs no restart of the services."""
    keys = tmp_path / "keys"
    configuration = make_keys(keys)
    async with servers.nats(tmp_path / "nats", configuration=configuration) as server:
        bus = Site(server.url, keys).bus("push")
        await bus.connect()
        try:
            old = key_file(keys, "push").read_bytes()
            key_file(keys, "push").unlink()
            make_keys(keys)
            assert key_file(keys, "push").read_bytes() != old
            server.process.kill()
            await server.process.wait()
            await eventually(lambda: not bus.connected, within=30)
            await server.start_again()
            await eventually(partial(getattr, bus, "connected"), within=30)
        finally:
            await bus.close()


def test_the_tables_name_everybody() -> None:
    """Nobody is left out of the tests."""
    assert set(FORBIDDEN) == set(EVERYBODY) == {*COMPONENTS, CLI, APP}
