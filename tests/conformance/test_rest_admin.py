"""Conformance: administration of the workspace over HTTP, and what sockets hear of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, SignIn
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance

FORBIDDEN = {
    "success": False,
    "error": "User does not have the permissions required for this action [error-unauthorized]",
    "errorType": "error-unauthorized",
}


def name(prefix: str = "role") -> str:
    """A name that nothing has yet."""
    return f"{prefix}-{random_id(10)}"


async def refusal(
    rest: Rest, method: str, endpoint: str, user: User | None = None, **options: Any
) -> dict[str, Any]:
    """The body of a call that has to be answered with 400."""
    answer = await rest.ask(method, f"/api/v1/{endpoint}", user=user, **options)
    assert answer.status == 400, answer
    assert answer.body["success"] is False
    return answer.body


async def refused(rest: Rest, endpoint: str, user: User, **body: Any) -> tuple[str, str | None]:
    """`error` and `errorType` of a POST that has to be refused."""
    found = await refusal(rest, "POST", endpoint, user, body=body)
    return found.get("error", ""), found.get("errorType")


async def forbidden(rest: Rest, method: str, endpoint: str, user: User, **options: Any) -> None:
    """The call is answered with 403."""
    answer = await rest.ask(method, f"/api/v1/{endpoint}", user=user, **options)
    assert (answer.status, answer.body) == (403, FORBIDDEN)


@pytest.fixture
async def role(rest: Rest, admin: User) -> AsyncIterator[dict[str, Any]]:
    """A role of the workspace, deleted afterwards if nobody holds it."""
    made = await rest.post("roles.create", admin, name=name(), description="Test")
    yield made["role"]
    await rest.ask("POST", "/api/v1/roles.delete", user=admin, body={"roleId": made["role"]["_id"]})


# -- roles ----------------------------------------------------------------------------------------


async def test_roles_are_made_changed_and_deleted(
    rest: Rest, admin: User, sign_in: SignIn, ana: User
) -> None:
    """Everybody sees them in the list, sockets hear of each step, the trash tells of the end."""
    socket = await sign_in(ana)
    await socket.subscribe("stream-roles", "roles", False)
    began = datetime.now(UTC) - timedelta(seconds=1)
    first, second = name(), name()

    made = (await rest.post("roles.create", admin, name=first, scope="Users"))["role"]
    assert (made["name"], made["scope"], made["protected"]) == (first, "Users", False)
    role_id = made["_id"]
    heard = await socket.event("roles", "roles", lambda event: event["_id"] == role_id)
    assert (heard[0]["type"], heard[0]["name"]) == ("changed", first)
    assert role_id in [one["_id"] for one in (await rest.get("roles.list", ana))["roles"]]

    changed = (await rest.post("roles.update", admin, roleId=role_id, name=second))["role"]
    assert changed["name"] == second
    await socket.event("roles", "roles", lambda event: event.get("name") == second)
    synced = (await rest.get("roles.sync", ana, updatedSince=began.isoformat()))["roles"]
    assert role_id in [one["_id"] for one in synced["update"]]

    assert await rest.post("roles.delete", admin, roleId=role_id) == {"success": True}
    gone = await socket.event("roles", "roles", lambda event: event["type"] == "removed")
    assert gone[0]["_id"] == role_id
    synced = (await rest.get("roles.sync", ana, updatedSince=began.isoformat()))["roles"]
    assert role_id in [one["_id"] for one in synced["remove"]]
    assert role_id not in [one["_id"] for one in synced["update"]]


async def test_refusals_of_roles(rest: Rest, admin: User, ana: User, role: dict[str, Any]) -> None:
    """By name, by protection, by use, by right."""
    taken = "Role name already exists [error-duplicate-role-names-not-allowed]"
    code = "error-duplicate-role-names-not-allowed"
    assert await refused(rest, "roles.create", admin, name=role["name"]) == (taken, code)
    assert await refused(rest, "roles.create", admin, name="owner") == (taken, code)
    assert await refused(rest, "roles.update", admin, roleId=role["_id"], name="user") == (
        taken,
        code,
    )
    assert await refused(rest, "roles.create", admin) == (
        "must have required property 'name' [invalid-params]",
        "invalid-params",
    )
    unknown = ("This role does not exist [error-invalid-roleId]", "error-invalid-roleId")
    assert await refused(rest, "roles.update", admin, roleId="nothing", name="x") == unknown
    assert await refused(rest, "roles.delete", admin, roleId="nothing") == unknown
    protected = "error-role-protected"
    assert (await refused(rest, "roles.update", admin, roleId="user", name="x"))[1] == protected
    assert (await refused(rest, "roles.update", admin, roleId="user", scope="Subscriptions"))[
        1
    ] == protected
    assert (await refused(rest, "roles.delete", admin, roleId="user"))[1] == protected
    for endpoint, body in (
        ("roles.create", {"name": name()}),
        ("roles.update", {"roleId": role["_id"], "name": name()}),
        ("roles.delete", {"roleId": role["_id"]}),
    ):
        assert (await refused(rest, endpoint, ana, **body))[1] == "error-action-not-allowed"

    await rest.post("roles.addUserToRole", admin, roleId=role["_id"], username=ana.username)
    assert (await refused(rest, "roles.delete", admin, roleId=role["_id"]))[1] == (
        "error-role-in-use"
    )
    await rest.post("roles.removeUserFromRole", admin, roleId=role["_id"], username=ana.username)


async def test_roles_are_given_and_taken(
    rest: Rest, admin: User, ana: User, bo: User, role: dict[str, Any]
) -> None:
    """By id or name; who holds one is listed in pages; what it permits holds at once."""
    await rest.post(
        "permissions.update",
        admin,
        permissions=[{"_id": "view-statistics", "roles": ["admin", role["_id"]]}],
    )
    try:
        given = await rest.post(
            "roles.addUserToRole", admin, roleName=role["name"], username=ana.username
        )
        assert given["role"]["_id"] == role["_id"]

        async def may() -> bool:
            return (await rest.ask("GET", "/api/v1/statistics", user=ana)).status == 200

        await eventually(may, within=5.0)
        await rest.post("roles.addUserToRole", admin, roleId=role["_id"], username=bo.username)
        again = await refused(
            rest, "roles.addUserToRole", admin, roleId=role["_id"], username=ana.username
        )
        assert again == (
            "User already in role [error-user-already-in-role]",
            "error-user-already-in-role",
        )

        page = await rest.get("roles.getUsersInRole", admin, role=role["name"], count=1)
        assert (page["count"], page["offset"], page["total"]) == (1, 0, 2)
        both = await rest.get("roles.getUsersInRole", admin, role=role["_id"])
        assert [one["username"] for one in both["users"]] == sorted([ana.username, bo.username])
        assert {"_id", "name", "username", "emails"} <= both["users"][0].keys()
        public = (await rest.get("roles.getUsersInPublicRoles", bo))["users"]
        assert {ana.id, bo.id} <= {one["_id"] for one in public}

        for user in (ana, bo):
            taken = await rest.post(
                "roles.removeUserFromRole", admin, roleId=role["_id"], username=user.username
            )
            assert taken["role"]["name"] == role["name"]
        twice = await refused(
            rest, "roles.removeUserFromRole", admin, roleId=role["_id"], username=ana.username
        )
        assert twice == (
            "User is not in this role [error-user-not-in-role]",
            "error-user-not-in-role",
        )

        async def may_not() -> bool:
            return not await may()

        await eventually(may_not, within=5.0)
    finally:
        await rest.post(
            "permissions.update",
            admin,
            permissions=[{"_id": "view-statistics", "roles": ["admin"]}],
        )


async def test_refusals_of_assignments(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """No role, no user, no right; the last administrator stays one."""
    give = "roles.addUserToRole"
    assert (await refused(rest, give, admin, username=ana.username))[1] == (
        "error-invalid-role-properties"
    )
    assert (await refused(rest, give, admin, roleId="bot"))[1] == "error-user-param-not-provided"
    assert (await refused(rest, give, admin, roleId="bot", username="nobody-at-all"))[1] == (
        "error-invalid-user"
    )
    assert await refused(rest, give, admin, roleId="no", username=ana.username) == (
        "This role does not exist [error-role-not-found]",
        "error-role-not-found",
    )
    take = "roles.removeUserFromRole"
    assert await refused(rest, take, admin, roleId="no", username=ana.username) == (
        "This role does not exist [error-invalid-roleId]",
        "error-invalid-roleId",
    )
    assert (await refused(rest, give, ana, roleId="bot", username=bo.username))[1] == (
        "error-not-allowed"
    )
    others = (await rest.get("roles.getUsersInRole", admin, role="admin", count=0))["users"]
    for other in others:
        if other["_id"] != admin.id:
            await rest.post(take, admin, roleId="admin", username=other["username"])
    last = await refused(rest, take, admin, roleId="admin", username="admin")
    assert last == (
        "You need to have at least one admin [error-admin-required]",
        "error-admin-required",
    )
    for other in others:
        if other["_id"] != admin.id:
            await rest.post(give, admin, roleId="admin", username=other["username"])


async def test_users_in_a_role_are_for_administrators(rest: Rest, admin: User, ana: User) -> None:
    """And the role has to be named and known."""
    await forbidden(rest, "GET", "roles.getUsersInRole", ana, query={"role": "admin"})
    nameless = await refusal(rest, "GET", "roles.getUsersInRole", admin)
    assert nameless["errorType"] == "error-param-not-provided"
    unknown = await refusal(rest, "GET", "roles.getUsersInRole", admin, query={"role": "no"})
    assert unknown["errorType"] == "error-invalid-roleId"


async def test_roles_in_a_room(rest: Rest, admin: User, ana: User, bo: User) -> None:
    """The same endpoints, with a room; also by its older name."""
    room = (await rest.post("channels.create", ana, name=name("room"), members=[bo.username]))[
        "channel"
    ]
    given = await rest.post(
        "roles.addUserToRole", ana, roleId="moderator", username=bo.username, roomId=room["_id"]
    )
    assert given["role"]["_id"] == "moderator"
    twice = await refused(
        rest, "roles.addUserToRole", ana, roleId="moderator", username=bo.username,
        scope=room["_id"],
    )  # fmt: skip
    assert twice[1] == "error-user-already-in-role"
    held = await rest.get("roles.getUsersInRole", admin, role="moderator", roomId=room["_id"])
    assert [one["_id"] for one in held["users"]] == [bo.id]
    await rest.post(
        "roles.removeUserFromRole", ana, roleId="moderator", username=bo.username,
        scope=room["_id"],
    )  # fmt: skip
    held = await rest.get("roles.getUsersInRole", admin, role="moderator", roomId=room["_id"])
    assert held["users"] == []


# -- permissions ----------------------------------------------------------------------------------


async def test_permissions_are_changed(
    rest: Rest, admin: User, sign_in: SignIn, ana: User, role: dict[str, Any]
) -> None:
    """All or none; sockets hear of each; a deleted role is in none any more."""
    socket = await sign_in(ana)
    await socket.subscribe("stream-notify-logged", "permissions-changed", False)
    before = datetime.now(UTC) - timedelta(seconds=1)
    update = [{"_id": "view-logs", "roles": ["admin", role["_id"]]}]
    answer = await rest.post("permissions.update", admin, permissions=update)
    stored = {one["_id"]: one for one in answer["permissions"]}
    assert stored["view-logs"]["roles"] == ["admin", role["_id"]]
    assert {"message-impersonate", "access-permissions", "add-user-to-any-c-room"} <= stored.keys()
    heard = await socket.event(
        "notify-logged", "permissions-changed", lambda _, one: one["_id"] == "view-logs"
    )
    assert (heard[0], heard[1]["roles"]) == ("updated", ["admin", role["_id"]])
    listed = await rest.get("permissions.listAll", ana, updatedSince=before.isoformat())
    assert "view-logs" in [one["_id"] for one in listed["update"]]
    assert listed["remove"] == []

    await rest.post("roles.delete", admin, roleId=role["_id"])
    every = (await rest.get("permissions.listAll", ana))["update"]
    assert all({"_id", "roles", "_updatedAt"} <= one.keys() for one in every)
    assert next(one for one in every if one["_id"] == "view-logs")["roles"] == ["admin"]


async def test_refusals_of_permissions(rest: Rest, admin: User, ana: User) -> None:
    """An unknown permission or role changes nothing at all."""
    good = {"_id": "view-logs", "roles": ["admin", "bot"]}
    unknown = [good, {"_id": "no-such-permission", "roles": ["admin"]}]
    assert await refused(rest, "permissions.update", admin, permissions=unknown) == (
        "Invalid permission [error-invalid-permission]",
        "error-invalid-permission",
    )
    strange = [good, {"_id": "view-logs", "roles": ["no-such-role"]}]
    assert await refused(rest, "permissions.update", admin, permissions=strange) == (
        "Invalid role [error-invalid-role]",
        "error-invalid-role",
    )
    wrongs: tuple[Any, ...] = (
        None,
        [],
        "x",
        [{}],
        [{"_id": {"$ne": 1}, "roles": []}],
        [{"_id": "x"}],
    )
    for wrong in wrongs:
        assert (await refused(rest, "permissions.update", admin, permissions=wrong))[1] == (
            "invalid-params"
        )
    await forbidden(rest, "POST", "permissions.update", ana, body={"permissions": [good]})
    every = (await rest.get("permissions.list", ana))["permissions"]
    assert next(one for one in every if one["_id"] == "view-logs")["roles"] == ["admin"]


# -- settings -------------------------------------------------------------------------------------


async def test_settings_are_read_and_changed(
    rest: Rest, admin: User, ana: User, anonymous: Anonymous
) -> None:
    """Everybody hears of public ones; the code obeys at once."""
    socket = await anonymous()
    await socket.subscribe("stream-notify-all", "public-settings-changed", False)
    try:
        assert await rest.post("settings/API_Upper_Count_Limit", admin, value=2) == {
            "success": True
        }
        heard = await socket.event(
            "notify-all",
            "public-settings-changed",
            lambda _, one: one["_id"] == "API_Upper_Count_Limit",
        )
        assert (heard[0], heard[1]["value"]) == ("updated", 2)
        assert await rest.get("settings/API_Upper_Count_Limit", admin) == {
            "_id": "API_Upper_Count_Limit",
            "value": 2,
            "success": True,
        }

        async def obeyed() -> bool:
            return len((await rest.get("settings.public", count=50))["settings"]) == 2

        await eventually(obeyed, within=5.0)
    finally:
        await rest.post("settings/API_Upper_Count_Limit", admin, value=100)


async def test_who_sees_which_settings(rest: Rest, admin: User, ana: User) -> None:
    """All for administrators, the public ones for everybody else."""
    every = await rest.get("settings", admin, count=0)
    public = await rest.get("settings", ana, count=0)
    private = {"API_Enable_Rate_Limiter", "Accounts_ManuallyApproveNewUsers"}
    assert private <= {one["_id"] for one in every["settings"]}
    assert not private & {one["_id"] for one in public["settings"]}
    assert every["total"] > public["total"] > 20
    some = await rest.get("settings", admin, _id="Site_Name,API_Enable_CORS")
    assert [one["_id"] for one in some["settings"]] == ["API_Enable_CORS", "Site_Name"]
    page = await rest.get("settings", admin, count=3, offset=2, sort='{"_id":1}')
    assert [one["_id"] for one in page["settings"]] == [
        one["_id"] for one in every["settings"][2:5]
    ]
    await forbidden(rest, "GET", "settings/Site_Name", ana)
    await forbidden(rest, "POST", "settings/Site_Name", ana, body={"value": "x"})
    for method in ("GET", "POST"):
        unknown = await rest.ask(
            method,
            "/api/v1/settings/No_Such_Setting",
            user=admin,
            body={"value": 1} if method == "POST" else None,
        )
        assert (unknown.status, unknown.body) == (400, {"success": False})


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("API_Upper_Count_Limit", "100", "must be integer"),
        ("API_Upper_Count_Limit", 0, "must be >= 1"),
        ("API_Upper_Count_Limit", 1.5, "must be integer"),
        ("API_Upper_Count_Limit", 2**60, f"must be <= {2**53 - 1}"),
        ("Threads_enabled", "true", "must be boolean"),
        ("Threads_enabled", 1, "must be boolean"),
        ("Site_Name", 5, "must be string"),
        ("Site_Name", {"$ne": 1}, "must be string"),
        ("Unread_Count", "whatever", "must be equal to one of the allowed values"),
        ("Hide_System_Messages", "uj", "must be array"),
        ("Hide_System_Messages", ["nonsense"], "must be equal to one of the allowed values"),
    ],
)
async def test_values_have_their_type(
    rest: Rest, admin: User, setting: str, value: Any, problem: str
) -> None:
    """Nothing else is stored."""
    before = await rest.get(f"settings/{setting}", admin)
    assert await refused(rest, f"settings/{setting}", admin, value=value) == (
        f"{problem} [invalid-params]",
        "invalid-params",
    )
    assert await rest.get(f"settings/{setting}", admin) == before


async def test_some_settings_state_facts(rest: Rest, admin: User) -> None:
    """Nobody changes them, not even to what they are."""
    for setting, value in (("uniqueID", "mine"), ("LDAP_Enable", True), ("E2E_Enable", True)):
        assert (await refused(rest, f"settings/{setting}", admin, value=value))[1] == (
            "error-action-not-allowed"
        )
    missing = await refused(rest, "settings/Site_Name", admin)
    assert missing[0] == "must have required property 'value' [invalid-params]"


async def test_private_settings_over_the_socket(
    rest: Rest, admin: User, ana: User, sign_in: SignIn
) -> None:
    """For administrators; none for others."""
    envelope = json.dumps({"msg": "method", "id": "1", "method": "private-settings/get"})
    for user, sees in ((admin, True), (ana, False)):
        answer = await rest.post(
            "method.call/private-settings%2Fget",
            user,
            message=envelope[:-1] + ',"params":[]}',
        )
        found = json.loads(answer["message"])["result"]
        assert bool(found) is sees
        assert not sees or "API_Enable_CORS" in {one["_id"] for one in found}
        assert not any(one.get("public") for one in found)


async def test_what_a_new_server_is_set_to(rest: Rest) -> None:
    """The values that clients branch on."""
    wanted: dict[str, Any] = {
        "API_Use_REST_For_DDP_Calls": True,
        "Accounts_AllowUserAvatarChange": True,
        "Accounts_ShowFormLogin": True,
        "CAS_enabled": False,
        "CROWD_Enable": False,
        "Discussion_enabled": True,
        "E2E_Enable": False,
        "Jitsi_Enabled": False,
        "LDAP_Enable": False,
        "Livechat_enabled": False,
        "Message_Read_Receipt_Enabled": False,
        "Message_Read_Receipt_Store_Users": False,
        "Show_Setup_Wizard": "completed",
        "Threads_enabled": True,
    }
    found = await rest.get("settings.public", _id=",".join(wanted), count=0)
    assert {one["_id"]: one["value"] for one in found["settings"]} == wanted


# -- numbers, licences, apps ----------------------------------------------------------------------


async def test_statistics_day_by_day(rest: Rest, admin: User, ana: User) -> None:
    """There is a record from the start; a refresh replaces the day's."""

    async def kept() -> bool:
        return bool((await rest.get("statistics.list", admin))["statistics"])

    await eventually(kept, within=10.0)
    now = await rest.get("statistics", admin, refresh="true")
    for key in (
        "uniqueId wizard installedAt version deploymentFingerprintHash"
        " deploymentFingerprintVerified totalUsers onlineUsers totalRooms totalChannels"
        " totalMessages activeUsers"
    ).split():
        assert key in now
    listed = await rest.get("statistics.list", admin, count=1)
    assert (listed["count"], listed["offset"]) == (1, 0)
    assert listed["statistics"][0]["totalUsers"] == now["totalUsers"]
    today = listed["statistics"][0]["_id"]
    one = await rest.get(
        "statistics.list", admin, query=json.dumps({"_id": today}), fields='{"totalUsers":1}'
    )
    assert [sorted(found) for found in one["statistics"]] == [["_id", "totalUsers"]]
    none = await rest.get("statistics.list", admin, query='{"_id":"1999-01-01"}')
    assert (none["statistics"], none["total"]) == ([], 0)
    strange = await refusal(rest, "GET", "statistics.list", admin, query={"query": '{"$where":1}'})
    assert strange["errorType"] == "error-invalid-query"
    await forbidden(rest, "GET", "statistics.list", ana)
    await forbidden(rest, "GET", "statistics", ana)


