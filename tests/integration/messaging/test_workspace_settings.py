"""Settings of the workspace, read and changed; its numbers day by day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hubbub.clock import utc_now
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Paging
from hubbub.contracts.events import Audited
from hubbub.contracts.messages import MessageTooLong
from hubbub.contracts.settings import SettingNotFound, SettingReadOnly, WrongSettingValue
from hubbub.contracts.workspace import SETTINGS
from hubbub.errors import LacksPermission
from hubbub.ids import UserId
from hubbub.mongo import Database
from tests.integration.messaging.house import House, house
from tests.waiting import eventually

pytestmark = pytest.mark.integration

ALL = Paging(count=1000)


@pytest.fixture
async def home(database: Database) -> AsyncIterator[House]:
    async with house(database) as home:
        yield home


class Ear:
    """Hears what the audit log is told."""

    def __init__(self) -> None:
        self.deeds: list[Audited] = []

    @listen(Audited, to="all")
    async def on_audited(self, event: Audited) -> None:
        self.deeds.append(event)


async def administrator(home: House) -> UserId:
    (root,) = await home.users("root")
    home.authorization.granted[root] = {"admin", "user"}
    return root


async def test_a_change_is_stored_obeyed_and_told(home: House) -> None:
    """Once: the same value again writes nothing."""
    ear = Ear()
    await home.bus.listen(ear, service="ear")
    root = await administrator(home)
    (ann,) = await home.users("ann")
    room_id = await home.room(ann)
    settings = home.database.rocketchat_settings
    await home.messaging.set_setting(root, "Message_MaxAllowedSize", 3)
    stored = await settings.find_one({"_id": "Message_MaxAllowedSize"})
    await home.messaging.set_setting(root, "Message_MaxAllowedSize", 3)
    await home.bus.settled()

    assert stored is not None
    assert (stored["value"], stored["packageValue"]) == (3, 5000)
    assert await settings.find_one({"_id": "Message_MaxAllowedSize"}) == stored
    with pytest.raises(MessageTooLong):
        await home.say(ann, room_id, "four")
    assert [(one.action, one.actor, one.target, one.details) for one in ear.deeds] == [
        ("setting.changed", root, "Message_MaxAllowedSize", {"old": 5000, "new": 3})
    ]


async def test_secrets_are_not_told(home: House) -> None:
    """Only that they changed."""
    ear = Ear()
    await home.bus.listen(ear, service="ear")
    root = await administrator(home)
    await home.database.rocketchat_settings.insert_one(
        {"_id": "SMTP_Password", "type": "password", "value": "", "public": False}
    )
    await home.messaging.set_setting(root, "SMTP_Password", "hush")
    await home.bus.settled()

    assert [(one.target, one.details) for one in ear.deeds] == [("SMTP_Password", {})]


async def test_refusals(home: House) -> None:
    """No right, no such setting, a fact, a wrong value: nothing has happened."""
    root = await administrator(home)
    (ann,) = await home.users("ann")
    with pytest.raises(LacksPermission):
        await home.messaging.set_setting(ann, "Site_Name", "x")
    with pytest.raises(LacksPermission):
        await home.messaging.get_setting(ann, "Site_Name")
    with pytest.raises(SettingReadOnly):
        await home.messaging.set_setting(root, "uniqueID", "x")
    with pytest.raises(WrongSettingValue) as wrong:
        await home.messaging.set_setting(root, "Site_Name", 7)
    assert wrong.value.details == {"problem": "must be string"}
    hidden = {"_id": "Hidden", "type": "string", "value": "v", "hidden": True}
    await home.database.rocketchat_settings.insert_one(hidden)
    for setting_id in ("Nothing", "Hidden"):
        with pytest.raises(SettingNotFound):
            await home.messaging.get_setting(root, setting_id)
        with pytest.raises(SettingNotFound):
            await home.messaging.set_setting(root, setting_id, "x")


async def test_who_sees_what(home: House) -> None:
    """Hidden ones nobody, private ones administrators."""
    root = await administrator(home)
    (ann,) = await home.users("ann")
    await home.database.rocketchat_settings.insert_one(
        {"_id": "Hidden", "type": "string", "value": "v", "public": True, "hidden": True}
    )
    every = await home.messaging.list_settings(root, ALL)
    public = await home.messaging.list_settings(ann, ALL)
    private = await home.messaging.private_settings(root)
    none = await home.messaging.private_settings(ann)
    recent = await home.messaging.private_settings(root, utc_now())

    assert {one["_id"] for one in every.items} == SETTINGS.keys()
    assert {one["_id"] for one in public.items} == {
        setting.id for setting in SETTINGS.values() if setting.public
    }
    assert [one["_id"] for one in every.items] == sorted(SETTINGS)
    assert {one["_id"] for one in private.update} == {
        setting.id for setting in SETTINGS.values() if not setting.public
    }
    assert none.update == []
    assert len(recent.update) <= len(private.update)


async def test_values_for_services(home: House) -> None:
    """Stored ones, else those of a new workspace; unknown ids are left out."""
    await home.setting("Site_Name", "Here")
    await home.database.rocketchat_settings.delete_one({"_id": "API_Default_Count"})
    home.service._desk.facts.forget_settings()
    found = await home.messaging.setting_values(["Site_Name", "API_Default_Count", "Nothing"])

    assert found == {"Site_Name": "Here", "API_Default_Count": 50}


async def test_one_record_a_day(home: House, database: Database) -> None:
    """However many processes count; a refresh replaces it."""
    records = database["rocketchat_statistics"]

    async def kept() -> bool:
        return await records.count_documents({}) == 1

    await eventually(kept)
    await asyncio.gather(*(home.service._keep_todays() for _ in range(5)))
    assert await kept()
    await home.users("ann", "bob")
    await home.users("gone", active=False)
    now = await home.messaging.statistics(refresh=True)
    listed = await home.messaging.list_statistics(Paging(count=5))

    assert (now["totalUsers"], now["activeUsers"], now["nonActiveUsers"]) == (3, 2, 1)
    assert (now["onlineUsers"], now["offlineUsers"]) == (3, 0)
    assert now["installedAt"] is not None
    assert listed.total == 1
    assert listed.items[0]["totalUsers"] == 3
