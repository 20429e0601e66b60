"""Settings of a streamer, as they come from the environment."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from hubbub.settings import WrongSettings, load
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.settings import MIB, StreamerSettings


def test_values_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_STREAMER_PORT", "4000")
    monkeypatch.setenv("HUBBUB_STREAMER_ROOT_PATH", "chat/")
    monkeypatch.setenv("HUBBUB_STREAMER_ALLOWED_ORIGINS", "https://A.example/, https://b.example")
    monkeypatch.setenv("HUBBUB_HTTP_FORWARDED_COUNT", "2")
    settings = load(StreamerSettings)
    assert settings.port == 4000
    assert settings.root_path == "/chat"
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.forwarded_count == 2


def test_defaults() -> None:
    settings = StreamerSettings()
    assert settings.port == 3000
    assert settings.max_frame_bytes == 1024 * 1024
    assert settings.max_buffered_bytes == 4 * 1024 * 1024
    assert settings.hard_limit == 11_000


def test_the_soft_limit_is_not_above_the_hard_one() -> None:
    with pytest.raises(ValidationError, match="soft_buffered_bytes"):
        StreamerSettings(soft_buffered_bytes=3 * MIB, max_buffered_bytes=2 * MIB)


@pytest.mark.parametrize("size", [64 * 1024, MIB, MIB + 4096])
def test_the_largest_frame_finds_room_in_an_empty_outbox(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setenv("HUBBUB_STREAMER_MAX_BUFFERED_BYTES", str(size))
    with pytest.raises(WrongSettings) as refusal:
        load(StreamerSettings)
    (line,) = str(refusal.value).splitlines()
    assert line.startswith("HUBBUB_STREAMER_MAX_BUFFERED_BYTES")
    assert "1310720" in line


def test_the_sockjs_form_of_a_shared_frame_is_built_once() -> None:
    frame = SharedFrame(b'{"msg":"x"}')
    assert frame.raw == b'\x81\x0b{"msg":"x"}'
    assert frame.sockjs == b'\x81\x14a["{\\"msg\\":\\"x\\"}"]'
    assert frame.sockjs is frame.sockjs


def test_types_outside_the_closed_set_are_counted_as_other() -> None:
    metrics = StreamerMetrics(CollectorRegistry())
    metrics.tally.messages_in["connect"] += 2
    metrics.tally.messages_in["malformed"] += 1
    metrics.tally.messages_in["ping"] += 1
    metrics.transfer()
    metrics.transfer()
    assert metrics.messages.labels("in", "other")._value.get() == 3
    assert metrics.messages.labels("in", "ping")._value.get() == 1