async def test_licences_and_what_is_not_there(rest: Rest, ana: User) -> None:
    """Answers that clients expect in their shape."""
    assert (await rest.get("licenses.info", ana))["license"] == {
        "activeModules": [],
        "limits": {},
        "tags": [],
    }
    assert (await rest.get("licenses.isEnterprise", ana))["isEnterprise"] is False
    most = await rest.get("licenses.maxActiveUsers", ana)
    assert most["maxActiveUsers"] is None
    assert most["activeUsers"] >= 1
    assert (await rest.get("banners", ana))["banners"] == []
    assert (await rest.get("banners.getNew", ana))["banners"] == []
    assert (await rest.get("custom-sounds.list", ana))["sounds"] == []
    assert (await rest.get("settings.oauth"))["services"] == []
    assert (await rest.get("service.configurations"))["configurations"] == []
    for path in ("actionButtons", "installed", "externalComponents"):
        answer = await rest.ask("GET", f"/api/apps/{path}")
        body: Any = answer.body
        assert (answer.status, body) == (200, [])


async def test_lists_of_emoji(rest: Rest, ana: User) -> None:
    """Whole, in pages, and since a date."""
    every = (await rest.get("emoji-custom.list", ana))["emojis"]
    assert every.keys() == {"update", "remove"}
    assert every["remove"] == []
    since = await rest.get("emoji-custom.list", ana, updatedSince=datetime.now(UTC).isoformat())
    assert since["emojis"]["update"] == []
    page = await rest.get("emoji-custom.all", ana, count=1)
    assert {"emojis", "count", "offset", "total"} <= page.keys()
    wrong = await refusal(rest, "GET", "emoji-custom.list", ana, query={"updatedSince": "soon"})
    assert wrong["errorType"] == "error-roomId-param-invalid"


