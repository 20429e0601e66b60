"""The table of methods: validation, anonymous callers, the shapes clients expect."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import create_autospec

import pytest

from hubbub.contracts.account import Account
from hubbub.contracts.apps import Apps
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.documents import Changes
from hubbub.contracts.messages import History, MessageNotFound
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.pictures import Pictures
from hubbub.contracts.presence import Presence, Status, UnknownStatus
from hubbub.contracts.push import Push
from hubbub.doors.methods import METHODS, NOTHING, Caller, Services
from hubbub.errors import BadRequest, NotAllowed, Unauthenticated
from hubbub.ids import UserId

SOMEBODY = Caller(UserId("u1"), "127.0.0.1")
NOBODY = Caller(None)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


@pytest.fixture
def services() -> Services:
    """Proxies that record what they were asked and promise nothing."""
    return Services(
        account=create_autospec(Account, instance=True),
        authorization=create_autospec(Authorization, instance=True),
        messaging=create_autospec(Messaging, instance=True),
        presence=create_autospec(Presence, instance=True),
        pictures=create_autospec(Pictures, instance=True),
        push=create_autospec(Push, instance=True),
        apps=create_autospec(Apps, instance=True),
    )


def mocked(action: Any) -> Any:
    """The mock behind a typed proxy's action."""
    return action


@pytest.mark.parametrize(
    ("name", "params"),
    [
        pytest.param("sendMessage", [], id="missing"),
        pytest.param("sendMessage", ["text"], id="no object"),
        pytest.param("sendMessage", [{"rid": {"$ne": None}, "msg": "x"}], id="operator as id"),
        pytest.param("sendMessage", [{"rid": "r", "msg": 7}], id="number as text"),
        pytest.param("sendMessage", [{"rid": "r", "msg": "a\x00b"}], id="NUL"),
        pytest.param("leaveRoom", [{"$gt": ""}], id="operator"),
        pytest.param("leaveRoom", [None], id="null where needed"),
        pytest.param("leaveRoom", [""], id="empty id"),
        pytest.param("loadHistory", ["r", "yesterday"], id="no date"),
        pytest.param("loadHistory", ["r", None, "20"], id="text as number"),
        pytest.param("loadHistory", ["r", {"$date": "x"}], id="malformed date"),
        pytest.param("createDirectMessage", [""], id="nobody"),
        pytest.param("createDirectMessage", [{"$in": []}], id="operator as name"),
        pytest.param("getMessages", [["m"] * 101], id="too many"),
        pytest.param("deleteMessage", [7], id="number as message"),
    ],
)
async def test_malformed_parameters_reach_nobody(
    services: Services, name: str, params: list[Any]
) -> None:
    """Whatever does not fit is `Match failed`, before any service is asked."""
    with pytest.raises(BadRequest) as caught:
        await METHODS[name].call(services, SOMEBODY, params)

    assert (caught.value.code, caught.value.reason) == (400, "Match failed")
    assert not mocked(services.messaging).mock_calls


@pytest.mark.parametrize("name", sorted(name for name, row in METHODS.items() if not row.anonymous))
async def test_anonymous_callers_are_refused(services: Services, name: str) -> None:
    """A method that needs a user says so, with its own name in the details."""
    with pytest.raises(Unauthenticated) as caught:
        await METHODS[name].call(services, NOBODY, [])

    assert caught.value.code == "error-invalid-user"
    assert caught.value.details == {"method": name}


async def test_surplus_parameters_are_ignored(services: Services) -> None:
    """Some clients append a parameter of their own to every call."""
    mocked(services.messaging.room_id_of).return_value = "r1"

    assert await METHODS["getRoomIdByNameOrId"].call(services, SOMEBODY, ["general", "", 7]) == "r1"


async def test_a_send_without_id_gets_one_before_the_first_attempt(services: Services) -> None:
    """Otherwise a repeated attempt would be a second message."""
    await METHODS["sendMessage"].call(services, SOMEBODY, [{"rid": "r", "msg": "x"}])

    (_, message), _ = mocked(services.messaging.send_message).call_args
    assert message.id is not None
    assert len(message.id) == 17


