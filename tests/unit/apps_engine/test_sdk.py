"""The library that apps are written with and the engine mean the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hubbub.apps import App, Command, Job
from hubbub.apps.calls import Response
from hubbub.apps.fake import LARGEST_VALUE, LONGEST_KEY, FakeHubbub
from hubbub.apps.packing import LARGEST
from hubbub.apps.permissions import CALLS, EVENTS
from services.apps_engine import packages
from services.apps_engine.domain import bridge_calls
from services.apps_engine.domain.frames import NEEDS


class Strict(FakeHubbub):
    """A fake that takes what the engine takes, and nothing else."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: set[str] = set()

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        self.asked.add(name)
        bridge_calls.checked(bridge_calls.CALLS[name][1], args)
        return await super().call(name, args)

    def tell(self, name: str, args: dict[str, Any]) -> None:
        bridge_calls.checked(bridge_calls.LogText, args)
        super().tell(name, args)


def test_both_ask_for_the_same_permissions() -> None:
    assert {name: permission for name, (permission, _) in bridge_calls.CALLS.items()} == CALLS
    assert dict(NEEDS) == EVENTS


def test_both_have_the_same_limits() -> None:
    assert bridge_calls.LONGEST_VALUE == LARGEST_VALUE
    bridge_calls.checked(bridge_calls.OfKey, {"key": "k" * LONGEST_KEY})
    assert packages.PACKED == LARGEST


def test_the_engine_takes_everything_that_an_app_says() -> None:
    app = App()

    @app.job("later")
    async def later(job: Job) -> None:
        app.log.warning("now")

    @app.command("everything")
    async def everything(command: Command) -> None:
        await command.reply("here")
        await app.notify_user(command.user, command.room, "here")
        message = await app.send_message(
            "text",
            room=command.room,
            attachments=[{"text": "more"}],
            thread="t",
            alias="a",
            emoji=":e:",
            id="one-2",
        )
        await app.send_message("text", user=command.user)
        await app.update_message(message, "other", attachments=[])
        await app.read_messages("#general", count=500, before=app.now())
        await app.read_messages(command.room)
        made = await app.create_room("made", private=True, members=[command.user.username])
        await app.create_room("open")
        await app.room(made.id)
        await app.user(command.user.id)
        await app.user(f"@{command.user.username}")
        await app.store.set("key", {"any": [None, 1.5, "x"]})
        await app.store.get("key")
        await app.store.keys()
        await app.store.delete("key")
        await app.schedule("later", after=timedelta(minutes=1), data=[1])
        job_id = await app.schedule("later", cron="0 9 * * mon-fri", id="regular")
        await app.jobs()
        await app.unschedule(job_id)
        await app.fetch("https://a.org/")
        await app.fetch("https://a.org/", method="POST", headers={"a": "b"}, body="text")
        app.log.debug("done")

    client = app.test_client()
    strict = Strict(web={"https://a.org/": Response("found")})
    client.hubbub = app.engine = strict
    client.command("/everything")
    client.advance(minutes=1)
    assert [line.text for line in client.log] == ["done", "now"]
    assert strict.asked == set(CALLS)
