"""The broker and the database that a command looks at."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.errors import Error as NatsError

from hubbub.bus import BusSettings
from hubbub.bus.connection import Connection
from hubbub.bus.keys import key_file
from hubbub.bus.permissions import CLI
from hubbub.cli.failure import Failure
from hubbub.local import running
from hubbub.local.settings import LocalSettings
from hubbub.settings import load
from hubbub.telemetry.log import redacted

CONNECT_TIMEOUT = 3  # seconds


def use_local() -> None:
    """Without variables that say otherwise, look at the `hubbub up` of this folder, if any."""
    found = running.read(load(LocalSettings).data)
    if found is not None:
        if "HUBBUB_NATS_URL" not in os.environ and found.nats_keys:
            os.environ.setdefault("HUBBUB_NATS_KEYS", found.nats_keys)
        os.environ.setdefault("HUBBUB_NATS_URL", found.nats_url)
        os.environ.setdefault("HUBBUB_MONGO_URL", found.mongo_url)


@asynccontextmanager
async def broker() -> AsyncIterator[Client]:
    """A connection to NATS for a short look.

    Raises:
        Failure: nobody answers.
    """
    use_local()
    settings = load(BusSettings)
    client = Connection()
    if settings.nats_keys is not None:
        client.key_file = key_file(settings.nats_keys, CLI)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT * 2):
            await client.connect(
                settings.servers,
                name="hubbub-cli",
                inbox_prefix=f"_INBOX.{CLI}",
                user=settings.nats_user or None,
                password=settings.nats_password.get_secret_value() or None,
                tls=_tls(settings),
                allow_reconnect=False,
                # Each server once: a person waits.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_TIMEOUT,
                error_cb=_quiet,
            )
    except (OSError, NatsError, TimeoutError) as error:
        raise Failure(
            f"NATS does not answer at {redacted(settings.nats_url)} ({_reason(error)}): start "
            "Hubbub, or name another address with HUBBUB_NATS_URL"
        ) from None
    try:
        yield client
    finally:
        await client.close()


def _tls(settings: BusSettings) -> ssl.SSLContext | None:
    if settings.nats_tls_ca is None:
        return None
    return ssl.create_default_context(cafile=str(settings.nats_tls_ca))


def _reason(error: Exception) -> str:
    return redacted(str(error)) or type(error).__name__


async def _quiet(_: Exception) -> None:
    """Errors of the connection come out where they matter to the command."""