async def test_history_has_the_shape_of_load_history(services: Services) -> None:
    """Dates are EJSON, null stands for absent."""
    mocked(services.messaging.history).return_value = History(
        messages=[{"_id": "m"}], unread_not_loaded=3, first_unread={"_id": "f"}
    )

    answer = await METHODS["loadHistory"].call(
        services, SOMEBODY, ["r", {"$date": NOON_MS}, None, {}, ""][:3]
    )

    assert answer == {
        "messages": [{"_id": "m"}],
        "unreadNotLoaded": 3,
        "firstUnread": {"_id": "f"},
    }
    assert mocked(services.messaging.history).call_args.kwargs["latest"] == NOON
    assert mocked(services.messaging.history).call_args.kwargs["count"] == 20


@pytest.mark.parametrize("name", ["loadHistory", "loadMissedMessages"])
async def test_reading_without_access_answers_false(services: Services, name: str) -> None:
    """Clients test for the value, not for an error."""
    mocked(services.messaging.history).side_effect = NotAllowed()
    mocked(services.messaging.changed_messages).side_effect = NotAllowed()

    assert await METHODS[name].call(services, SOMEBODY, ["r", {"$date": 0}]) is False


@pytest.mark.parametrize("since", [pytest.param([], id="none"), pytest.param([{}], id="empty")])
async def test_get_without_a_date_is_a_list(services: Services, since: list[Any]) -> None:
    """The official load tester passes an empty object for "from the beginning"."""
    mocked(services.messaging.rooms_of).return_value = Changes(update=[{"_id": "r"}], remove=[])

    assert await METHODS["rooms/get"].call(services, SOMEBODY, since) == [{"_id": "r"}]


async def test_get_with_a_date_tells_changes(services: Services) -> None:
    """With a date the answer has what to store and what to forget."""
    changes = Changes(update=[{"_id": "r"}], remove=[{"_id": "gone"}])
    mocked(services.messaging.subscriptions_of).return_value = changes

    answer = await METHODS["subscriptions/get"].call(services, SOMEBODY, [{"$date": NOON_MS}])

    assert answer == {"update": [{"_id": "r"}], "remove": [{"_id": "gone"}]}


async def test_a_message_can_be_deleted_by_id_or_object(services: Services) -> None:
    """Clients send both."""
    for param in ("m1", {"_id": "m1", "rid": "other"}):
        assert await METHODS["deleteMessage"].call(services, SOMEBODY, [param]) is NOTHING

    calls = mocked(services.messaging.delete_message).call_args_list
    assert [call.args for call in calls] == [("u1", "m1"), ("u1", "m1")]


async def test_a_missing_message_is_no_error(services: Services) -> None:
    """`getSingleMessage` answers nothing at all."""
    mocked(services.messaging.get_message).side_effect = MessageNotFound()

    assert await METHODS["getSingleMessage"].call(services, SOMEBODY, ["m"]) is NOTHING


async def test_direct_rooms_take_any_number_of_names(services: Services) -> None:
    """One name, several, and the empty one that a client appends."""
    await METHODS["createDirectMessage"].call(services, SOMEBODY, ["ana", "bo", ""])

    assert mocked(services.messaging.create_direct).call_args.args == ("u1", ["ana", "bo"])


async def test_an_unknown_status_is_refused(services: Services) -> None:
    """Presence is never asked for a status that does not exist."""
    with pytest.raises(UnknownStatus):
        await METHODS["UserPresence:setDefaultStatus"].call(services, SOMEBODY, ["sleepy"])

    await METHODS["setUserStatus"].call(services, SOMEBODY, ["busy", "lunch"])
    assert mocked(services.presence.set_status).call_args.args == ("u1", Status.BUSY, "lunch")


async def test_false_and_empty_answers_are_values(services: Services) -> None:
    """Clients ask for features that are not there and wait for the value."""
    assert await METHODS["license:isEnterprise"].call(services, NOBODY, []) is False
    assert await METHODS["listCustomSounds"].call(services, NOBODY, [{}]) == []


def test_every_row_is_documented() -> None:
    """The protocol's documentation is generated from the table."""
    assert all(row.summary for row in METHODS.values())
