"""What an app registers, hears and does, through its test client."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubbub.apps import (
    App,
    Command,
    Event,
    Job,
    Message,
    Refused,
    Request,
    Response,
    Verdict,
    change,
    refuse,
    wire,
)
from hubbub.apps.dispatch import Dispatcher
from hubbub.apps.fake import FakeHubbub, Notice
from hubbub.apps.testing import Prevented


@pytest.fixture
def app() -> App:
    return App()


def doing(app: App, do: Any) -> Any:
    """What an app gets when a command of it does something."""
    found: list[Any] = []

    @app.command("do")
    async def handler(command: Command) -> None:
        found.append(await do())

    client = app.test_client()
    client.hubbub.room("general")
    client.command("/do")
    return found[0]


def test_a_command(app: App) -> None:
    heard: list[Command] = []

    @app.command("greet")
    async def greet(command: Command) -> None:
        heard.append(command)
        await command.reply(f"Hello {command.params}")

    client = app.test_client()
    assert client.command("/greet  you ", user="bob", room="lobby", thread="m1") == ["Hello you"]
    assert client.notices == [Notice("bob", "lobby", "Hello you")]
    (command,) = heard
    assert (command.name, command.thread) == ("greet", "m1")
    assert (command.user.username, command.room.name) == ("bob", "lobby")


def test_a_handler_need_not_wait(app: App) -> None:
    heard: list[Event] = []
    app.on("room_created")(heard.append)
    app.test_client().event("room_created", room={"_id": "r1", "name": "a", "t": "c"})
    assert [event.room.id for event in heard] == ["r1"]


def test_what_events_carry() -> None:
    ada = {"_id": "u1", "username": "ada", "name": "Ada"}
    sent = Event("message_sent", {"message": {"_id": "m", "rid": "r", "msg": "hi", "u": ada}})
    assert (sent.message.text, sent.message_id, sent.room_id) == ("hi", "m", "r")
    assert sent.user.username == "ada"
    deleted = Event("message_deleted", {"message": "m", "room": "r"})
    assert (deleted.message_id, deleted.room_id) == ("m", "r")
    for missing in ("message", "room", "user"):
        with pytest.raises(LookupError):
            getattr(deleted, missing)
    changed = Event("room_changed", {"room": {"_id": "r", "name": "general", "t": "c"}})
    assert (changed.room.name, changed.room_id) == ("general", "r")
    joined = Event("member_joined", {"room": "r", "user": ada})
    assert (joined.user.id, joined.room_id) == ("u1", "r")
    with pytest.raises(LookupError):
        Event("user_created", {"user": ada}).room_id  # noqa: B018 - raises


def test_all_handlers_of_an_event_are_called(app: App) -> None:
    heard: list[Event] = []

    @app.on("user_created")
    def first(event: Event) -> None:
        raise ValueError(event.name)

    app.on("user_created")(heard.append)
    with pytest.raises(ValueError, match="user_created"):
        app.test_client().event("user_created", user={})
    assert len(heard) == 1


def test_hooks_see_what_the_one_before_made_of_it(app: App) -> None:
    @app.before_message
    def first(message: Message) -> Verdict | None:
        return change(text=message.text + "!") if message.text else None

    @app.before_message
    async def second(message: Message) -> Verdict | None:
        if message.text == "stop!":
            return refuse("enough")
        return change(attachments=[{"text": message.text}])

    client = app.test_client()
    sent = client.message("hi")
    assert (sent.text, sent.attachments) == ("hi!", [{"text": "hi!"}])
    with pytest.raises(Prevented, match="enough"):
        client.message("stop")
    assert len(client.hubbub.messages) == 1


def test_a_hook_that_returns_nonsense(app: App) -> None:
    @app.before_message
    def hook(message: Message) -> str:
        return "yes"

    with pytest.raises(TypeError, match="a hook returns"):
        app.test_client().message("hi")


def test_jobs_once_and_regularly(app: App) -> None:
    done: list[tuple[str, datetime]] = []

    @app.every("0 9 * * mon-fri")
    async def standup(job: Job) -> None:
        done.append((job.name, job.due))

    @app.job("tea")
    async def tea(job: Job) -> None:
        done.append((job.data, app.now()))

    @app.command("tea")
    async def plan(command: Command) -> None:
        await app.schedule("tea", after=timedelta(minutes=4), data="green", id="t")
        await app.schedule("tea", after=timedelta(minutes=5), data="black", id="t")
        await app.schedule("tea", at=app.now() + timedelta(days=9), id="late")
        await app.schedule("tea", cron="30 * * * *", id="often")
        await app.unschedule("often")
        await app.unschedule("unknown")

    client = app.test_client()
    assert client.now == datetime(2030, 1, 1, 12, tzinfo=UTC)
    client.command("/tea")
    client.advance(days=6)
    assert done == [
        ("black", datetime(2030, 1, 1, 12, 5, tzinfo=UTC)),
        *(("standup", datetime(2030, 1, day, 9, tzinfo=UTC)) for day in (2, 3, 4, 7)),
    ]
    assert {(job.id, job.cron) for job in client.planned} == {
        ("standup", "0 9 * * mon-fri"),
        ("late", None),
    }
    assert client.now == datetime(2030, 1, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"after": timedelta(1), "cron": "* * * * *"},
        {"at": datetime(2030, 1, 1)},  # noqa: DTZ001 - what is refused
    ],
)
def test_a_job_is_planned_for_one_moment(app: App, when: dict[str, Any]) -> None:
    app.job("tea")(lambda job: None)
    with pytest.raises(ValueError, match=r"with at, after or cron|needs a zone"):
        doing(app, lambda: app.schedule("tea", **when))


def test_ids_of_jobs_never_come_again(app: App) -> None:
    app.job("tea")(lambda job: None)
    ids = []

    @app.command("tea")
    async def plan(command: Command) -> None:
        ids.append(await app.schedule("tea", after=timedelta(minutes=1)))

    client = app.test_client()
    for _ in range(3):
        client.command("/tea")
        client.advance(minutes=1)
    assert len(set(ids)) == 3


def test_only_jobs_that_somebody_does_are_planned(app: App) -> None:
    with pytest.raises(ValueError, match="nothing does the job 'tea'"):
        doing(app, lambda: app.schedule("tea", after=timedelta(1)))


def test_a_time_that_never_comes(app: App) -> None:
    app.every("61 * * * *", name="never")(print)
    with pytest.raises(Refused, match="error-invalid-cron"):
        app.test_client()
    with pytest.raises(ValueError, match="is not minute, hour"):
        app.every("hourly")


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (None, 204, ""),
        ("text", 200, "text"),
        (b"\x00", 200, "\x00"),
        ({"a": [1]}, 200, '{"a": [1]}'),
        (Response("gone", status=410, headers={"x-a": "b"}), 410, "gone"),
    ],
)
def test_what_an_endpoint_may_answer(app: App, answer: Any, status: int, body: str) -> None:
    @app.endpoint("e")
    def endpoint(request: Request) -> Any:
        assert request.json() == {"k": "v"}
        assert request.headers["x-token"] == "t"
        assert (request.method, request.path, request.query["q"]) == ("PUT", "/e", "1")
        return answer

    asked: dict[str, Any] = {"method": "PUT", "headers": {"X-Token": "t"}, "query": {"q": "1"}}
    response = app.test_client().request("e", json={"k": "v"}, **asked)
    assert (response.status, response.text) == (status, body)


def test_messages_are_sent_read_and_changed(app: App) -> None:
    async def do() -> list[Message]:
        first = await app.send_message("one", room="#general", thread="t", alias="A", emoji=":a:")
        again = [await app.send_message("two", room=first.room, id="m-2") for _ in range(2)]
        assert again[0] == again[1]
        await app.update_message(first, "changed", attachments=[{"text": "a"}])
        await app.send_message(user="@ada", attachments=[{"text": "alone"}])
        return await app.read_messages("#general", count=5)

    two, one = doing(app, do)
    assert (two.text, two.id) == ("two", "m-2")
    assert (one.text, one.thread, one.attachments) == ("changed", "t", [{"text": "a"}])
    assert one.raw["alias"] == "A"
    assert one.sent_at == datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_a_message_goes_to_one_place(app: App) -> None:
    with pytest.raises(ValueError, match="to a room or to a user"):
        doing(app, lambda: app.send_message("hi"))


def test_rooms_and_users(app: App) -> None:
    async def do() -> None:
        room = await app.create_room("new", private=True, members=["ada"])
        assert room.kind == "p"
        assert await app.room("#new") == room == await app.room(room.id)
        ada = await app.user("@ada")
        assert ada.username == "ada"
        assert await app.user(ada.id) == ada
        await app.notify_user(ada, room, "psst")
        with pytest.raises(Refused, match="error-duplicate-channel-name"):
            await app.create_room("new")
        with pytest.raises(Refused, match="error-room-not-found"):
            await app.room("#nowhere")
        with pytest.raises(Refused, match="error-invalid-user"):
            await app.user("@nobody")
        with pytest.raises(Refused, match="error-message-not-found"):
            await app.update_message("unknown", "x")

    doing(app, do)


def test_the_store(app: App) -> None:
    async def do() -> list[str]:
        assert await app.store.get("a", 5) == 5
        await app.store.set("a", {"deep": [1, None]})
        await app.store.set("ab", 0)
        await app.store.set("b", "")
        assert await app.store.get("a") == {"deep": [1, None]}
        assert await app.store.get("ab", 7) == 0
        await app.store.delete("b")
        await app.store.delete("b")
        for key, value in (("", 1), ("k" * 257, 1), ("k", "x" * 65_536)):
            with pytest.raises(Refused, match="error-too-large"):
                await app.store.set(key, value)
        with pytest.raises(Refused, match="unsendable"):
            await app.store.set("k", object())
        return await app.store.keys("a")

    assert doing(app, do) == ["a", "ab"]


def test_what_is_fetched(app: App) -> None:
    client_of: list[FakeHubbub] = []

    async def do() -> Response:
        assert isinstance(app.engine, FakeHubbub)
        client_of.append(app.engine)
        app.engine.web["https://a.org/x"] = Response('{"a": 1}', headers={"X-A": "b"})
        with pytest.raises(Refused, match="error-unreachable"):
            await app.fetch("https://a.org/y")
        return await app.fetch("https://a.org/x", method="POST", headers={"h": "v"}, body="in")

    response = doing(app, do)
    assert response.json() == {"a": 1}
    assert response.headers == {"x-a": "b"}
    asked = client_of[0].fetched[-1]
    assert (asked.method, asked.path, asked.headers, asked.body) == (
        "POST",
        "https://a.org/x",
        {"h": "v"},
        b"in",
    )


def test_two_handlers_for_one_thing_are_refused(app: App) -> None:
    app.command("a")(print)
    app.endpoint("a")(print)
    app.job("a")(print)
    for register in (app.command("a"), app.endpoint("a"), app.job("a")):
        with pytest.raises(ValueError, match="two handlers"):
            register(print)
    with pytest.raises(ValueError, match="there is no event"):
        app.on("message")
    for name in ("", "a b", "a" * 65):
        with pytest.raises(ValueError, match="no name for a job"):
            app.job(name)


def test_outside_its_process_an_app_does_nothing(app: App) -> None:
    app.log.info("lost")
    with pytest.raises(Refused, match="not running yet"):
        asyncio.run(app.store.get("a"))


MANIFEST = """
id = "trial"
name = "Trial"
version = "1.0.0"
permissions = ["command", "network"]
hosts = ["a.org:443"]
[commands.do]
"""


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("app.store.get('a')", "needs the permission 'store'"),
        ("app.send_message('hi', room='r')", "needs the permission 'message.send'"),
        ("app.fetch('https://b.org/')", "b.org:443 is not among"),
        ("app.fetch('http://a.org/')", "a.org:80 is not among"),
        ("app.fetch('https://a.org/')", "nothing answers"),
    ],
)
def test_permissions_are_those_of_the_manifest(tmp_path: Path, does: str, told: str) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "app.toml").write_text(MANIFEST)
    file = tmp_path / "trial" / "__init__.py"
    file.write_text(
        "from hubbub.apps import App\napp = App()\n@app.command('do')\n"
        f"async def do(command):\n    await {does}\n"
    )
    code: dict[str, Any] = {"__name__": "trial"}
    exec(compile(file.read_text(), str(file), "exec"), code)
    with pytest.raises(Refused, match=told):
        code["app"].test_client().command("/do")


async def test_a_handler_that_takes_too_long_is_ended(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(wire.DEADLINES, "hook", 0.01)
    ended = asyncio.Event()

    @app.before_message
    async def hook(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Refused, match="timeout"):
        await Dispatcher(app).answer("hook", {"name": "message_sending", "message": {}})
    assert ended.is_set()


async def test_what_a_handler_cancels_itself_is_its_own_failure(app: App) -> None:
    @app.before_message
    async def hook(message: Message) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task

    hubbub = FakeHubbub()
    app.engine = hubbub
    with pytest.raises(Refused, match="failed"):
        await Dispatcher(app).answer("hook", {"name": "message_sending", "message": {}})
    assert "CancelledError" in hubbub.log[0].text


def test_lines_of_the_log_are_cut(app: App) -> None:
    @app.command("do")
    def do(command: Command) -> None:
        app.log.warning("x" * 10_000)
        logging.getLogger("not ours").info("elsewhere")

    client = app.test_client()
    client.command("/do")
    (line,) = client.log
    assert (line.level, len(line.text)) == ("warning", 8000)
