"""Reads PromQL as far as tests need it: which series an expression asks for, and by which labels.

Whether an expression is right in every respect only Prometheus can say; this finds what breaks
when the code changes: names of metrics, labels and values that no longer exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)?)
      | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^<>=(){}\[\],])
    """,
    re.VERBOSE,
)
_WORDS: Final = frozenset({"and", "or", "unless", "bool", "offset"})
_LISTS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
AGGREGATIONS: Final = frozenset({"sum", "min", "max", "avg", "count", "topk"})
OVER_RANGES: Final = frozenset({"rate", "increase", "deriv", "changes", "max_over_time"})
"""Functions whose argument is a range."""
OF_COUNTERS: Final = frozenset({"rate", "increase"})
FUNCTIONS: Final = (
    AGGREGATIONS
    | OVER_RANGES
    | {"absent", "clamp_max", "clamp_min", "histogram_quantile", "label_replace", "time", "vector"}
)


class NotPromQL(Exception):
    """The text cannot be read."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition of a selector."""

    label: str
    sign: str
    value: str

    @property
    def values(self) -> tuple[str, ...]:
        """What it names: the alternatives of a regular expression that is a list of words."""
        return tuple(self.value.split("|")) if "~" in self.sign else (self.value,)


@dataclass(frozen=True, slots=True)
class Selector:
    """One place where an expression asks for series."""

    metric: str
    matchers: tuple[Matcher, ...]
    range: str | None
    function: str
    """The function or aggregation whose argument it is; empty at the top."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """A list of labels."""

    word: str
    labels: tuple[str, ...]
    metrics: frozenset[str]
    """What it is about; of `on` and the like: everything in the expression."""


@dataclass(slots=True)
class Reading:
    """What there is in an expression."""

    selectors: list[Selector] = field(default_factory=list)
    groupings: list[Grouping] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    """Labels that the expression makes itself."""


@dataclass(slots=True)
class _Frame:
    function: str
    word: str = ""
    labels: tuple[str, ...] = ()
    metrics: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)


def read(expression: str) -> Reading:
    """What is in `expression`. Raises: NotPromQL."""
    return _Reader(list(_tokens(expression))).read()


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise NotPromQL(f"at {text[at : at + 20]!r}")
        at = found.end()
        kind = str(found.lastgroup)
        if kind != "space":
            yield kind, found.group()


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = [*tokens, ("end", "")]
        self._at = 0
        self._frames = [_Frame("")]
        self._matching: list[tuple[str, tuple[str, ...]]] = []
        self._reading = Reading()

    def read(self) -> Reading:
        while (token := self._next())[0] != "end":
            self._take(*token)
        if len(self._frames) != 1:
            raise NotPromQL("a parenthesis is open")
        everything = frozenset(self._frames[0].metrics)
        self._reading.groupings += [
            Grouping(word, labels, everything) for word, labels in self._matching
        ]
        return self._reading

    def _take(self, kind: str, token: str) -> None:
        match kind, token:
            case "name", _:
                self._name(token)
            case "text", _:
                self._frames[-1].texts.append(token[1:-1])
            case "sign", "(":
                self._frames.append(_Frame(""))
            case "sign", ")":
                self._close()
            case "sign", "[":
                self._until("]")  # of a subquery
            case "sign", ("{" | "}" | "]" | "=" | "=~" | "!~"):
                raise NotPromQL(f"{token!r} out of place")
            case _:
                pass

    def _name(self, token: str) -> None:
        if token in _WORDS:
            return
        if token in _LISTS:
            labels = self._labels() if self._peek() == "(" else ()
            self._matching.append((token, labels))
        elif self._peek() in ("(", "by", "without"):
            self._call(token)
        else:
            self._selector(token)

    def _call(self, function: str) -> None:
        if function not in FUNCTIONS:
            raise NotPromQL(f"unknown function {function}")
        frame = _Frame(function)
        if self._peek() != "(":
            frame.word = self._next()[1]
            frame.labels = self._labels()
        self._expect("(")
        self._frames.append(frame)

    def _close(self) -> None:
        if len(self._frames) == 1:
            raise NotPromQL("a parenthesis too many")
        frame = self._frames.pop()
        if frame.word:
            self._reading.groupings.append(
                Grouping(frame.word, frame.labels, frozenset(frame.metrics))
            )
        if frame.function == "label_replace":
            self._reading.made.add(frame.texts[0])
        self._frames[-1].metrics |= frame.metrics

    def _selector(self, metric: str) -> None:
        matchers: list[Matcher] = []
        if self._peek() == "{":
            self._next()
            while self._peek() != "}":
                label, sign, value = (self._next()[1] for _ in range(3))
                if sign not in ("=", "!=", "=~", "!~") or not value.startswith('"'):
                    raise NotPromQL(f"matcher of {metric}")
                matchers.append(Matcher(label, sign, value[1:-1]))
                if self._peek() == ",":
                    self._next()
            self._next()
        window = None
        if self._peek() == "[":
            self._next()
            window = self._until("]")
        self._frames[-1].metrics.add(metric)
        function = self._frames[-1].function
        self._reading.selectors.append(Selector(metric, tuple(matchers), window, function))

    def _labels(self) -> tuple[str, ...]:
        self._expect("(")
        return tuple(self._until(")").split(",")) if self._peek() != ")" else ()

    def _until(self, end: str) -> str:
        parts: list[str] = []
        while (token := self._next())[1] != end:
            if token[0] == "end":
                raise NotPromQL(f"no {end!r}")
            parts.append(token[1])
        return "".join(parts)

    def _expect(self, token: str) -> None:
        if (found := self._next()[1]) != token:
            raise NotPromQL(f"{found!r} instead of {token!r}")

    def _peek(self) -> str:
        return self._tokens[self._at][1]

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += 1
        return token
