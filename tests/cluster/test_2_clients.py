"""Two clients nobody here wrote talk through the Services, and come back after kill -9."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.cluster.conftest import timed
from tests.cluster.release import Release
from tests.cluster.report import Report


async def test_the_official_client_talks_and_comes_back(
    release: Release, door: str, clients: Path, report: Report
) -> None:
    """npm `@rocket.chat/ddp-client`: all its steps, with the streamers killed in the middle."""
    await release.scaled(2)
    node = await asyncio.create_subprocess_exec(
        *("node", "run.mjs", "ddpclient", door),
        cwd=clients,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert node.stdin is not None
    assert node.stdout is not None
    told = []
    try:
        async with asyncio.timeout(300), timed(report, "two clients of npm talk (ddp-client)"):
            async for line in node.stdout:
                told.append(line.decode())
                if line.startswith(b"KILL STREAMERS"):
                    await release.kill(await release.pods("streamer"))
                    await release.has_streamers(2)
                    node.stdin.write(b"done\n")
            await node.wait()
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    text = "".join(told)

    assert node.returncode == 0, text
    assert "FAIL" not in text, text
    assert text.strip().endswith("0 failed"), text
    report.figure("steps of the npm client", text.strip().splitlines()[-1])
