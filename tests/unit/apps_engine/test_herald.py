"""What clients hear of apps and commands."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import orjson

from hubbub.contracts.apps import AppCommand, AppStatus
from hubbub.contracts.event_log import APPS, EPHEMERAL_SUBJECTS, Header, Kind
from hubbub.errors import Unavailable
from services.apps_engine.herald import Herald


class Air:
    """A NATS that remembers what was said, or takes nothing."""

    def __init__(self, *, gone: bool = False) -> None:
        self.said: list[tuple[str, list[Any]]] = []
        self._gone = gone

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Any = None
    ) -> None:
        del reply
        if self._gone:
            raise Unavailable("not connected")
        assert subject == EPHEMERAL_SUBJECTS + APPS
        frame = orjson.loads(payload)
        assert (frame["msg"], frame["collection"]) == ("changed", "stream-apps")
        assert headers[Header.KIND] == Kind.FRAME.value
        assert headers[Header.STREAM] == "apps"
        assert unquote(headers[Header.KEY]) == frame["fields"]["eventName"]
        self.said.append((frame["fields"]["eventName"], frame["fields"]["args"]))

    def take(self) -> list[tuple[str, list[Any]]]:
        """What was said since the last time, but for what says it once more."""
        said, self.said = self.said, []
        together = [tuple(args[0]) for event, args in said if event == "apps"]
        each = [(event, args) for event, args in said if event != "apps"]
        assert together == [one for one in each if one[0] != "app/settingUpdated"]
        return each


def command(name: str, app_id: str = "poll", description: str = "") -> AppCommand:
    return AppCommand(command=name, app_id=app_id, description=description)


async def test_the_life_of_an_app() -> None:
    air = Air()
    herald = Herald(air)

    await herald.installed("poll", anew=True)
    await herald.stands("poll", AppStatus.INITIALIZED)
    await herald.stands("poll", AppStatus.ENABLED)
    await herald.stands("poll", AppStatus.ENABLED)
    await herald.configured("poll", ["word"])
    await herald.installed("poll", anew=False)
    await herald.removed("poll")

    assert air.take() == [
        ("app/added", ["poll"]),
        ("app/statusUpdate", [{"appId": "poll", "status": "initialized"}]),
        ("app/statusUpdate", [{"appId": "poll", "status": "manually_enabled"}]),
        ("app/settingUpdated", [{"appId": "poll", "setting": {"id": "word"}}]),
        ("app/updated", ["poll"]),
        ("app/removed", ["poll"]),
    ]


async def test_commands_are_told_by_what_became_of_them() -> None:
    air = Air()
    herald = Herald(air)

    await herald.commands([command("vote"), command("tea", "tea")], {"poll", "tea"})
    assert air.take() == [("command/added", ["tea"]), ("command/added", ["vote"])]
    await herald.commands([command("tea", "tea"), command("vote")], {"poll", "tea"})
    assert air.take() == []
    await herald.commands([command("vote", description="better")], {"poll", "tea"})
    assert air.take() == [("command/disabled", ["tea"]), ("command/updated", ["vote"])]
    await herald.commands([], {"tea"})
    assert air.take() == [("command/removed", ["vote"])]


async def test_what_cannot_be_told_holds_nobody_up() -> None:
    herald = Herald(Air(gone=True))
    await herald.installed("poll", anew=True)
    await herald.commands([command("vote")], {"poll"})
