"""From names to deeds: methods and publications of all sessions, and what events do to them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider

from hubbub.contracts.event_log import Audience, room_audience
from hubbub.ddp import messages
from hubbub.ddp.messages import Method, Sub
from hubbub.doors.methods import Services
from hubbub.errors import BadRequest, NotFound, Timeout, Unavailable
from hubbub.telemetry.tracing import spanning, tracer_of
from services.ddp_streamer import streams
from services.ddp_streamer.activity import Activity
from services.ddp_streamer.audiences import ALL_ROOMS, Places
from services.ddp_streamer.calls import Calls
from services.ddp_streamer.closing import ResyncCloser
from services.ddp_streamer.convoys import Convoys
from services.ddp_streamer.fanout import Fanout, Person
from services.ddp_streamer.judge import Judge
from services.ddp_streamer.logins import Logins
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.positions import Allowance, Since, ready_extra, since_of
from services.ddp_streamer.presence_link import PresenceLink
from services.ddp_streamer.rates import Attempt, Excess, RateLimiter
from services.ddp_streamer.recent import Recent
from services.ddp_streamer.recovery import Arrival, Recovery
from services.ddp_streamer.relays import Relays
from services.ddp_streamer.rights import Rights
from services.ddp_streamer.room_judge import Routes as JudgeRoutes
from services.ddp_streamer.session import (
    AnonymousRefusal,
    Reply,
    Session,
    SessionLimits,
    Socket,
    Subscription,
    Work,
)
from services.ddp_streamer.streams import Manner, Plan, Who, Wish, not_allowed
from services.ddp_streamer.tasks import Tasks
from services.ddp_streamer.workspace import Workspace

_STREAM: Final = streams.PREFIX
_MESSAGES: Final = "room-messages"
_OTHER: Final = "other"  # stands for names that are the client's own words
_MAX_ID = 64  # characters of a user id that can be watched


class Routes(JudgeRoutes, Protocol):
    """What subscriptions need of `Audiences`."""

    def is_routed(self, audience: Audience) -> bool: ...
    def acquire_now(self, audience: Audience) -> bool: ...
    async def acquire(self, audiences: Iterable[Audience], *, timeout: float = 10.0) -> None: ...
    def release(self, audience: Audience) -> None: ...
    @property
    def places(self) -> Places: ...


class Router:
    """What sessions can do. Makes a session for every connection."""

    def __init__(
        self,
        services: Services,
        *,
        routes: Routes,
        fanout: Fanout,
        rights: Rights,
        logins: Logins,
        presence: PresenceLink,
        activity: Activity,
        relays: Relays,
        workspace: Workspace,
        closer: ResyncCloser,
        limiter: RateLimiter,
        metrics: StreamerMetrics,
        tasks: Tasks,
        limits: SessionLimits,
        max_subscriptions: int = 2_000,
        recent: Recent | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._recent = Recent() if recent is None else recent
        self._tracer = tracer_of(tracer_provider)
        self._routes = routes
        self._fanout = fanout
        self._rights = rights
        self._logins = logins
        self._workspace = workspace
        self._closer = closer
        self._limiter = limiter
        self._metrics = metrics
        self._tasks = tasks
        self._limits = limits
        self._max_subscriptions = max_subscriptions
        self.sessions: dict[Session, None] = {}
        self._empty = asyncio.Event()
        self._judge = Judge(
            services.authorization, rights, fanout, routes, self.sessions.keys(), tasks=tasks
        )
        self._recovery = Recovery(routes, fanout)
        self._gauges = {
            name: metrics.subscriptions.labels(name) for name in (*streams.STREAMS, "other")
        }
        self._calls = Calls(
            services,
            login=self._login,
            logins=logins,
            rights=rights,
            presence=presence,
            activity=activity,
            relays=relays,
            metrics=metrics,
            convoys=Convoys(services.messaging, tasks),
            tracer=self._tracer,
        )

    def open_session(self, connection: Socket) -> Session:
        """The session of a new connection."""
        session = Session(connection, self, self._limits, self._tasks)
        self.sessions[session] = None
        self._empty.clear()
        return session

    def start(self) -> None:
        """Begin what runs beside the sessions, as long as the streamer does."""
        for name, work in (
            ("judge-everybody", self._judge.judge_everybody()),
            ("judge-strangers", self._judge.judge_strangers()),
            ("tell-positions", self._recovery.keep_telling(self.tell_positions)),
        ):
            self._tasks.spawn(work, name, vital=True)

    def tell_positions(self) -> None:
        """Tell clients that asked for it where all their rooms are in the log."""
        # Sockets may be about to be without one of their rooms, by an event that waits.
        self._recovery.tell(self.sessions.keys(), unless=lambda: self._judge.rooms.busy)

    async def wait_until_empty(self) -> None:
        """Return when no session is left."""
        if self.sessions:
            await self._empty.wait()

    def may_resume(self, offered: str | None) -> bool:
        return self._logins.may_resume(offered)

    async def resume(self, session: Session, offered: str) -> None:
        await self._logins.resume(session, offered)

    # --- methods ------------------------------------------------------------------------------

    def excess(self, session: Session, message: Method | Sub) -> Excess | None:
        attempt = Attempt(
            message.name,
            session.public_id,
            session.user_id,
            session.connection.peer.address,
            is_sub=isinstance(message, Sub),
        )
        excess = self._limiter.check(attempt, asyncio.get_running_loop().time())
        if excess is not None and excess.rule.unless is None:
            self._metrics.ratelimited.labels(excess.rule.name).inc()
        return excess

    def is_parallel_safe(self, name: str) -> bool:
        return self._calls.is_parallel_safe(name)

    def may_follow(self, method: Method) -> bool:
        return self._calls.may_follow(method)

    async def call(self, session: Session, method: Method, excess: Excess | None) -> Reply:
        return await self._calls.call(session, method, excess)

    async def _login(self, session: Session, method: Method) -> Reply:
        reply = await self._logins.login(session, method)
        for subscription in list(session.subscriptions.values()):
            plan = subscription.plan
            if plan is not None and plan.manner is Manner.MY_MESSAGES:
                await self._attach(session, subscription)
        return reply

    # --- subscriptions ------------------------------------------------------------------------

    def subscribe_now(self, session: Session, work: Work) -> bool:
        if self._tracer is None:
            return self._subscribed_now(session, work)
        with self._traced_sub(self._tracer, work, at_once=True):
            return self._subscribed_now(session, work)

    def _subscribed_now(self, session: Session, work: Work) -> bool:
        found = self._prepare(session, work)
        if found is None:
            return True
        sub, plan, wish = found
        if (
            wish.since is not None
            or plan.manner is Manner.ROOMS_CHANGED
            or (plan.manner is Manner.MY_MESSAGES and session.person is not None)
        ):
            return False
        if self._verdict(session, plan) is None:
            return False
        if plan.audience is not None and not self._routes.acquire_now(plan.audience):
            return False
        self._open(session, sub, plan, wish)
        return True

    async def subscribe(self, session: Session, work: Work) -> None:
        if self._tracer is None:
            return await self._subscribe(session, work)
        with self._traced_sub(self._tracer, work, at_once=False):
            return await self._subscribe(session, work)

    def _traced_sub(
        self, tracer: Tracer, work: Work, *, at_once: bool
    ) -> AbstractContextManager[Span]:
        """A span around opening a subscription. One that cannot be opened at once has two."""
        stream = work.message.name.removeprefix(_STREAM)
        name = f"ddp.sub {stream if stream in streams.STREAMS else _OTHER}"
        attributes = {"rpc.system": "ddp", "hubbub.at_once": str(at_once).lower()}
        return spanning(tracer, name, SpanKind.SERVER, attributes=attributes)

    async def _subscribe(self, session: Session, work: Work) -> None:
        found = self._prepare(session, work)
        if found is None:
            return
        sub, plan, wish = found
        asked_by = session.person
        _ = self._verdict(session, plan)  # a known refusal routes nothing
        if plan.audience is not None and not self._routes.acquire_now(plan.audience):
            await self._routes.acquire([plan.audience])
        if wish.since is not None:
            await self._subscribe_since(session, work, found, wish.since)
            return
        person: Person | None = None
        try:
            if plan.manner in (Manner.ROOMS_CHANGED, Manner.MY_MESSAGES) and asked_by is not None:
                await self._follow(asked_by, plan)
                person = asked_by
            # Asked when the room's changes are heard already: the answer stays true.
            await self._decide(session, plan)
            while await self._routed_anew(plan, person):
                await self._decide(session, plan)
        except BaseException:
            self._give_back(plan, person)
            raise
        if session.closed or work.cancelled or session.person is not asked_by:
            self._give_back(plan, person)
            return
        self._open(session, sub, plan, wish, person)

    async def _subscribe_since(
        self, session: Session, work: Work, found: tuple[Sub, Plan, Wish], since: Since
    ) -> None:
        """Open a sub of a client that says where it was. Its audience is held.

        Raises: HubbubError, AnonymousRefusal; then the audience is released.
        """
        sub, plan, wish = found
        asked_by, opened = session.person, False
        allowance = session.allowance = session.allowance or Allowance()

        def enter(arrival: Arrival) -> bool:
            nonlocal opened
            if session.closed or work.cancelled or session.person is not asked_by:
                return True
            if self._verdict(session, plan) is None:
                return False
            allowance.spend(plan.audience or "", [event.payload for event in arrival.events])
            self._open(session, sub, plan, wish, arrival=arrival)
            self._metrics.client_recovery(arrival.missed, len(arrival.events))
            opened = True
            return True

        try:
            if plan.audience is not None:
                if session.listens_otherwise(plan.topic):
                    since = Since(None)  # what it missed before that is not to come behind it
                await self._recovery.arrive(
                    plan.audience,
                    plan.topic,
                    since,
                    allowance,
                    user_id=session.user_id,
                    decide=partial(self._decide, session, plan),
                    enter=enter,
                )
        finally:
            if not opened:
                self._give_back(plan)

    def _prepare(self, session: Session, work: Work) -> tuple[Sub, Plan, Wish] | None:
        """What a sub to a stream needs; None when it is answered already.

        Raises: HubbubError, AnonymousRefusal.
        """
        sub = work.message
        if not isinstance(sub, Sub):
            raise TypeError("not a sub")
        before = session.subscriptions.get(sub.id)
        if before is None and len(session.subscriptions) >= self._max_subscriptions:
            raise BadRequest("Too many subscriptions", code="error-too-many-subscriptions")
        if sub.name in streams.COMPATIBLE_PUBLICATIONS:
            session.activate(sub, None)
            self._gauges["other"].inc()
            session.send(messages.ready(sub.id))
            return None
        if not sub.name.startswith(_STREAM):
            raise NotFound(f"Subscription '{sub.name}' not found", code=404)
        wish = streams.wish(sub.params)
        plan = streams.plan(sub.name.removeprefix(_STREAM), wish.event, session.user_id)
        if plan.who is Who.LOGGED and session.person is None:
            raise AnonymousRefusal
        if plan.manner is Manner.PRESENCE:
            self._watch(session, sub, plan, wish)
            return None
        if plan.recoverable:
            wish = replace(wish, since=since_of(sub.params))
        if wish.since is None and before is not None and before.is_same(sub):
            self._tell_ready(session, sub, plan, wish)
            return None
        if plan.question is not None:
            self._rights.doubt(plan.question)
        return sub, plan, wish

    async def _routed_anew(self, plan: Plan, person: Person | None) -> bool:
        """Whether something of what is to be heard was lost since it was taken; then it begins
        anew, and returns when it has.

        What was lost is nobody's loss: clients fetch behind `ready`. What comes then must come.

        Raises: Unavailable: that cannot be routed now.
        """
        heard = [] if plan.audience is None else [plan.audience]
        if person is not None:
            heard += [room_audience(room_id) for room_id in person.places or ()]
            heard += [ALL_ROOMS] if plan.manner is Manner.MY_MESSAGES else []
        lost = [audience for audience in heard if not self._routes.is_routed(audience)]
        if lost:
            await self._routes.acquire(lost)
            for audience in lost:
                self._routes.release(audience)
        return bool(lost)

    async def _decide(self, session: Session, plan: Plan) -> None:
        """Returns in the moment in which the answer is known to be yes.

        Raises: NotAllowed, AnonymousRefusal; Unavailable, Timeout: nobody knows.
        """
        while self._verdict(session, plan) is None and plan.question is not None:
            await self._rights.learn(plan.question)

    def _verdict(self, session: Session, plan: Plan) -> bool | None:
        """True, or None while it is not known. Raises: NotAllowed, AnonymousRefusal."""
        if plan.question is None:
            return True
        verdict = self._rights.known(plan.question)
        if verdict is False:
            if session.person is None:
                raise AnonymousRefusal
            raise not_allowed()
        return verdict

    def _open(
        self,
        session: Session,
        sub: Sub,
        plan: Plan,
        wish: Wish,
        person: Person | None = None,
        arrival: Arrival | None = None,
    ) -> None:
        """From this moment on its events go to the session, and it says so."""
        subscription = session.activate(sub, plan)
        subscription.follows = person
        if plan.topic[0] == _MESSAGES:
            subscription.since = self._recent.now()
        self._gauges[plan.topic[0]].inc()
        if plan.manner is Manner.MY_MESSAGES:
            if person is not None:
                self._take_my_messages(session, person)
        else:
            self._fanout.topics.add(plan.topic, session)
        self._tell_ready(session, sub, plan, wish, arrival)

    def _tell_ready(
        self,
        session: Session,
        sub: Sub,
        plan: Plan,
        wish: Wish,
        arrival: Arrival | None = None,
    ) -> None:
        if wish.use_collection:
            # Some clients drop changes of a document that they do not have.
            fields = {"eventName": plan.topic[1]}
            session.send(messages.added(_STREAM + plan.topic[0], "id", fields))
        if arrival is None:
            session.send(messages.ready(sub.id))
            return
        session.connection.positioned = True
        for event in arrival.events:
            session.send_event(event)
        extra = ready_extra(arrival.position, recovered=arrival.missed is None)
        session.send(messages.ready(sub.id, extra))

    def ended(self, session: Session, subscription: Subscription) -> None:
        plan = subscription.plan
        if plan is None:
            self._gauges["other"].dec()
            return
        self._gauges[plan.topic[0]].dec()
        if subscription.since is not None:
            self._recent.unsubscribed(
                session.public_id, plan.topic, subscription.since, refused=subscription.refused
            )
        if plan.manner is Manner.PRESENCE:
            if session.main_presence == subscription.id:
                session.main_presence = None
                self._fanout.presence.forget(session.recipient)
            return
        if not session.listens_otherwise(plan.topic):
            if plan.manner is Manner.MY_MESSAGES:
                self._leave_my_messages(session, subscription.follows)
            else:
                self._fanout.topics.remove(plan.topic, session)
        self._give_back(plan, subscription.follows)

    def _give_back(self, plan: Plan, person: Person | None = None) -> None:
        """Release what a subscription holds."""
        if plan.audience is not None:
            self._routes.release(plan.audience)
        if person is not None:
            self._fanout.memberships.unwant(person)
            if plan.manner is Manner.MY_MESSAGES:
                self._routes.release(ALL_ROOMS)

    # --- following all rooms ------------------------------------------------------------------

    async def _follow(self, person: Person, plan: Plan) -> None:
        """Raises: Unavailable, Timeout; then nothing is held."""
        if plan.manner is Manner.MY_MESSAGES and not self._routes.acquire_now(ALL_ROOMS):
            await self._routes.acquire([ALL_ROOMS])
        try:
            await self._fanout.memberships.want(person)
        except BaseException:
            if plan.manner is Manner.MY_MESSAGES:
                self._routes.release(ALL_ROOMS)
            raise

    async def _attach(self, session: Session, subscription: Subscription) -> None:
        """A sub that was opened before the login carries events from the login on."""
        person, plan = session.person, subscription.plan
        if person is None or plan is None or subscription.follows is not None:
            return
        try:
            await self._follow(person, plan)
        except (Unavailable, Timeout) as error:
            session.end(subscription, error)
            return
        if session.subscriptions.get(subscription.id) is not subscription:
            self._give_back(plan, person)
            return
        subscription.follows = person
        subscription.since = self._recent.now()
        self._take_my_messages(session, person)

    def _take_my_messages(self, session: Session, person: Person) -> None:
        person.my_messages[session.recipient] = session
        self._fanout.public_rooms.add(person)

    def _leave_my_messages(self, session: Session, person: Person | None) -> None:
        if person is not None:
            person.my_messages.pop(session.recipient, None)
            if not person.my_messages:
                self._fanout.public_rooms.remove(person)

    # --- presence -----------------------------------------------------------------------------

    def _watch(self, session: Session, sub: Sub, plan: Plan, wish: Wish) -> None:
        """The first sub stays; every later one changes what it watches and ends at once."""
        if session.main_presence is None:
            session.activate(sub, plan)
            self._gauges[plan.topic[0]].inc()
            session.main_presence = sub.id
            self._tell_ready(session, sub, plan, wish)
        elif session.main_presence == sub.id:
            self._tell_ready(session, sub, plan, wish)
        elif (before := session.subscriptions.get(sub.id)) is not None:
            session.end(before)
        else:
            session.send(messages.nosub(sub.id))
        delta = wish.presence_delta
        self._fanout.presence.watch(session.recipient, _user_ids(delta.get("added")))
        self._fanout.presence.unwatch(session.recipient, _user_ids(delta.get("removed")))

    # --- what events do to sessions -----------------------------------------------------------

    def lost(self, session: Session) -> None:
        self._closer.add(session)

    def closed(self, session: Session) -> None:
        self._logins.leave(session, answer=False)
        self.sessions.pop(session, None)
        if not self.sessions:
            self._empty.set()

    def user_data_changed(self, user_id: str, payload: bytes) -> None:
        self._logins.user_data_changed(user_id, payload)

    def account_changed(self, user_id: str, *, rights: bool) -> None:
        self._logins.account_changed(user_id)
        if rights:
            self.judge_person(user_id)

    def judge_person(self, user_id: str) -> None:
        person = self._fanout.people.get(user_id)
        if person is not None:
            self._judge.person_changed(person)

    def rights_changed(self, what: str) -> None:
        if what in ("settings", "all"):
            self._workspace.settings_changed()
        self._judge.rights_changed(what)

    def room_access_changed(self, room_id: str, sequence: int) -> None:
        self._judge.rooms.room_changed(room_id, sequence)


def _user_ids(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, str) and 0 < len(item) <= _MAX_ID]
