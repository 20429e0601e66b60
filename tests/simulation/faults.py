"""What goes wrong in a run, and when: drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from hubbub.contracts.event_log import LIVE_SUBJECTS, LOG_SUBJECTS, PREFIX, Header
from tests.simulation.network import Weather, block_of
from tests.simulation.streamers import Streamer
from tests.simulation.world import Hub, World

_AWAITS = 60  # callbacks within which a process is hit, once its hour has come

Fault = Callable[[World], None]


def weather_of(chance: random.Random) -> Weather:
    """The network of a run: mostly fair."""
    return Weather(
        slowness=chance.choice((0.0, 0.02, 0.1)),
        slow=chance.choice((0.05, 0.3, 1.0)),
        loss=chance.choice((0.0, 0.0, 0.005, 0.03)),
        repetition=chance.choice((0.0, 0.02)),
        reordering=chance.random() < 0.3,
        lag=chance.choice((0.0, 0.2)),
    )


def draw(chance: random.Random) -> Fault:
    """One fault."""
    faults: tuple[Fault, ...] = (
        kill_hub,
        kill_hub,
        stop_hub,
        freeze_hub,
        freeze_hub,
        cut_hub,
        stall_hub,
        part_hub_from_database,
        part_hub_from_lease,
        kill_streamer,
        freeze_streamer,
        cut_streamer,
        cut_streamer,
        stall_streamer,
        choke_streamer,
        drop_client,
        silence_log,
        restart_nats,
        lose_end_of_log,
        lose_log,
        end_membership,
        end_membership,
    )
    return chance.choice((*faults, forget_beginning_of_log, forget_history, two_at_once))


# --- hubs -------------------------------------------------------------------------------------


def kill_hub(world: World) -> None:
    """At any await; another one is started."""
    hub = _leader(world)
    if hub is not None:
        gone = world.chance.random() < 0.5
        _soon(world, hub, lambda: _kill_hub(world, hub, gone=gone))


def stop_hub(world: World) -> None:
    """Politely."""
    hub = _leader(world)
    if hub is not None:
        hub.stopping.set()
        world.hubs.remove(hub)
        world.later(world.chance.random(), lambda: world.start_hub())


def freeze_hub(world: World) -> None:
    _freeze(world, _leader(world), 8.0)


def cut_hub(world: World) -> None:
    _cut(world, _leader(world))


def stall_hub(world: World) -> None:
    hub = _leader(world)
    if hub is not None:
        hub.line.stall(8 * world.chance.random())


def part_hub_from_database(world: World) -> None:
    hub = _leader(world)
    if hub is not None:
        world.database.away[hub.node] = world.loop.time() + 8 * world.chance.random()


def part_hub_from_lease(world: World) -> None:
    """It reads and publishes, and cannot say that it does."""
    hub = _leader(world)
    if hub is not None:
        world.database.leaseless[hub.node] = world.loop.time() + 8 * world.chance.random()


def _leader(world: World) -> Hub | None:
    """Mostly the one that leads."""
    awake = [hub for hub in world.hubs if not hub.node.stopped]
    leading = [hub for hub in awake if hub.node.name == world.database.leader]
    if leading and world.chance.random() < 0.8:
        return leading[0]
    return world.chance.choice(awake) if awake else None


def _kill_hub(world: World, hub: Hub, *, gone: bool) -> None:
    if hub in world.hubs:
        world.kill(hub, gone=gone)
        world.later(2 * world.chance.random(), lambda: world.start_hub())


# --- streamers --------------------------------------------------------------------------------


def kill_streamer(world: World) -> None:
    streamer = _streamer(world)
    if streamer is not None:
        _soon(world, streamer, lambda: _kill_streamer(world, streamer))


def freeze_streamer(world: World) -> None:
    _freeze(world, _streamer(world), 5.0)


def cut_streamer(world: World) -> None:
    _cut(world, _streamer(world))


def stall_streamer(world: World) -> None:
    streamer = _streamer(world)
    if streamer is not None:
        streamer.line.stall(4 * world.chance.random())


def choke_streamer(world: World) -> None:
    """It has more to do than it can take."""
    streamer = _streamer(world)
    if streamer is not None:
        streamer.choked.clear()
        world.later(2 * world.chance.random(), streamer.choked.set)


def drop_client(world: World) -> None:
    """A client loses its connection."""
    following = [reader for reader in world.readers if reader.streamer is not None]
    if following:
        reader = world.chance.choice(following)
        assert reader.streamer is not None
        if not reader.streamer.node.stopped:
            reader.streamer.leave(reader, again=2 * world.chance.random())


def _streamer(world: World) -> Streamer | None:
    awake = [streamer for streamer in world.streamers if not streamer.node.stopped]
    return world.chance.choice(awake) if awake else None


def _kill_streamer(world: World, streamer: Streamer) -> None:
    if streamer in world.streamers:
        world.kill(streamer, gone=True)
        world.later(1 + world.chance.random(), lambda: world.start_streamer())


# --- the log and the database -----------------------------------------------------------------


def silence_log(world: World) -> None:
    world.stream.fall_silent(6 * world.chance.random())


def restart_nats(world: World) -> None:
    """Everybody is cut off, for different times."""
    processes: list[Hub | Streamer] = [*world.hubs, *world.streamers]
    for process in processes:
        _cut(world, process)


def lose_end_of_log(world: World) -> None:
    """Power fails: what was acknowledged last is gone."""
    world.stream.lose_end(world.chance.randint(1, 8))
    restart_nats(world)


def lose_log(world: World) -> None:
    world.stream.vanish()
    restart_nats(world)


def forget_beginning_of_log(world: World) -> None:
    world.stream.forget_beginning(older_than=6.0)


def forget_history(world: World) -> None:
    """Hubs that are behind find nothing to go on with. What they say of it goes by the control
    audience alone: a streamer that misses it learns of it by the next watermark, and until then
    may pass on what comes behind the gap. So this happens only where nothing is lost silently."""
    if not world.server.weather.loss and not world.server.weather.reordering:
        world.database.forget_history()


def end_membership(world: World) -> None:
    rooms = [one for one, room in world.database.rooms.items() if len(room.members) > 1]
    if rooms:
        room = world.chance.choice(rooms)
        member = world.chance.choice(sorted(world.database.rooms[room].members))
        world.record("removed", room, member)
        world.database.end_membership(room, member)


def two_at_once(world: World) -> None:
    """Misfortunes like company."""
    for _ in range(2):
        fault = draw(world.chance)
        world.record("fault", fault.__name__)
        fault(world)


def lose_last(world: World) -> None:
    """The last message of all gets lost on its way to the streamers. Not among what is drawn:
    there, another one mostly follows."""
    world.server.swallowed = f"{LIVE_SUBJECTS}room."
    world.say("writer-0", next(iter(world.database.rooms)))
    world.later(0.2, lambda: setattr(world.server, "swallowed", ""))


def write_late(world: World) -> None:
    """What a leader of before had sent arrives behind its successor's marker, at a server that
    does not refuse it. Not among what is drawn: whether anything is in flight decides whether
    the present leader can go on behind it."""
    last = [one for one in world.stream.stored if ".room." in one.subject][-1]
    epoch = str(int(last.headers[Header.EPOCH]) - 1)
    audience = last.subject.removeprefix(LOG_SUBJECTS)
    headers = last.headers | {Header.EPOCH: epoch}
    world.stream.fenced = False
    world.server.take(f"{PREFIX}append.{epoch}.{audience}", "", block_of(headers), last.payload)
    world.stream.fenced = True


# --- how --------------------------------------------------------------------------------------


def _soon(world: World, process: Hub | Streamer | None, action: Callable[[], None]) -> None:
    """Within the next callbacks of the process: behind any of its awaits."""
    if process is not None and process.node.fuse is None:
        process.node.fuse = (world.chance.randint(1, _AWAITS), action)


def _freeze(world: World, process: Hub | Streamer | None, most: float) -> None:
    if process is None:
        return
    seconds = most * world.chance.random()

    def freeze() -> None:
        if process.node.dead:
            return
        world.record("frozen", process.node.name, round(seconds, 3))
        world.loop.stop_node(process.node)
        world.later(seconds, thaw)

    def thaw() -> None:
        if not process.node.dead:
            world.loop.resume_node(process.node)

    _soon(world, process, freeze)


def _cut(world: World, process: Hub | Streamer | None) -> None:
    if process is not None and process.line.connected:
        process.line.cut(gone=world.chance.random() < 0.5)
        seconds = world.chance.choice((0.01, 0.5, 4.0)) * world.chance.random()
        world.later(seconds, process.line.restore)
