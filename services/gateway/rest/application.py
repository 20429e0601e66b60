"""From an HTTP request to an answer: find, read, identify, limit, permit, run, write."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from hubbub.bus import call_context
from hubbub.contracts.account import Identity
from hubbub.errors import BadRequest, HubbubError, Internal, RateLimited, Unauthenticated
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.sparing import Sparing
from services.gateway.rest import answers
from services.gateway.rest.answers import Answer
from services.gateway.rest.call import Call, Door
from services.gateway.rest.cors import Cors
from services.gateway.rest.rate_limit import RateLimit
from services.gateway.rest.requests import Parameters, parse_body, parse_query
from services.gateway.rest.router import Endpoint, Table, WrongMethod
from services.gateway.rest.transport import BadTransport, address_of, read_body, target_of

log = get_logger(__name__)
_refused = Sparing(log, "refused")

_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BYPASS: Final = "api-bypass-rate-limit"
UNKNOWN_ROUTE: Final = "unknown"


@dataclass(slots=True)
class _Seen:
    """What is known of a request while it is answered."""

    route: str = UNKNOWN_ROUTE
    limit_headers: Mapping[str, str] | None = None


class Application:
    """Answers every request under `/api/`. It never raises and always answers with JSON."""

    def __init__(self, table: Table, door: Door, limit: RateLimit | None) -> None:
        self._table = table
        self._door = door
        self._settings = door.settings
        self._limit = limit
        self._cors = Cors(door.settings.cors_origin)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request."""
        began = time.perf_counter()
        request_id = _request_id(request)
        seen = _Seen()
        with self._door.metrics.inflight.track_inprogress(), call_context(request_id=request_id):
            answer = await self._answer(request, request_id, seen)
            response = self._written(request, answer, request_id, seen)
        self._door.metrics.answered(
            seen.route, request.method, response.status, time.perf_counter() - began
        )
        return response

    async def _answer(self, request: web.BaseRequest, request_id: str, seen: _Seen) -> Answer:
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                return await self._endpoint_answer(request, seen)
        except BadTransport as error:
            self._door.metrics.bad_input(error.code)
            _refused(route=seen.route, req=request_id, reason=error.code)
            return answers.unreadable(error.status, error.reason, error.code)
        except TimeoutError:
            log.warning("request_timed_out", route=seen.route, request_id=request_id)
            return answers.unavailable()
        except HubbubError as error:
            if isinstance(error, Internal):
                log.warning(
                    "service_failed", route=seen.route, request_id=request_id, id=error.error_id
                )
            else:
                _refused(route=seen.route, req=request_id, reason=str(error.code))
            return answers.refusal(error)
        except Exception:
            # A defect of ours: the log has it all, the client a number to ask with.
            log.exception("request_failed", route=seen.route, request_id=request_id)
            return answers.failure()

    async def _endpoint_answer(self, request: web.BaseRequest, seen: _Seen) -> Answer:
        target = target_of(request)
        if not self._cors.accepts(request.headers.get("Origin")):
            return Answer(None, status=403)
        if request.method == "OPTIONS":
            return self._cors.preflight()
        endpoint = self._table.find(request.method, target.path)
        if endpoint is None:
            return answers.no_endpoint()
        if isinstance(endpoint, WrongMethod):
            return answers.wrong_method(endpoint.allowed)
        seen.route = endpoint.path
        if len(target.raw_query) > self._settings.max_query_bytes:
            raise BadTransport(414, "Query string is too long", "error-query-too-long")
        address = address_of(request, self._settings.forwarded_count)
        caller = await self._admit(endpoint, request, address, seen)
        call = Call(
            door=self._door,
            caller=caller,
            query=parse_query(target.raw_query),
            body=await self._body(request),
            headers=request.headers,
            address=address,
            rest=endpoint.rest_of(target.path),
        )
        with call_context(user_id=caller.user_id if caller else None):
            if endpoint.permission is not None:
                await call.require(endpoint.permission)
            result = await endpoint.run(call)
        return result if isinstance(result, Answer) else answers.success(result)

    async def _admit(
        self, endpoint: Endpoint, request: web.BaseRequest, address: str, seen: _Seen
    ) -> Identity | None:
        """Who calls, after the call was counted. Guessing tokens counts like any other call."""
        try:
            caller = await self._identify(endpoint, request)
        except Unauthenticated:
            await self._count(endpoint, address, None, seen)
            raise
        await self._count(endpoint, address, caller, seen)
        return caller

    async def _identify(self, endpoint: Endpoint, request: web.BaseRequest) -> Identity | None:
        if endpoint.access == "anonymous":
            return None
        try:
            identity = await self._door.authentication.identify(request.headers)
        except Unauthenticated:
            if endpoint.access == "required":
                raise
            return None
        if identity is None and endpoint.access == "required":
            raise Unauthenticated("Invalid user")
        return identity

    async def _count(
        self, endpoint: Endpoint, address: str, caller: Identity | None, seen: _Seen
    ) -> None:
        if self._limit is None or endpoint.calls == 0:
            return
        if caller is not None and await self._door.services.authorization.has_permission(
            caller.user_id, _BYPASS
        ):
            return
        verdict = self._limit.count(address, endpoint.path, endpoint.calls)
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
        self, request: web.BaseRequest, answer: Answer, request_id: str, seen: _Seen
    ) -> web.Response:
        try:
            body = b"" if answer.body is None else answer.encoded()
        except (TypeError, ValueError):
            log.exception("answer_not_encodable", route=seen.route, request_id=request_id)
            answer = answers.failure()
            body = answer.encoded()
        response = web.Response(
            status=answer.status,
            body=body,
            headers={
                **answers.JSON_HEADERS,
                **self._cors.headers(request.headers.get("Origin")),
                **(seen.limit_headers or {}),
                **answer.headers,
                "X-Request-Id": request_id,
            },
        )
        if answer.closes:
            response.force_close()
        return response


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
