"""Call an action of a service, as its neighbours do.

    hubbub call authorization.has_permission '{"user_id": "u1", "permission": "view-c-room"}'

Prints the result as JSON. `hubbub services SERVICE` lists actions and their arguments.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import orjson
from nats.errors import NoRespondersError

from hubbub.bus.deadline import milliseconds
from hubbub.bus.faults import decode_error
from hubbub.bus.headers import PATIENCE
from hubbub.bus.subjects import call_subject, instance_subject
from hubbub.cli import output
from hubbub.cli.broker import broker
from hubbub.cli.failure import Failure, WrongUse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="SERVICE.ACTION")
    parser.add_argument("arguments", metavar="JSON", nargs="?", default="{}", help="an object")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="to wait (%(default)s)"
    )
    parser.add_argument("--to", metavar="INSTANCE", help="ask exactly this instance")


def main(chosen: argparse.Namespace) -> int:
    service, dot, action = chosen.action.partition(".")
    if not dot or not service or not action:
        raise WrongUse(f"expected SERVICE.ACTION, found {chosen.action!r}")
    body = _body(chosen.arguments)
    to = chosen.to
    subject = instance_subject(to, service, action) if to else call_subject(service, action)
    print(output.as_json(asyncio.run(_call(subject, body, timeout=chosen.timeout))))
    return 0


def _body(text: str) -> bytes:
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise WrongUse(f"the arguments are not JSON: {error}") from None
    if not isinstance(given, dict):
        raise WrongUse("the arguments should be a JSON object")
    return orjson.dumps(given)


async def _call(subject: str, body: bytes, *, timeout: float) -> Any:
    patience = str(milliseconds(timeout))
    async with broker() as client:
        try:
            reply = await client.request(
                subject, body, timeout=timeout, headers={PATIENCE: patience}
            )
        except NoRespondersError:
            raise Failure("nobody offers that; `hubbub services` lists who is there") from None
        except TimeoutError:
            raise Failure(f"no answer within {timeout:g} seconds; the outcome is unknown") from None
    answer = orjson.loads(reply.data)
    if "ok" in answer:
        return answer["ok"]
    error = decode_error(reply.data)
    raise Failure(f"{type(error).__name__}: {error.message}")
