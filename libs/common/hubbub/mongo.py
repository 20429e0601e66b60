"""The MongoDB client: the one place that says which driver and which promises Hubbub uses.

Whatever a user sees is written with majority and journal, and read with majority, so that no
acknowledged write disappears when a primary dies. Queries live in each service's `store.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

from bson.codec_options import DatetimeConversion
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from prometheus_client import CollectorRegistry, Gauge, Histogram
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from pymongo import AsyncMongoClient, monitoring
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from hubbub.errors import Unavailable
from hubbub.settings import Settings
from hubbub.telemetry.log import redacted
from hubbub.telemetry.metrics import FAST
from hubbub.telemetry.tracing import tracer_of

Document: TypeAlias = dict[str, Any]
Client: TypeAlias = AsyncMongoClient[Document]
Database: TypeAlias = AsyncDatabase[Document]

Unreachable: TypeAlias = PyMongoError
"""What `check` raises while nobody answers."""

DEFAULT_DATABASE = "hubbub"
_RETRYABLE = ("RetryableWriteError", "TransientTransactionError")
_LOCK_LOST = "Lock is not acquired"
_AWAY = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436})
"""Codes by which a server says that it cannot answer now: it shuts down, is no primary (any more),
does not reach another one, was interrupted or out of time. The driver repeats such a read once,
and then raises what is no `ConnectionFailure`."""


class MongoSettings(Settings):
    """Where the database is and how patient its client is."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_MONGO_")

    url: SecretStr = SecretStr("mongodb://127.0.0.1:27017/hubbub")
    """Connection string of a replica set. Its path names the database (default `hubbub`)."""
    pool_size: int = Field(default=100, ge=1, le=1000)
    """Connections that one process keeps to each member at most."""
    server_selection_timeout: float = Field(default=5.0, gt=0)
    """Seconds to wait for a primary. Longer than an election takes on a tuned replica set."""
    connect_timeout: float = Field(default=3.0, gt=0)
    """Seconds to wait for a connection to one member."""
    socket_timeout: float = Field(default=10.0, gt=0)
    """Seconds to wait for an answer before a connection counts as dead."""

    @field_validator("url")
    @classmethod
    def _is_mongodb_url(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("it should start with mongodb:// or mongodb+srv://")
        return url

    @property
    def shown_url(self) -> str:
        """The connection string without credentials, for logs and messages."""
        return redacted(self.url.get_secret_value())


class UnusableDatabase(Exception):
    """MongoDB answers, but Hubbub cannot work with it. The text says what to do."""


def connect(
    settings: MongoSettings, *, app_name: str, registry: CollectorRegistry | None = None
) -> Client:
    """A client for everything that users see. It connects on first use; close it when done."""
    return AsyncMongoClient(
        settings.url.get_secret_value(), **_options(settings, app_name, registry)
    )


def connect_hub(
    settings: MongoSettings, *, app_name: str, registry: CollectorRegistry | None = None
) -> Client:
    """A client for reading change streams: impatient, and not to be stopped by any document.

    Dates that Python cannot hold are clamped and broken UTF-8 is replaced, since one such
    document, written by any tool, would otherwise stop the stream for everybody.
    """
    options = _options(settings, app_name, registry) | {
        "socketTimeoutMS": 3000,
        "datetime_conversion": DatetimeConversion.DATETIME_CLAMP,
        "unicode_decode_error_handler": "replace",
    }
    return AsyncMongoClient(settings.url.get_secret_value(), **options)


def database_of(client: Client) -> Database:
    """The database that the connection string names, else `hubbub`."""
    return client.get_default_database(DEFAULT_DATABASE)


async def check(client: Client) -> str:
    """Make sure that the server is one that Hubbub's promises hold on; returns its version.

    Raises:
        UnusableDatabase: a standalone server, a set that was never initiated, or one that
            acknowledges majority writes before they are in the journal.
        Unreachable: nobody answers, for now.
    """
    try:
        hello = await client.admin.command("hello")
    except PyMongoError:
        _explain_ghosts(client)
        raise
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise UnusableDatabase(
            "MongoDB runs as a standalone server, but change streams and transactions need a "
            "replica set: start mongod with --replSet rs0 and run rs.initiate() once"
        )
    await _check_journal(client)
    info = await client.server_info()
    return str(info["version"])


@contextmanager
def answering() -> Iterator[None]:
    """Where the driver says that the database does not answer for now, say `Unavailable`.

    Of a write the outcome may be unknown, as with every `Unavailable` of a write.
    """
    try:
        yield
    except PyMongoError as error:
        away = isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError)
        away = away or (isinstance(error, OperationFailure) and error.code in _AWAY)
        if away or error.timeout or any(map(error.has_error_label, _RETRYABLE)):
            raise Unavailable("the database does not answer") from error
        raise
    except RuntimeError as error:
        # Up to Python 3.11 a task that is cancelled while it waits for one of the driver's
        # connections may give back a lock that another task holds, and that one finds out.
        if not str(error).startswith(_LOCK_LOST):  # with a full stop, or without
            raise
        raise Unavailable("no connection to the database in time") from error


