"""A plain REST client for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.conformance.leaks import assert_not_told, keep_password, keep_secret

PASSWORD = "a long enough password"


@dataclass(frozen=True)
class User:
    """A user that a test signed in."""

    id: str
    username: str
    password: str = field(repr=False)
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        keep_password(self.password)
        keep_secret(self.token)

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Auth-Token": self.token, "X-User-Id": self.id}


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class Rest:
    """`GET` and `POST` below `/api/v1`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def ask(
        self,
        method: str,
        path: str,
        *,
        user: User | None = None,
        query: dict[str, Any] | None = None,
        body: Any = None,
    ) -> Answer:
        async with self._session.request(
            method,
            self.url + path,
            params=query,
            json=body,
            headers=user.headers if user else None,
            timeout=aiohttp.ClientTimeout(total=20),
        ) as answer:
            if answer.status >= 400:
                assert_not_told(await answer.text())
            return Answer(answer.status, await answer.json(), dict(answer.headers))

    async def get(self, endpoint: str, user: User | None = None, **query: Any) -> dict[str, Any]:
        """A call that has to succeed; its body."""
        answer = await self.ask("GET", f"/api/v1/{endpoint}", user=user, query=query)
        assert answer.status == 200, answer
        return answer.body

    async def post(self, endpoint: str, user: User | None = None, **body: Any) -> dict[str, Any]:
        """A call that has to succeed; its body."""
        answer = await self.ask("POST", f"/api/v1/{endpoint}", user=user, body=body)
        assert answer.status == 200, answer
        return answer.body

    async def login(self, username: str, password: str) -> User:
        data = (await self.post("login", user=None, username=username, password=password))["data"]
        return User(data["userId"], username, password, data["authToken"])

    async def register(self, username: str) -> User:
        account = {
            "username": username,
            "name": username.title(),
            "email": f"{username}@example.org",
            "pass": PASSWORD,
        }
        answer = await self.ask("POST", "/api/v1/users.register", body=account)
        assert answer.status == 200, answer
        return await self.login(username, PASSWORD)
