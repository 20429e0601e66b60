"""Tell why a user did or did not get a message.

    hubbub explain --user ana --message 2Nd8LrPEfYkcpNHTR

Follows the message from the database through the hub and every streamer to each connection of
the user. What happened on the way is remembered for minutes: ask soon. The last line is the
answer; its words are those of the metrics and of the log.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from hubbub.bus import BusSettings, NatsBus
from hubbub.bus.discovery import instances
from hubbub.cli import output
from hubbub.cli.broker import CONNECT_TIMEOUT, broker, use_local
from hubbub.cli.failure import Failure
from hubbub.contracts.account import Account, UserNotFound
from hubbub.contracts.messages import MessageNotFound
from hubbub.doors.explaining import Explainer
from hubbub.doors.explanation import Findings, as_document, iso, verdict
from hubbub.errors import Timeout, Unavailable
from hubbub.ids import UserId
from hubbub.settings import load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True, help="name or id")
    parser.add_argument("--message", required=True, metavar="ID")
    output.json_argument(parser)


def main(chosen: argparse.Namespace) -> int:
    # Standard output is for the answer.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    findings = asyncio.run(_explain(chosen.user, chosen.message))
    if chosen.json:
        print(output.as_json(as_document(findings)))
    else:
        _show(findings)
    return 0


async def _explain(user: str, message_id: str) -> Findings:
    async with _bus() as bus:
        try:
            user_id = await _user_id(bus, user)
            find = partial(instances, bus.client)
            return await Explainer(bus, find).explain(user_id, message_id)
        except UserNotFound:
            raise Failure(f"no user has the name or the id {user!r}") from None
        except MessageNotFound:
            raise Failure(
                f"no message has the id {message_id!r}, and none that was deleted lately had it"
            ) from None
        except (Unavailable, Timeout) as error:
            raise Failure(f"the services do not answer: {error.reason}") from None


@asynccontextmanager
async def _bus() -> AsyncIterator[NatsBus]:
    """A short-lived member of the bus. Raises: Failure: nobody answers."""
    use_local()
    async with broker():
        pass  # says at once what is wrong with the address
    name = f"cli-{secrets.token_hex(4)}"
    bus = NatsBus(load(BusSettings), service="cli", instance=name)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await bus.connect()
        yield bus
    finally:
        await bus.close()


async def _user_id(bus: NatsBus, user: str) -> UserId:
    """Raises: UserNotFound."""
    account = bus.proxy(Account)
    nobody = UserId("hubbub-cli")
    try:
        found = await account.user_info(nobody, username=user)
    except UserNotFound:
        found = await account.user_info(nobody, user_id=user)
    return UserId(str(found["_id"]))


def _show(findings: Findings) -> None:
    message = findings.message
    output.table(("MESSAGE", ""), [*_about(findings)])
    print()
    streamers = [
        (
            delivery.connection,
            streamer.memory.pod,
            iso(delivery.opened),
            iso(delivery.closed or 0) or "open",
            iso(delivery.queued or 0),
            delivery.outcome,
            delivery.reason,
        )
        for streamer, delivery in findings.deliveries
    ]
    if streamers:
        titles = ("CONNECTION", "POD", "SIGNED IN", "ENDED", "QUEUED", "OUTCOME", "REASON")
        output.table(titles, streamers)
        print()
    print(f"{message.id} for {findings.user_id}: {verdict(findings).text}")


def _about(findings: Findings) -> list[tuple[str, str]]:
    message, event = findings.message, findings.event
    rows = [
        ("id", message.id),
        ("room", f"{message.room_id} ({message.room_type or 'gone'})"),
        ("sent", f"{message.ts.isoformat()} by {message.author_id or 'nobody'}"),
        ("number in the room", str(message.sequence or "none")),
    ]
    if message.deleted_at is not None:
        rows.append(("deleted", message.deleted_at.isoformat()))
    if message.hidden:
        rows.append(("hidden", "yes"))
    rows.append(("member then / now", f"{_yes(findings.was_member)} / {_yes(findings.is_member)}"))
    held = ", ".join(findings.access.held) or "no permission that decides"
    rows.append(("may read now", f"{_yes(findings.access.read)} ({held})"))
    if event is not None:
        rows.append(("published", f"{iso(event.published)}, sequence {event.sequence}"))
        rows.append(("epoch of the hub", str(event.epoch)))
    else:
        skipped = [hub.memory.skipped for hub in findings.hubs if hub.memory.skipped]
        rows.append(("published", "".join(skipped[-1:]) or "no hub remembers"))
    for streamer in findings.streamers:
        memory = streamer.memory
        arrived = iso(memory.arrived or 0) or "not arrived, or forgotten"
        told = f"{arrived}; {memory.recipients} recipients; remembers since {iso(memory.since)}"
        rows.append((f"streamer {memory.pod}", told))
    rows += [("no answer", instance) for instance in findings.silent]
    rows.append(("push", "not offered"))
    return rows


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
