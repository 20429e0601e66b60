"""Who is alerted by messages, and by how much.

A membership remembers in `countedSeq` up to which `seq` of its room it was counted. A *tally*
says which messages count; the database adds those above `countedSeq` and moves it. So doing it
twice changes nothing, messages that were read or written in between are left out by
themselves, and the author, whose own send moved `countedSeq`, needs no exception.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from services.messaging.domain import text
from services.messaging.domain.rules import Rules

_USER_MENTIONS_COUNT: Final = frozenset(
    {"all_messages", "user_mentions_only", "user_and_group_mentions_only"}
)
_GROUP_MENTIONS_COUNT: Final = frozenset(
    {"all_messages", "group_mentions_only", "user_and_group_mentions_only"}
)
_DIRECT_MENTIONS_COUNT: Final = frozenset({"all_messages", "mentions_only"})


@dataclass(frozen=True, slots=True)
class Said:
    """What counting needs of one message."""

    seq: int
    author_id: str
    in_room: bool
    """Not only in a thread."""
    thread_id: str | None = None
    mentioned: frozenset[str] = frozenset()
    """User ids."""
    group: bool = False
    """`@all` or `@here`."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """What messages add to a membership. Every tuple holds `seq`s, ascending."""

    alert: int = 0
    """The last message that marks the room as having something new; 0: none."""
    unread: tuple[int, ...] = ()
    unread_group: tuple[int, ...] = ()
    """Unread, except for those who muted group mentions."""
    user_mentions: tuple[int, ...] = ()
    group_mentions: tuple[int, ...] = ()
    """Except for those who muted group mentions."""
    threads: tuple[tuple[str, int], ...] = ()
    """(thread, last reply) of followed threads with something new."""
    threads_user: tuple[tuple[str, int], ...] = ()
    threads_group: tuple[tuple[str, int], ...] = ()

    @property
    def last(self) -> int:
        """The last message that matters; 0: none does."""
        seqs = [
            self.alert,
            *self.unread,
            *self.unread_group,
            *self.user_mentions,
            *self.group_mentions,
            *(seq for _, seq in self.threads),
        ]
        return max(seqs)

    @property
    def counts(self) -> bool:
        """Whether numbers change, beyond the mark that there is something new."""
        return bool(self.unread or self.user_mentions or self.threads)

    @property
    def counts_unless_muted(self) -> bool:
        """Whether numbers change for those who did not mute group mentions."""
        return bool(self.unread_group or self.group_mentions)


@dataclass(frozen=True, slots=True)
class Plan:
    """Disjoint classes of members, one write each."""

    special: tuple[tuple[frozenset[str], Tally], ...]
    """(user ids, what they get beside everybody)."""
    everybody: Tally
    """For those who are in none of `special`."""
    last: int
    """The last message that the plan covers."""

    @property
    def singled_out(self) -> frozenset[str]:
        return frozenset[str]().union(*(ids for ids, _ in self.special))


def said(message: Mapping[str, Any]) -> Said:
    """What counting needs of a stored message."""
    ids = {
        str(mention.get("_id"))
        for mention in message.get("mentions") or []
        if isinstance(mention, Mapping)
    }
    author = message.get("u")
    thread_id = message.get("tmid")
    # System messages and imported ones take a number, but alert nobody.
    silent = bool(message.get("t") or message.get("imported") or message.get("_hidden"))
    return Said(
        seq=int(message["seq"]),
        author_id=str(author.get("_id")) if isinstance(author, Mapping) else "",
        in_room=not silent and (thread_id is None or message.get("tshow") is True),
        thread_id=None if silent or thread_id is None else str(thread_id),
        mentioned=frozenset(ids - text.GROUPS),
        group=bool(ids & text.GROUPS),
        text=str(message.get("msg") or ""),
    )


def with_highlights(
    messages: Sequence[Said], highlights: Mapping[str, Sequence[str]]
) -> list[Said]:
    """`messages` with those counted as mentioned whose highlight words (user id → words) occur."""
    return [
        replace(
            message,
            mentioned=message.mentioned
            | {
                user_id
                for user_id, words in highlights.items()
                if any(text.holds_word(message.text, word) for word in words)
            },
        )
        for message in messages
    ]


def plan(
    messages: Sequence[Said],
    *,
    room_type: str,
    rules: Rules,
    followers: Mapping[str, Iterable[str]],
) -> Plan:
    """What `messages`, ascending by `seq`, change for the members of their room.

    Args:
        followers: thread id → user ids that follow it.
    """
    everybody = _tally(messages, room_type, rules, None)
    involved: dict[str, None] = {}
    for message in messages:
        involved |= dict.fromkeys(sorted(message.mentioned))
        if message.thread_id is not None:
            involved |= dict.fromkeys(followers.get(message.thread_id, ()))
    following = {thread: frozenset(ids) for thread, ids in followers.items()}
    classes: dict[Tally, set[str]] = defaultdict(set)
    for user_id in involved:
        tally = _tally(messages, room_type, rules, user_id, following)
        if tally != everybody:
            classes[tally].add(user_id)
    special = tuple((frozenset(ids), tally) for tally, ids in classes.items())
    return Plan(special, everybody, messages[-1].seq if messages else 0)


def _tally(
    messages: Sequence[Said],
    room_type: str,
    rules: Rules,
    user_id: str | None,
    following: Mapping[str, frozenset[str]] | None = None,
) -> Tally:
    direct = room_type == "d"
    count_all = (rules.unread_count_direct if direct else rules.unread_count) == "all_messages"
    count_user = direct or rules.unread_count in _USER_MENTIONS_COUNT
    count_group = (
        rules.unread_count_direct in _DIRECT_MENTIONS_COUNT
        if direct
        else rules.unread_count in _GROUP_MENTIONS_COUNT
    )
    alert = 0
    unread: list[int] = []
    unread_group: list[int] = []
    by_name: list[int] = []
    by_group: list[int] = []
    threads: dict[str, int] = {}
    threads_user: dict[str, int] = {}
    threads_group: dict[str, int] = {}
    for message in messages:
        named = user_id is not None and user_id in message.mentioned
        if message.in_room:
            alert = message.seq
            if named:
                by_name.append(message.seq)
            elif message.group:
                by_group.append(message.seq)
            if count_all or (named and count_user):
                unread.append(message.seq)
            elif message.group and not named and count_group:
                unread_group.append(message.seq)
        thread = message.thread_id
        if thread and following and user_id in following.get(thread, ()):
            threads[thread] = message.seq
            if named:
                threads_user[thread] = message.seq
            elif message.group:
                threads_group[thread] = message.seq
    return Tally(
        alert=alert,
        unread=tuple(unread),
        unread_group=tuple(unread_group),
        user_mentions=tuple(by_name),
        group_mentions=tuple(by_group),
        threads=tuple(threads.items()),
        threads_user=tuple(threads_user.items()),
        threads_group=tuple(threads_group.items()),
    )
