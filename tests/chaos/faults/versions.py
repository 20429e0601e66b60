"""Two versions at once, as in the middle of an upgrade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.chaos.faults.table import Scene, fault
from tests.chaos.other import PYTHON
from tests.chaos.stage import HUB, STREAMER, Options, Service


def _no_other(options: Options) -> str | None:
    if options.other_tree is None:
        return "needs another version: `--other-commit REVISION` or `--other-tree PATH`"
    if not (options.other_tree / PYTHON).exists():
        return f"{options.other_tree} has no {PYTHON}"
    return None


def _two_copies(options: Options) -> Options:
    return replace(options, copies={**options.copies, "messaging": 2})


@fault(
    "F31", "other version of streamers, of hubs and messaging", bound=5.0, options=_two_copies,
    unable=_no_other,
)  # fmt: skip
async def versions(scene: Scene) -> None:
    """First the streamers are of the other version, then the hubs and messaging are. Every copy
    is asked to end and started anew in its turn, so that copies of both versions run side by
    side on the way there and back.

    Bound: as for streamers that are replaced.
    """
    for kinds in ((STREAMER,), (HUB, "messaging")):
        services = [service for kind in kinds for service in scene.stage.of(kind)]
        scene.broken(f"{' and '.join(kinds)} of the other version")
        usual = [(one.program.command, one.program.folder) for one in services]
        try:
            await _become_other(scene, services)
            await scene.lasts(10.0)
        finally:
            for service, (command, folder) in zip(services, usual, strict=True):
                service.program.command, service.program.folder = command, folder
        for service in services:
            await _again(scene, service)
        scene.healed()
        await scene.apart()


async def _become_other(scene: Scene, services: Sequence[Service]) -> None:
    tree = scene.stage.options.other_tree
    assert tree is not None, "there is no other version"
    for service in services:
        program = service.program
        program.command = [str(tree / PYTHON), *program.command[1:]]
        program.folder = tree
        await _again(scene, service)


async def _again(scene: Scene, service: Service) -> None:
    await service.program.terminate()
    service.program.start()
    await scene.stage.ready([service])
