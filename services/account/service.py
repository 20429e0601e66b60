"""The doors of the account service, and its life."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import (
    Account,
    Identity,
    LoginResult,
    PersonalToken,
    Registration,
    UserChanges,
)
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.events import SettingsChanged
from hubbub.contracts.messaging import Messaging
from hubbub.errors import BadRequest, HubbubError, NotAllowed, Unauthenticated
from hubbub.ids import UserId, hash_token, login_token
from hubbub.mongo import Database
from hubbub.runtime import CannotStart, Process
from hubbub.settings import SiteSettings, load
from hubbub.tasks import heed_cancellation, owned
from hubbub.telemetry.log import get_logger
from hubbub.workspace_settings import WorkspaceSettings
from services.account import profile
from services.account.changes import Editor, user_not_found
from services.account.default_rooms import DefaultRooms, Rooms
from services.account.domain import (
    PERSONAL_TOKEN,
    Token,
    check_token,
    is_sha256_hex,
    moment,
    sha256_hex,
    token_of,
)
from services.account.limits import Limits
from services.account.login import Login
from services.account.metrics import AccountMetrics
from services.account.passwords import Passwords
from services.account.registration import AdministratorImpossible, Registrar, read_new_user
from services.account.settings import AccountSettings, AdministratorSettings
from services.account.store.failures import MongoFailureStore
from services.account.store.fields import TOKENS
from services.account.store.logins import MongoLoginStore
from services.account.store.users import MongoUserStore
from services.account.store.workspace import MongoWorkspaceStore

log = get_logger(__name__)

_IDENTITY_FIELDS = ["username", "name", "roles", "active", TOKENS]


class AccountService(Account):
    """Who somebody is. Close it."""

    def __init__(
        self,
        database: Database,
        *,
        authorization: Authorization,
        rooms: Rooms,
        passwords: Passwords,
        settings: AccountSettings,
        metrics: AccountMetrics,
        root_url: str,
        clock: Clock | None = None,
    ) -> None:
        self._authorization = authorization
        self._settings = settings
        self._metrics = metrics
        self._root_url = root_url
        self._users = MongoUserStore(database)
        self._tokens = MongoLoginStore(database)
        self._marks = MongoWorkspaceStore(database)
        self._failures = MongoFailureStore(database)
        clock = clock or SystemClock()
        self._workspace = WorkspaceSettings(self._marks.settings, clock=clock)
        self.default_rooms = DefaultRooms(self._users, rooms, metrics)
        self._login = Login(
            self._tokens,
            passwords,
            Limits(self._failures, settings, clock),
            self._workspace,
            settings,
            metrics,
            clock,
            self.default_rooms.look,
        )
        self._registrar = Registrar(
            self._users,
            self._marks,
            passwords,
            self._workspace,
            settings,
            metrics,
            self.default_rooms,
            self._login.now,
        )
        self._editor = Editor(
            self._users,
            self._tokens,
            self._registrar,
            passwords,
            self._workspace,
            self.default_rooms,
            self._login.now,
        )

    async def prepare(self, administrator: AdministratorSettings) -> None:
        """Make indexes, the built-in bot and the first administrator. Nobody can register
        before this has returned. Any number of replicas may do it at once.

        Raises: AdministratorImpossible.
        """
        await self._users.prepare()
        await self._failures.prepare()
        await self._registrar.ensure_bot()
        await self._registrar.ensure_administrator(administrator)

    # -- login and tokens -----------------------------------------------------------------------

    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        """See the contract."""
        return await self._login(parameters, address)

    async def logout(self, user_id: UserId, hashed_token: str) -> None:
        """See the contract."""
        await self._tokens.remove_token(user_id, hashed_token)

    async def authenticate(self, user_id: UserId, token: str) -> Identity:
        """See the contract."""
        return await self.verify_token(user_id, hash_token(token))

    async def verify_token(self, user_id: UserId, hashed_token: str) -> Identity:
        """See the contract."""
        user = await self._users.find(user_id, _IDENTITY_FIELDS) or {}
        await self._good_token(user, hashed_token)
        if user.get("active") is not True:
            raise Unauthenticated("Invalid user")
        return Identity(
            user_id=user_id,
            username=user.get("username") or "",
            name=user.get("name"),
            roles=user.get("roles") or [],
            hashed_token=hashed_token,
        )

    async def new_token(self, user_id: UserId, hashed_token: str) -> LoginResult:
        """See the contract."""
        user = await self._users.find(user_id, [*profile.KEPT_BY_CLIENTS, "active", TOKENS]) or {}
        await self._good_token(user, hashed_token)
        plain, now = login_token(), self._login.now()
        hashed = hash_token(plain)
        exchanged = user.get("active") is True and await self._tokens.exchange_token(
            user_id, hashed_token, hashed, now=now, limit=self._settings.token_limit
        )
        if not exchanged:
            raise Unauthenticated("Invalid user")
        return LoginResult(
            user_id=user_id,
            token=plain,
            hashed_token=hashed,
            token_expires=now + await self._login.lifetime(),
            type="resume",
            user=profile.picked(user, profile.KEPT_BY_CLIENTS),
        )

    async def _good_token(self, user: Mapping[str, Any], hashed: str) -> Token:
        """Raises: Unauthenticated."""
        lifetime = await self._login.lifetime()
        return check_token(token_of(user, hashed), lifetime, self._login.now())

    async def remove_other_tokens(self, user_id: UserId, hashed_token: str) -> None:
        """See the contract."""
        await self._tokens.remove_other_tokens(user_id, hashed_token)

    async def sign_out(self, user_id: UserId) -> None:
        """See the contract."""
        await self._editor.sign_out(user_id)

    async def create_token(self, user_id: UserId) -> LoginResult:
        """See the contract."""
        return await self._login.without_password(user_id)

    async def check_password(self, user_id: UserId, password: str) -> None:
        """See the contract."""
        digest = password.lower() if is_sha256_hex(password) else sha256_hex(password)
        await self._login.check_password(user_id, digest)

    async def add_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool = False
    ) -> str:
        """See the contract."""
        plain, token = self._personal_token(token_name, bypass_two_factor=bypass_two_factor)
        if not await self._tokens.add_personal_token(user_id, token):
            raise BadRequest(
                "A token with this name already exists", code="error-token-already-exists"
            )
        return plain

    async def renew_personal_token(
        self, user_id: UserId, token_name: str, bypass_two_factor: bool = False
    ) -> str:
        """See the contract."""
        plain, token = self._personal_token(token_name, bypass_two_factor=bypass_two_factor)
        if not await self._tokens.replace_personal_token(user_id, token):
            raise _no_such_token()
        return plain

    def _personal_token(
        self, token_name: str, *, bypass_two_factor: bool
    ) -> tuple[str, dict[str, Any]]:
        """A new personal token: its plain text, and what is stored of it."""
        name = token_name.strip()
        if not 0 < len(name) <= 128 or "\x00" in name:
            raise BadRequest("The 'tokenName' param is required", code="error-invalid-params")
        plain = login_token()
        return plain, {
            "type": PERSONAL_TOKEN,
            "hashedToken": hash_token(plain),
            "createdAt": self._login.now(),
            "lastTokenPart": plain[-6:],
            "name": name,
            "bypassTwoFactor": bypass_two_factor,
        }

    async def remove_personal_token(self, user_id: UserId, token_name: str) -> None:
        """See the contract."""
        if not await self._tokens.remove_personal_token(user_id, token_name.strip()):
            raise _no_such_token()

    async def personal_tokens(self, user_id: UserId) -> list[PersonalToken]:
        """See the contract."""
        return [
            PersonalToken(
                name=str(token.get("name", "")),
                created_at=moment(token.get("createdAt")) or self._login.now(),
                last_token_part=str(token.get("lastTokenPart", "")),
                bypass_two_factor=token.get("bypassTwoFactor") is True,
            )
            for token in await self._tokens.personal_tokens(user_id)
        ]

    # -- users ----------------------------------------------------------------------------------

    async def register(self, registration: Registration, address: str = "") -> UserId:
        """See the contract."""
        return await self._registrar.register(registration)

    async def create_user(self, creator_id: UserId, user: dict[str, Any]) -> Document:
        """See the contract."""
        roles = set(read_new_user(user).roles) - {"user"}
        needed = ["create-user"]
        needed += ["assign-roles"] if roles else []
        needed += ["assign-admin-role"] if "admin" in roles else []
        if not await self._authorization.has_all_permissions(creator_id, needed):
            raise NotAllowed("Not authorized", code="error-not-authorized")
        made = await self._registrar.create(user)
        return profile.for_others(made, full=True)

    async def set_username(self, user_id: UserId, username: str) -> str:
        """See the contract."""
        return await self._editor.set_username(user_id, username)

    async def set_password(self, user_id: UserId, password: str, hashed_token: str) -> None:
        """See the contract."""
        await self._editor.set_password(user_id, password, hashed_token)

    async def update_user(self, user_id: UserId, changes: UserChanges) -> Document:
        """See the contract."""
        return await self._editor.update(user_id, changes)

    async def set_active(self, user_id: UserId, active: bool) -> None:
        """See the contract."""
        await self._editor.set_active(user_id, active=active)

    async def set_preferences(self, user_id: UserId, preferences: dict[str, Any]) -> Document:
        """See the contract."""
        return await self._editor.set_preferences(user_id, preferences)

    async def delete_user(self, user_id: UserId) -> None:
        """See the contract."""
        await self._editor.delete(user_id)

    async def is_username_free(self, username: str) -> bool:
        """See the contract."""
        try:
            name = await self._registrar.checked_username(username)
        except BadRequest:
            return False
        return not await self._users.has_username(name)

    async def me(self, user_id: UserId) -> Document:
        """See the contract."""
        user = await self._users.find(user_id, profile.READ_FOR_ONESELF)
        if user is None:
            raise user_not_found()
        return profile.for_oneself(user, root_url=self._root_url)

    async def user_info(
        self,
        viewer_id: UserId,
        user_id: str | None = None,
        username: str | None = None,
        email: str | None = None,
        full: bool = False,
    ) -> Document:
        """See the contract. Of oneself everything is shown."""
        fields = profile.SEEN_BY_ADMINISTRATORS
        if user_id is not None:
            user = await self._users.find(user_id, fields)
        elif username is not None:
            user = await self._users.find_named(username, fields)
        elif email is not None:
            user = await self._users.find_addressed(email, fields)
        else:
            raise BadRequest("Nobody is named", code="error-user-param-not-provided")
        if user is None:
            raise user_not_found()
        return profile.for_others(user, full=full or user["_id"] == viewer_id)

    async def list_users(
        self, paging: Paging, full: bool = False, status_not: str | None = None
    ) -> Page:
        """See the contract."""
        users, total = await self._users.page(paging, profile.LISTED_IN_FULL, status_not)
        return Page(items=[profile.for_list(user, full=full) for user in users], total=total)

    # -- life -----------------------------------------------------------------------------------

    @listen(SettingsChanged, to="all")
    async def on_settings_changed(self, event: SettingsChanged) -> None:
        """Forget the setting."""
        self._workspace.forget(event.setting_id)

    async def remove_expired_tokens(self) -> int:
        """Forget the login tokens whose time is over; how many users had some."""
        made_until = self._login.now() - await self._login.lifetime()
        users = await self._tokens.remove_expired_tokens(made_until)
        self._metrics.tokens_expired.inc(users)
        return users

    async def clean_up(self) -> None:
        """Remove expired tokens now and then, until cancelled."""
        while True:
            try:
                users = await self.remove_expired_tokens()
            except HubbubError as error:
                log.warning("tokens_not_cleaned", reason=type(error).__name__)
            else:
                if users:
                    log.info("tokens_cleaned", users=users)
            heed_cancellation()
            await asyncio.sleep(self._settings.cleanup_interval)

    async def close(self) -> None:
        """Stop what is being loaded."""
        await self._workspace.close()


def _no_such_token() -> BadRequest:
    return BadRequest("Token does not exist", code="error-token-does-not-exists")


async def run(process: Process) -> None:
    """Serve accounts until the process is asked to stop."""
    settings, administrator = load(AccountSettings), load(AdministratorSettings)
    site = load(SiteSettings)
    metrics = AccountMetrics(process.registry)
    passwords = Passwords(
        metrics,
        cost=settings.bcrypt_cost,
        threads=settings.password_threads,
        queue=settings.password_queue,
        wait=settings.password_wait,
    )
    async with process.mongo() as database, process.bus() as bus:
        service = AccountService(
            database,
            authorization=bus.proxy(Authorization),
            rooms=bus.proxy(Messaging),
            passwords=passwords,
            settings=settings,
            metrics=metrics,
            root_url=str(site.root_url),
        )
        try:
            await service.prepare(administrator)
            async with owned(service.default_rooms.run(), service.clean_up()):
                await bus.serve(service)
                process.health.ready()
                log.info("service_ready", bcrypt_cost=settings.bcrypt_cost)
                await process.stopping.wait()
                await bus.drain()
        except AdministratorImpossible as error:
            raise CannotStart(str(error)) from None
        finally:
            await service.close()
            await passwords.close()
