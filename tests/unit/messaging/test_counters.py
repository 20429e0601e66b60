"""Who is alerted, and by how much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.messaging.domain import counters
from services.messaging.domain.counters import Plan, Said, Tally
from services.messaging.domain.rules import Rules

USERS = ("a", "b", "c", "d")


def _plan(messages: list[Said], kind: str = "c", rules: Rules | None = None) -> Plan:
    return counters.plan(
        messages, room_type=kind, rules=rules or Rules(), followers={"t": ["a", "b"]}
    )


def test_plain_messages_alert_everybody() -> None:
    """And count nothing by default."""
    plan = _plan([Said(1, "a", in_room=True), Said(2, "b", in_room=True)])

    assert plan == Plan((), Tally(alert=2), 2)
    assert not plan.everybody.counts


def test_mentioned_users_are_one_class() -> None:
    """One write for all who got the same."""
    plan = _plan([Said(1, "a", in_room=True, mentioned=frozenset({"b", "c"}))])

    ((ids, tally),) = plan.special
    assert ids == {"b", "c"}
    assert tally == Tally(alert=1, unread=(1,), user_mentions=(1,))
    assert plan.singled_out == {"b", "c"}


def test_a_reply_inside_a_thread_concerns_followers() -> None:
    """Others hear nothing."""
    plan = _plan([Said(5, "a", in_room=False, thread_id="t", mentioned=frozenset({"b"}))])

    assert plan.everybody.last == 0
    assert {min(ids): tally for ids, tally in plan.special} == {
        "a": Tally(threads=(("t", 5),)),
        "b": Tally(threads=(("t", 5),), threads_user=(("t", 5),)),
    }


def test_silent_messages() -> None:
    """System messages, imported and hidden ones take a number and nothing else."""
    for field in ({"t": "uj"}, {"imported": "x"}, {"_hidden": True}):
        said = counters.said({"seq": 3, "u": {"_id": "a"}, "msg": "x", **field})
        assert _plan([said]) == Plan((), Tally(), 3)


def test_odd_documents_are_counted_somehow() -> None:
    """Whatever other tools wrote."""
    said = counters.said({"seq": 1, "u": None, "mentions": ["x", {"_id": "all"}, {}], "msg": None})

    assert said.group
    assert said.author_id == ""


_messages = st.lists(
    st.builds(
        Said,
        seq=st.just(0),
        author_id=st.sampled_from(USERS),
        in_room=st.booleans(),
        thread_id=st.sampled_from([None, "t"]),
        mentioned=st.frozensets(st.sampled_from(USERS), max_size=2),
        group=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(
    _messages,
    st.sampled_from(["c", "d"]),
    st.sampled_from(["all_messages", "user_mentions_only", "user_and_group_mentions_only"]),
)
def test_classes_are_disjoint_and_complete(messages: list[Said], kind: str, setting: str) -> None:
    """Every member is in one class, and gets what each message alone would give."""
    numbered = [
        Said(
            number,
            said.author_id,
            said.in_room or said.thread_id is None,
            said.thread_id,
            said.mentioned,
            said.group,
        )
        for number, said in enumerate(messages, 1)
    ]
    rules = Rules(unread_count=setting)
    whole = _plan(numbered, kind, rules)
    single = [_plan([said], kind, rules) for said in numbered]

    classes = [ids for ids, _ in whole.special]
    assert sum(map(len, classes)) == len(whole.singled_out)
    for user in USERS:
        tally = _of(whole, user)
        assert tally.unread == sum((_of(one, user).unread for one in single), ())
        assert tally.user_mentions == sum((_of(one, user).user_mentions for one in single), ())
        assert tally.group_mentions == sum((_of(one, user).group_mentions for one in single), ())
        assert tally.alert == max(_of(one, user).alert for one in single)
        assert bool(tally.threads) == any(_of(one, user).threads for one in single)


def _of(plan: Plan, user: str) -> Tally:
    for ids, tally in plan.special:
        if user in ids:
            return tally
    return plan.everybody