# -- push -----------------------------------------------------------------------------------------


async def test_devices(rest: Rest, ana: User, bo: User, database: Database) -> None:
    """Registered, taken over by who holds the device, removed; gone with the login."""
    tokens = database["_raix_push_app_tokens"]
    value = f"token-{random_id()}"
    body = {"type": "apn", "value": value, "appName": "main", "id": random_id()}
    result = (await rest.post("push.token", ana, **body))["result"]
    assert result["_id"] == body["id"]
    assert (result["appName"], result["token"], result["userId"]) == (
        "main",
        {"apn": value},
        ana.id,
    )
    assert "authToken" not in result

    taken = (await rest.post("push.token", bo, **(body | {"id": random_id()})))["result"]
    assert taken["userId"] == bo.id
    assert await tokens.count_documents({"token.apn": value}) == 1
    missing = await rest.ask("DELETE", "/api/v1/push.token", user=ana, body={"token": value})
    assert (missing.status, missing.body) == (
        404,
        {"success": False, "error": "Resource not found"},
    )
    gone = await rest.ask("DELETE", "/api/v1/push.token", user=bo, body={"token": value})
    assert (gone.status, gone.body) == (200, {"success": True})

    await rest.post("push.token", bo, **body)
    await rest.post("logout", bo)

    async def forgotten() -> bool:
        return await tokens.count_documents({"userId": bo.id}) == 0

    await eventually(forgotten, within=5.0)


