"""List the apps of a running Hubbub.

    hubbub apps --url http://127.0.0.1:3000

Signs in as `--username` (else HUBBUB_ADMIN_USERNAME, else `admin`) with the password in
`--password-file` (else HUBBUB_ADMIN_PASSWORD), or with the token in `--token-file`. `hubbub app
install|enable|disable|remove|logs`, and `run` with `--url`, sign in in the same way.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from hubbub.apps import packing
from hubbub.apps.manifest import FILE, LARGEST, Manifest, WrongManifest, WrongSettings, read
from hubbub.apps.simulator import setting_value
from hubbub.cli import output
from hubbub.cli.failure import Failure, WrongUse

_URL: Final = "http://127.0.0.1:3000"
_WITHIN: Final = 90.0  # seconds for one call
_ACTIONS: Final = ("install", "enable", "disable", "remove", "logs")


def arguments(parser: argparse.ArgumentParser) -> None:
    who_arguments(parser)
    output.json_argument(parser)


def main(chosen: argparse.Namespace) -> int:
    return asyncio.run(signed_in(chosen, _list))


def add_actions(actions: Any) -> None:
    """Those of `hubbub app` that concern a running Hubbub."""
    installing = actions.add_parser("install", help="install an app, or another version of it")
    installing.add_argument("package", type=Path, metavar="FOLDER|FILE")
    installing.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value for one of its settings; can be repeated",
    )
    yes_argument(installing)
    who_arguments(installing)
    for name, help_line in (
        ("enable", "let an app run"),
        ("disable", "let an app not run any more"),
        ("remove", "remove an app with what it keeps"),
        ("logs", "show what an app wrote down"),
    ):
        action = actions.add_parser(name, help=help_line)
        action.add_argument("app", metavar="ID")
        if name == "logs":
            action.add_argument("--count", type=int, default=100, help="lines (%(default)s)")
        who_arguments(action)


def does(action: str) -> bool:
    """Whether `act` knows this action of `hubbub app`."""
    return action in _ACTIONS


def act(chosen: argparse.Namespace) -> int:
    """One action of `hubbub app`; the exit status."""
    works: dict[str, Work] = {
        "install": _install,
        "enable": _enable,
        "disable": _disable,
        "remove": _remove,
        "logs": _logs,
    }
    return asyncio.run(signed_in(chosen, works[chosen.action]))


class Api:
    """`/api/apps` of one Hubbub, as one user."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
    ) -> None:
        self._session = session
        self._url = url
        self._headers = headers

    async def ask(self, method: str, path: str = "", **options: Any) -> dict[str, Any]:
        """Raises: Failure: refused."""
        url = f"{self._url}/api/apps{path}"
        async with self._session.request(method, url, headers=self._headers, **options) as response:
            return _answer(response.status, await response.read())

    async def install(
        self, data: bytes, permissions: list[str], settings: Mapping[str, object]
    ) -> dict[str, Any]:
        """The app, once its package is installed. Raises: Failure: refused."""
        form = aiohttp.FormData()
        form.add_field("app", data, filename="app.zip", content_type="application/zip")
        form.add_field("permissions", orjson.dumps(permissions).decode())
        form.add_field("settings", orjson.dumps(settings).decode())
        app: dict[str, Any] = (await self.ask("POST", data=form))["app"]
        return app

    async def enable(self, app_id: str) -> dict[str, Any]:
        """The app, which may run from now on. Raises: Failure: refused."""
        body = {"status": "manually_enabled"}
        app: dict[str, Any] = (await self.ask("POST", f"/{app_id}/status", json=body))["app"]
        return app


Work = Callable[[Api, argparse.Namespace], Awaitable[int]]


async def signed_in(chosen: argparse.Namespace, work: Work) -> int:
    """Do some work as the user who was named. Raises: Failure; WrongUse."""
    try:
        async with _api(chosen) as api:
            return await work(api, chosen)
    except aiohttp.ClientError as error:
        raise Failure(f"{chosen.url} does not answer: {error}") from None
    except TimeoutError:
        raise Failure(f"{chosen.url} did not answer within {_WITHIN:g} seconds") from None


@asynccontextmanager
async def _api(chosen: argparse.Namespace) -> AsyncIterator[Api]:
    url, username, token = chosen.url.rstrip("/"), chosen.username, chosen.token_file
    if token is None:
        body = {"user": username, "password": _password(chosen.password_file)}
    else:
        body = {"resume": _content(token, "--token-file")}
    timeout = aiohttp.ClientTimeout(total=_WITHIN)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.post(f"{url}/api/v1/login", json=body) as response:
            raw = await response.read()
            try:
                data = _answer(response.status, raw)["data"]
            except Failure as error:
                as_whom = username if token is None else "the token's user"
                raise Failure(f"cannot sign in as {as_whom}: {error}") from None
        headers = {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}
        try:
            yield Api(session, url, headers)
        finally:
            if token is None:  # it is not ours to end
                async with session.post(f"{url}/api/v1/logout", headers=headers):
                    pass


async def _list(api: Api, chosen: argparse.Namespace) -> int:
    apps = (await api.ask("GET"))["apps"]
    if chosen.json:
        print(output.as_json(apps))
        return 0
    titles = ("app", "version", "state", "acts as", "commands", "may", "why")
    rows = [
        (
            app["id"],
            app["version"],
            _state(app),
            f"@{app['bot']['username']}",
            " ".join(f"/{command['command']}" for command in app["commands"]),
            " ".join(permission["name"] for permission in app["permissions"]),
            app["reason"],
        )
        for app in apps
    ]
    output.table(titles, rows)
    return 0


