"""What streamers read from the event log."""

from __future__ import annotations

import pytest

from services.ddp_streamer.audiences.log import LogUnavailable, _event


def test_what_is_no_event_cannot_be_had() -> None:
    """It ends the read, not the task that reads."""
    with pytest.raises(LogUnavailable, match="no event"):
        _event({}, b"{}")