async def test_refusals_of_devices(rest: Rest, ana: User) -> None:
    """Each parameter has its code; nothing pretends to be delivered."""
    good = {"type": "gcm", "value": "v", "appName": "main", "id": "x"}
    for parameter, wrong, code in (
        ("type", "pigeon", "error-type-param-not-valid"),
        ("type", None, "error-type-param-not-valid"),
        ("value", "", "error-token-param-not-valid"),
        ("appName", None, "error-appName-param-not-valid"),
        ("id", "", "error-id-param-not-valid"),
    ):
        assert (await refused(rest, "push.token", ana, **(good | {parameter: wrong})))[1] == code
    nothing = await refusal(rest, "DELETE", "push.token", ana, body={})
    assert nothing["errorType"] == "error-token-param-not-valid"
    info = await rest.get("push.info", ana)
    assert (info["pushGatewayEnabled"], info["defaultPushGateway"]) == (False, False)
    await forbidden(rest, "POST", "push.test", ana)


async def test_push_test_says_that_nothing_is_delivered(rest: Rest, admin: User) -> None:
    """With a device and without."""
    assert (await refused(rest, "push.test", admin))[1] == "error-no-tokens-for-this-user"
    value = random_id()
    await rest.post("push.token", admin, type="web", value=value, appName="main")
    assert (await refused(rest, "push.test", admin))[1] == "error-push-disabled"
    await rest.ask("DELETE", "/api/v1/push.token", user=admin, body={"token": value})