def _explain_ghosts(client: Client) -> None:
    """A member started with --replSet but never initiated is found, yet never selected."""
    servers = client.topology_description.server_descriptions().values()
    if any(server.server_type_name == "RSGhost" for server in servers):
        raise UnusableDatabase(
            "MongoDB was started with --replSet, but the set was never initiated: "
            "run rs.initiate() once"
        )


async def _check_journal(client: Client) -> None:
    try:
        answer = await client.admin.command("replSetGetConfig")
    except OperationFailure:
        return  # a user without the right to ask, or a mongos: nothing to judge
    if answer["config"].get("writeConcernMajorityJournalDefault") is False:
        raise UnusableDatabase(
            "the replica set has writeConcernMajorityJournalDefault: false, so a power cut "
            "could lose acknowledged messages: set it to true with rs.reconfig()"
        )


def _options(
    settings: MongoSettings, app_name: str, registry: CollectorRegistry | None
) -> dict[str, Any]:
    listeners = MongoMetrics.of(registry).listeners() if registry is not None else []
    tracer = tracer_of()
    if tracer is not None:
        listeners.append(CommandSpans(tracer))
    return {
        "appname": app_name,
        "w": "majority",
        "journal": True,
        "retryWrites": True,
        "retryReads": True,
        "readConcernLevel": "majority",
        "serverSelectionTimeoutMS": round(settings.server_selection_timeout * 1000),
        "connectTimeoutMS": round(settings.connect_timeout * 1000),
        "socketTimeoutMS": round(settings.socket_timeout * 1000),
        # Members are heard every two seconds instead of ten: one that stands still with all its
        # connections open is given up after that and `connect_timeout`, and what waits for it
        # is cancelled and goes to its successor.
        "heartbeatFrequencyMS": 2000,
        "maxIdleTimeMS": 300_000,
        "maxPoolSize": settings.pool_size,
        "tz_aware": True,
        "event_listeners": listeners,
    }


