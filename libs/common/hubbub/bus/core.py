"""What every bus does the same way, whatever carries its messages."""

from __future__ import annotations

import random as random_module
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from hubbub.bus.bulkhead import Overflow
from hubbub.bus.callee import Answer, Callee, Endpoint
from hubbub.bus.caller import Calls, NobodyAnswers, Remote
from hubbub.bus.codec import ActionCodec, Plain
from hubbub.bus.context import current_call
from hubbub.bus.deadline import milliseconds, readers_of
from hubbub.bus.faults import OK_PREFIX, decode_error
from hubbub.bus.metrics import BusMetrics
from hubbub.bus.replies import ConnectionLost, NoResponders, ReplyTable
from hubbub.bus.served import actions_of
from hubbub.bus.settings import BusSettings
from hubbub.bus.subjects import call_subject, instance_subject
from hubbub.bus.sweeper import Sweeper
from hubbub.bus.tracing import tracer_of
from hubbub.bus.wire import Wire
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.base import Action, Contract, Event
from hubbub.errors import Timeout, Unavailable

C = TypeVar("C", bound=Contract)

_RAW_TIMEOUT = 5.0  # seconds


class Bus(Protocol):
    """Typed calls and events between services."""

    def proxy(self, contract: type[C], *, to: str | None = None) -> C:
        """An object with the contract's actions, each a call to some instance of the service.

        Args:
            to: the one instance to call, for draining and looking into things.
        """
        ...

    async def serve(self, service: object, *, group: bool = True) -> None:
        """Answer calls to the contracts that `service` implements, and call its `@listen`
        methods. When this returns, others reach it.

        Args:
            group: False for what is about one process: only those who name this instance
                (`proxy(..., to=instance)`) reach it, and no call lands on just any of them.

        Raises: TypeError: `service` keeps no contract, or not the whole of it.
        """
        ...

    async def listen(self, owner: object, *, service: str) -> None:
        """Call the `@listen` methods of `owner`, in the name of `service`."""
        ...

    async def publish(self, event: Event) -> None:
        """Tell whoever listens. Returns when the event is on its way; for an event that has
        durable listeners, when it is stored.

        Raises: TooLarge; Unavailable: it could not be handed over.
        """
        ...

    async def drain(self) -> None:
        """Take no new calls and events, finish those at hand. Calling others still works."""
        ...

    async def close(self) -> None:
        """End at once. Calls at hand are stopped, waiting callers get `Unavailable`."""
        ...


class _Proxy:
    """Carries the actions of a contract as attributes."""

    def __init__(self, contract: type[Any], actions: dict[str, Callable[..., Any]]) -> None:
        self.__dict__.update(actions)
        self.__dict__["_contract"] = contract

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.__dict__['_contract'].__name__} has no action {name!r}")

    def __repr__(self) -> str:
        return f"<proxy of {self.__dict__['_contract'].__name__}>"


class BusCore:
    """Proxies, callees, policies, metrics. A bus is this and something that carries messages."""

    def __init__(
        self,
        settings: BusSettings | None,
        *,
        service: str,
        instance: str,
        registry: CollectorRegistry | None,
        clock: Clock | None,
        tracer_provider: TracerProvider | None,
        random: Callable[[], float],
    ) -> None:
        self.settings = BusSettings() if settings is None else settings
        self.service = service
        self.instance = instance
        self.clock = SystemClock() if clock is None else clock
        self.metrics = BusMetrics(registry)
        self._random = random
        self._sweeper = Sweeper(readers_of(self.clock)[0])
        self._replies = ReplyTable(self._sweeper)
        self._tracer = tracer_of(tracer_provider)
        self._calls = Calls(
            self._wire(), self._replies, self.clock, self._tracer, random=self._random
        )
        self._overflow = Overflow(self.settings.waiting_bytes)
        self._proxies: dict[tuple[type[Any], str | None], Any] = {}
        self._codecs: dict[int, ActionCodec] = {}
        self.metrics.nats.late = lambda: self._replies.late
        self.metrics.nats.second = lambda: self._replies.second

    @abstractmethod
    def _wire(self) -> Wire:
        """What carries requests."""

    def proxy(self, contract: type[C], *, to: str | None = None) -> C:
        """An object typed as `contract` whose actions are calls. Cheap: made once, kept."""
        key = (contract, to)
        proxy = self._proxies.get(key)
        if proxy is None:
            actions = {
                name: self._remote(action, to).call for name, action in actions_of(contract).items()
            }
            proxy = self._proxies[key] = _Proxy(contract, actions)
        return cast(C, proxy)

    async def call_raw(
        self,
        service: str,
        method: str,
        body: bytes,
        *,
        timeout: float = _RAW_TIMEOUT,
        to: str | None = None,
    ) -> bytes:
        """Call by names and JSON, once, without policies: for the command line.

        Args:
            body: one JSON object of named arguments.
            to: the instance to call; any if None.

        Returns: the JSON of the result.

        Raises:
            HubbubError: what the callee raised; Unavailable: nobody is there; Timeout.
        """
        label = f"{service}.{method}"
        subject = (
            call_subject(service, method) if to is None else instance_subject(to, service, method)
        )
        wire = self._calls.wire
        if not wire.connected and not await wire.wait_connected(timeout):
            raise Unavailable("no connection to NATS")
        patience_ms = milliseconds(timeout)
        waiting = self._replies.open(self.clock.monotonic() + timeout)
        try:
            wire.request(subject.encode(), waiting.token, body, patience_ms, 1, current_call())
            reply = await waiting.future
        except NoResponders:
            raise NobodyAnswers(f"{to or service}: nobody answers") from None
        except ConnectionLost:
            raise Unavailable(f"{label}: the connection was lost") from None
        except Timeout:
            raise Timeout(f"{label}: no answer in {timeout:g} s") from None
        finally:
            self._replies.give_up(waiting)
        if isinstance(reply, Plain) or not reply.startswith(OK_PREFIX):
            raise decode_error(b"" if isinstance(reply, Plain) else reply)
        return reply[len(OK_PREFIX) : -1]

    def _remote(self, action: Action, to: str | None) -> Remote:
        service, method = action.contract, action.name
        return Remote(
            self._calls,
            self._codec(action),
            self.settings.policy(service, method, action.policy),
            self.metrics.client(service, method),
            service=service,
            method=method,
            subject=(
                call_subject(service, method)
                if to is None
                else instance_subject(to, service, method)
            ),
        )

    def _callee(self, contract: type[Contract], service: object, answer: Answer) -> Callee:
        """The answering side of `service` as far as it keeps `contract`."""
        name = contract.contract_name
        callee = Callee(
            name,
            answer,
            clock=self.clock,
            sweeper=self._sweeper,
            metrics=self.metrics,
            tracer=self._tracer,
            slow_call=self.settings.slow_call,
        )
        for method, action in actions_of(contract).items():
            callee.endpoints[method] = Endpoint(
                callee,
                self._codec(action),
                self.settings.policy(name, method, action.policy),
                self.metrics.server(name, method),
                getattr(service, method),
                self._overflow,
            )
        return callee

    def _codec(self, action: Action) -> ActionCodec:
        codec = self._codecs.get(id(action))
        if codec is None:
            codec = self._codecs[id(action)] = ActionCodec(action)
        return codec


real_random = random_module.random
