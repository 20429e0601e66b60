"""The one way in: its steps and their order, every failing step by every variant."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import bcrypt
import pytest
from prometheus_client import CollectorRegistry

from hubbub.clock import FakeClock
from hubbub.contracts.account import LoginExpired, LoginRefused, LoginResult
from hubbub.contracts.workspace import SettingValue
from hubbub.errors import BadRequest, HubbubError, NotAllowed, Unavailable
from hubbub.ids import UserId, hash_token
from hubbub.mongo import Document
from hubbub.workspace_settings import WorkspaceSettings
from services.account import second_factor
from services.account.audit import Audit
from services.account.domain import Selector, sha256_hex
from services.account.hashing import Scheme
from services.account.limits import Limits
from services.account.login import Login
from services.account.metrics import AccountMetrics
from services.account.passwords import Passwords
from services.account.second_factors import SecondFactors
from services.account.settings import AccountSettings
from services.account.store.failures import Allowance

PASSWORD = "correct horse"
STORED = bcrypt.hashpw(sha256_hex(PASSWORD).encode(), bcrypt.gensalt(4)).decode()
SECRET = b"12345678901234567890"
SECRET_TEXT = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
ADDRESS = "203.0.113.7"


class FakeFailures:
    """Counts in a dict; simpler than the real ones, but they hold the same limit."""

    def __init__(self, trace: list[str]) -> None:
        self.trace = trace
        self.counts: Counter[str] = Counter()
        self.blocked: dict[str, datetime] = {}

    async def blocked_until(self, key: str) -> datetime | None:
        self.trace.append(f"limit-{key.partition(':')[0]}")
        if key in self.counts:
            return self.blocked.get(key, datetime.fromtimestamp(0, UTC))
        return None

    async def count(self, key: str, allowance: Allowance, now: datetime) -> None:
        self.trace.append(f"count-{key.partition(':')[0]}")
        self.counts[key] += 1
        if self.counts[key] >= allowance.failures:
            self.blocked[key] = now + allowance.window

    async def forget(self, key: str) -> None:
        self.counts.pop(key, None)
        self.blocked.pop(key, None)


class FakeLogins:
    """Users in a dict."""

    def __init__(self, trace: list[str]) -> None:
        self.trace = trace
        self.users: dict[str, Document] = {}
        self.tokens: list[str] = []
        self.changed_meanwhile = False

    async def find_for_login(self, selector: Selector) -> Document | None:
        self.trace.append("user")
        for user in self.users.values():
            names = {
                "id": user["_id"],
                "username": user["username"],
                "email": user["emails"][0]["address"],
            }
            if names[selector.kind] == selector.value:
                return user
        return None

    async def find_by_token(self, hashed: str) -> Document | None:
        self.trace.append("token-user")
        for user in self.users.values():
            tokens = user["services"]["resume"]["loginTokens"]
            if any(token["hashedToken"] == hashed for token in tokens):
                return user
        return None

    async def find_by_tokens(self, hashed: Collection[str]) -> dict[str, Document]:
        found = {token: await self.find_by_token(token) for token in hashed}
        return {token: user for token, user in found.items() if user is not None}

    async def add_token(
        self, user_id: UserId, hashed: str, *, verified_with: str | None, now: datetime, limit: int
    ) -> bool:
        self.trace.append("token")
        if self.changed_meanwhile:
            return False
        self.tokens.append(hashed)
        return True

    async def strengthen_password(self, user_id: UserId, stored: str, stronger: str) -> None:
        password = self.users[user_id]["services"]["password"]
        if stored in password.values():
            password.clear()
            password["argon2" if stronger.startswith("$argon2") else "bcrypt"] = stronger


class FakeFactors:
    """Second factors of the users of `FakeLogins`."""

    def __init__(self, logins: FakeLogins) -> None:
        self.users = logins.users

    async def use_recovery_code(self, user_id: UserId, hashed: str) -> bool:
        codes = self.users[user_id]["services"]["totp"].get("hashedBackup", [])
        if hashed in codes:
            codes.remove(hashed)
            return True
        return False

    async def use_code(self, user_id: UserId, step: int) -> bool:
        totp = self.users[user_id]["services"]["totp"]
        if totp.get("lastStep", 0) >= step:
            return False
        totp["lastStep"] = step
        return True


class FakeAudit:
    """Entries in a list."""

    def __init__(self) -> None:
        self.entries: list[Document] = []

    async def insert(self, entry: Document) -> None:
        self.entries.append(entry)


class TracedPasswords(Passwords):
    """Notes that work was done."""

    trace: list[str]

    async def matches(self, digest: str, stored: str | None) -> bool:
        self.trace.append("credential")
        return await super().matches(digest, stored)


class Door:
    """A login with everything around it."""

    def __init__(self, scheme: Scheme = Scheme("bcrypt", 4)) -> None:  # noqa: B008  immutable
        self.trace: list[str] = []
        self.clock = FakeClock()
        self.settings: dict[str, SettingValue] = {}
        self.failures = FakeFailures(self.trace)
        self.store = FakeLogins(self.trace)
        self.rooms_wanted = 0
        self.resumed: list[tuple[UserId, datetime]] = []
        metrics = AccountMetrics(CollectorRegistry())
        self.passwords = TracedPasswords(metrics, scheme, threads=1)
        self.passwords.trace = self.trace
        self.workspace = WorkspaceSettings(self._values, clock=self.clock)
        account = AccountSettings()
        self.audited = FakeAudit()
        limits = Limits(self.failures, account, self.clock)
        audit = Audit(self.audited, metrics, self.now)
        codes: Any = FakeFactors(self.store)  # what enrolling needs is not played here
        factors = SecondFactors(
            codes, self.store, limits, self.workspace, audit, self.clock, self.now
        )
        self.login = Login(
            self.store,
            self.passwords,
            limits,
            factors,
            audit,
            self.workspace,
            account,
            metrics,
            self.clock,
            self._rooms_pending,
            lambda user_id, now: self.resumed.append((user_id, now)),
        )

    async def _values(self, ids: list[str]) -> dict[str, SettingValue | None]:
        return {one: self.settings.get(one) for one in ids}

    def _rooms_pending(self) -> None:
        self.rooms_wanted += 1

    def user(self, **fields: Any) -> Document:
        user: Document = {
            "_id": "bob-id",
            "username": "bob",
            "name": "Bob",
            "emails": [{"address": "b@x.org", "verified": False}],
            "active": True,
            "type": "user",
            "roles": ["user"],
            "services": {
                "password": {"bcrypt": STORED},
                "resume": {"loginTokens": [{"when": self.now(), "hashedToken": hash_token("tok")}]},
            },
        } | fields
        self.store.users[user["_id"]] = user
        return user

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    async def __call__(self, parameters: dict[str, Any], address: str = ADDRESS) -> LoginResult:
        self.trace.clear()
        return await self.login(parameters, address)

    async def refused(self, parameters: dict[str, Any]) -> HubbubError:
        with pytest.raises(HubbubError) as refusal:
            await self(parameters)
        return refusal.value


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    yield door
    await door.workspace.close()
    await door.passwords.close()


def by_password(user: object, password: str = PASSWORD) -> dict[str, Any]:
    return {"user": user, "password": {"digest": sha256_hex(password), "algorithm": "sha-256"}}


VARIANTS: dict[str, Any] = {
    "username": lambda password: by_password({"username": "bob"}, password),
    "email": lambda password: by_password({"email": "b@x.org"}, password),
    "id": lambda password: by_password({"id": "bob-id"}, password),
    "text": lambda password: by_password("bob", password),
    "text-email": lambda password: by_password("b@x.org", password),
    "plain": lambda password: {"user": {"username": "bob"}, "password": password},
    "rest": lambda password: {"username": "bob", "password": password},
    "wrapped": lambda password: {
        "totp": {"code": "000000", "login": by_password({"username": "bob"}, password)}
    },
}
every_variant = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())


@every_variant
async def test_right_password(door: Door, variant: Any) -> None:
    """A new token, stored only hashed, with a date and the own document."""
    door.user()
    result = await door(variant(PASSWORD))

    assert (result.user_id, result.type, result.personal) == ("bob-id", "password", False)
    assert door.store.tokens == [result.hashed_token] == [hash_token(result.token)]
    assert result.token_expires == door.now() + timedelta(days=90)
    assert result.user == {
        "username": "bob",
        "name": "Bob",
        "emails": [{"address": "b@x.org", "verified": False}],
    }


async def test_order_of_steps(door: Door) -> None:
    """Cheap refusals before work, the token last."""
    door.user()
    await door(by_password("bob"))

    assert door.trace == ["limit-address", "user", "limit-user", "credential", "token"]


@every_variant
async def test_wrong_password(door: Door, variant: Any) -> None:
    """Refused, counted for user and address, and no token."""
    door.user()
    error = await door.refused(variant("wrong"))

    assert isinstance(error, LoginRefused)
    assert error.message == "User not found or incorrect password [403]"
    assert door.trace[-2:] == ["count-user", "count-address"]
    assert door.store.tokens == []


@pytest.mark.parametrize(
    "somebody",
    [{"username": "nobody"}, {"email": "no@x.org"}, {"id": "nobody-id"}, "nobody", "no@x.org"],
    ids=str,
)
async def test_unknown_user_costs_the_same_work(door: Door, somebody: object) -> None:
    """The same steps and the same error as with a wrong password, dummy hash included."""
    door.user()
    wrong = await door.refused(by_password("bob", "wrong"))
    steps, computed = list(door.trace), door.passwords.computed
    unknown = await door.refused(by_password(somebody, "wrong"))

    assert door.trace == steps
    assert door.passwords.computed == 2 * computed == 2
    assert (type(unknown), unknown.message, unknown.details) == (
        type(wrong),
        wrong.message,
        wrong.details,
    )


@pytest.mark.parametrize("stored", [None, "", "plain", "$2b$31$" + "a" * 53, "$1$abc", 3], ids=repr)
async def test_user_without_a_usable_hash(door: Door, stored: object) -> None:
    """Bots, and hashes that would keep a thread busy for days: same work, same error."""
    door.user()["services"]["password"] = {"bcrypt": stored}

    assert isinstance(await door.refused(by_password("bob")), LoginRefused)
    assert door.passwords.computed == 1


async def test_empty_user_does_not_match_the_dummy(door: Door) -> None:
    """Whatever is sent for a user that does not exist."""
    for password in ("", "0", "None"):
        assert isinstance(await door.refused(by_password("nobody", password)), LoginRefused)


@every_variant
@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("inactive", "error-user-is-not-activated"),
        ("unverified", "error-invalid-email"),
        ("factor", "totp-required"),
    ],
)
async def test_later_steps(door: Door, variant: Any, step: str, code: str) -> None:
    """Each refuses the right password with its own code, and tells nobody who has a wrong one."""
    user = door.user()
    if step == "inactive":
        user["active"] = False
    elif step == "unverified":
        door.settings["Accounts_EmailVerification"] = True
    else:
        user["services"]["totp"] = {"enabled": True, "secret": SECRET_TEXT}
    parameters = variant(PASSWORD)

    error = await door.refused(parameters)
    guess = await door.refused(variant("wrong"))

    expected = "totp-invalid" if step == "factor" and "totp" in parameters else code
    assert isinstance(error, NotAllowed)
    assert error.code == expected
    assert isinstance(guess, LoginRefused)
    assert door.store.tokens == []


async def test_first_refusal_wins(door: Door) -> None:
    """Everything is wrong: the steps decide in their order, the rest is not looked at."""
    user = door.user(active=False)
    user["services"]["totp"] = {"enabled": True, "secret": SECRET_TEXT}
    door.settings["Accounts_EmailVerification"] = True

    codes = [(await door.refused(by_password("bob"))).code]
    user["active"] = True
    codes.append((await door.refused(by_password("bob"))).code)
    user["emails"][0]["verified"] = True
    codes.append((await door.refused(by_password("bob"))).code)

    assert codes == ["error-user-is-not-activated", "error-invalid-email", "totp-required"]


async def test_second_factor(door: Door) -> None:
    """The right code, once."""
    user = door.user()
    user["services"]["totp"] = {"enabled": True, "secret": SECRET_TEXT}
    code = second_factor.code_at(SECRET, int(door.clock.time() // 30))
    parameters = {"totp": {"code": code, "login": by_password("bob")}}

    assert (await door(parameters)).user_id == "bob-id"
    again = await door.refused(parameters)
    assert (again.code, again.details) == ("totp-invalid", {"method": "totp"})
    missing = await door.refused(by_password("bob"))
    assert missing.details == {
        "method": "totp",
        "codeGenerated": False,
        "availableMethods": ["totp"],
    }


async def test_malformed_does_no_work(door: Door) -> None:
    """Shape comes before any look at users."""
    error = await door.refused({"user": {"username": {"$ne": None}}, "password": "x"})

    assert isinstance(error, BadRequest)
    assert door.trace == ["limit-address"]


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bob", "nobody"])
async def test_eleventh_failure_is_refused(door: Door, name: str) -> None:
    """Ten wrong passwords, then not even the right one; after the window it works again.
    Users that do not exist are refused alike."""
    door.user()
    for _ in range(10):
        assert isinstance(await door.refused(by_password(name, "wrong")), LoginRefused)
    computed = door.passwords.computed
    blocked = await door.refused(by_password(name))

    assert (blocked.code, blocked.reason) == (
        "error-login-blocked-for-user",
        "Login has been temporarily blocked For User",
    )
    assert door.passwords.computed == computed
    door.clock.advance(301)
    if name == "bob":
        assert (await door(by_password("bob"))).user_id == "bob-id"


async def test_limit_holds_however_the_user_is_named(door: Door) -> None:
    """Name, address and id are one user."""
    door.user()
    for number in range(10):
        somebody = ["bob", "b@x.org", {"id": "bob-id"}][number % 3]
        await door.refused(by_password(somebody, "wrong"))

    assert (await door.refused(by_password("bob"))).code == "error-login-blocked-for-user"


async def test_guesses_sent_all_at_once_are_counted(door: Door) -> None:
    """Fifty at the same moment get no more tries than one after another."""
    door.user()
    guesses = [door.login(by_password("bob", f"guess-{number}"), "") for number in range(50)]
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)

    codes = Counter(getattr(outcome, "code", None) for outcome in outcomes)
    assert codes == {403: 10, "error-login-blocked-for-user": 40}
    assert door.passwords.computed == 10


async def test_success_forgets_the_users_failures_but_not_the_addresss(door: Door) -> None:
    """Nine failures, a success, nine more: nobody is refused, but the address counts all."""
    door.user()
    for _ in range(2):
        for _ in range(9):
            await door.refused(by_password("bob", "wrong"))
        await door(by_password("bob"))

    assert sum(count for key, count in door.failures.counts.items() if "address" in key) == 18


async def test_address_limit(door: Door) -> None:
    """Fifty failures from one address, whatever the names; other addresses and tokens go on."""
    door.user()
    for number in range(50):
        await door.refused(by_password(f"user{number}", "wrong"))
    blocked = await door.refused(by_password("bob"))

    assert (blocked.code, blocked.reason) == (
        "error-login-blocked-for-ip",
        "Login has been temporarily blocked For IP",
    )
    assert (await door(by_password("bob"), "198.51.100.1")).user_id == "bob-id"
    assert (await door({"resume": "tok"})).user_id == "bob-id"


# -- tokens ------------------------------------------------------------------------------------


async def test_resume(door: Door) -> None:
    """The same token comes back; `lastLogin` is written at most once a minute."""
    user = door.user()
    result = await door({"resume": "tok"})

    assert (result.token, result.type, result.hashed_token) == ("tok", "resume", hash_token("tok"))
    assert result.token_expires == door.now() + timedelta(days=90)
    assert door.trace == ["token-user"]
    assert door.passwords.computed == 0
    user["lastLogin"] = door.now()
    await door({"resume": "tok"})
    assert door.resumed == [(user["_id"], door.now())]


async def test_resume_with_a_personal_token(door: Door) -> None:
    """Needs no second factor and never expires."""
    user = door.user()
    user["services"]["totp"] = {"enabled": True, "secret": SECRET_TEXT}
    user["services"]["resume"]["loginTokens"] = [
        {"type": "personalAccessToken", "hashedToken": hash_token("pat"), "name": "bot"}
    ]
    door.clock.advance(1e9)
    result = await door({"resume": "pat"})

    assert result.personal
    assert result.token_expires == door.now() + timedelta(days=365)


async def test_refused_tokens(door: Door) -> None:
    """Unknown, expired, of a deactivated user, of one without a verified address."""
    user = door.user()
    assert isinstance(await door.refused({"resume": "other"}), LoginExpired)
    user["active"] = False
    assert (await door.refused({"resume": "tok"})).code == "error-user-is-not-activated"
    user["active"] = True
    door.clock.advance(91 * 86400)
    assert (await door.refused({"resume": "tok"})).reason.startswith("Your session has expired")


async def test_many_resume_at_once(door: Door) -> None:
    """Each as alone; of those who are refused the others notice nothing."""
    user = door.user()
    alone = await door({"resume": "tok"})
    door.trace.clear()
    assert await door.login.with_tokens(["tok", "other", "x" * 10_000, "", "tok"]) == [
        alone,
        None,
        None,
        None,
        alone,
    ]
    assert door.passwords.computed == 0
    user["active"] = False
    assert await door.login.with_tokens(["tok"]) == [None]
    user["active"] = True
    door.clock.advance(91 * 86400)
    assert await door.login.with_tokens(["tok"]) == [None]


async def test_change_between_check_and_token(door: Door) -> None:
    """The password changed while it was being verified: no token."""
    door.user()
    door.store.changed_meanwhile = True

    assert isinstance(await door.refused(by_password("bob")), LoginRefused)


async def test_pending_rooms_are_repaired(door: Door) -> None:
    """Whoever signs in without having joined the default rooms is joined."""
    door.user(defaultRoomsPending=True)
    await door(by_password("bob"))

    assert door.rooms_wanted == 1


async def test_check_password_counts_as_login(door: Door) -> None:
    """Somebody at an unlocked screen gets no more guesses."""
    door.user()
    bob = UserId("bob-id")
    await door.login.check_password(bob, sha256_hex(PASSWORD))
    for _ in range(10):
        with pytest.raises(LoginRefused):
            await door.login.check_password(bob, sha256_hex("wrong"))
    with pytest.raises(NotAllowed) as blocked:
        await door.login.check_password(bob, sha256_hex(PASSWORD))

    assert blocked.value.code == "error-login-blocked-for-user"


async def test_too_many_passwords_are_unavailable_not_wrong(door: Door) -> None:
    """A full queue refuses at once, with a time to come back; nothing is counted."""
    door.user()
    metrics = AccountMetrics(CollectorRegistry())
    passwords = Passwords(metrics, Scheme("bcrypt", 10), threads=1, queue=2, wait=5)
    waiting = [asyncio.create_task(passwords.matches(sha256_hex("x"), None)) for _ in range(6)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]

    assert len(refused) == 3
    assert refused[0].details["retryAfter"] > 0
    assert [
        outcome for outcome in outcomes if outcome is not False and outcome not in refused
    ] == []
    await passwords.close()


async def test_long_waits_for_a_thread_end() -> None:
    """Waiting has a deadline, and gives its place back."""
    metrics = AccountMetrics(CollectorRegistry())
    passwords = Passwords(metrics, Scheme("bcrypt", 10), threads=1, queue=10, wait=0.02)
    first = asyncio.create_task(passwords.matches(sha256_hex("x"), None))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await passwords.matches(sha256_hex("x"), None)
    await first

    assert await passwords.matches(sha256_hex("x"), None) is False
    await passwords.close()


@pytest.mark.parametrize("prefix", ["$2a", "$2b", "$2y"])
async def test_all_forms_of_bcrypt(prefix: str) -> None:
    """Hashes of other programs verify, also the ready one of the load tester."""
    passwords = Passwords(AccountMetrics(CollectorRegistry()), Scheme("bcrypt", 4), threads=1)

    assert await passwords.matches(sha256_hex(PASSWORD), prefix + STORED[3:])
    assert not await passwords.matches(sha256_hex("wrong"), prefix + STORED[3:])
    made = await passwords.hash(sha256_hex(PASSWORD))
    assert made.startswith("$2b$04$")
    assert await passwords.matches(sha256_hex(PASSWORD), made)
    await passwords.close()
