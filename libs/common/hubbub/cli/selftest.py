"""Send a message through a running Hubbub: from one WebSocket to another.

    hubbub selftest --url http://127.0.0.1:3000

Makes an account (or signs in with `--username` and `--password-file`), opens two sockets, makes a
private room, sends, waits for the message on the second socket, finds it by search, and removes
what it made. Where users may not remove themselves, the account stays; the last line names it.
Prints one line of JSON per step; exit status 1 when a step fails.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn, TypeVar

import aiohttp
import orjson

from hubbub.cli.failure import Failure, WrongUse
from hubbub.ids import random_id

_ARRIVES_WITHIN = 5.0  # seconds from the send to the second socket
_STEP_WITHIN = 20.0  # seconds for any other step
_HEARTBEAT = orjson.dumps({"msg": "pong"}).decode()

T = TypeVar("T")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="of sockets (%(default)s)")
    parser.add_argument("--api-url", help="of the REST API, where it has another address")
    parser.add_argument("--username", help="sign in as this user instead of making an account")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="that user's password")


def main(chosen: argparse.Namespace) -> int:
    if (chosen.username is None) != (chosen.password_file is None):
        raise WrongUse("--username and --password-file belong together")
    url = chosen.url.rstrip("/")
    api = (chosen.api_url or url).rstrip("/")
    account = None
    if chosen.username is not None:
        account = Account(chosen.username, _password(chosen.password_file))
    asyncio.run(_selftest(url, api, account))
    return 0


class Refused(Failure):
    """The REST API answered that it will not."""

    def __init__(self, text: str, error_type: str) -> None:
        super().__init__(text)
        self.error_type = error_type


class Account:
    """Who the test is."""

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password


class Socket:
    """One DDP connection. Calls are made one after another; other frames are put aside."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._aside: list[dict[str, Any]] = []

    async def connect(self) -> None:
        """Agree on the protocol."""
        await self._send({"msg": "connect", "version": "1", "support": ["1"]})
        await self._next(lambda frame: frame.get("msg") == "connected")

    async def call(self, method: str, *params: Any) -> Any:
        """The result of a method. Raises: Failure: the method refused."""
        call = random_id()
        await self._send({"msg": "method", "id": call, "method": method, "params": params})
        result = await self._next(
            lambda frame: frame.get("msg") == "result" and frame.get("id") == call
        )
        if "error" in result:
            raise Failure(f"{method}: {_shown(result['error'])}")
        return result.get("result")

    async def subscribe(self, stream: str, key: str) -> None:
        """Listen to a stream. Raises: Failure: the subscription was refused."""
        wanted = random_id()
        await self._send({"msg": "sub", "id": wanted, "name": stream, "params": [key, False]})
        answer = await self._next(
            lambda frame: (
                (frame.get("msg") == "ready" and wanted in frame.get("subs", ()))
                or (frame.get("msg") == "nosub" and frame.get("id") == wanted)
            )
        )
        if answer["msg"] == "nosub":
            raise Failure(f"{stream}: {_shown(answer.get('error'))}")

    async def message(self, room: str, text: str) -> None:
        """Wait until a message of this text arrives in a room."""

        def is_it(frame: dict[str, Any]) -> bool:
            fields = frame.get("fields") or {}
            return (
                frame.get("collection") == "stream-room-messages"
                and fields.get("eventName") == room
                and any(argument.get("msg") == text for argument in fields.get("args", ()))
            )

        await self._next(is_it)

    async def _send(self, frame: dict[str, Any]) -> None:
        await self._socket.send_str(orjson.dumps(frame).decode())

    async def _next(self, is_wanted: Any) -> dict[str, Any]:
        for frame in self._aside:
            if is_wanted(frame):
                self._aside.remove(frame)
                return frame
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Failure(f"the socket was closed with {self._socket.close_code}")
            frame = orjson.loads(message.data)
            if frame.get("msg") == "ping":
                await self._socket.send_str(_HEARTBEAT)
            elif is_wanted(frame):
                return dict(frame)
            else:
                self._aside.append(frame)


