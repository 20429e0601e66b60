"""From an HTTP request to an answer: find, read, identify, limit, permit, run, write."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiohttp import web
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

from hubbub.bus import call_context
from hubbub.contracts.account import Identity
from hubbub.contracts.tracing import valid_parent
from hubbub.errors import BadRequest, HubbubError, Internal, RateLimited, Unauthenticated
from hubbub.telemetry.log import bind_contextvars, clear_contextvars, get_logger
from hubbub.telemetry.sparing import Sparing
from hubbub.telemetry.tracing import Doorstep, TracingSettings, spanning, tracer_of
from services.gateway.rest import answers, forms
from services.gateway.rest.answers import Answer
from services.gateway.rest.call import Call, Door
from services.gateway.rest.cors import Cors
from services.gateway.rest.forms import InMemory
from services.gateway.rest.rate_limit import RateLimit
from services.gateway.rest.requests import Parameters, parse_body, parse_query
from services.gateway.rest.router import Endpoint, Table, WrongMethod
from services.gateway.rest.transport import BadTransport, address_of, read_body, target_of

log = get_logger(__name__)
_refused = Sparing(log, "refused")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_AGENT: Final = 200  # characters of what a client calls itself
_BYPASS: Final = "api-bypass-rate-limit"
UNKNOWN_ROUTE: Final = "unknown"


@dataclass(slots=True)
class _Seen:
    """What is known of a request while it is answered."""

    request_id: str
    route: str = UNKNOWN_ROUTE
    cors: Cors = field(default_factory=lambda: Cors(""))
    limit_headers: Mapping[str, str] | None = None
    trace_parent: str | None = None
    status: int = 0


class Application:
    """Answers every request under `/api/`. It never raises and always answers with JSON."""

    def __init__(
        self,
        table: Table,
        door: Door,
        limit: RateLimit | None,
        *,
        tracing: TracingSettings | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._tracer = tracer_of(tracer_provider)
        self._doorstep = Doorstep(tracing or TracingSettings())
        self._table = table
        self._door = door
        self._settings = door.settings
        self._limit = limit

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request."""
        began = time.perf_counter()
        request_id = _request_id(request)
        seen = _Seen(request_id)
        clear_contextvars()  # one connection carries many requests
        bind_contextvars(req=request_id)
        with (
            self._door.metrics.inflight.track_inprogress(),
            self._traced(request, seen),
            call_context(request_id=request_id, trace_parent=seen.trace_parent),
        ):
            answer = await self._answer(request, request_id, seen)
            response = self._written(request, answer, request_id, seen)
            seen.status = response.status
        self._door.metrics.answered(
            seen.route, request.method, response.status, time.perf_counter() - began
        )
        return response

    @contextmanager
    def _traced(self, request: web.BaseRequest, seen: _Seen) -> Iterator[None]:
        """A span around the request, in its client's trace. Without spans of our own that trace
        is handed on as it came."""
        if self._tracer is None:
            seen.trace_parent = valid_parent(request.headers.get("traceparent"))
            yield
            return
        method = request.method if request.method in _METHODS else "HTTP"
        with spanning(
            self._tracer,
            method,
            SpanKind.SERVER,
            attributes={"http.request.method": method, "hubbub.request": seen.request_id},
            context=self._doorstep.context(request.headers),
        ) as span:
            yield
            if span.is_recording():
                span.update_name(f"{method} {seen.route}")
                span.set_attributes(
                    {"http.route": seen.route, "http.response.status_code": seen.status}
                )
                if seen.status >= 500:
                    span.set_status(Status(StatusCode.ERROR))

    async def _answer(
        self, request: web.BaseRequest, request_id: str, seen: _Seen
    ) -> Answer | web.StreamResponse:
        try:
            async with asyncio.timeout(self._settings.request_timeout) as patience:
                return await self._endpoint_answer(request, seen, patience)
        except BadTransport as error:
            self._door.metrics.bad_input(error.code)
            _refused(route=seen.route, req=request_id, reason=error.code)
            return answers.unreadable(error.status, error.reason, error.code)
        except TimeoutError:
            log.warning("request_timed_out", route=seen.route, req=request_id)
            return answers.unavailable()
        except HubbubError as error:
            if isinstance(error, Internal):
                log.warning("service_failed", route=seen.route, req=request_id, id=error.error_id)
            else:
                _refused(route=seen.route, req=request_id, reason=str(error.code))
            return answers.refusal(error)
        except Exception:
            # A defect of ours: the log has it all, the client a number to ask with.
            log.exception("request_failed", route=seen.route, req=request_id)
            return answers.failure()

    async def _endpoint_answer(
        self, request: web.BaseRequest, seen: _Seen, patience: asyncio.Timeout
    ) -> Answer | web.StreamResponse:
        target = target_of(request)
        seen.cors = await self._door.workspace.cors()
        if not seen.cors.accepts(request.headers.get("Origin")):
            return Answer(None, status=403)
        if request.method == "OPTIONS":
            return seen.cors.preflight()
        endpoint = self._table.find(request.method, target.path)
        if endpoint is None:
            return answers.no_endpoint()
        if isinstance(endpoint, WrongMethod):
            return answers.wrong_method(endpoint.allowed)
        seen.route = endpoint.path
        if len(target.raw_query) > self._settings.max_query_bytes:
            raise BadTransport(414, "Query string is too long", "error-query-too-long")
        address = address_of(request, self._settings.forwarded_count)
        query = parse_query(target.raw_query)
        rest = endpoint.rest_of(target.path)
        counted = _counted(endpoint, rest)
        caller = await self._admit(endpoint, request, query, (address, counted), seen)
        call = Call(
            door=self._door,
            caller=caller,
            query=query,
            body=Parameters({}),
            headers=request.headers,
            address=address,
            rest=rest,
            request=request,
            request_id=seen.request_id,
        )
        patience.reschedule(None)  # reading a body has bounds of its own
        if not endpoint.streams:
            call = await self._with_body(call, endpoint, request)
            now = asyncio.get_running_loop().time()
            patience.reschedule(now + self._settings.request_timeout)
        origin = _origin(address, request.headers.get("User-Agent", ""))
        with call_context(user_id=caller.user_id if caller else None, origin=origin):
            if endpoint.permission is not None:
                await call.require(endpoint.permission)
            result = await endpoint.run(call)
        if isinstance(result, Answer | web.StreamResponse):
            return result
        return answers.success(result)

    async def _with_body(self, call: Call, endpoint: Endpoint, request: web.BaseRequest) -> Call:
        upload = endpoint.upload
        if upload is None or upload.limit is None or not forms.is_multipart(request):
            return replace(call, body=await self._body(request))
        file = InMemory(upload.limit)
        fields = await call.receive(file, name=upload.field, limit=upload.limit)
        return replace(call, body=fields, file=file if file.begun else None)

    async def _admit(
        self,
        endpoint: Endpoint,
        request: web.BaseRequest,
        query: Parameters,
        counted: tuple[str, str],
        seen: _Seen,
    ) -> Identity | None:
        """Who calls, after the call was counted. Guessing tokens counts like any other call."""
        try:
            caller = await self._identify(endpoint, request, query)
        except Unauthenticated:
            await self._count(endpoint, counted, None, seen)
            raise
        await self._count(endpoint, counted, caller, seen)
        return caller

    async def _identify(
        self, endpoint: Endpoint, request: web.BaseRequest, query: Parameters
    ) -> Identity | None:
        if endpoint.access == "anonymous":
            return None
        shown = _shown_by_browser(request, query) if endpoint.page else request.headers
        try:
            identity = await self._door.authentication.identify(shown)
        except Unauthenticated:
            if endpoint.access == "required":
                raise
            return None
        if identity is None and endpoint.access == "required":
            raise Unauthenticated("Invalid user")
        return identity

    async def _count(
        self, endpoint: Endpoint, counted: tuple[str, str], caller: Identity | None, seen: _Seen
    ) -> None:
        """Count one call: from an address, under a name."""
        if self._limit is None or endpoint.calls == 0:
            return
        rule = await self._door.workspace.rate_rule()
        if rule is None:
            return
        if caller is not None and await self._door.services.authorization.has_permission(
            caller.user_id, _BYPASS
        ):
            return
        if endpoint.calls is not None:
            rule = replace(rule, calls=endpoint.calls)
        if endpoint.window is not None:
            rule = replace(rule, window=endpoint.window)
        verdict = await self._limit.count(*counted, rule)
        seen.limit_headers = verdict.headers
        if verdict.refused:
            raise RateLimited(details={"timeToReset": verdict.wait * 1000})

    async def _body(self, request: web.BaseRequest) -> Parameters:
        if request.method not in _WITH_BODY or not request.can_read_body:
            return Parameters({})
        raw = await read_body(
            request,
            limit=self._settings.max_body_bytes,
            grace=self._settings.body_grace,
            min_rate=self._settings.min_body_rate,
        )
        try:
            return parse_body(raw, request.content_type)
        except BadRequest:
            self._door.metrics.bad_input("body")
            raise

    def _written(
        self,
        request: web.BaseRequest,
        answer: Answer | web.StreamResponse,
        request_id: str,
        seen: _Seen,
    ) -> web.StreamResponse:
        if isinstance(answer, web.StreamResponse):
            if not answer.prepared:
                answer.headers["X-Request-Id"] = request_id
            return answer
        try:
            body = b"" if answer.body is None else answer.encoded()
        except (TypeError, ValueError):
            log.exception("answer_not_encodable", route=seen.route, req=request_id)
            answer = answers.failure()
            body = answer.encoded()
        response = web.Response(
            status=answer.status,
            body=body,
            headers={
                **answers.JSON_HEADERS,
                **seen.cors.headers(request.headers.get("Origin")),
                **(seen.limit_headers or {}),
                **answer.headers,
                "X-Request-Id": request_id,
            },
        )
        if answer.closes:
            response.force_close()
        return response


