"""Statuses that the workspace offers, and catching up with those of others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hubbub.contracts.documents import Paging
from hubbub.contracts.presence import (
    CustomStatus,
    CustomStatusNameTaken,
    CustomStatusNotFound,
    Status,
)
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import UserId
from tests.integration.presence.conftest import Cluster, Replica

pytestmark = pytest.mark.integration

ANN, BOB = UserId("ann"), UserId("bob")


async def test_a_status_is_offered_changed_and_withdrawn(
    cluster: Cluster, presence: Replica
) -> None:
    """By who may; everybody sees the list."""
    cluster.managers.add(ANN)
    service = presence.service
    lunch = await service.create_custom_status(
        ANN, CustomStatus(name=" Lunch ", status_type=Status.AWAY)
    )
    assert (lunch["name"], lunch["statusType"]) == ("Lunch", "away")
    await service.create_custom_status(ANN, CustomStatus(name="At home"))
    changed = await service.update_custom_status(
        ANN, lunch["_id"], CustomStatus(name="Dinner", status_type=Status.BUSY)
    )
    assert changed["_id"] == lunch["_id"]

    page = await service.custom_statuses(Paging(count=10))
    assert [one["name"] for one in page.items] == ["At home", "Dinner"]
    assert page.total == 2
    one = await service.custom_statuses(Paging(count=1, offset=1))
    assert [found["name"] for found in one.items] == ["Dinner"]
    named = await service.custom_statuses(Paging(count=10), name="Dinner")
    assert [found["_id"] for found in named.items] == [lunch["_id"]]

    await service.delete_custom_status(ANN, lunch["_id"])
    assert (await service.custom_statuses(Paging(count=10), lunch["_id"])).items == []


async def test_refusals(cluster: Cluster, presence: Replica) -> None:
    """No right, a name that is taken or cannot be, a status that is not there."""
    cluster.managers.add(ANN)
    service = presence.service
    await service.create_custom_status(ANN, CustomStatus(name="Lunch"))
    other = await service.create_custom_status(ANN, CustomStatus(name="Tea"))

    with pytest.raises(NotAllowed):
        await service.create_custom_status(BOB, CustomStatus(name="Break"))
    with pytest.raises(NotAllowed):
        await service.update_custom_status(BOB, other["_id"], CustomStatus(name="Break"))
    with pytest.raises(NotAllowed):
        await service.delete_custom_status(BOB, other["_id"])
    with pytest.raises(CustomStatusNameTaken):
        await service.create_custom_status(ANN, CustomStatus(name="Lunch"))
    with pytest.raises(CustomStatusNameTaken):
        await service.update_custom_status(ANN, other["_id"], CustomStatus(name="Lunch"))
    with pytest.raises(CustomStatusNotFound):
        await service.update_custom_status(ANN, "nobody", CustomStatus(name="Break"))
    with pytest.raises(CustomStatusNotFound):
        await service.delete_custom_status(ANN, "nobody")
    for name in ("<b>", "a\u202eb", "   "):
        with pytest.raises(BadRequest) as refused:
            await service.create_custom_status(ANN, CustomStatus(name=name))
        assert refused.value.code == "error-input-is-not-a-valid-field"


async def test_who_changed_since(cluster: Cluster, presence: Replica) -> None:
    """Only those whose visible status changed after the moment, those who left included."""
    await cluster.user(ANN)
    await cluster.user(BOB)
    await presence.connect(ANN, "a1")
    await presence.settle()
    moment = datetime.fromtimestamp(cluster.clock.time(), UTC) + timedelta(milliseconds=1)
    assert {one.user_id for one in await presence.service.changed_since(moment)} == set()

    cluster.clock.advance(5)
    await presence.connect(BOB, "b1")
    await presence.settle()
    changed = await presence.service.changed_since(moment)
    assert [(one.user_id, one.status) for one in changed] == [(BOB, Status.ONLINE)]

    await presence.disconnect(ANN, "a1")
    await presence.settle()
    cluster.clock.advance(11)
    await presence.settle()
    changed = await presence.service.changed_since(moment)
    assert {(one.user_id, one.status) for one in changed} == {
        (BOB, Status.ONLINE),
        (ANN, Status.OFFLINE),
    }
