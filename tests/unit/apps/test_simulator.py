"""A chat with one app, line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbub.apps.manifest import WrongSettings, read
from hubbub.apps.simulator import HELP, Ended, Simulator, setting_value
from tests.unit.apps.trial import CODE, MANIFEST, write

_DECLARES = MANIFEST.replace('"command",', '"command", "message.hook", "endpoint", "message.send",')
_DOES = """

from datetime import timedelta
from hubbub.apps import refuse


@app.before_message
def judge(message):
    if message.text == "no":
        return refuse("never")
    if message.text == "raise":
        raise ValueError("as told")


@app.endpoint("events")
async def events(request):
    await app.send_message(request.body.decode(), room="#general")
    await app.schedule("later", after=timedelta(minutes=5), id="l")
    return "got it"


@app.job("later")
async def later(job):
    await app.send_message("later", user="@ada")
"""
_ENDPOINT = '[endpoints.events]\npath = "/events"\n[settings.n]\ntype = "number"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, manifest=_DECLARES + _ENDPOINT, code=CODE + _DOES)


@pytest.fixture
def chat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    simulator = Simulator(folder, {"word": "w"})
    yield simulator
    simulator.close()
    assert "trial_app" not in sys.modules
    assert str(folder) not in sys.path


def test_a_conversation(chat: Simulator) -> None:
    assert chat.feed("hello") == ["ada → general: hello"]
    assert chat.feed("no") == ["refused: never"]
    raised, logged = chat.feed("raise")
    assert raised == "raised ValueError: as told"
    assert logged.startswith("log error: Traceback")
    assert chat.feed("/count") == ["only ada sees: Number 1"]
    assert chat.feed(":user bob") == []
    assert chat.feed(":room lobby") == []
    assert chat.feed("/count now") == ["only bob sees: Number 2"]
    assert chat.feed("hi") == ["bob → lobby: hi"]
    assert chat.feed("/other") == ["no such command; there are count"]
    assert chat.feed(":store") == ["n = 2"]
    assert chat.feed(":post events ping") == ["200 got it", "trial-app.bot → general: ping"]
    assert chat.feed(":post other") == ["no such endpoint"]
    assert len(chat.feed(":jobs")) == 2
    assert chat.feed(":wait 5m") == [
        "it is Tuesday 2030-01-01 12:05:00 UTC",
        "trial-app.bot → @ada: later",
    ]
    assert chat.feed(":wait 1d") == ["it is Wednesday 2030-01-02 12:05:00 UTC", "log info: a day"]
    assert chat.feed(":wait long") == ["how long? 30s, 10m, 2h or 1d"]
    assert chat.feed(":set n 5") == []
    assert chat.feed(":set n five") == ["error: n: not a number"]
    assert chat.feed(":what") == HELP.splitlines()
    assert chat.feed(" ") == []
    with pytest.raises(Ended):
        chat.feed(":quit")


def test_it_is_loaded_again_when_it_changes(chat: Simulator, folder: Path) -> None:
    assert chat.feed("/count") == ["only ada sees: Number 1"]
    words = folder / "trial_app" / "words.py"
    words.write_text('WORD = "Amount"\n')
    assert chat.feed("/count") == ["loaded again", "only ada sees: Amount 2"]
    words.write_text("WORD = \n")
    told = chat.feed("/count")
    assert told[0] == "still as it was:"
    assert told[-1] == "only ada sees: Amount 3"
    (folder / "app.toml").write_text("id = 5")
    assert chat.feed("/count")[0].startswith("still as it was: ")
    (folder / "app.toml").write_text(_DECLARES + _ENDPOINT)
    words.write_text('WORD = "No"\n')
    assert chat.feed("/count") == ["loaded again", "only ada sees: No 5"]


def test_values_of_settings(folder: Path) -> None:
    manifest = read(folder)
    assert setting_value(manifest, "word", "5") == "5"
    assert setting_value(manifest, "n", "5") == 5
    assert setting_value(manifest, "n", "0.5") == 0.5
    for name, word in (("n", "x"), ("m", "x")):
        with pytest.raises(WrongSettings):
            setting_value(manifest, name, word)


def test_a_setting_that_is_required(folder: Path) -> None:
    with pytest.raises(WrongSettings, match="word: a value is required"):
        Simulator(folder)
    sys.path.remove(str(folder))
