"""Logs: one JSON line per event on standard output, or colours when a person is looking.

    log = get_logger(__name__)
    log.info("session_closed", code=1001, frames=412)

The event is a constant in snake_case; everything variable is a key:

    req                the request, from the door through all services
    conn uid rid mid   connection, user, room, message: ids, never names or texts
    method stream route outcome dur_ms   what was done, at its end
    err err_type       what went wrong; beside them stands `exception` for defects
    peer               a client's address, of which the network is shown
    reason             why something was refused, dropped or filtered: a word of the metrics

Secrets do not get out: values of telling keys are masked, credentials inside URLs are cut, and
what libraries quote of data in their errors is left out.
"""

from __future__ import annotations

import io
import logging
import socket
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, BinaryIO, Literal, TextIO, cast

import orjson
import structlog
from opentelemetry import trace
from pydantic_settings import SettingsConfigDict
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

from hubbub.settings import Settings
from hubbub.telemetry.collapse import Collapse
from hubbub.telemetry.redaction import Redaction, name_error, network_of, redacted, traceback
from hubbub.telemetry.version import version

__all__ = [
    "LogSettings",
    "bind_contextvars",
    "clear_contextvars",
    "configure",
    "get_level",
    "get_logger",
    "network_of",
    "redacted",
    "set_level",
]

EventDict = MutableMapping[str, Any]

Level = Literal["debug", "info", "warning", "error"]


class _Logger(structlog.make_filtering_bound_logger(logging.INFO)):  # type: ignore[misc]  # made at run time
    """The class of all our loggers once they are configured.

    Loggers are kept where they were first used, so a level is changed by changing this class;
    a call below the level stays as cheap as an empty function.
    """


class LogSettings(Settings):
    """How a process logs."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_LOG_")

    level: Level = "info"
    """Least level that is written. `debug` is for developers: it writes a line per message."""
    format: Literal["auto", "json", "console"] = "auto"
    """`json`, `console` (colours, for people), or `auto`: console on a terminal, else JSON."""
    full_ip: bool = False
    """Write addresses of clients whole. Otherwise their network: /24, of IPv6 /48."""
    content: bool = False
    """Write texts of messages where a line has one. For development only."""


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of a module; `name` becomes its key `logger`."""
    logger: FilteringBoundLogger = structlog.get_logger(logger_name=name)
    return logger


def configure(settings: LogSettings, *, service: str, instance: str) -> None:
    """Send this process's logs, and those of its libraries, to standard output.

    Called once per process, before the first line is logged.
    """
    as_json = settings.format == "json" or (settings.format == "auto" and not _is_terminal())
    identity = {
        "service": service,
        "instance": instance,
        "version": version(),
        "pod": socket.gethostname(),
    }
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _name_logger,
        _Identity(identity) if as_json else _unchanged,
        _add_trace,
        name_error,
        Redaction(content=settings.content, full_ip=settings.full_ip),
        Collapse(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    structlog.configure(
        processors=[*shared, *_rendering(as_json=as_json)],
        wrapper_class=_Logger,
        logger_factory=(
            structlog.BytesLoggerFactory(cast(BinaryIO, _Patient(sys.stdout.buffer)))
            if as_json
            else structlog.PrintLoggerFactory(sys.stdout)
        ),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(shared, as_json=as_json)
    set_level(settings.level)


def set_level(level: Level) -> None:
    """Write lines of `level` and above from now on; for a process whose logs are configured."""
    number = logging.getLevelNamesMapping()[level.upper()]
    for name, member in vars(structlog.make_filtering_bound_logger(number)).items():
        if not name.startswith("__"):
            setattr(_Logger, name, member)
    # Libraries speak a lot on info; ours is the life-cycle that an operator reads.
    library = max(number, logging.WARNING) if number > logging.DEBUG else logging.INFO
    logging.getLogger().setLevel(library)


def get_level() -> Level:
    """The least level that is written now."""
    number: int = _Logger.get_effective_level(None)
    return cast(Level, logging.getLevelName(number).lower())


def _rendering(*, as_json: bool) -> list[Processor]:
    if not as_json:
        console = structlog.dev.ConsoleRenderer(
            colors=_is_terminal(),
            timestamp_key="ts",
            exception_formatter=structlog.dev.plain_traceback,
        )
        return [console]
    return [
        structlog.processors.EventRenamer("msg"),
        # Local variables hold passwords and messages: a traceback shows none of them.
        structlog.processors.ExceptionRenderer(traceback),
        structlog.processors.JSONRenderer(serializer=_json),
    ]


def _configure_libraries(shared: list[Processor], *, as_json: bool) -> None:
    """Give what aiohttp, nats, pymongo and others log through `logging` the same form."""
    rendering = _rendering(as_json=as_json)
    if as_json:
        rendering = [*rendering[:-1], structlog.processors.JSONRenderer(serializer=_json_text)]
    handler = _Output(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(capture=True)


class _Output(logging.StreamHandler[TextIO]):
    """Writes what libraries log; a line that is held back is no error."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except structlog.DropEvent:
            return
        with suppress(BrokenPipeError):
            self.stream.write(line + self.terminator)
            self.flush()


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _json(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=_foreign, option=orjson.OPT_NON_STR_KEYS)


def _json_text(value: Any, **_: Any) -> str:
    return _json(value).decode()


def _foreign(value: Any) -> str:
    return redacted(str(value))


def _name_logger(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """structlog keeps the plain name `logger` for itself until here."""
    if "logger_name" in event:
        event["logger"] = event.pop("logger_name")
    return event


def _unchanged(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return event


class _Patient(io.RawIOBase):
    """An output whose reader may be gone: a process still ends well when nobody listens."""

    def __init__(self, output: BinaryIO) -> None:
        super().__init__()
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, line: Any) -> int:
        with suppress(BrokenPipeError):
            self._output.write(line)
        return len(line)

    def flush(self) -> None:
        with suppress(BrokenPipeError):
            self._output.flush()


class _Identity:
    """Adds who is speaking to each line."""

    def __init__(self, identity: dict[str, str]) -> None:
        self._identity = identity

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for key, value in self._identity.items():
            event.setdefault(key, value)
        return event


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Name the current trace, if there is one, so that log and trace find each other."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
