"""Subjects of NATS and their wildcards, for tests."""

from __future__ import annotations


def covers(pattern: str, subject: str) -> bool:
    """Whether everything that `subject` stands for matches `pattern`."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(given) > place
        if place >= len(given) or given[place] == ">":
            return False
        if token not in ("*", given[place]):
            return False
    return len(wanted) == len(given)
