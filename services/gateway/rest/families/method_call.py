"""`method.call`: the methods of realtime clients, called by REST.

The name in the path is never looked at: clients encode it in different ways, some twice. The
body decides.
"""

from __future__ import annotations

from typing import Any, Final

from hubbub.ddp import messages
from hubbub.ddp.limits import match_failed
from hubbub.ddp.messages import Id, Method, ProtocolViolation, Refused
from hubbub.doors.methods import METHODS, NOTHING, Caller
from hubbub.errors import BadRequest, HubbubError, Internal, NotFound
from hubbub.telemetry.log import get_logger
from services.gateway.rest.answers import PlainRefusal
from services.gateway.rest.asked import Asked, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.login import end_token
from services.gateway.rest.requests import missing
from services.gateway.rest.router import Routes

log = get_logger(__name__)

routes = Routes()

_OF_SOCKETS: Final = frozenset(
    "login logout getNewToken removeOtherTokens logoutOtherClients UserPresence:online"
    " UserPresence:away UserPresence:connect UserPresence:ping".split()
)
"""Methods about the connection they come on, beside those of streams."""


class Envelope(Asked):
    """One call."""

    message: Word | None = None
    """EJSON: `{"msg": "method", "id": …, "method": …, "params": […]}`."""


@routes.post("method.call/*", calls=0)
async def method_call(call: Call, asked: Envelope) -> dict[str, Any]:
    """Call a method of the realtime protocol as the signed-in user."""
    return await _answered(call, asked, {"logout": _logout})


@routes.post("method.callAnon/*", calls=0, access="anonymous")
async def method_call_anonymously(call: Call, asked: Envelope) -> dict[str, Any]:
    """Call a method of the realtime protocol as nobody."""
    return await _answered(call, asked, {"login": _login})


async def _answered(call: Call, asked: Envelope, own: dict[str, Any]) -> dict[str, Any]:
    envelope = _envelope(asked.message)
    if isinstance(envelope, Refused):
        return _message(messages.result_error(envelope.id, envelope.error))
    return _message(await _result(call, envelope, own))


def _envelope(text: str | None) -> Method | Refused:
    """The call in `text`. Raises: PlainRefusal: it is none; InvalidParams: nothing there."""
    if not text:
        raise missing("message")
    try:
        parsed = messages.parse(text)
    except ProtocolViolation:
        raise PlainRefusal("Invalid method call") from None
    if isinstance(parsed, Method):
        return parsed
    # Arguments that no method takes are the method's error; no list of arguments is no call.
    if isinstance(parsed, Refused) and parsed.kind == "method" and _is_mismatch(parsed.error):
        return parsed
    raise PlainRefusal("Invalid method call")


def _is_mismatch(error: HubbubError) -> bool:
    return error.reason == match_failed().reason


async def _result(call: Call, envelope: Method, own: dict[str, Any]) -> bytes:
    """The finished `result` message. Errors of a method are results too."""
    try:
        value = await _value(call, envelope, own)
        return _encoded(envelope.id, value)
    except HubbubError as error:
        if isinstance(error, Internal):
            log.warning("method_failed", method=envelope.name, id=error.error_id)
        return messages.result_error(envelope.id, error)


async def _value(call: Call, envelope: Method, own: dict[str, Any]) -> Any:
    if envelope.name in own:
        return await own[envelope.name](call, envelope.params)
    method = METHODS.get(envelope.name)
    if method is None and _needs_connection(envelope.name):
        raise BadRequest(f"Method '{envelope.name}' needs a connection", code=400)
    if method is None:
        raise NotFound(f"Method '{envelope.name}' not found", code=404)
    caller = Caller(
        user_id=call.caller.user_id if call.caller else None,
        address=call.address,
        hashed_token=call.caller.hashed_token if call.caller else None,
        code=call.headers.get("X-2fa-code") or None,
        code_method=call.headers.get("X-2fa-method") or None,
    )
    value = await method.call(call.services, caller, envelope.params)
    if envelope.name == "sendMessage":
        call.door.metrics.message_sent()
    return value


def _needs_connection(method: str) -> bool:
    """Whether a method is about the connection it comes on; here there is none."""
    return method in _OF_SOCKETS or method.startswith("stream-")


async def _login(call: Call, params: list[Any]) -> dict[str, Any]:
    """`login` without a connection: the token is all that comes of it."""
    parameters = params[0] if params and isinstance(params[0], dict) else {}
    result = await call.services.account.login(parameters, call.address)
    return {
        "id": result.user_id,
        "token": result.token,
        "tokenExpires": result.token_expires,
        "type": result.type,
    }


async def _logout(call: Call, params: list[Any]) -> Any:
    await end_token(call)
    return NOTHING


def _encoded(call_id: Id, value: Any) -> bytes:
    if value is NOTHING:
        return messages.result(call_id)
    return messages.result(call_id, value)


def _message(result: bytes) -> dict[str, Any]:
    return {"message": result.decode()}
