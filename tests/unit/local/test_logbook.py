"""What children say is kept within bounds and shown so that a person can read it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hubbub.local import logbook
from hubbub.local.logbook import LogFile, Screen


def test_a_log_is_put_aside_when_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most the newest three files of bounded size stay."""
    monkeypatch.setattr(logbook, "MAX_BYTES", 100)
    log = LogFile(tmp_path / "log" / "a.log")
    for number in range(200):
        log.write(b"line %03d\n" % number)
    log.close()

    files = sorted((tmp_path / "log").iterdir())
    assert [file.name for file in files] == ["a.log", "a.log.1", "a.log.2"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert files[0].read_text().endswith("line 199\n")
    kept = b"".join(file.read_bytes() for file in reversed(files)).splitlines()
    assert kept == [b"line %03d" % number for number in range(200 - len(kept), 200)]


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    """A restart does not wipe what explains it."""
    for text in (b"one\n", b"two\n"):
        log = LogFile(tmp_path / "a.log")
        log.write(text)
        log.close()

    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param(
            b'{"ts":"2026-01-02T03:04:05.6Z","level":"info","msg":"soup_served","bowls":3,'
            b'"service":"a","instance":"a-1","version":"1","logger":"x"}\n',
            "03:04:05 info    soup_served bowls=3",
            id="event",
        ),
        pytest.param(b"plain words\n", "plain words", id="plain"),
        pytest.param(b"[1, 2]\n", "[1, 2]", id="other json"),
        pytest.param(b"\xff\n", "\ufffd", id="no text"),
    ],
)
def test_a_line_is_shown_for_people(line: bytes, shown: str) -> None:
    """JSON becomes time, level, event and keys; anything else stays as it is."""
    output = io.StringIO()
    screen = Screen(output)
    screen.introduce("longer-name")
    screen.show("a", line)

    assert output.getvalue() == f"a           │ {shown}\n"
