"""The public port: HTTP upgrade requests become connections.

INTERFACE (being filled): signatures are final.
"""

from __future__ import annotations

from collections.abc import Callable

from services.ddp_streamer.connection import OpenSession
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.registry import ConnectionRegistry
from services.ddp_streamer.settings import StreamerSettings


class PublicListener:
    """Serves `<root>/websocket`, `<root>/sockjs/…`, `<root>/health`.

        async with PublicListener(settings, metrics, open_session, healthy=lambda: bus.connected) as listener:
            listener.port          # the bound port (settings.port = 0 lets the system choose)
            listener.connections   # ConnectionRegistry
            listener.stop_accepting()   # closes the listening socket; connections stay

    Leaving the block closes what is still open with 1001 and waits for it, bounded.
    """

    port: int
    connections: ConnectionRegistry

    def __init__(
        self,
        settings: StreamerSettings,
        metrics: StreamerMetrics,
        open_session: OpenSession,
        *,
        healthy: Callable[[], bool],
    ) -> None:
        raise NotImplementedError

    def stop_accepting(self) -> None:
        """Close the listening socket; open connections and handshakes under way stay."""
        raise NotImplementedError