async def test_what_a_notification_says(rest: Rest, ana: User, bo: User) -> None:
    """Only to who may read the message."""
    room = (await rest.post("groups.create", ana, name=name("room")))["group"]
    sent = (await rest.post("chat.postMessage", ana, roomId=room["_id"], text="hello"))["message"]
    found = (await rest.get("push.get", ana, id=sent["_id"]))["data"]
    assert found["message"]["_id"] == sent["_id"]
    assert found["notification"]["payload"]["rid"] == room["_id"]
    assert "hello" in found["notification"]["text"]
    hidden = await refusal(rest, "GET", "push.get", bo, query={"id": sent["_id"]})
    unknown = await refusal(rest, "GET", "push.get", bo, query={"id": "nothing"})
    assert hidden["errorType"] in ("error-not-allowed", "error-message-not-found")
    assert unknown["errorType"] == "error-message-not-found"


# -- statuses -------------------------------------------------------------------------------------


async def test_custom_statuses(rest: Rest, admin: User, ana: User, sign_in: SignIn) -> None:
    """Offered, changed, withdrawn; sockets hear of it."""
    socket = await sign_in(ana)
    await socket.subscribe("stream-notify-logged", "updateCustomUserStatus", False)
    await socket.subscribe("stream-notify-logged", "deleteCustomUserStatus", False)
    title = name("Lunch")
    made = (await rest.post("custom-user-status.create", admin, name=title, statusType="away"))[
        "customUserStatus"
    ]
    assert (made["name"], made["statusType"]) == (title, "away")
    heard = await socket.event(
        "notify-logged",
        "updateCustomUserStatus",
        lambda one: one["userStatusData"]["_id"] == made["_id"],
    )
    assert heard[0]["userStatusData"]["name"] == title
    taken = await refused(rest, "custom-user-status.create", admin, name=title)
    assert taken[1] == "Custom_User_Status_Error_Name_Already_In_Use"
    for body in ({"name": "<b>"}, {"name": name(), "statusType": "asleep"}):
        assert (await refused(rest, "custom-user-status.create", admin, **body))[1] == (
            "error-input-is-not-a-valid-field"
        )
    assert (await refused(rest, "custom-user-status.create", ana, name=name()))[1] == (
        "not_authorized"
    )
    changed = await rest.post(
        "custom-user-status.update", admin, _id=made["_id"], name=title, statusType="busy"
    )
    assert changed["customUserStatus"]["statusType"] == "busy"
    assert await refused(rest, "custom-user-status.update", admin, _id="nothing", name="x") == (
        'No custom user status found with the id of "nothing".',
        None,
    )
    page = await rest.get("custom-user-status.list", ana, _id=made["_id"])
    assert [one["name"] for one in page["statuses"]] == [title]
    assert (page["count"], page["offset"], page["total"]) == (1, 0, 1)
    assert title in [one["name"] for one in await socket.call("listCustomUserStatus", {})]
    assert await refused(rest, "custom-user-status.delete", admin) == (
        'The "customUserStatusId" params is required!',
        None,
    )
    await rest.post("custom-user-status.delete", admin, customUserStatusId=made["_id"])
    await socket.event(
        "notify-logged",
        "deleteCustomUserStatus",
        lambda one: one["userStatusData"]["_id"] == made["_id"],
    )
    assert (await rest.get("custom-user-status.list", ana, _id=made["_id"]))["statuses"] == []


async def test_presence_since_a_moment(rest: Rest, ana: User, bo: User, sign_in: SignIn) -> None:
    """Whoever changed since, but oneself; too long ago is everybody who is there."""
    moment = datetime.now(UTC)
    await sign_in(ana)
    await sign_in(bo)

    async def seen() -> bool:
        found = await rest.get("users.presence", ana, **{"from": moment.isoformat()})
        assert found["full"] is False
        ids = {one["_id"] for one in found["users"]}
        assert ana.id not in ids
        return bo.id in ids

    await eventually(seen, within=5.0)
    long_ago = (moment - timedelta(minutes=11)).isoformat()
    every = await rest.get("users.presence", ana, **{"from": long_ago})
    assert every["full"] is True
    assert {ana.id, bo.id} <= {one["_id"] for one in every["users"]}
    assert (await rest.get("users.presence", ana, **{"from": "yesterday"}))["full"] is True
