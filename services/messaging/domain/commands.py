"""The slash commands that are built in: what they are called and what their parameters mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_MOST_NAMES: Final = 50  # usernames that one command takes


@dataclass(frozen=True, slots=True)
class Command:
    """One command, as lists of commands show it."""

    name: str
    description: str
    parameters: str = ""
    """What to type behind it."""

    @property
    def view(self) -> dict[str, Any]:
        """As clients know it."""
        return {
            "command": self.name,
            "description": self.description,
            "params": self.parameters,
            "clientOnly": False,
            "providesPreview": False,
        }

    @property
    def usage(self) -> str:
        """The line that helps somebody who typed it wrong."""
        return f"`/{self.name} {self.parameters}`".replace(" `", "`")


COMMANDS: Final[Mapping[str, Command]] = {
    command.name: command
    for command in (
        Command("archive", "Archive a room", "#room"),
        Command("gimme", "Displays ༼ つ ◕_◕ ༽つ before your message", "your message (optional)"),
        Command("help", "Show the commands there are"),
        Command("hide", "Hide a room from your list until something is said in it", "#room"),
        Command("invite", "Invite users to this room", "@username"),
        Command("join", "Join a channel", "#channel"),
        Command("kick", "Remove somebody from this room", "@username"),
        Command("leave", "Leave this room"),
        Command("lennyface", "Displays ( ͡° ͜ʖ ͡°) after your message", "your message (optional)"),
        Command("me", "Displays what you do", "your message"),
        Command("msg", "Send somebody a direct message", "@username message"),
        Command("mute", "Silence somebody in this room", "@username"),
        Command("part", "Leave this room"),
        Command("shrug", "Displays ¯\\_(ツ)_/¯ after your message", "your message (optional)"),
        Command("status", "Set what is shown beside your name", "your status"),
        Command("tableflip", "Displays (╯°□°）╯︵ ┻━┻", "your message (optional)"),
        Command("topic", "Set the topic of this room", "the topic"),
        Command("unarchive", "Bring an archived room back", "#room"),
        Command("unflip", "Displays ┬─┬ ノ( ゜-゜ノ)", "your message (optional)"),
        Command("unmute", "Let somebody speak again in this room", "@username"),
    )
}
"""Name → command."""


def _behind(sign: str) -> Callable[[str], str]:
    return lambda text: f"{text} {sign}".lstrip()


SAYINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "gimme": lambda text: f"༼ つ ◕_◕ ༽つ {text}".rstrip(),
    "lennyface": _behind("( ͡° ͜ʖ ͡°)"),
    "me": lambda text: f"_{text}_" if text else "",
    "shrug": _behind("¯\\_(ツ)_/¯"),
    "tableflip": _behind("(╯°□°）╯︵ ┻━┻"),
    "unflip": _behind("┬─┬ ノ( ゜-゜ノ)"),
}
"""Commands that only say something: name → message of the parameters. Empty: nothing."""


def usernames(parameters: str) -> list[str]:
    """The users that a command names, without at signs, each once."""
    words = parameters.replace(",", " ").split()
    names = dict.fromkeys(word.removeprefix("@") for word in words)
    names.pop("", None)
    return list(names)[:_MOST_NAMES]


def room_name(parameters: str) -> str:
    """The room that a command names, without its sign; empty: none."""
    return parameters.strip().removeprefix("#")


def addressed(parameters: str) -> tuple[str, str]:
    """To whom, without the at sign, and what; both may be empty."""
    name, _, text = parameters.strip().partition(" ")
    return name.removeprefix("@"), text.strip()


def help_text() -> str:
    """All commands, one a line."""
    return "\n".join(
        f"{command.usage} – {command.description}" for _, command in sorted(COMMANDS.items())
    )