def _shown_by_browser(request: web.BaseRequest, query: Parameters) -> Mapping[str, str]:
    """The two headers, or what a browser sends in their place: cookies, or part of the address.

    Cookies come by themselves, also with what a page of somebody else asks for. Browsers say so,
    and then they do not count (Fetch Metadata Request Headers).
    """
    if "X-Auth-Token" in request.headers or "X-User-Id" in request.headers:
        return request.headers
    foreign = request.headers.get("Sec-Fetch-Site", "").lower() == "cross-site"
    for source in (query.values,) if foreign else (request.cookies, query.values):
        token, user_id = source.get("rc_token"), source.get("rc_uid")
        if isinstance(token, str) and isinstance(user_id, str):
            return {"X-Auth-Token": token, "X-User-Id": user_id}
    return {}


def _counted(endpoint: Endpoint, rest: str) -> str:
    """The name under which calls are counted. What stands in its path may be a secret."""
    name = f"{endpoint.method} {endpoint.path}"
    if not endpoint.counted_apart:
        return name
    return f"{name} {hashlib.sha256(rest.encode()).hexdigest()[:32]}"


def _origin(address: str, agent: str) -> str:
    """Where a call comes from, as records of it say."""
    plain = agent[:_LONGEST_AGENT].encode("ascii", "replace").decode()
    return f"{address} {plain}".rstrip()


def _request_id(request: web.BaseRequest) -> str:
    """The id that a proxy in front gave, or a new one."""
    offered = request.headers.get("X-Request-Id", "")
    return offered if _REQUEST_ID.fullmatch(offered) else secrets.token_hex(8)


def describe(table: Table) -> list[dict[str, Any]]:
    """Every endpoint with its method, access and summary, as documentation lists them."""
    return [
        {
            "method": endpoint.method,
            "path": endpoint.path,
            "access": endpoint.access,
            "permission": endpoint.permission,
            "summary": endpoint.summary,
        }
        for endpoint in sorted(table, key=lambda row: (row.path, row.method))
    ]
