"""The audit log: what this service does, and what others tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hubbub.bus import LocalBus, call_context
from hubbub.contracts.account import Account, Registration, UserChanges
from hubbub.contracts.events import Audited
from hubbub.errors import HubbubError, Unavailable
from hubbub.ids import UserId
from hubbub.mongo import Document
from services.account.service import AccountService
from tests.integration.account.conftest import Server
from tests.waiting import eventually

pytestmark = pytest.mark.integration

PASSWORD = "correct horse"
ROOT = UserId("root")


async def entries(server: Server, **wanted: object) -> list[Document]:
    found = server.database["hubbub_audit"].find(wanted).sort("ts", 1)
    return [entry async for entry in found]


async def test_fields(server: Server, account: Account) -> None:
    """Who, from where, what, to whom, how it ended, and the request it came from."""
    with call_context(request_id="r1", origin="203.0.113.7 Mozilla/5.0 (X11)"):
        ann = await account.register(
            Registration(username="ann", email="a@x.org", password=PASSWORD), "203.0.113.7"
        )
        await account.update_user(ROOT, ann, UserChanges(roles=["admin"]))
    (entry,) = await entries(server, action="user.roles-changed")
    assert entry == {
        "_id": entry["_id"],
        "ts": datetime.fromtimestamp(int(server.clock.time() * 1000) / 1000, UTC),
        "actor": ROOT,
        "ip": "203.0.113.7",
        "ua": "Mozilla/5.0 (X11)",
        "action": "user.roles-changed",
        "target": ann,
        "result": "ok",
        "requestId": "r1",
        "details": {"old": ["admin", "user"], "new": ["admin"]},
    }


async def test_logins(server: Server, account: Account) -> None:
    """Good and bad ones with their address; what was typed as a name or password never."""
    ann = await account.register(
        Registration(username="ann", email="a@x.org", password=PASSWORD), "203.0.113.7"
    )
    await account.login({"user": "ann", "password": PASSWORD}, "203.0.113.7")
    for user in ("ann", "hunter2-typed-as-name"):
        with pytest.raises(HubbubError):
            await account.login({"user": user, "password": "guess-of-somebody"}, "203.0.113.8")

    (good,) = await entries(server, action="login.ok")
    assert (good["actor"], good["ip"], good["result"]) == (ann, "203.0.113.7", "ok")
    known, unknown = await entries(server, action="login.failed")
    assert (known["target"], known["ip"], known["result"]) == (ann, "203.0.113.8", "refused")
    assert (unknown["target"], unknown["actor"]) == ("unknown", None)
    everything = str(await entries(server))
    for secret in (PASSWORD, "hunter2", "guess-of-somebody"):
        assert secret not in everything


async def test_who_forgot_a_password(server: Server, account: Account) -> None:
    """Noted without the address, the same for everybody."""
    await account.ask_for_password("Ann@X.org")
    (entry,) = await entries(server, action="password.forgotten")
    assert "ann@x.org" not in str(entry).lower()
    assert len(entry["target"]) == 64


async def test_what_others_tell(server: Server, service: AccountService) -> None:
    """Kept once, however often it is told; who asked comes with the request."""
    bus = LocalBus(service="account")
    await bus.serve(service)
    told = Audited(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        actor=ROOT,
        action="setting.changed",
        target="Site_Name",
        details={"old": "a", "new": "b"},
    )
    with call_context(request_id="r2", origin="203.0.113.9 cli"):
        await bus.publish(told)
        await bus.publish(told)

    async def kept() -> bool:
        return bool(await entries(server, target="Site_Name"))

    await eventually(kept)
    await bus.drain()
    await bus.close()
    (entry,) = await entries(server, target="Site_Name")
    assert (entry["actor"], entry["ip"], entry["ua"], entry["requestId"]) == (
        ROOT,
        "203.0.113.9",
        "cli",
        "r2",
    )
    assert entry["details"] == {"old": "a", "new": "b"}
    assert entry["ts"] == told.at


async def test_a_deed_stays_done(
    server: Server, service: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it cannot be written down, that is counted and logged, not answered as a failure."""

    async def away(entry: Document) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(service._audit_store, "insert", away)
    ann = await service.register(Registration(username="ann", email="a@x.org", password=PASSWORD))
    assert (await server.stored(ann))["username"] == "ann"
    assert service._metrics.audit_lost._value.get() == 1


async def test_kept_for_400_days(server: Server, service: AccountService) -> None:
    """The database removes what is older, and finds entries by actor and target."""
    indexes = await server.database["hubbub_audit"].index_information()
    assert indexes["ts_ttl"]["expireAfterSeconds"] == timedelta(days=400).total_seconds()
    keys = [index["key"] for index in indexes.values()]
    assert [("actor", 1), ("ts", -1)] in keys
    assert [("target", 1), ("ts", -1)] in keys
