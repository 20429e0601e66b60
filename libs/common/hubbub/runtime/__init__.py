"""The life of one process: signals, readiness, the operations port, logs, bus and database.

    async def run(process: Process) -> None:
        settings = load(PresenceSettings)
        async with process.bus() as bus, process.mongo() as database:
            await bus.serve(PresenceService(MongoSessionStore(database), settings))
            process.health.ready()
            await process.stopping.wait()

What a service does is not decided here.
"""

from hubbub.runtime.health import Health
from hubbub.runtime.life import ProcessSettings, run_process
from hubbub.runtime.process import CannotStart, Process, Stopped

__all__ = ["CannotStart", "Health", "Process", "ProcessSettings", "Stopped", "run_process"]
