"""Methods: those of the streamer itself, those of the services, and what everybody may try."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from opentelemetry.trace import SpanKind, Tracer

from hubbub.bus import call_context
from hubbub.contracts.presence import Status, UnknownStatus
from hubbub.ddp import messages
from hubbub.ddp.messages import Method
from hubbub.doors.methods import METHODS, NOTHING, Caller, Services
from hubbub.errors import BadRequest, NotFound, Unauthenticated
from hubbub.ids import UserId
from hubbub.telemetry.log import bind_contextvars
from hubbub.telemetry.tracing import spanning
from services.ddp_streamer import streams
from services.ddp_streamer.activity import Activity
from services.ddp_streamer.convoys import Convoys
from services.ddp_streamer.logins import Logins
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.presence_link import PresenceLink
from services.ddp_streamer.rates import Excess
from services.ddp_streamer.relays import Relays
from services.ddp_streamer.rights import Question, Rights
from services.ddp_streamer.session import Reply, Session

_STREAM: Final = streams.PREFIX
_SEND: Final = "sendMessage"
_OTHER: Final = "other"  # stands for names that are the client's own words

OwnMethod = Callable[[Session, Method], Awaitable[Reply]]


class Calls:
    """Runs the methods of all sessions."""

    def __init__(
        self,
        services: Services,
        *,
        login: OwnMethod,
        logins: Logins,
        rights: Rights,
        presence: PresenceLink,
        activity: Activity,
        relays: Relays,
        metrics: StreamerMetrics,
        convoys: Convoys,
        tracer: Tracer | None,
    ) -> None:
        """
        Args:
            login: the method of that name, with all that follows from it.
        """
        self._services = services
        self._rights = rights
        self._presence = presence
        self._activity = activity
        self._relays = relays
        self._metrics = metrics
        self._convoys = convoys
        self._tracer = tracer
        self._requests = 0  # methods called so far
        self._methods: dict[str, OwnMethod] = {
            "login": login,
            "logout": logins.logout,
            "getNewToken": logins.new_token,
            "removeOtherTokens": logins.remove_other_tokens,
            "logoutOtherClients": logins.logout_other_clients,
            "UserPresence:online": self._online,
            "UserPresence:away": self._away,
            "UserPresence:setDefaultStatus": self._set_status,
            "UserPresence:connect": self._nothing,
            "UserPresence:ping": self._nothing,
            "setUserStatus": self._set_status,
            "livechat:setUpConnection": self._nothing,
            "stream-notify-room": self._notify_room,
            "stream-notify-room-users": self._notify_room_users,
            "stream-notify-user": self._notify_user,
        }

    def is_parallel_safe(self, name: str) -> bool:
        """Whether the method may run beside others."""
        if name.startswith(_STREAM):
            return True
        row = METHODS.get(name)
        return row is not None and row.parallel_safe

    def may_follow(self, method: Method) -> bool:
        """Messages, which go in convoys. A reply may be to one that is still on its way."""
        message = method.params[0] if method.name == _SEND and method.params else None
        return isinstance(message, dict) and not message.get("tmid")

    async def call(self, session: Session, method: Method, excess: Excess | None) -> Reply:
        """Run a method. `excess`: the limit that it exceeds. Raises: HubbubError."""
        self._requests += 1
        request = f"{session.public_id}.{self._requests}"
        bind_contextvars(conn=session.public_id, req=request, uid=session.user_id)
        with call_context(request_id=request, user_id=session.user_id):
            if self._tracer is None:
                return await self._called(session, method, excess)
            known = method.name in self._methods or method.name in METHODS
            name = method.name if known else _OTHER
            with spanning(
                self._tracer,
                f"ddp.method {name}",
                SpanKind.SERVER,
                attributes={"rpc.system": "ddp", "rpc.method": name, "hubbub.request": request},
            ):
                return await self._called(session, method, excess)

    async def _called(self, session: Session, method: Method, excess: Excess | None) -> Reply:
        if excess is not None and not await self._is_lifted(session, excess):
            self._metrics.ratelimited.labels(excess.rule.name).inc()
            raise excess.error()
        own = self._methods.get(method.name)
        if own is not None:
            return await own(session, method)
        if method.name.startswith(_STREAM):
            return Reply()  # writing without the right to do so: no effect, no error
        row = METHODS.get(method.name)
        if row is None:
            raise NotFound(f"Method '{method.name}' not found", code=404)
        user_id = session.user_id
        caller = Caller(
            user_id=None if user_id is None else UserId(user_id),
            address=session.connection.peer.address or "",
            hashed_token=session.hashed_token or None,
        )
        value = await row.call(self._services, caller, method.params, self._convoys.send)
        if method.name == _SEND:
            self._metrics.sent.inc()
        return Reply(messages.MISSING if value is NOTHING else value)

    async def _is_lifted(self, session: Session, excess: Excess) -> bool:
        if session.user_id is None or excess.rule.unless is None:
            return False
        return await self._rights.learn(
            Question("permissions", session.user_id, excess.rule.unless)
        )

    async def _online(self, session: Session, _: Method) -> Reply:
        self._presence.status(session, Status.ONLINE)
        return Reply()

    async def _away(self, session: Session, _: Method) -> Reply:
        self._presence.status(session, Status.AWAY)
        return Reply()

    async def _set_status(self, session: Session, method: Method) -> Reply:
        if session.user_id is None:
            raise Unauthenticated("Invalid user", details={"method": method.name})
        status, text = (*method.params[:2], None, None)[:2]
        if method.name == "UserPresence:setDefaultStatus":
            text = None
        if not isinstance(status, str | None) or not isinstance(text, str | None):
            raise BadRequest("Match failed", code=400)
        try:
            wanted = Status(status) if status else None
        except ValueError:
            raise UnknownStatus("Invalid status") from None
        await self._services.presence.set_status(UserId(session.user_id), wanted, text)
        return Reply()

    async def _nothing(self, _: Session, __: Method) -> Reply:
        return Reply()

    async def _notify_room(self, session: Session, method: Method) -> Reply:
        await self._activity.write(session, method.params)
        return Reply()

    async def _notify_room_users(self, session: Session, method: Method) -> Reply:
        await self._relays.to_room(session, method.params)
        return Reply()

    async def _notify_user(self, session: Session, method: Method) -> Reply:
        await self._relays.to_user(session, method.params)
        return Reply()
