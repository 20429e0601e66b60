"""What a message has become is told once, and whatever differs is told."""

from __future__ import annotations

from typing import Any

from services.stream_hub.domain import Change, Decision, decide
from services.stream_hub.repeats import Repeats
from tests.unit.stream_hub.made import GENERAL, Known, change

KNOWN = Known(rooms={"GENERAL": GENERAL})


def _message(text: str, **fields: Any) -> dict[str, Any]:
    return {"_id": "m1", "rid": "GENERAL", "msg": text, "u": {"_id": "u1"}, **fields}


def _edit(text: str, **fields: Any) -> Change:
    return change("rocketchat_message", "update", _message(text, **fields), updated={"msg": text})


class _Told:
    """Decides changes one after another, as a leader does."""

    def __init__(self, **keywords: int) -> None:
        self._repeats = Repeats(**keywords)

    def __call__(self, one: Change) -> bool:
        return bool(self.of(one).events)

    def of(self, one: Change) -> Decision:
        return self._repeats.without(one, decide(one, KNOWN))


def test_two_updates_that_are_read_together_are_told_once() -> None:
    """Both show the document as the second one left it."""
    told = _Told()

    assert told(change("rocketchat_message", "insert", _message("said")))
    assert told(_edit("second"))
    again = told.of(_edit("second"))

    assert again.events == []
    assert again.skipped == "repeated"


def test_what_differs_is_told() -> None:
    told = _Told()

    assert [told(_edit(text)) for text in ("a", "b", "a")] == [True, True, True]
    assert told(_edit("a", reactions={":+1:": {"usernames": ["ana"]}}))


def test_what_was_said_anew_may_be_changed_as_before() -> None:
    told = _Told()

    assert told(_edit("a"))
    assert told(change("rocketchat_message", "replace", _message("other")))
    assert told(_edit("a"))


def test_what_comes_between_unseen_changes_nothing() -> None:
    """A hidden message was told as gone, so what it shows afterwards is news."""
    told = _Told()
    hidden = change(
        "rocketchat_message", "update", _message("a", _hidden=True), updated={"_hidden": True}
    )

    assert told(_edit("a"))
    assert told(hidden)
    assert told(_edit("a"))


def test_others_have_nothing_to_do_with_it() -> None:
    """Neither other messages nor other collections."""
    told = _Told()
    room = change("rocketchat_room", "update", GENERAL | {"topic": "x"}, updated={"topic": "x"})

    assert told(_edit("a"))
    assert told(
        change("rocketchat_message", "update", _message("a") | {"_id": "m2"}, updated={"msg": "a"})
    )
    assert [told(room), told(room)] == [True, True]


def test_a_bound_is_kept() -> None:
    """The one that was changed longest ago is forgotten, which costs a repetition."""
    told = _Told(limit=1)
    other = change(
        "rocketchat_message", "update", _message("a") | {"_id": "m2"}, updated={"msg": "a"}
    )

    assert [told(one) for one in (_edit("a"), other, _edit("a"))] == [True, True, True]
