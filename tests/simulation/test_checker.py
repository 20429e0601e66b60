"""The checker finds what is wrong, and nothing else: histories made by hand."""

from __future__ import annotations

from tests.simulation.checker import (
    Commit,
    History,
    Reading,
    Segment,
    Shown,
    complete,
    violations,
)

COMMITS: list[Commit] = [
    ("r", "message", "a", 0),
    ("s", "message", "z", 0),
    ("r", "message", "b", 0),
    ("r", "message", "a", 1),
    ("r", "ended", "bob", 0),
    ("r", "message", "c", 0),
]
ALL = [Shown("a", 0), Shown("b", 0), Shown("a", 1), Shown("c", 0)]


def _history(
    frames: list[Shown], *, user: str = "ada", fetched_at: int = 0, live: bool = True
) -> History:
    segment = Segment(fetched_at, list(frames), live)
    return History(COMMITS, {"x": Reading("r", user, [segment], _view(frames))}, {})


def _view(frames: list[Shown]) -> dict[str, int]:
    view: dict[str, int] = {}
    for message, version in frames:
        view[message] = max(version, view.get(message, 0))
    return view


def _words(history: History) -> set[str]:
    return {said.split(": ")[1] for said in violations(history)}


def test_all_is_well() -> None:
    assert violations(_history(ALL)) == []
    assert complete(_history(ALL))


def test_what_the_catch_up_brought_need_not_come_again() -> None:
    history = _history(ALL[2:], fetched_at=3)
    history.readings["x"].view["b"] = 0
    assert violations(history) == []


def test_a_hole_is_lost() -> None:
    assert "lost" in _words(_history([ALL[0], *ALL[2:]]))


def test_a_hole_at_the_beginning_is_lost() -> None:
    assert "lost" in _words(_history(ALL[1:]))


def test_the_end_is_lost_only_to_who_still_follows() -> None:
    assert "lost" in _words(_history(ALL[:3]))
    assert not complete(_history(ALL[:3]))
    assert violations(_history(ALL[:3], live=False)) == []


def test_what_comes_twice_is_doubled() -> None:
    assert "doubled" in _words(_history([*ALL, ALL[3]]))


def test_what_comes_too_late_is_no_order() -> None:
    assert _words(_history([ALL[0], ALL[2], ALL[1], ALL[3]])) == {"lost", "doubled"}


def test_a_frame_behind_the_end_of_the_membership_has_leaked() -> None:
    assert "leaked" in _words(_history(ALL, user="bob"))
    assert violations(_history(ALL[:3], user="bob", live=False)) == []


def test_an_old_version_is_outdated() -> None:
    history = _history([], fetched_at=6)
    history.readings["x"].view.update(a=0, b=0, c=0)
    assert _words(history) == {"outdated"}


def test_what_nobody_committed_is_invented() -> None:
    assert "invented" in _words(_history([Shown("y", 0)], live=False))


def test_messages_of_one_writer_keep_their_order() -> None:
    assert violations(History(COMMITS, {}, {"w/r": ["a", "b", "c"]})) == []
    assert "disordered" in _words(History(COMMITS, {}, {"w/r": ["b", "a", "c"]}))