async def _install(api: Api, chosen: argparse.Namespace) -> int:
    data, manifest = _package(chosen.package)
    settings = settings_of(manifest, chosen.set)
    grant(manifest, asked=not chosen.yes)
    return _tell(await api.install(data, manifest.permissions, settings))


async def _enable(api: Api, chosen: argparse.Namespace) -> int:
    return _tell(await api.enable(chosen.app))


async def _disable(api: Api, chosen: argparse.Namespace) -> int:
    body = {"status": "manually_disabled"}
    app = (await api.ask("POST", f"/{chosen.app}/status", json=body))["app"]
    print(f"{app['id']} {app['version']}: {_state(app)}")
    return 0


async def _remove(api: Api, chosen: argparse.Namespace) -> int:
    app = (await api.ask("DELETE", f"/{chosen.app}"))["app"]
    print(f"{app['id']} {app['version']}: removed")
    return 0


async def _logs(api: Api, chosen: argparse.Namespace) -> int:
    params = {"count": str(chosen.count)}
    for line in (await api.ask("GET", f"/{chosen.app}/logs", params=params))["logs"]:
        print(line_of(line))
    return 0


def line_of(line: Mapping[str, Any]) -> str:
    """Something that an app wrote down, as it is printed."""
    return f"{line['at']} {line['level']:<7} {line['text']}"


def _tell(app: Mapping[str, Any]) -> int:
    """Say how an app stands; 1: it does not run."""
    print("\n".join(standing(app)))
    return 0 if app["status"] == "manually_enabled" else 1


def standing(app: Mapping[str, Any]) -> list[str]:
    """Lines that say how an app stands."""
    lines = [f"{app['id']} {app['version']}: {_state(app)}"]
    return [*lines, app["reason"]] if app["reason"] else lines


def _state(app: Mapping[str, Any]) -> str:
    return {
        "initialized": "starting",
        "manually_enabled": "enabled",
        "manually_disabled": "disabled",
        "invalid_settings_disabled": "lacks settings",
        "error_disabled": "failed",
    }.get(app["status"], str(app["status"]))


def grant(manifest: Manifest, *, asked: bool) -> None:
    """Let whoever sits here grant what an app asks for. Raises: Failure: they do not."""
    if asked and manifest.permissions:
        print(f"{manifest.name} {manifest.version} asks for: {', '.join(manifest.permissions)}")
        if manifest.hosts:
            print(f"and sends requests to: {', '.join(manifest.hosts)}")
        try:
            answer = input("Grant this? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise Failure("nothing was installed")


def _package(path: Path) -> tuple[bytes, Manifest]:
    try:
        if path.is_dir():
            return packing.pack(path), read(path)
        data = path.read_bytes()
        return data, _manifest_in(data)
    except OSError as error:
        raise WrongUse(f"{path}: {error.strerror}") from None
    except (packing.CannotPack, WrongManifest) as error:
        raise Failure(str(error)) from None


def _manifest_in(data: bytes) -> Manifest:
    """Raises: CannotPack; WrongManifest."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [one for one in archive.infolist() if one.filename.endswith(FILE)]
            found = min(inside, key=lambda one: len(one.filename), default=None)
            if found is None or found.file_size > LARGEST:
                raise packing.CannotPack(f"there is no {FILE} in it")
            return Manifest.parse(archive.read(found).decode())
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise packing.CannotPack(f"it is no package: {error}") from None


def settings_of(manifest: Manifest, pairs: Sequence[str]) -> dict[str, object]:
    """Values as they were typed, `NAME=VALUE` each. Raises: WrongUse."""
    return dict(_setting(manifest, pair) for pair in pairs)


def _setting(manifest: Manifest, pair: str) -> tuple[str, object]:
    name, sign, word = pair.partition("=")
    if not sign:
        raise WrongUse(f"{pair!r} is not NAME=VALUE")
    try:
        return name, setting_value(manifest, name, word)
    except WrongSettings as error:
        raise WrongUse(str(error)) from None


def yes_argument(parser: argparse.ArgumentParser) -> None:
    """Whoever is not there to be asked."""
    parser.add_argument(
        "--yes", action="store_true", help="grant what it asks for without a question"
    )


def who_arguments(parser: argparse.ArgumentParser, *, url: str | None = _URL) -> None:
    """Which Hubbub, and as whom.

    Args:
        url: unless another one is given; None: there is no such Hubbub then.
    """
    told = "of Hubbub (%(default)s)" if url else f"of a running Hubbub, as {_URL}"
    parser.add_argument("--url", default=url, help=told)
    parser.add_argument(
        "--username",
        default=os.environ.get("HUBBUB_ADMIN_USERNAME") or "admin",
        help="who may manage apps (%(default)s)",
    )
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="that user's password")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="a personal access token, instead of name and password",
    )


def _password(file: Path | None) -> str:
    if file is None:
        password = os.environ.get("HUBBUB_ADMIN_PASSWORD", "")
        if not password:
            raise WrongUse("say --password-file FILE, or set HUBBUB_ADMIN_PASSWORD")
        return password
    return _content(file, "--password-file")


def _content(file: Path, option: str) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise WrongUse(f"{option} {file}: {error.strerror}") from None


def _answer(status: int, raw: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Failure(f"HTTP status {status}") from None
    if not isinstance(answer, dict) or status >= 400:
        found = answer if isinstance(answer, dict) else {}
        raise Failure(str(found.get("error") or found.get("message") or f"HTTP status {status}"))
    return answer
