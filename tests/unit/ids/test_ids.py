"""Identifiers are of the right form, and no character is likelier than another."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter

from hubbub.ids import UNMISTAKABLE, hash_token, login_token, random_id, session_id


def test_ids_have_the_length_and_alphabet_that_clients_know() -> None:
    assert {len(random_id()) for _ in range(50)} == {17}
    assert {len(random_id(length)) for length in (1, 40, 300)} == {1, 40, 300}
    assert len(session_id()) == 24
    assert set(random_id(5000)) == set(UNMISTAKABLE)


def test_every_character_is_equally_likely() -> None:
    """Six standard deviations of room: one false alarm in hundreds of millions of runs."""
    draws = 110_000
    counts = Counter(random_id(draws))
    expected = draws / len(UNMISTAKABLE)

    assert all(abs(count - expected) < 6 * expected**0.5 for count in counts.values())


def test_tokens_are_long_and_stored_hashed() -> None:
    token = login_token()

    assert len(token) == 43
    assert base64.b64decode(hash_token(token)) == hashlib.sha256(token.encode()).digest()
