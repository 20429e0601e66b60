"""Secrets that the tests of this run have used, and where they must not be found."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_WORDS = re.compile(rb"[A-Za-z0-9_-]{17,}")
_PORT = re.compile(rb'"port":\s*(\d+)[^\n]*"msg":\s*"ops_listening"')

_SHORTEST = 12  # characters

_USED: set[bytes] = set()


def keep_secret(secret: str) -> str:
    """From now on `secret` must not be seen; returns it.

    What is too short to be told from other text (tests sign in wrongly, too) is not looked for.
    """
    if len(secret) >= _SHORTEST:
        _USED.add(secret.encode())
    return secret


def keep_password(password: str) -> str:
    """Neither the password nor what clients send instead of it."""
    keep_secret(hashlib.sha256(password.encode()).hexdigest())
    return keep_secret(password)


def assert_not_told(answer: str) -> None:
    """An error answer repeats no secret, whoever it belongs to."""
    told = _found(answer.encode())
    assert not told, f"an error answer has {told} secrets in it: {answer[:200]}"


def assert_kept(data: Path) -> None:
    """No secret of this run, and no seed of a key, is in any log or metric of a Hubbub.

    Its broker never had to refuse anything either: every service keeps to its rights.
    """
    for seed in (data / "nats-keys").glob("*.nk"):
        keep_secret(seed.read_text().strip())
    logs = {file.name: file.read_bytes() for file in sorted((data / "log").iterdir())}
    out = data.parent / "out.log"
    if out.exists():
        logs[out.name] = out.read_bytes()
    assert any(b"service_ready" in text for text in logs.values()), "there is nothing to search"
    leaking = {name: _found(text) for name, text in logs.items() if _found(text)}
    assert not leaking, f"logs with secrets in them, and how many: {leaking}"
    metrics = list(_metrics(b"\n".join(logs.values())))
    assert any(b"hubbub_nats_connected" in text for text in metrics), "no metrics to search"
    assert not sum(map(_found, metrics)), "there are secrets in metrics"
    refused = [
        line.decode(errors="replace")
        for text in logs.values()
        for line in text.splitlines()
        if b" Violation - " in line or b'"nats_forbidden"' in line
    ]
    assert not refused, refused[:10]


def _found(text: bytes) -> int:
    """How many secrets are in `text`."""
    words = set(_WORDS.findall(text))
    whole = {one for one in _USED if _WORDS.fullmatch(one)}
    return len(whole & words) + sum(one in text for one in _USED - whole)


def _metrics(logs: bytes) -> Iterator[bytes]:
    """What the processes show that still live."""
    for port in {int(one) for one in _PORT.findall(logs)}:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                yield answer.read()
        except (urllib.error.URLError, OSError):
            continue
