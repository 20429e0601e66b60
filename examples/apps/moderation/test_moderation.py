"""Words that are not wanted are masked or refused; nothing else is touched."""

from __future__ import annotations

import pytest
from moderation import app

from hubbub.apps.testing import Prevented


def test_words_are_masked() -> None:
    client = app.test_client(words="darn, heck ,c++")
    assert client.message("Darn it, what the HECK").text == "**** it, what the ****"
    assert client.message("darning socks at Heckington").text == "darning socks at Heckington"
    assert client.message("I like c++.").text == "I like ***."
    assert client.message("(darn)").text == "(****)"


def test_words_in_attachments() -> None:
    client = app.test_client(words="darn")
    sent = client.message("see", attachments=[{"title": "darn", "fields": [{"value": "Darn!"}]}])
    assert sent.text == "see"
    assert sent.attachments == [{"title": "****", "fields": [{"value": "****!"}]}]


def test_messages_are_refused() -> None:
    client = app.test_client(words="darn", action="refuse", reason="No.")
    with pytest.raises(Prevented, match=r"^No\.$"):
        client.message("darn")
    assert client.message("fine").text == "fine"
    assert [message["msg"] for message in client.hubbub.messages] == ["fine"]


@pytest.mark.parametrize("words", ["", " , ,"])
def test_without_words_nothing_is_touched(words: str) -> None:
    assert app.test_client(words=words).message("darn , *").text == "darn , *"


def test_new_words_count_at_once() -> None:
    client = app.test_client()
    assert client.message("darn").text == "darn"
    client.configure(words="darn")
    assert client.message("darn").text == "****"
