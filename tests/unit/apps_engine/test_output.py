"""What apps print, line by line."""

from __future__ import annotations

import asyncio

from hubbub.clock import FakeClock
from services.apps_engine.output import Output


async def _read(*parts: bytes) -> tuple[list[str], Output, FakeClock]:
    reader = asyncio.StreamReader()
    for part in parts:
        reader.feed_data(part)
    reader.feed_eof()
    lines: list[str] = []
    clock = FakeClock()
    output = Output(reader, lines.append, clock)
    output.hurry()
    await output.run()
    return lines, output, clock


async def test_lines_are_lines_however_they_arrive() -> None:
    lines, output, _ = await _read(b"one\ntw", b"o\n\n  \nthree")

    assert lines == ["one", "two", "three"]
    assert output.last == "three"


async def test_long_lines_are_cut() -> None:
    lines, _, _ = await _read(b"x" * 100_000, b"\nshort\n")

    assert [len(line) for line in lines] == [2_000, 5]


async def test_what_is_no_text_is_shown_as_text() -> None:
    lines, _, _ = await _read(b"\xff\xfe\n", b"\x1b[31mred\x00\x07\n", "naïve ✓\n".encode())

    assert lines == ["\ufffd\ufffd", "[31mred", "naïve ✓"]


async def test_whoever_prints_too_fast_waits() -> None:
    reader = asyncio.StreamReader(limit=4 * 1024 * 1024)
    reader.feed_data(b"x" * 1023 * 1024)
    reader.feed_eof()
    lines: list[str] = []
    output = Output(reader, lines.append, FakeClock())
    running = asyncio.create_task(output.run())

    await asyncio.wait((running,), timeout=0.05)

    assert not running.done()
    output.hurry()
    await running
    assert len(lines) == 1
