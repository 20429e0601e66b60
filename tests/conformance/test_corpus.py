"""Conformance: bad input of every kind gets its documented answer, and nothing else happens.

For each kind of bad input (see `tests/corpus`): every case is sent, every socket still works
behind it, the database is what it was, no log tells of a defect, and a further round leaves the
memory of every service where it was.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from itertools import groupby
from typing import Any

import aiohttp
import pytest
from yarl import URL

from hubbub.doors.methods import METHODS
from hubbub.mongo import Database
from services.gateway.rest.endpoints import table
from tests.conformance.conftest import Running
from tests.conformance.corpus_world import World, a_world, fits
from tests.conformance.rest import Rest
from tests.conformance.witness import Logs, differences, memory, settled
from tests.corpus import KINDS, Case, cases, operators
from tests.integration.gateway.rubbish import endpoints
from tests.unit.ddp_streamer.corpus import cases as frame_cases
from tests.unit.ddp_streamer.rawclient import RawClient

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

MIB = 1024 * 1024
GROWTH = 1 * MIB  # bytes that a round may add to a service
ROUNDS = 4
"""Rounds of which one must add no more: a process that just started grows for other reasons, a
leak grows with each."""
REPEATED = 400
"""Cases of a round; of more, so many are picked evenly. The first round has them all."""
_SLOW = frozenset({"a body of a terabyte"})
"""Cases that take seconds, and are sent once."""

CASES = cases()
REFUSED = {
    row: [case for case in rows if not case.writes]
    for row, rows in groupby(sorted(CASES, key=lambda case: case.row), lambda case: case.row)
}
ACCEPTED = [case for case in CASES if case.writes]


@pytest.fixture
async def world(hubbub: Running) -> AsyncIterator[World]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        a_world(hubbub, Rest(session, hubbub.url), session) as world,
    ):
        yield world


async def sent(world: World, some: Iterable[Case]) -> list[str]:
    """Cases that got another answer than they have to, after all were sent."""
    wrong = []
    for case in some:
        for door, found in (await world.outcomes(case)).items():
            if not fits(case.expected, found):
                wrong.append(f"{case.id} ({door}): {json.dumps(found)} not {case.expected}")
        await world.all_are_well()
    return wrong


async def nothing_happened(world: World, database: Database, some: list[Case]) -> None:
    """Send `some` cases, and look at the database, the logs and the memory."""
    before, logs = await settled(database), Logs(world.hubbub.data / "log")

    wrong = await sent(world, some)
    quick = [case for case in some if case.id not in _SLOW]
    repeated = quick[:: -(-len(quick) // REPEATED)]
    grown: dict[str, int] = {}
    for _ in range(ROUNDS):
        used = memory(world.hubbub)
        wrong += await sent(world, repeated)
        grown = {name: size - used[name] for name, size in memory(world.hubbub).items()}
        if max(grown.values()) <= GROWTH:
            break

    assert wrong == []
    assert differences(before, await settled(database)) == []
    assert logs.defects() == []
    assert {name: size for name, size in grown.items() if size > GROWTH} == {}


def test_the_corpus_is_large_and_covers_its_kinds() -> None:
    assert len(CASES) >= 300
    assert set(REFUSED) == set(KINDS)


@pytest.mark.parametrize("row", sorted(REFUSED), ids=lambda row: KINDS[row])
async def test_bad_input_changes_nothing(world: World, database: Database, row: int) -> None:
    """Refused, or answered without an effect."""
    await nothing_happened(world, database, REFUSED[row])


async def test_operators_in_parameters_of_methods(world: World, database: Database) -> None:
    """`Match failed`, of every method, wherever a text belongs."""
    found = list(operators.of_methods(METHODS.values()))

    assert {case.sent["method"] for case in found} >= {"sendMessage", "joinRoom", "setUsername"}
    await nothing_happened(world, database, found)


async def test_operators_in_parameters_of_endpoints(world: World, database: Database) -> None:
    """Refused in a body; no more than a text in a query."""
    rows = [row for row in endpoints(table()) if not row.unversioned]
    found = list(operators.of_endpoints(rows))

    assert len({case.sent["path"] for case in found}) > 50
    await nothing_happened(world, database, found)


async def test_odd_input_that_is_fine(world: World) -> None:
    """It is stored, quickly; what parses it has no slow path."""
    logs = Logs(world.hubbub.data / "log")

    assert await sent(world, ACCEPTED) == []
    assert logs.defects() == []


async def test_frames(world: World) -> None:
    """The decoder's cases on a real socket: its end or its answer, and all others live on."""
    logs, wrong = Logs(world.hubbub.data / "log"), []
    port = URL(world.hubbub.url).port
    assert port is not None
    for case in frame_cases():
        client = await RawClient.greeted(port)
        client.writer.write(case.data)
        found = await _ended(client) if "close" in case.expected else await _said(client)
        await client.end()
        if not _is_right(case.expected, found):
            wrong.append(f"{case.row}: {case.name}: {found!r}")
        await world.all_are_well()

    assert wrong == []
    assert logs.defects() == []


async def _ended(client: RawClient) -> str:
    return str(await client.close_code())


async def _said(client: RawClient) -> str:
    return (await client.text()).decode()


def _is_right(expected: dict[str, Any], found: str) -> bool:
    if "close" in expected:
        return found == str(expected["close"])
    if "reply" in expected:
        return bool(found == expected["reply"])
    error = json.loads(found)["error"]
    if "refused" in expected:
        return bool(error["reason"] == expected["refused"])
    return bool(error["error"] == 404)  # understood; the method of these cases does not exist
