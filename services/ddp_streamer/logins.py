"""Who a session is: login, logout, changed tokens, revoked tokens, the user's own document.

A login that cannot be decided is held, not refused: an error to the automatic login after a
reconnect ends some clients, and a close without an answer makes others wait for ever.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import orjson

from hubbub.bus.caller import CircuitOpen, NobodyAnswers
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import MAX_RESUMED, Account, LoginResult, StoredToken
from hubbub.contracts.event_log import Audience, user_audience
from hubbub.ddp import ejson, messages
from hubbub.ddp.messages import Method
from hubbub.ddp.stream import args_of, stream_frame
from hubbub.errors import (
    BadRequest,
    HubbubError,
    Internal,
    NotAllowed,
    Timeout,
    Unauthenticated,
    Unavailable,
)
from hubbub.ids import UserId
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.sparing import Sparing
from services.ddp_streamer.fanout import Fanout
from services.ddp_streamer.gathering import Gathering
from services.ddp_streamer.identities import Identities, Identity
from services.ddp_streamer.login_pace import LoginPace, Place
from services.ddp_streamer.metrics import LoginOutcome, StreamerMetrics
from services.ddp_streamer.presence_link import PresenceLink
from services.ddp_streamer.recent import Recent, receipts_of
from services.ddp_streamer.session import POLICY, Reply, Session
from services.ddp_streamer.tasks import Tasks

log = get_logger(__name__)
_signed_in = Sparing(log, "signed_in")

T = TypeVar("T")

_OWN_FIELDS: Final = ("username", "name", "emails")
"""What a client may know of its own user by the collection `users`."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between two attempts of a held login
_MAX_DEFECTS = 3  # tries of a login that fails by a defect of a service
_LOGOUT_PATIENCE = 20.0  # seconds
_CHECK_PAUSE = 1.0  # seconds between two attempts to look at tokens
_LEAST_WAIT = 10.0  # seconds that a login may wait in line even if it was held for long
_TAKEN_TOGETHER = 64  # identities that are looked for beside each other


class Routes(Protocol):
    """What a login needs of `Audiences`."""

    def acquire_now(self, audience: Audience) -> bool: ...
    async def acquire(self, audiences: Iterable[Audience], *, timeout: float = 10.0) -> None: ...
    def release(self, audience: Audience) -> None: ...
    def changed_lately(self, audience: Audience) -> bool: ...


@dataclass(frozen=True, slots=True)
class Held:
    """A login that is not decided yet."""

    until: float
    """Monotonic seconds; then it is given up."""
    place: Place