class MongoMetrics:
    """What the driver reports about its commands and connections."""

    _COMMANDS: ClassVar = frozenset(
        "abortTransaction aggregate bulkWrite commitTransaction count createIndexes delete "
        "distinct find findAndModify getMore insert killCursors update".split()
    )
    _made: ClassVar[WeakKeyDictionary[CollectorRegistry, MongoMetrics]] = WeakKeyDictionary()

    def __init__(self, registry: CollectorRegistry) -> None:
        self.durations = Histogram(
            "hubbub_mongo_command_duration_seconds",
            "How long MongoDB took for a command.",
            ["command", "outcome"],
            buckets=FAST,
            registry=registry,
        )
        self.waits = Histogram(
            "hubbub_mongo_checkout_wait_seconds",
            "How long an operation waited for a connection of the pool.",
            buckets=FAST,
            registry=registry,
        )
        connections = Gauge(
            "hubbub_mongo_pool_connections",
            "Connections to MongoDB.",
            ["state"],
            registry=registry,
        )
        self._pools: list[_PoolListener] = []
        connections.labels("in_use").set_function(lambda: sum(p.in_use for p in self._pools))
        connections.labels("idle").set_function(lambda: sum(p.idle for p in self._pools))

    @classmethod
    def of(cls, registry: CollectorRegistry) -> MongoMetrics:
        """The metrics of `registry`, made once: several clients of a process share them."""
        metrics = cls._made.get(registry)
        if metrics is None:
            metrics = cls._made[registry] = cls(registry)
        return metrics

    def listeners(self) -> list[monitoring._EventListener]:
        """Listeners for one new client."""
        pool = _PoolListener(self.waits)
        self._pools.append(pool)
        return [_CommandListener(self), pool]

    def observe(self, command: str, outcome: str, microseconds: int) -> None:
        """Count one finished command; names outside the known ones become `other`."""
        name = command if command in self._COMMANDS else "other"
        self.durations.labels(name, outcome).observe(microseconds / 1e6)


class _CommandListener(monitoring.CommandListener):
    def __init__(self, metrics: MongoMetrics) -> None:
        self._metrics = metrics

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Only ends are counted."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._metrics.observe(event.command_name, "ok", event.duration_micros)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._metrics.observe(event.command_name, "error", event.duration_micros)


class CommandSpans(monitoring.CommandListener):
    """A span `mongo <command>` for each command that is sent for a recorded trace.

    The driver calls it in the task that waits for the answer, so the current span there is the
    one that the command is done for. Commands of nobody (watching servers) make no spans.
    """

    _MOST: ClassVar = 1_000  # commands under way that are remembered

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[int, Span] = {}  # request id → span

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """A command is on its way."""
        if not trace.get_current_span().is_recording() or len(self._open) >= self._MOST:
            return
        command = event.command_name
        attributes = {
            "db.system.name": "mongodb",
            "db.operation.name": command,
            "db.namespace": event.database_name,
        }
        # The names of collections are ours; everything else in a command may be people's data.
        collection = event.command.get("collection" if command == "getMore" else command)
        if isinstance(collection, str):
            attributes["db.collection.name"] = collection
        self._open[event.request_id] = self._tracer.start_span(
            f"mongo {command}", kind=SpanKind.CLIENT, attributes=attributes
        )

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """It was answered."""
        span = self._open.pop(event.request_id, None)
        if span is not None:
            span.end()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """It was refused, or the answer did not come."""
        span = self._open.pop(event.request_id, None)
        if span is not None:
            failure = event.failure
            kind = failure.get("codeName") or failure.get("errtype") or "error"
            span.set_attribute("error.type", str(kind))
            span.set_status(Status(StatusCode.ERROR))
            span.end()


class _PoolListener(monitoring.ConnectionPoolListener):
    """Knows the open connections of one client, and which of them are in use.

    Sets instead of counters: the driver may close a connection before or after it hands it
    back, and a set cannot count one twice.
    """

    def __init__(self, waits: Histogram) -> None:
        self._waits = waits
        self._open: set[tuple[Any, int]] = set()  # (server address, connection id)
        self._used: set[tuple[Any, int]] = set()

    @property
    def in_use(self) -> int:
        return len(self._used)

    @property
    def idle(self) -> int:
        return max(0, len(self._open) - len(self._used))

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        self._open.add((event.address, event.connection_id))

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        self._used.add((event.address, event.connection_id))
        self._waits.observe(event.duration or 0.0)

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        self._used.discard((event.address, event.connection_id))

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        self._open.discard((event.address, event.connection_id))
        self._used.discard((event.address, event.connection_id))

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        """Counted when it is ready."""

    def connection_check_out_started(
        self, event: monitoring.ConnectionCheckOutStartedEvent
    ) -> None:
        """Only its end is measured."""

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        """Seen as a failed command."""

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        """Nothing to count."""

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        """Nothing to count."""

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        """Its connections report their own end."""

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        """Its connections report their own end."""
