"""Which endpoint a request is for.

A family of endpoints is a `Routes` object; `Table` joins families and finds endpoints by name.
The list of all endpoints is the table itself: documentation is made from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from aiohttp import web

from services.gateway.rest.answers import Answer
from services.gateway.rest.asked import Asked, ask

if TYPE_CHECKING:
    from services.gateway.rest.call import Call

Result = Mapping[str, Any] | Answer | web.StreamResponse | None
"""What a handler gives back: the fields of a success, a whole answer, or one that is no JSON."""

Handler = Callable[..., Awaitable[Result]]
"""Takes the `Call`, and as `asked` the model of its parameters if it has some."""

Access = Literal["required", "optional", "anonymous"]
"""`required`: signed in. `optional`: a token is looked at if there is one. `anonymous`: not even
looked at, so a stale token does not spoil a sign-in."""

VERSIONED = "/api/v1/"
UNVERSIONED = "/api/"


@dataclass(frozen=True, slots=True)
class Upload:
    """The file that an endpoint takes."""

    field: str
    """The name of its field."""
    limit: int | None = None
    """Bytes of a file that is read before the handler runs: `call.file`. None: the handler takes
    it as it comes, by `call.receive`, and its fields with it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table."""

    method: str
    name: str
    """Behind `/api/v1/`. A name that ends in `/*` matches whatever follows: `call.rest`."""
    handler: Handler
    access: Access = "required"
    permission: str | None = None
    """What the caller must hold; else 403 before anything happens."""
    calls: int | None = None
    """Calls per window, if other than the setting; 0: not limited here."""
    window: float | None = None
    """Seconds of the window, if other than the setting."""
    unversioned: bool = False
    """Found under `/api/` instead of `/api/v1/`."""
    page: bool = False
    """No part of the API: found under `/`. Browsers load it by themselves, so its caller is known
    by cookies and query as well."""
    counted_apart: bool = False
    """Each address behind `*` is counted by itself."""
    upload: Upload | None = None
    """A file in a `multipart/form-data` body."""
    second_factor: bool = False
    """Users who have a second factor must show it, or have shown it a short time ago."""
    asked: type[Asked] | None = None
    """What the handler takes: from the query of a GET, else from the body. A handler that takes
    its file as it comes fills the model itself."""

    @property
    def streams(self) -> bool:
        """Whether the handler reads or writes at its own pace, and sets its own bounds of time."""
        return self.page or self.takes_file_itself

    @property
    def takes_file_itself(self) -> bool:
        """Whether the handler reads the form, as it comes."""
        return self.upload is not None and self.upload.limit is None

    async def run(self, call: Call) -> Result:
        """Validate the parameters and answer the call. Raises: HubbubError."""
        if self.asked is None or self.takes_file_itself:
            if self.second_factor:
                await call.prove_second_factor()
            return await self.handler(call)
        sent = call.query if self.method == "GET" else call.body
        asked = ask(self.asked, sent)
        if self.second_factor:
            # Behind the look at the parameters: a code that was shown is used up.
            await call.prove_second_factor()
        return await self.handler(call, asked=asked)

    @property
    def path(self) -> str:
        """The template, as metrics and documentation show it."""
        if self.page:
            return "/" + self.name
        return (UNVERSIONED if self.unversioned else VERSIONED) + self.name

    def rest_of(self, path: str) -> str:
        """What a decoded path has in the place of `*`; empty for an exact name."""
        if not self.name.endswith("/*"):
            return ""
        return path.removeprefix(self.path[:-1]).removesuffix("/")

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


class Routes:
    """A family of endpoints. A handler may stand under several names and methods."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def get(self, *names: str, **options: Any) -> Callable[[Handler], Handler]:
        """Answer GET (and HEAD) with the decorated handler."""
        return self._enter("GET", names, options)

    def post(self, *names: str, **options: Any) -> Callable[[Handler], Handler]:
        """Answer POST with the decorated handler."""
        return self._enter("POST", names, options)

    def add(self, method: str, name: str, handler: Handler, **options: Any) -> None:
        """Enter one endpoint. What it asks for is read off the handler's annotations."""
        if "asked" not in options:
            options["asked"] = get_type_hints(handler).get("asked")
        self.endpoints.append(Endpoint(method, name, handler, **options))

    def _enter(
        self, method: str, names: tuple[str, ...], options: dict[str, Any]
    ) -> Callable[[Handler], Handler]:
        def enter(handler: Handler) -> Handler:
            for name in names:
                self.add(method, name, handler, **options)
            return handler

        return enter


@dataclass(frozen=True, slots=True)
class WrongMethod:
    """The endpoint exists, but is called with one of these methods."""

    allowed: tuple[str, ...]


class Table:
    """All endpoints."""

    def __init__(self, families: Iterable[Routes]) -> None:
        self._exact: dict[str, dict[str, Endpoint]] = {}
        self._prefixes: dict[str, dict[str, Endpoint]] = {}
        for endpoint in (entry for family in families for entry in family.endpoints):
            is_prefix = endpoint.path.endswith("/*")
            rows = self._prefixes if is_prefix else self._exact
            row = rows.setdefault(endpoint.path.removesuffix("*"), {})
            if endpoint.method in row:
                raise ValueError(f"two endpoints for {endpoint.method} {endpoint.path}")
            row[endpoint.method] = endpoint

        # Of two that fit, the longer one is meant.
        self._prefixes = dict(sorted(self._prefixes.items(), key=lambda row: -len(row[0])))

    def __iter__(self) -> Iterator[Endpoint]:
        for rows in (self._exact, self._prefixes):
            for row in rows.values():
                yield from row.values()

    def find(self, method: str, path: str) -> Endpoint | WrongMethod | None:
        """The endpoint for a decoded path. Names are case-sensitive, one final slash is ignored."""
        row = self._row(path) or self._row(path.removesuffix("/"))
        if row is None:
            return None
        endpoint = row.get("GET" if method == "HEAD" else method)
        if endpoint is not None:
            return endpoint
        return WrongMethod(tuple(sorted({*row, *({"HEAD"} if "GET" in row else ())})))

    def _row(self, path: str) -> dict[str, Endpoint] | None:
        found = self._exact.get(path)
        if found is not None:
            return found
        for prefix, row in self._prefixes.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                return row
        return None
