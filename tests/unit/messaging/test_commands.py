"""The built-in slash commands and their parameters."""

from __future__ import annotations

import pytest

from services.messaging import commands as doors
from services.messaging.domain import commands
from services.messaging.domain.commands import COMMANDS, SAYINGS


def test_the_commands_that_clients_know() -> None:
    """All of them, each with something that carries it out."""
    assert set(COMMANDS) == set(
        "archive gimme help hide invite join kick leave lennyface me msg mute part shrug status"
        " tableflip topic unarchive unflip unmute".split()
    )
    assert set(COMMANDS) == set(SAYINGS) | set(doors._HANDLERS)
    assert set(COMMANDS["me"].view) == {
        "command",
        "description",
        "params",
        "clientOnly",
        "providesPreview",
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("me", "waves", "_waves_"),
        ("me", "", ""),
        ("shrug", "", "¯\\_(ツ)_/¯"),
        ("shrug", "why", "why ¯\\_(ツ)_/¯"),
        ("gimme", "cake", "༼ つ ◕_◕ ༽つ cake"),
        ("gimme", "", "༼ つ ◕_◕ ༽つ"),
        ("tableflip", "no", "no (╯°□°）╯︵ ┻━┻"),
        ("unflip", "", "┬─┬ ノ( ゜-゜ノ)"),
        ("lennyface", "hm", "hm ( ͡° ͜ʖ ͡°)"),
    ],
)
def test_what_is_said(name: str, text: str, said: str) -> None:
    """With and without a text."""
    assert SAYINGS[name](text) == said


def test_parameters() -> None:
    """Names with and without their signs."""
    assert commands.usernames("@ada, bob @ada ,") == ["ada", "bob"]
    assert commands.usernames(" @ ") == []
    assert commands.room_name(" #town ") == "town"
    assert commands.addressed("@bob how are you") == ("bob", "how are you")
    assert commands.addressed("@bob") == ("bob", "")


def test_help_names_every_command() -> None:
    """One line each."""
    lines = commands.help_text().splitlines()

    assert [line.split()[0].strip("`") for line in lines] == [
        f"/{name}" for name in sorted(COMMANDS)
    ]
    assert lines[0] == "`/archive #room` – Archive a room"
