"""Fixed windows of calls."""

from __future__ import annotations

from services.ddp_streamer.rates import Attempt, RateLimiter, Rule

USER = Rule("user", 3, 10, frozenset({"user"}))
METHOD = Rule("method", 2, 10, frozenset({"connection", "method"}), subs=False)
SEND = Rule("send", 1, 1, frozenset({"user"}), only="sendMessage", unless="send-many")


def call(name: str = "m", user: str | None = "u", connection: str = "c", **more: bool) -> Attempt:
    return Attempt(name, connection, user, is_sub=more.get("is_sub", False))


def test_a_limit_counts_until_its_window_ends() -> None:
    limiter = RateLimiter([USER])
    assert [limiter.check(call(), 1.0) for _ in range(3)] == [None] * 3
    excess = limiter.check(call(), 5.0)
    assert excess is not None
    assert excess.wait == 6.0
    assert excess.error().details == {"timeToReset": 6000}
    assert limiter.check(call(), 11.0) is None


def test_users_and_connections_are_counted_apart() -> None:
    limiter = RateLimiter([USER, METHOD])
    for user in "abc":
        assert [limiter.check(call(user=user, connection=user), 0) for _ in range(2)] == [None] * 2


def test_a_rule_by_user_is_not_about_nobody() -> None:
    limiter = RateLimiter([USER])
    assert [limiter.check(call(user=None), 0) for _ in range(9)] == [None] * 9


def test_rules_by_method_leave_subs_alone() -> None:
    limiter = RateLimiter([METHOD])
    assert [limiter.check(call(is_sub=True), 0) for _ in range(9)] == [None] * 9
    assert [limiter.check(call("a"), 0) for _ in range(2)] == [None] * 2
    assert limiter.check(call("a"), 0) is not None
    assert limiter.check(call("b"), 0) is None


def test_a_rule_about_one_method_only() -> None:
    limiter = RateLimiter([SEND])
    assert limiter.check(call("other"), 0) is None
    assert limiter.check(call("sendMessage"), 0) is None
    excess = limiter.check(call("sendMessage"), 0)
    assert excess is not None
    assert excess.rule.unless == "send-many"


def test_a_limit_that_nothing_lifts_counts_first() -> None:
    limiter = RateLimiter([SEND, Rule("all", 1, 1, frozenset({"user"}))])
    limiter.check(call("sendMessage"), 0)
    excess = limiter.check(call("sendMessage"), 0)
    assert excess is not None
    assert excess.rule.name == "all"


def test_zero_is_no_limit_and_old_windows_are_forgotten() -> None:
    limiter = RateLimiter([Rule("off", 0, 1, frozenset({"user"})), USER])
    for number in range(1000):
        assert limiter.check(call(user=str(number)), 0) is None
    assert len(limiter) == 1000
    limiter.check(call(user="later"), 100)
    assert len(limiter) == 1