class Rest:
    """The REST API, as one user once signed in."""

    def __init__(self, session: aiohttp.ClientSession, api: str) -> None:
        self._session = session
        self._api = api
        self.token = ""
        self._user_id = ""

    async def post(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """The answer of an endpoint. Raises: Failure: it refused."""
        return await self._answer("POST", endpoint, json=body)

    async def get(self, endpoint: str, **query: str) -> dict[str, Any]:
        """The answer of an endpoint. Raises: Failure: it refused."""
        return await self._answer("GET", endpoint, params=query)

    async def login(self, account: Account) -> None:
        """Be `account` from now on."""
        answer = await self.post("login", user=account.username, password=account.password)
        self.token = answer["data"]["authToken"]
        self._user_id = answer["data"]["userId"]

    async def _answer(self, verb: str, endpoint: str, **arguments: Any) -> dict[str, Any]:
        headers = {"X-Auth-Token": self.token, "X-User-Id": self._user_id} if self.token else {}
        url = f"{self._api}/api/v1/{endpoint}"
        async with self._session.request(verb, url, headers=headers, **arguments) as answer:
            try:
                body = orjson.loads(await answer.read())
            except orjson.JSONDecodeError:
                body = {}
            if answer.status != 200:
                reason = body.get("error") or body.get("message") or "no reason"
                raise Refused(f"{endpoint}: {answer.status} {reason}", body.get("errorType", ""))
            return dict(body)


async def _selftest(url: str, api: str, given: Account | None) -> None:
    """All steps. Raises: Failure."""
    async with aiohttp.ClientSession() as session:
        rest = Rest(session, api)
        account = given or _throw_away()
        if given is None:
            register = rest.post(
                "users.register",
                username=account.username,
                name="Self-test",
                email=f"{account.username}@selftest.invalid",
                **{"pass": account.password},
            )
            await _step("register", register)
        await _step("login", rest.login(account))
        try:
            await _converse(session, url, rest)
        finally:
            kept = given is not None or not await _step("remove account", _remove(rest, account))
            if kept:
                await _step("logout", rest.post("logout"))
    end = {"step": "all", "ok": True}
    _print(end | {"kept": account.username} if kept and given is None else end)


async def _remove(rest: Rest, account: Account) -> bool:
    """Remove the account; False when the workspace does not let users do that."""
    try:
        await rest.post("users.deleteOwnAccount", password=account.password)
    except Refused as refused:
        if refused.error_type != "error-not-allowed":
            raise
        return False
    return True


async def _converse(session: aiohttp.ClientSession, url: str, rest: Rest) -> None:
    async with (
        _socket(session, url, rest.token, "first") as first,
        _socket(session, url, rest.token, "second") as second,
    ):
        name, text = f"selftest-{random_id().lower()}", f"selftest {random_id()}"
        room = (await _step("make room", first.call("createPrivateGroup", name, [])))["rid"]
        try:
            await _step("subscribe", second.subscribe("stream-room-messages", room))
            await _step("send", first.call("sendMessage", {"rid": room, "msg": text}))
            await _step("receive", second.message(room, text), within=_ARRIVES_WITHIN)
            await _step("search", _search(rest, room, text))
        finally:
            await _step("erase room", first.call("eraseRoom", room))


@asynccontextmanager
async def _socket(
    session: aiohttp.ClientSession, url: str, token: str, which: str
) -> AsyncIterator[Socket]:
    address = f"{url}/websocket"
    opened = await _step(f"open {which} socket", session.ws_connect(address, max_msg_size=0))
    async with opened:
        socket = Socket(opened)
        await _step(f"greet on {which} socket", socket.connect())
        await _step(f"login on {which} socket", socket.call("login", {"resume": token}))
        yield socket


async def _search(rest: Rest, room: str, text: str) -> None:
    found = await rest.get("chat.search", roomId=room, searchText=text)
    if not any(message.get("msg") == text for message in found.get("messages", ())):
        raise Failure("the message was not found")


async def _step(name: str, work: Awaitable[T], *, within: float = _STEP_WITHIN) -> T:
    """Do one step and tell how it went. Raises: Failure: it went wrong, or took too long."""
    begun = perf_counter()
    try:
        async with asyncio.timeout(within):
            result = await work
    except TimeoutError:
        _failed(name, begun, f"not within {within:g} seconds")
    except (Failure, aiohttp.ClientError, KeyError, orjson.JSONDecodeError) as error:
        _failed(name, begun, str(error) or type(error).__name__)
    _print({"step": name, "ok": True, "ms": _milliseconds(begun)})
    return result


def _failed(name: str, begun: float, reason: str) -> NoReturn:
    _print({"step": name, "ok": False, "ms": _milliseconds(begun), "reason": reason})
    raise Failure(f"{name}: {reason}")


def _milliseconds(begun: float) -> float:
    return round((perf_counter() - begun) * 1000, 1)


def _print(line: dict[str, Any]) -> None:
    print(orjson.dumps(line).decode(), flush=True)


def _throw_away() -> Account:
    return Account(f"selftest-{random_id().lower()}", secrets.token_urlsafe(18))


def _password(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise WrongUse(f"--password-file {file}: {error.strerror}") from None


def _shown(error: Any) -> str:
    return str(error.get("message") or error.get("error")) if isinstance(error, dict) else "refused"