class Logins:
    """Signs sessions in and out."""

    def __init__(
        self,
        account: Account,
        fanout: Fanout,
        routes: Routes,
        presence: PresenceLink,
        identities: Identities,
        metrics: StreamerMetrics,
        *,
        tasks: Tasks,
        hold_seconds: float = 120.0,
        clock: Clock | None = None,
        recent: Recent | None = None,
        pace: LoginPace | None = None,
    ) -> None:
        self._recent = Recent() if recent is None else recent
        self._account = account
        self._fanout = fanout
        self._routes = routes
        self._presence = presence
        self._identities = identities
        self._metrics = metrics
        self._tasks = tasks
        self._hold = hold_seconds
        self._clock = clock or SystemClock()
        self._pace = pace or LoginPace(clock=self._clock)
        self._taking = asyncio.Semaphore(_TAKEN_TOGETHER)
        self._resuming: Gathering[str, LoginResult | None] = Gathering(
            account.resume, "resume", tasks=tasks, most=MAX_RESUMED
        )
        self._verifying: Gathering[StoredToken, bool] = Gathering(
            account.verify_tokens, "verify-tokens", tasks=tasks, most=MAX_RESUMED
        )
        self._checking: dict[str, bool] = {}  # user id → look again afterwards

    # --- methods ------------------------------------------------------------------------------

    async def login(self, session: Session, method: Method) -> Reply:
        """Raises: HubbubError: refused, or not decided within the time that it is held."""
        parameters = method.params[0] if method.params else None
        if not isinstance(parameters, dict):
            raise BadRequest("Match failed", code=400)
        held = Held(self._clock.monotonic() + self._hold, self._pace.place())
        try:
            result = await self._until_decided(
                session,
                lambda: self._log_in_by_turns(session, parameters, held),
                held,
            )
        except HubbubError as error:
            unknown = isinstance(error, Unavailable | Timeout)
            outcome: LoginOutcome = "unavailable" if unknown else "refused"
            self._metrics.login(_variant(parameters), outcome)
            raise
        self._metrics.login(result.type, "ok")
        _note(session, result.type)
        self._identities.remember(session)
        return Reply(_answer(result), lambda: self._presence.opened(session))

    async def logout(self, session: Session, _: Method) -> Reply:
        """Raises: Unavailable, Timeout: the token could not be removed; nothing has changed."""
        user_id = session.user_id
        if user_id is None:
            return Reply()
        if not session.personal_token:
            token = session.hashed_token
            await self._patiently(
                lambda: self._account.logout(UserId(user_id), token), _LOGOUT_PATIENCE
            )
        self.leave(session, answer=True)
        self._identities.forget(session)
        session.send(messages.removed("users", user_id))
        return Reply()

    async def new_token(self, session: Session, _: Method) -> Reply:
        """Exchange the socket's token. Raises: NotAllowed: nobody is signed in; HubbubError."""
        user_id = session.user_id
        if user_id is None:
            raise NotAllowed("You are not logged in.", code=403)
        result = await self._account.new_token(UserId(user_id), session.hashed_token)
        session.hashed_token = result.hashed_token
        self._identities.remember(session)
        return Reply({**_answer(result), "type": "resume"})

    async def remove_other_tokens(self, session: Session, _: Method) -> Reply:
        """Sign the user out everywhere else. Raises: NotAllowed; HubbubError."""
        user_id = session.user_id
        if user_id is None:
            raise NotAllowed("You are not logged in.", code=403)
        await self._account.remove_other_tokens(UserId(user_id), session.hashed_token)
        return Reply()

    async def logout_other_clients(self, session: Session, _: Method) -> Reply:
        """A new token for this socket; every other login of the user ends a little later.

        Raises: NotAllowed: nobody is signed in; HubbubError.
        """
        user_id = session.user_id
        if user_id is None:
            raise NotAllowed("You are not logged in.", code=403)
        result = await self._account.logout_other_clients(UserId(user_id), session.hashed_token)
        session.hashed_token, session.personal_token = result.hashed_token, False
        self._identities.remember(session)
        return Reply({"token": result.token, "tokenExpires": result.token_expires})

    # --- coming back --------------------------------------------------------------------------

    def may_resume(self, offered: str | None) -> bool:
        """Whether `offered` can be the id of an earlier session."""
        return self._identities.may_be(offered)

    async def resume(self, session: Session, offered: str) -> None:
        """Sign in whoever the session `offered` belonged to, if its token is still good.

        Else the session stays anonymous: that is no error. What cannot be decided is held as
        a login is; then the socket is closed, and its client comes again.
        """
        try:
            entered = await self._come_back(session, offered)
        except Unavailable:
            self._metrics.login("session", "unavailable")
            return
        self._metrics.login("session", "ok" if entered else "refused")
        if entered:
            _note(session, "session")
            self._presence.opened(session)

    async def _come_back(self, session: Session, offered: str) -> bool:
        held = Held(self._clock.monotonic() + self._hold, self._pace.place())

        async def take() -> Identity | None:
            try:
                async with asyncio.timeout(self._left(held)), self._taking:
                    return await self._identities.take(offered, session)
            except TimeoutError:
                raise Unavailable("sessions are not read in time") from None

        # Before its turn to log in: where sessions are kept may be away while logins are quick,
        # and who was nobody needs no turn.
        identity = await self._until_decided(session, take, held)
        if identity is None:
            return False

        async def enter() -> bool:
            async with self._pace.turn(held.place, within=self._left(held)):
                return await self._enter_again(session, identity)

        return await self._until_decided(session, enter, held)

    async def _enter_again(self, session: Session, identity: Identity) -> bool:
        user_id = UserId(identity.user_id)
        try:
            await self._verify(user_id, identity.hashed_token)
            document = await self._account.me(user_id)
        except (Unavailable, Timeout, Internal):
            raise  # says nothing about the token
        except HubbubError:
            self._identities.forget(session)
            return False
        await self._enter(
            session, identity.user_id, identity.hashed_token, identity.personal, document
        )
        await self._identities.tell_taken(identity)
        return session.person is not None

    # --- entering and leaving -----------------------------------------------------------------

    async def _log_in_by_turns(
        self, session: Session, parameters: dict[str, Any], held: Held
    ) -> LoginResult:
        measured = _variant(parameters) == "resume"
        async with self._pace.turn(held.place, within=self._left(held), measured=measured):
            return await self._log_in(session, parameters)

    def _left(self, held: Held) -> float:
        """Seconds for which a login may wait for its turn."""
        return max(_LEAST_WAIT, held.until - self._clock.monotonic())

    async def _log_in(self, session: Session, parameters: dict[str, Any]) -> LoginResult:
        address = session.connection.peer.address or ""
        result = await self._with_token(parameters)
        if result is None:
            result = await self._account.login(parameters, address)
        await self._enter(
            session, result.user_id, result.hashed_token, result.personal, result.user
        )
        return result

    async def _with_token(self, parameters: dict[str, Any]) -> LoginResult | None:
        """Sign in with a token, together with others who do so now.

        None: `login` is to be asked, which says why not.
        """
        token = parameters.get("resume")
        if len(parameters) != 1 or not isinstance(token, str):
            return None
        try:
            return await self._resuming.ask(token)
        except (NobodyAnswers, CircuitOpen):  # an account of an earlier version knows `login` only
            return None

    async def _until_decided(
        self, session: Session, attempt: Callable[[], Awaitable[T]], held: Held
    ) -> T:
        """Try until somebody can say yes or no.

        Raises:
            Unavailable: nobody could for long.
            Internal: a service that should know failed several times.
        """
        pause = _FIRST_PAUSE
        defects = 0
        while True:
            try:
                return await attempt()
            except Internal as error:
                # A refusal would end some clients, and a defect is often one of a moment.
                defects += 1
                if defects == _MAX_DEFECTS:
                    raise
                log.warning("login_failed", error_id=error.error_id, attempt=defects)
            except (Unavailable, Timeout) as error:
                if self._clock.monotonic() + pause > held.until:
                    log.warning("login_not_decided", reason=type(error).__name__)
                    self._close_soon(session)
                    raise Unavailable(
                        "Login temporarily unavailable",
                        code=503,
                        details={"retryAfter": random.randint(2, 8)},  # noqa: S311
                    ) from None
            await self._clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _enter(
        self,
        session: Session,
        user_id: str,
        hashed_token: str,
        personal: bool,
        document: Mapping[str, Any],
    ) -> None:
        """Raises: Unavailable: the user's events cannot be routed now."""
        audience = user_audience(user_id)
        if session.user_id == user_id:
            session.hashed_token = hashed_token
            session.personal_token = personal
            return
        changed_lately = False
        if not self._routes.acquire_now(audience):
            await self._routes.acquire([audience])
            # A token that was good a moment ago may have been revoked before its user's events
            # were routed: that is told no more.
            changed_lately = self._routes.changed_lately(audience)
        if session.closed:
            self._routes.release(audience)
            return
        if session.person is not None:
            former = session.person.user_id
            self.leave(session, answer=True)
            session.send(messages.removed("users", former))
        session.hashed_token = hashed_token
        session.personal_token = personal
        session.document = {key: document[key] for key in _OWN_FIELDS if key in document}
        session.person = self._fanout.people.enter(user_id, session)
        session.entered = self._recent.now()
        session.connection.authenticated = True
        session.send(messages.added("users", user_id, session.document))
        if changed_lately:
            self.account_changed(user_id)

    def leave(self, session: Session, *, answer: bool) -> None:
        """The session is nobody's from now on. `answer`: its subscriptions end with `nosub`."""
        person = session.person
        if person is None:
            return
        self._presence.closed(session)
        session.end_all(answer=answer)
        session.person = None
        if session.entered is not None:
            receipts = receipts_of(session.connection)
            self._recent.left(person.user_id, session.public_id, session.entered, receipts)
        session.entered = None
        session.hashed_token = ""
        session.personal_token = False
        session.document = {}
        session.connection.authenticated = False
        self._fanout.people.leave(person, session)
        self._routes.release(user_audience(person.user_id))

    def _close_soon(self, session: Session) -> None:
        asyncio.get_running_loop().call_later(
            random.uniform(2.0, 8.0),  # noqa: S311
            session.connection.close,
            1013,
            "TRY_AGAIN_LATER",
        )

    async def _patiently(self, call: Callable[[], Any], patience: float) -> None:
        begun = self._clock.monotonic()
        pause = _FIRST_PAUSE
        while True:
            try:
                await call()
            except (Unavailable, Timeout):
                if self._clock.monotonic() - begun + pause > patience:
                    raise
            else:
                return
            await self._clock.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    # --- revocation ---------------------------------------------------------------------------

    def account_changed(self, user_id: str) -> None:
        """Tokens, roles or the active flag changed: look at the tokens of this user's sockets."""
        if user_id in self._checking:
            self._checking[user_id] = True
        elif self._fanout.people.get(user_id) is not None:
            self._checking[user_id] = False
            self._tasks.spawn(self._check_tokens(user_id), "check-tokens")

    async def _check_tokens(self, user_id: str) -> None:
        try:
            while True:
                self._checking[user_id] = False
                while not await self._all_checked(user_id):
                    await self._clock.sleep(_CHECK_PAUSE)
                if not self._checking[user_id]:
                    return
        finally:
            del self._checking[user_id]

    async def _all_checked(self, user_id: str) -> bool:
        """Verify each token once; False when not all sessions could be judged.

        Those that are about to change their token are left alone until they have: what the log
        says may be about that change, and their clients are owed an answer first.
        """
        everybody_asked = True
        person = self._fanout.people.get(user_id)
        by_token: dict[str, list[Session]] = {}
        for session in list(person.sessions) if person is not None else ():
            if not isinstance(session, Session):
                continue
            if session.in_login:
                everybody_asked = False
            else:
                by_token.setdefault(session.hashed_token, []).append(session)
        for token, sessions in by_token.items():
            try:
                await self._verify(UserId(user_id), token)
            except Unauthenticated:
                for session in sessions:
                    everybody_asked &= not session.in_login
                    self._revoke(session, user_id, token)
            except HubbubError as error:
                log.warning("token_not_verified", reason=type(error).__name__)
                everybody_asked = False
        return everybody_asked

    async def _verify(self, user_id: UserId, hashed_token: str) -> None:
        """`Account.verify_token`, together with others who are looked at now."""
        try:
            good = await self._verifying.ask(
                StoredToken(user_id=user_id, hashed_token=hashed_token)
            )
        except (NobodyAnswers, CircuitOpen):  # an account of an earlier version knows one at a time
            good = False
        if not good:
            await self._account.verify_token(user_id, hashed_token)

    def _revoke(self, session: Session, user_id: str, token: str) -> None:
        """The session's token is gone: say so to this socket alone, then close it."""
        is_other = session.hashed_token != token or session.user_id != user_id
        if session.closed or session.in_login or is_other:
            return
        args = orjson.dumps([session.secret_id])
        session.send(stream_frame("notify-user", f"{user_id}/force_logout", args))
        session.end_all(answer=False)
        self._identities.forget(session)
        session.connection.close(1008, POLICY)

    def taken(self, user_id: str, connection_id: str) -> None:
        """The client of this socket has come back on another one: here it is gone."""
        person = self._fanout.people.get(user_id)
        for session in list(person.sessions) if person is not None else ():
            if isinstance(session, Session) and session.public_id == connection_id:
                self._identities.taken(session)
                session.end_all(answer=False)
                session.connection.close(1008, POLICY)

    # --- the user's own document ----------------------------------------------------------------

    def user_data_changed(self, user_id: str, payload: bytes) -> None:
        """Tell the user's sockets what changed of the fields that they have in `users`."""
        if not any(b'"' + field.encode() in payload for field in _OWN_FIELDS):
            return
        person = self._fanout.people.get(user_id)
        if person is None:
            return
        try:
            args = args_of(payload, "notify-user", f"{user_id}/userData")
            change = ejson.decode(orjson.loads(args)[0])
            diff, unset = dict(change.get("diff") or {}), dict(change.get("unset") or {})
        except (ValueError, IndexError, AttributeError, TypeError):
            log.warning("bad_user_data")
            return
        touched = {key.partition(".")[0] for key in (*diff, *unset)}
        if touched.isdisjoint(_OWN_FIELDS):
            return
        if any("." in key and key.partition(".")[0] in _OWN_FIELDS for key in (*diff, *unset)):
            # Part of a field changed: only the whole field means something to a client.
            self._tasks.spawn(self._fetch_document(user_id), "own-document")
            return
        fields = {key: diff[key] for key in _OWN_FIELDS if key in diff}
        cleared = [key for key in _OWN_FIELDS if key in unset]
        self._tell_document(user_id, fields, cleared)

    async def _fetch_document(self, user_id: str) -> None:
        try:
            me = await self._account.me(UserId(user_id))
        except HubbubError as error:
            log.warning("own_document_not_read", reason=type(error).__name__)
            return
        fields: dict[str, Any] = {key: me[key] for key in _OWN_FIELDS if key in me}
        self._tell_document(user_id, fields, [key for key in _OWN_FIELDS if key not in me])

    def _tell_document(self, user_id: str, fields: dict[str, Any], cleared: list[str]) -> None:
        person = self._fanout.people.get(user_id)
        for session in list(person.sessions) if person is not None else ():
            if not isinstance(session, Session):
                continue
            have = session.document
            news = {key: value for key, value in fields.items() if have.get(key) != value}
            gone = [key for key in cleared if key in have]
            if not news and not gone:
                continue
            session.document = {
                key: value for key, value in {**have, **news}.items() if key not in gone
            }
            message: dict[str, Any] = {"msg": "changed", "collection": "users", "id": user_id}
            if news:
                message["fields"] = news
            if gone:
                message["cleared"] = gone
            session.send(ejson.dumps(message))


def _note(session: Session, method: str) -> None:
    address = session.connection.peer.address
    _signed_in(conn=session.public_id, uid=session.user_id, method=method, peer=address)


def _answer(result: LoginResult) -> dict[str, Any]:
    return {
        "id": result.user_id,
        "token": result.token,
        "tokenExpires": result.token_expires,
        "type": result.type,
    }


def _variant(parameters: dict[str, Any]) -> str:
    if "resume" in parameters:
        return "resume"
    return "password" if "user" in parameters else "other"
