"""The doors of the account service, and its life."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import (
    MAX_RESUMED,
    Account,
    LoginResult,
    PasswordPolicy,
    ProfileChanges,
    Registration,
    UserChanges,
)
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Document, Page, Paging
from hubbub.contracts.events import Audited, SettingsChanged
from hubbub.contracts.messaging import Messaging
from hubbub.errors import BadRequest, HubbubError, Unavailable
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.runtime import CannotStart, Process
from hubbub.settings import SiteSettings, load
from hubbub.tasks import heed_cancellation, owned
from hubbub.telemetry.log import get_logger
from hubbub.workspace_settings import WorkspaceSettings
from services.account import profile
from services.account.app_users import AppUserKeeper, AppUsers
from services.account.audit import Audit
from services.account.avatars import AvatarKeeper, Avatars
from services.account.changes import Editor
from services.account.default_rooms import DefaultRooms, Rooms
from services.account.departures import Departures, RoomsLeft
from services.account.domain import sha256_hex
from services.account.factor_doors import Factors
from services.account.hashing import Scheme
from services.account.last_logins import LastLogins
from services.account.limits import Limits
from services.account.login import Login, stored_now
from services.account.metrics import AccountMetrics
from services.account.migration import expand
from services.account.own_profile import OwnProfile
from services.account.passwords import Passwords
from services.account.refusals import user_not_found
from services.account.registration import AdministratorImpossible, Registrar, read_new_user
from services.account.rights import Rights
from services.account.second_factors import SecondFactors
from services.account.settings import AccountSettings, AdministratorSettings
from services.account.store.audit import MongoAuditStore
from services.account.store.factors import MongoFactorStore
from services.account.store.failures import MongoFailureStore
from services.account.store.logins import MongoLoginStore
from services.account.store.user_roles import MongoUserRoleStore
from services.account.store.users import MongoUserStore
from services.account.store.workspace import MongoWorkspaceStore
from services.account.tokens import TokenKeeper, Tokens
from services.account.user_roles import RoleKeeper, UserRoles
from services.account.viewing import Viewer

log = get_logger(__name__)

_END_PAUSE = 2.0  # seconds between two looks for tokens that were told to end


class MessagingService(Rooms, RoomsLeft, Protocol):
    """The part of the messaging service that is needed here."""


class AccountService(Tokens, Factors, Avatars, UserRoles, AppUsers, Account):
    """Who somebody is. Close it."""

    def __init__(
        self,
        database: Database,
        *,
        authorization: Authorization,
        rooms: MessagingService,
        passwords: Passwords,
        settings: AccountSettings,
        metrics: AccountMetrics,
        root_url: str,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._users = MongoUserStore(database)
        self._tokens = MongoLoginStore(database)
        self._failures = MongoFailureStore(database)
        self._audit_store = MongoAuditStore(database)
        marks = MongoWorkspaceStore(database)
        limits = Limits(self._failures, settings, self._clock)
        workspace = self._workspace = WorkspaceSettings(marks.settings, clock=self._clock)
        audit = self._audit = Audit(self._audit_store, metrics, self._now)
        held = self._rights = Rights(authorization)
        self.default_rooms = DefaultRooms(self._users, rooms, metrics)
        self._factors = SecondFactors(
            MongoFactorStore(database),
            self._tokens,
            limits,
            workspace,
            audit,
            self._clock,
            self._now,
        )
        self.last_logins = LastLogins(self._tokens, clock=self._clock)
        self._login = Login(
            self._tokens,
            passwords,
            limits,
            self._factors,
            audit,
            workspace,
            settings,
            metrics,
            self._clock,
            self.default_rooms.look,
            self.last_logins.note,
        )
        self._token_keeper = TokenKeeper(
            self._users, self._tokens, self._login, held, audit, settings
        )
        self._registrar = Registrar(
            self._users,
            marks,
            passwords,
            workspace,
            settings,
            metrics,
            self.default_rooms,
            self._now,
        )
        self._departures = Departures(self._users, rooms, workspace, held, audit, self._now)
        self._editor = Editor(
            self._users,
            self._registrar,
            passwords,
            workspace,
            self.default_rooms,
            self._departures,
            held,
            audit,
            self._now,
        )
        self._own_profile = OwnProfile(
            self._editor,
            self._registrar,
            passwords,
            self._tokens,
            workspace,
            audit,
            self.check_password,
        )
        self._viewer = Viewer(self._users, self._editor, held, root_url=root_url)
        self._avatar_keeper = AvatarKeeper(self._users, authorization, workspace, self._now)
        self._role_keeper = RoleKeeper(
            MongoUserRoleStore(database), authorization, audit, self._now
        )
        self._app_user_keeper = AppUserKeeper(
            self._users, self._registrar, self._departures, audit, self._now
        )

    async def prepare(self, administrator: AdministratorSettings) -> None:
        """Make the built-in bot and the first administrator; the indexes are there. Nobody can
        register before this has returned. Any number of replicas may do it at once.

        Raises: AdministratorImpossible.
        """
        await self._registrar.ensure_bot()
        await self._registrar.ensure_administrator(administrator)

    # -- login ----------------------------------------------------------------------------------

    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        """See the contract."""
        return await self._login(parameters, address)

    async def resume(self, tokens: list[str]) -> list[LoginResult | None]:
        """See the contract."""
        if len(tokens) > MAX_RESUMED:
            raise BadRequest(f"at most {MAX_RESUMED} tokens at once")
        return await self._login.with_tokens(tokens)

    async def check_password(self, user_id: UserId, password: str) -> None:
        """See the contract."""
        await self._login.check_password(user_id, password)

    async def sign_out(self, actor_id: UserId, user_id: UserId) -> None:
        """See the contract."""
        await self._editor.sign_out(actor_id, user_id)

    # -- making accounts ------------------------------------------------------------------------

    async def register(self, registration: Registration, address: str = "") -> UserId:
        """See the contract."""
        user_id = await self._registrar.register(registration)
        await self._audit.note("user.registered", actor=None, target=user_id, address=address)
        return user_id

    async def is_registration_secret(self, secret: str) -> bool:
        """See the contract."""
        return await self._registrar.is_secret(secret)

    async def create_user(self, creator_id: UserId, user: dict[str, Any]) -> Document:
        """See the contract."""
        roles = read_new_user(user).roles
        await self._rights.check_creation(creator_id, roles)
        made = await self._registrar.create(user)
        await self._audit.note(
            "user.created", actor=creator_id, target=made["_id"], roles=made["roles"]
        )
        return profile.for_others(made, full=True)

    async def ask_for_password(self, email: str) -> None:
        """See the contract."""
        log.info("password_forgotten", answered="no mail is configured")
        # Only what the address hashes to: it may be a typing error, or a stranger's.
        await self._audit.note("password.forgotten", actor=None, target=sha256_hex(email.lower()))

    async def password_policy(self) -> PasswordPolicy:
        """See the contract."""
        return PasswordPolicy(
            shortest=self._settings.min_password, longest=self._settings.max_password
        )

    async def is_username_free(self, username: str) -> bool:
        """See the contract."""
        try:
            name = await self._registrar.checked_username(username)
            await self._registrar.check_similar(name)
        except BadRequest:
            return False
        return True

    async def suggest_username(self, user_id: UserId) -> str:
        """See the contract."""
        found = await self._registrar.suggestion(user_id)
        if found is None:
            raise user_not_found()
        return found

    # -- seeing and changing users --------------------------------------------------------------

    async def me(self, user_id: UserId) -> Document:
        """See the contract."""
        return await self._viewer.oneself(user_id)

    async def user_info(
        self,
        viewer_id: UserId,
        user_id: str | None = None,
        username: str | None = None,
        email: str | None = None,
        full: bool = False,
        import_id: str | None = None,
    ) -> Document:
        """See the contract."""
        return await self._viewer.info(
            viewer_id,
            user_id=user_id,
            username=username,
            email=email,
            import_id=import_id,
            full=full,
        )

    async def list_users(
        self, viewer_id: UserId, paging: Paging, status_not: str | None = None
    ) -> Page:
        """See the contract."""
        return await self._viewer.page(viewer_id, paging, status_not)

    async def set_username(self, user_id: UserId, username: str) -> str:
        """See the contract."""
        return await self._editor.set_username(user_id, username)

    async def set_password(self, user_id: UserId, password: str, hashed_token: str) -> None:
        """See the contract."""
        await self._own_profile.set_password(user_id, password, hashed_token)

    async def update_profile(
        self, user_id: UserId, changes: ProfileChanges, hashed_token: str
    ) -> Document:
        """See the contract."""
        return await self._own_profile.update(user_id, changes, hashed_token)

    async def update_user(
        self, actor_id: UserId, user_id: UserId, changes: UserChanges, confirmed: bool = False
    ) -> Document:
        """See the contract."""
        return await self._editor.update(actor_id, user_id, changes, confirmed=confirmed)

    async def set_active(
        self, actor_id: UserId, user_id: UserId, active: bool, confirmed: bool = False
    ) -> None:
        """See the contract."""
        await self._departures.change_active(actor_id, user_id, active=active, confirmed=confirmed)

    async def delete_user(self, actor_id: UserId, user_id: UserId, confirmed: bool = False) -> None:
        """See the contract."""
        await self._departures.delete(actor_id, user_id, confirmed=confirmed)

    async def delete_own_account(
        self, user_id: UserId, password: str, confirmed: bool = False
    ) -> None:
        """See the contract."""
        await self._departures.delete_oneself(
            user_id,
            confirmed=confirmed,
            check_password=lambda: self.check_password(user_id, password),
        )

    async def preferences(self, user_id: UserId) -> Document:
        """See the contract."""
        return await self._editor.preferences(user_id)

    async def set_preferences(
        self, actor_id: UserId, user_id: UserId, preferences: dict[str, Any]
    ) -> Document:
        """See the contract."""
        return await self._editor.set_preferences(actor_id, user_id, preferences)

    # -- life -----------------------------------------------------------------------------------

    @listen(SettingsChanged, to="all")
    async def on_settings_changed(self, event: SettingsChanged) -> None:
        """Forget the setting."""
        self._workspace.forget(event.setting_id)

    @listen(Audited, to="one", durable=True)
    async def on_audited(self, event: Audited) -> None:
        """Write down what another service did."""
        await self._audit.keep(event)

    async def remove_ended_tokens(self) -> int:
        """Forget the login tokens that were told to end by now; how many users had some."""
        return await self._tokens.remove_ended_tokens(self._now())

    async def end_tokens(self) -> None:
        """Remove tokens that were told to end, until cancelled."""
        while True:
            try:
                await self.remove_ended_tokens()
            except HubbubError as error:
                # They are good for nothing already; only their sockets stay a little longer.
                log.warning("tokens_not_ended", reason=type(error).__name__)
            heed_cancellation()
            await asyncio.sleep(_END_PAUSE)

    async def remove_expired_tokens(self) -> int:
        """Forget the login tokens whose time is over; how many users had some."""
        made_until = self._now() - await self._login.lifetime()
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

    def _now(self) -> datetime:
        return stored_now(self._clock)


async def run(process: Process) -> None:
    """Serve accounts until the process is asked to stop."""
    settings, administrator = load(AccountSettings), load(AdministratorSettings)
    site = load(SiteSettings)
    metrics = AccountMetrics(process.registry)
    passwords = Passwords(
        metrics,
        Scheme.parse(settings.password_hash),
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
            await process.schema(database, expand)
            await service.prepare(administrator)
            async with owned(
                service.default_rooms.run(),
                service.clean_up(),
                service.end_tokens(),
                service.last_logins.run(),
            ):
                await bus.serve(service)
                process.health.ready()
                log.info("service_ready", password_hash=settings.password_hash)
                await process.stopping.wait()
                await bus.drain()
                with suppress(Unavailable):
                    await service.last_logins.flush()
        except AdministratorImpossible as error:
            raise CannotStart(str(error)) from None
        finally:
            await service.close()
            await passwords.close()
