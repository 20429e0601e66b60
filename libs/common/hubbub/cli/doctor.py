"""Check what Hubbub needs on this machine, and say what to do about what is missing.

Looks at the MongoDB and NATS that HUBBUB_MONGO_URL and HUBBUB_NATS_URL name, or that a running
`hubbub up` uses; without any, at the programs that `hubbub up` would start. Exit status 1 when
something stands in the way.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from nats.errors import Error as NatsError

from hubbub.cli import output
from hubbub.cli.broker import broker, use_local
from hubbub.cli.failure import Failure
from hubbub.local import running
from hubbub.local.programs import CannotStart, find_mongod, find_nats_server
from hubbub.local.settings import LocalSettings
from hubbub.settings import load
from hubbub.telemetry.version import version

ENOUGH_FILES = 10_000
"""Open files that the default limit of connections of one streamer needs."""

JETSTREAM_TIMEOUT = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    subject: str
    verdict: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=3000, help="public port (%(default)s)")
    output.json_argument(parser)


def main(chosen: argparse.Namespace) -> int:
    findings = [
        Finding("Hubbub", "ok", version()),
        _python(),
        _open_files(),
        _port(chosen.port),
        _database(),
        asyncio.run(_broker()),
    ]
    if chosen.json:
        print(output.as_json([asdict(finding) for finding in findings]))
    else:
        rows = [[one.verdict, one.subject, one.found, one.advice] for one in findings]
        output.table(["", "what", "found", "what to do"], rows)
    return 1 if any(finding.verdict == "problem" for finding in findings) else 0


def _python() -> Finding:
    # An older one could not have read this far.
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def _open_files() -> Finding:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= ENOUGH_FILES:
        shown = "no limit" if most == resource.RLIM_INFINITY else str(most)
        return Finding("open files", "ok", shown)
    advice = f"each connection is one: raise the hard limit (ulimit -Hn) to {ENOUGH_FILES}"
    return Finding("open files", "warning", str(most), advice)


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            ours = running.read(load(LocalSettings).data)
            if ours is not None and ours.url.endswith(f":{port}"):
                return Finding(f"port {port}", "ok", f"`hubbub up`, process {ours.pid}")
            advice = f"end the program that has it, or use `hubbub up --port` ({error.strerror})"
            return Finding(f"port {port}", "problem", "taken", advice)
    return Finding(f"port {port}", "ok", "free")


def _database() -> Finding:
    use_local()
    if not os.environ.get("HUBBUB_MONGO_URL"):
        return _program("MongoDB", find_mongod, "HUBBUB_MONGO_URL")
    return asyncio.run(_running_database())


async def _running_database() -> Finding:
    from hubbub import mongo

    settings = load(mongo.MongoSettings)
    client = mongo.connect(settings, app_name="hubbub-doctor")
    try:
        answered = await mongo.check(client)
    except mongo.UnusableDatabase as error:
        return Finding("MongoDB", "problem", settings.shown_url, str(error))
    except mongo.Unreachable as error:
        reason = str(error).partition(",")[0]
        return Finding("MongoDB", "problem", f"{settings.shown_url}: no answer", reason)
    finally:
        await client.close()
    return Finding("MongoDB", "ok", f"{answered}, a replica set, at {settings.shown_url}")


async def _broker() -> Finding:
    if not os.environ.get("HUBBUB_NATS_URL"):
        return _program("NATS", find_nats_server, "HUBBUB_NATS_URL")
    try:
        async with broker() as client:
            version_found = client.connected_server_version
            answered = f"{version_found.major}.{version_found.minor}.{version_found.patch}"
            try:
                await client.jetstream(timeout=JETSTREAM_TIMEOUT).account_info()
            except (NatsError, TimeoutError):
                advice = "start nats-server with --jetstream, or jetstream {} in its file"
                return Finding("NATS", "problem", f"{answered} without JetStream", advice)
            return Finding("NATS", "ok", f"{answered} with JetStream")
    except Failure as failure:
        return Finding("NATS", "problem", "no answer", str(failure))


def _program(subject: str, find: Callable[[], Path], variable: str) -> Finding:
    try:
        path = find()
        said = subprocess.run(  # noqa: S603 - a program that we found ourselves
            [str(path), "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except CannotStart as error:
        return Finding(subject, "problem", "no program", f"{error}; or set {variable}")
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(subject, "problem", "its program does not run", str(error))
    return Finding(subject, "ok", f"{said.splitlines()[0]}, which `hubbub up` would start")
