"""Making, showing and changing users on a real database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from hubbub.contracts.account import (
    Account,
    FieldTaken,
    Registration,
    UserChanges,
    UserNotFound,
)
from hubbub.contracts.documents import Paging
from hubbub.contracts.events import SettingsChanged
from hubbub.errors import BadRequest, HubbubError, Invalid, NotAllowed
from hubbub.ids import UserId
from hubbub.tasks import owned
from services.account.registration import AdministratorImpossible
from services.account.service import AccountService
from services.account.settings import AdministratorSettings
from tests.integration.account.conftest import Server
from tests.waiting import eventually

pytestmark = pytest.mark.integration

PASSWORD = "correct horse"
ROOT = UserId("root")
ANN = UserId("ann")
ADMINISTRATOR = AdministratorSettings(
    username="boss", password=SecretStr(PASSWORD), email="boss@x.org", name="Boss"
)


def registration(name: str, **fields: Any) -> Registration:
    return Registration(
        **{"username": name, "name": name, "email": f"{name}@x.org", "password": PASSWORD} | fields
    )


async def code_of(call: Any) -> object:
    with pytest.raises(HubbubError) as refused:
        await call
    return refused.value.code


# -- registration --------------------------------------------------------------------------------


async def test_first_user_is_administrator(server: Server, account: Account) -> None:
    """The second one is an ordinary user."""
    first = await account.register(registration("ann"))
    second = await account.register(registration("bob"))

    assert (await server.stored(first))["roles"] == ["admin", "user"]
    assert (await server.stored(second))["roles"] == ["user"]


async def test_first_users_raced(server: Server) -> None:
    """Twelve at once on two replicas: all get in, exactly one is administrator."""
    replicas = [await server.replica(), await server.replica()]
    await asyncio.gather(
        *(replicas[number % 2].register(registration(f"u{number}")) for number in range(12))
    )

    users = server.database["users"]
    assert await users.count_documents({"type": "user"}) == 12
    assert await users.count_documents({"roles": "admin"}) == 1


async def test_administrator_of_the_settings_is_made_once(server: Server) -> None:
    """By five replicas starting at once; never again, even after its removal."""
    services = await asyncio.gather(*(server.replica(ADMINISTRATOR) for _ in range(5)))
    users = server.database["users"]
    bosses = await users.find({"roles": "admin"}).to_list()
    assert [(boss["username"], boss["emails"][0]["verified"]) for boss in bosses] == [
        ("boss", True)
    ]
    result = await services[3].login({"user": "boss", "password": PASSWORD})
    assert result.user_id == bosses[0]["_id"]

    await services[0].register(registration("ann"))
    await users.delete_one({"_id": bosses[0]["_id"]})
    late = await server.replica(ADMINISTRATOR)
    await late.register(registration("bob"))

    assert await users.count_documents({"roles": "admin"}) == 0
    assert await users.count_documents({"username": "boss"}) == 0


async def test_administrator_of_an_existing_workspace_stays_the_only_one(server: Server) -> None:
    """Data of another server has one already."""
    await server.database["users"].insert_one(
        {"_id": "old", "username": "old", "active": True, "roles": ["admin"]}
    )
    service = await server.replica(ADMINISTRATOR)
    ann = await service.register(registration("ann"))

    assert (await server.stored(ann))["roles"] == ["user"]
    assert await server.database["users"].count_documents({"username": "boss"}) == 0


async def test_impossible_administrator(server: Server) -> None:
    """The start fails with a reason instead of leaving the door open."""
    await server.database["users"].insert_one({"_id": "x", "username": "BOSS", "roles": ["user"]})
    with pytest.raises(AdministratorImpossible, match="username"):
        await server.replica(ADMINISTRATOR)
    short = ADMINISTRATOR.model_copy(update={"password": SecretStr("short")})
    with pytest.raises(AdministratorImpossible, match="characters") as refused:
        await server.replica(short)
    assert "short" not in str(refused.value).replace("shortest", "")


async def test_duplicates_raced(server: Server) -> None:
    """The same name in different case, ten times at once: one wins."""
    service = await server.replica()
    names = ["carl", "Carl", "CARL", "cArl", "carL"] * 2
    outcomes = await asyncio.gather(
        *(
            service.register(registration(name, email=f"c{number}@x.org"))
            for number, name in enumerate(names)
        ),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, FieldTaken)]

    assert len(refused) == 9
    assert refused[0].message.endswith("is already in use :( [error-field-unavailable]")
    assert await server.database["users"].count_documents({"type": "user"}) == 1


async def test_duplicate_addresses_raced(server: Server) -> None:
    """In any case of letters: the text that clients know."""
    service = await server.replica()
    outcomes = await asyncio.gather(
        *(
            service.register(registration(f"u{number}", email=email))
            for number, email in enumerate(["A@x.org", "a@x.org", "a@X.org"])
        ),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, BadRequest)]

    assert [error.message for error in refused] == ["Email already exists. [403]"] * 2


async def test_refused_registrations(server: Server, account: Account) -> None:
    """Each with its code; nothing is stored."""
    assert (
        await code_of(account.register(registration("a b", email="ab@x.org"))) == "username-invalid"
    )
    assert await code_of(account.register(registration("ann", email="x"))) == "error-invalid-email"
    assert (
        await code_of(account.register(registration("ann", password="short")))
        == "error-password-policy-not-met"
    )
    await server.setting("Accounts_RegistrationForm", "Disabled")
    closed = await server.replica()
    assert await code_of(closed.register(registration("ann"))) == "error-user-registration-disabled"
    assert await server.database["users"].count_documents({"type": "user"}) == 0


async def test_changed_setting_is_noticed(server: Server, service: AccountService) -> None:
    """By its event, without waiting."""
    await service.register(registration("ann"))
    await server.setting("Accounts_RegistrationForm", "Disabled")
    await service.on_settings_changed(SettingsChanged(setting_id="Accounts_RegistrationForm"))

    assert (
        await code_of(service.register(registration("bob"))) == "error-user-registration-disabled"
    )


async def test_approval(server: Server, account: Account) -> None:
    """New users wait for it, except the first one, who would have to give it."""
    await server.setting("Accounts_ManuallyApproveNewUsers", True)
    first = await account.register(registration("ann"))
    second = await account.register(registration("bob"))

    assert (await server.stored(first))["active"] is True
    assert (await server.stored(second))["active"] is False


# -- default rooms -------------------------------------------------------------------------------


async def test_new_users_join_the_default_rooms(server: Server, account: Account) -> None:
    """With the registration, or when they choose their username."""
    ann = await account.register(registration("ann"))
    bob = await account.register(registration("bob", username=None))
    assert server.messaging.joined == [ann]
    assert await account.set_username(bob, "bob") == "bob"

    assert server.messaging.joined == [ann, bob]
    assert "defaultRoomsPending" not in await server.stored(bob)


async def test_joining_survives_an_absence_of_messaging(server: Server) -> None:
    """And a restart of this service: the wish is in the database, and a login shows it."""
    server.messaging.away = True
    service = await server.replica()
    ann = await service.register(registration("ann"))
    assert not await service.default_rooms.join_pending()
    server.messaging.away = False
    other = await server.replica()
    await other.login({"user": "ann", "password": PASSWORD})
    assert other.default_rooms._wanted.is_set()

    assert await other.default_rooms.join_pending()
    assert server.messaging.joined == [ann]
    assert await other.default_rooms.join_pending()
    assert server.messaging.joined == [ann]


async def test_background_task_joins(server: Server) -> None:
    """It needs no push for who was left behind earlier."""
    server.messaging.away = True
    service = await server.replica(ADMINISTRATOR)
    server.messaging.away = False
    async with owned(service.default_rooms.run()):
        await eventually(lambda: server.messaging.joined)


# -- made by administrators ----------------------------------------------------------------------


async def test_create_user(server: Server, account: Account) -> None:
    """With everything that may be set; the answer shows it, without secrets."""
    made = await account.create_user(
        ROOT,
        {
            "name": "Ann",
            "email": "ann@x.org",
            "username": "ann",
            "password": PASSWORD,
            "roles": ["user", "bot"],
            "verified": True,
            "requirePasswordChange": True,
            "customFields": {"team": "red"},
            "joinDefaultChannels": False,
            "services": {"password": {"bcrypt": "x"}},
            "_id": "chosen",
        },
    )

    assert made["_id"] != "chosen"
    assert (made["roles"], made["active"], made["type"]) == (["user", "bot"], True, "user")
    assert made["emails"] == [{"address": "ann@x.org", "verified": True}]
    assert made["customFields"] == {"team": "red"}
    assert made["createdAt"]
    assert "services" not in made
    assert server.messaging.joined == []
    assert (await account.login({"user": "ann", "password": PASSWORD})).user_id == made["_id"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"username": "Taken"}, "error-field-unavailable"),
        ({"email": "TAKEN@x.org"}, "error-field-unavailable"),
        ({"username": "a b"}, "error-input-is-not-a-valid-field"),
        ({"email": "x"}, "error-invalid-email"),
        ({"password": None}, "error-password-policy-not-met"),
        ({"roles": ["emperor"]}, "error-action-not-allowed"),
        ({"roles": ["owner"]}, "error-action-not-allowed"),
        ({"username": {"$ne": 1}}, "invalid-params"),
        ({"name": None}, "invalid-params"),
        ({"active": "yes"}, "invalid-params"),
        ({"customFields": {"a.b": 1}}, "error-invalid-params"),
    ],
    ids=str,
)
async def test_refused_creations(account: Account, change: dict[str, Any], code: str) -> None:
    """Each with its code."""
    await account.register(registration("taken"))
    user = {"name": "A", "email": "ann@x.org", "username": "ann", "password": PASSWORD} | change

    assert await code_of(account.create_user(ROOT, user)) == code


async def test_refused_creation_does_not_repeat_values(account: Account) -> None:
    """Faults name fields, never what stood in them."""
    with pytest.raises(Invalid) as refused:
        await account.create_user(ROOT, {"password": 12345678901, "name": "A"})

    assert "12345678901" not in refused.value.message + repr(refused.value.details)


async def test_creating_needs_rights(account: Account) -> None:
    """Making users is one right, giving them roles another."""
    user = {"name": "A", "email": "ann@x.org", "username": "ann", "password": PASSWORD}
    somebody, creator = UserId("somebody"), UserId("creator")

    assert await code_of(account.create_user(somebody, user)) == "error-unauthorized"
    with_role = user | {"roles": ["admin"]}
    assert await code_of(account.create_user(creator, with_role)) == "error-action-not-allowed"
    assert (await account.create_user(creator, user))["roles"] == ["user"]


# -- changes -------------------------------------------------------------------------------------


async def test_update_user(server: Server, account: Account) -> None:
    """Only what is there changes; a new address is not verified; a new password ends logins."""
    await account.register(registration("root"))
    ann = await account.register(registration("ann"))
    token = (await account.login({"user": "ann", "password": PASSWORD})).token
    changed = await account.update_user(
        ROOT,
        ann,
        UserChanges(name="Anna", email="anna@x.org", bio="hi", custom_fields={"team": "red"}),
    )

    assert (changed["name"], changed["bio"], changed["username"]) == ("Anna", "hi", "ann")
    assert changed["emails"] == [{"address": "anna@x.org", "verified": False}]
    await account.authenticate(ann, token)
    await account.update_user(ROOT, ann, UserChanges(password="another horse"))
    assert await code_of(account.authenticate(ann, token)) == 403
    assert await code_of(account.update_user(ROOT, ann, UserChanges(username="ROOT"))) == (
        "error-field-unavailable"
    )
    assert (
        await code_of(account.update_user(ROOT, UserId("no"), UserChanges()))
        == "error-invalid-user"
    )


async def test_last_administrator_stays(account: Account) -> None:
    """Neither removed nor deactivated nor made an ordinary user, until there is another one."""
    ann = await account.register(registration("ann"))
    bob = await account.register(registration("bob"))
    for call in (
        account.delete_user(ROOT, ann),
        account.set_active(ROOT, ann, False),
        account.update_user(ROOT, ann, UserChanges(roles=["user"])),
    ):
        assert await code_of(call) == "error-action-not-allowed"

    await account.update_user(ROOT, bob, UserChanges(roles=["admin", "user"]))
    await account.delete_user(ROOT, ann)
    await account.delete_user(ROOT, ann)

    assert await code_of(account.me(ann)) == "error-invalid-user"
    assert (
        await code_of(account.delete_user(ROOT, UserId("rocket.cat"))) == "error-action-not-allowed"
    )


async def test_set_username(server: Server, account: Account) -> None:
    """Chosen, repeated, taken, unknown user, and forbidden to change."""
    ann = await account.register(registration("ann", username=None))
    await account.register(registration("bob"))
    assert await account.set_username(ann, "ann") == "ann"
    assert await account.set_username(ann, "ann") == "ann"
    assert await code_of(account.set_username(ann, "BOB")) == "error-field-unavailable"
    assert await code_of(account.set_username(ann, "a b")) == "username-invalid"
    assert await code_of(account.set_username(UserId("no"), "new")) == "error-invalid-user"
    await server.setting("Accounts_AllowUsernameChange", False)
    strict = await server.replica()

    assert await code_of(strict.set_username(ann, "anna")) == "error-not-allowed"
    assert await account.is_username_free("anna")
    for taken in ("ann", "BOB", "all", "a b"):
        assert not await account.is_username_free(taken)


async def test_preferences(account: Account) -> None:
    """Over the defaults; `me` shows them."""
    ann = await account.register(registration("ann"))
    changed = await account.set_preferences(ann, ann, {"useEmojis": False, "language": "de"})

    assert changed["useEmojis"] is False
    assert changed["idleTimeLimit"] == 300
    me = await account.me(ann)
    assert me["settings"]["preferences"] | {"language": "de"} == changed
    assert await account.preferences(ann) == changed
    assert me["language"] == "de"
    assert await code_of(account.set_preferences(ann, ann, {"$where": 1})) == "invalid-params"


# -- what is seen --------------------------------------------------------------------------------


async def test_me_and_user_info(account: Account) -> None:
    """By id, name and address; others see less than oneself."""
    ann = await account.register(registration("ann"))
    bob = await account.register(registration("Bob"))

    me = await account.me(ann)
    assert me["avatarUrl"] == "http://chat.example/avatar/ann"
    assert me["services"] == {"password": {"exists": True}}
    assert "email" not in me  # not verified
    by_name = await account.user_info(ann, username="BOB")
    assert by_name == await account.user_info(ann, user_id=bob)
    assert "emails" not in by_name
    assert by_name["canViewAllInfo"] is False
    assert "emails" not in await account.user_info(ann, user_id=bob, full=True)
    assert (await account.user_info(ROOT, user_id=bob, full=True))["emails"]
    assert (await account.user_info(ROOT, email="BOB@x.org"))["username"] == "Bob"
    with pytest.raises(UserNotFound):  # who may not see addresses finds nobody by one
        await account.user_info(ann, email="BOB@x.org")
    assert (await account.user_info(bob, user_id=bob))["emails"]
    with pytest.raises(UserNotFound):
        await account.user_info(ann, username="carl")
    assert await code_of(account.user_info(ann)) == "error-user-param-not-provided"


async def test_list_users(server: Server, account: Account) -> None:
    """By username, in pages that neither repeat nor skip; unknown sort keys are ignored."""
    for name in ("carl", "ann", "bob"):
        await account.register(registration(name))
    await server.database["users"].update_one({"username": "bob"}, {"$set": {"status": "online"}})

    page = await account.list_users(ANN, Paging(count=2))
    rest = await account.list_users(ANN, Paging(count=2, offset=2))
    names = [user["username"] for user in page.items + rest.items]
    assert names == ["ann", "bob", "carl", "rocket.cat"]
    assert page.total == 4
    assert page.items[0]["nameInsensitive"] == "ann"
    assert "emails" not in page.items[0]
    backwards = await account.list_users(ROOT, Paging(sort={"username": -1}))
    assert backwards.items[1]["username"] == "carl"
    assert backwards.items[1]["emails"]
    online = await account.list_users(ANN, Paging(), status_not="offline")
    assert [user["username"] for user in online.items] == ["bob", "rocket.cat"]
    assert online.total == 2
    odd = await account.list_users(ANN, Paging(sort={"services.password.bcrypt": 1}))
    assert [user["username"] for user in odd.items] == names


async def test_no_collection_scans(server: Server, service: AccountService) -> None:
    """Everything the service does with users, as the server itself planned it."""
    await server.database["users"].insert_many(
        [
            {"_id": f"u{number}", "username": f"u{number}", "name": f"U {number}", "active": True}
            | {"status": "offline", "roles": ["user"], "createdAt": number}
            for number in range(80)
        ]
    )
    await server.database.command("profile", 2)
    ann = await service.register(registration("ann"))
    for somebody in ("ANN@x.org", {"id": ann}):
        await service.login({"user": somebody, "password": PASSWORD}, "203.0.113.7")
    result = await service.login({"user": "ann", "password": PASSWORD}, "203.0.113.7")
    with pytest.raises(NotAllowed):
        await service.login({"user": "ann", "password": "wrong"}, "203.0.113.7")
    await service.login({"resume": result.token})
    await service.authenticate(ann, result.token)
    await service.new_token(ann, result.hashed_token)
    await service.add_personal_token(ann, "x")
    await service.remove_expired_tokens()
    await service.is_username_free("zoe")
    await service.user_info(ann, email="ann@x.org")
    for sort in (None, {"name": 1}, {"createdAt": -1}, {"status": 1}, {"_id": 1}):
        await service.list_users(ROOT, Paging(count=5, sort=sort), status_not="online")
        await service.list_users(ROOT, Paging(count=5, sort=sort))
    await service.default_rooms.join_pending()
    with pytest.raises(NotAllowed):
        await service.delete_user(ROOT, ann)
    await server.database.command("profile", 0)

    seen, scans = 0, []
    async for entry in server.database["system.profile"].find(
        {"op": {"$in": ["query", "update", "remove", "command"]}}
    ):
        if entry["ns"].partition(".")[2] not in ("users", "hubbub_login_failures"):
            continue
        seen += 1
        if "COLLSCAN" in str(entry.get("planSummary")):
            scans.append(entry["command"])
    assert seen > 25
    assert scans == []
