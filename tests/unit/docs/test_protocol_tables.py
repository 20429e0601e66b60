"""What the generator of the protocol's tables says by hand is still so."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from hubbub.doors.methods import METHODS
from services.ddp_streamer.router import Router
from services.ddp_streamer.streams import STREAMS
from services.gateway.rest.endpoints import table

FILE = Path(__file__).parents[3] / "docs" / "protocol_tables.py"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protocol_tables", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def of_the_streamer() -> set[str]:
    """Methods that the streamer answers itself."""
    router = Router(MagicMock(), **{name: MagicMock() for name in _parts()})
    return set(router._calls._methods)


def _parts() -> list[str]:
    names = Router.__init__.__code__.co_varnames[: Router.__init__.__code__.co_argcount]
    keywords = Router.__init__.__kwdefaults__ or {}
    count = Router.__init__.__code__.co_kwonlyargcount
    start = len(names)
    only = Router.__init__.__code__.co_varnames[start : start + count]
    return [name for name in only if name not in keywords]


def test_the_streamers_own_methods(tables: ModuleType, of_the_streamer: set[str]) -> None:
    """Those that are not in the shared table, too."""
    assert set(tables.IN_THE_STREAMER) == of_the_streamer - set(METHODS)
    assert set(tables.WITHOUT_LOGIN) <= set(tables.IN_THE_STREAMER)


def test_streams_that_clients_write_to(tables: ModuleType, of_the_streamer: set[str]) -> None:
    written = {name.removeprefix("stream-") for name in of_the_streamer if "stream-" in name}

    assert set(tables.WRITERS) == written


def test_every_row_of_the_code_is_a_row_of_the_page(tables: ModuleType) -> None:
    """By count, so that nothing is there twice either."""

    def rows(text: str) -> int:
        return len(text.splitlines()) - 2

    assert rows(tables.methods()) == len({*METHODS, *tables.IN_THE_STREAMER})
    assert rows(tables.rest()) == len(list(table()))
    assert {line.split("`")[1] for line in tables.streams().splitlines()[2:]} == {
        f"stream-{name}" for name in STREAMS
    }


@pytest.mark.parametrize(
    ("stream", "event", "who"),
    [
        ("room-messages", "<room>", "who may read the room"),
        ("notify-room", "<room>/…", "who may enter the room"),
        ("notify-user", "<you>/…", "that user"),
        ("notify-all", "…", "everybody, signed in or not"),
        ("stdout", "…", "nobody (`not-allowed`)"),
        ("importers", "…", "who holds one of `run-import`"),
    ],
)
def test_who_may_listen(tables: ModuleType, stream: str, event: str, who: str) -> None:
    """The streamer's rules, in words."""
    assert tables._readers(stream, event) == who
