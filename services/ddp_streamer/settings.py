"""The knobs of a streamer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from hubbub.settings import Settings

KIB, MIB = 1024, 1024 * 1024


class StreamerSettings(Settings):
    """How a streamer serves its clients."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_STREAMER_", populate_by_name=True)

    # --- the public port ---
    host: str = "0.0.0.0"  # noqa: S104  the public port of a container
    """Address to listen on."""
    port: int = Field(default=3000, ge=0, le=65535)
    """Port to listen on; 0 lets the system choose."""
    root_path: str = ""
    """Path in front of `/websocket` and `/sockjs`, for installations under a path, e.g. `/chat`."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ("*",)
    """Comma-separated origins of web pages that may connect; `*` allows all. Clients that are no
    browsers send none and are always allowed. Login never uses cookies, so `*` is safe."""
    forwarded_count: int = Field(default=0, ge=0, validation_alias="HUBBUB_HTTP_FORWARDED_COUNT")
    """Trusted proxies in front: the client's address is this many entries from the end of
    `X-Forwarded-For`. 0: the address of the socket."""
    backlog: int = Field(default=4096, ge=1)
    """Connections the kernel may hold before they are accepted; large, for mass reconnects."""

    # --- how many ---
    max_connections: int = Field(default=10_000, ge=1)
    """Soft limit. Connections beyond it are served, then asked to go elsewhere (1013) after 2 to
    8 s: clients give up for good when refused, but not when closed."""
    hard_limit_ratio: float = Field(default=1.1, ge=1.0)
    """At this multiple of `max_connections` upgrades are refused with HTTP 503."""
    handshakes_per_second: float = Field(default=200.0, gt=0)
    """New connections per second, with a burst of twice that. More wait, see below."""
    handshake_wait: float = Field(default=5.0, ge=0)
    """Seconds that a handshake may wait for its turn before it is refused with HTTP 503."""
    max_anonymous_per_address: int = Field(default=20, ge=0)
    """Connections of one address (IPv6: /64) that may stay without a login; 0: any number. More
    are served too, but are closed (1008) after 2 to 8 s if nobody logged in on them."""
    logins_per_second: float = Field(default=100.0, ge=20)
    """Logins that may begin per second at first; more wait in line. The pace doubles up to four
    times a second while logins take less than 0.25 s and somebody waits, and is halved when they
    take more than 2 s; from there it grows by a tenth each second while they take less than
    0.5 s. A login waits in line for as long as one that cannot be decided is held, see
    `login_hold_seconds`."""
    max_subscriptions: int = Field(default=2_000, ge=1)
    """Subscriptions of one connection."""
    max_queued: int = Field(default=256, ge=1)
    """Methods and subs of one connection that wait for their turn; more close it with 1008."""
    max_watched_users: int = Field(default=10_000, ge=1)
    """Users whose presence one connection may watch; further ids are ignored."""

    # --- what arrives ---
    max_frame_bytes: int = Field(default=MIB, ge=1024)
    """Longest message of a client (all fragments together); longer closes with 1009."""
    frames_per_second: float = Field(default=50.0, gt=0)
    """Frames a client may send in the long run. Over it reading stops for 1 s, then 1008."""
    frame_burst: int = Field(default=500, ge=1)
    """Frames a client may send at once."""
    control_frames_per_second: float = Field(default=10.0, gt=0)
    """WebSocket pings and pongs a client may send in the long run, with a burst of ten times
    that."""

    # --- what leaves ---
    soft_buffered_bytes: int = Field(default=MIB, ge=1024)
    """Backlog of one connection from which on typing is dropped and presence held back."""
    max_buffered_bytes: int = Field(default=4 * MIB, ge=1280 * KIB)
    """Backlog of one connection at which it is closed with 1013 SLOW_CONSUMER. At least 1.25 MiB:
    one event or answer may have 1 MiB, and whoever is closed for getting it comes back for it,
    again and again."""
    unsent_bytes: int = Field(default=128 * 1024, ge=4096)
    """Bytes that the kernel may hold for one connection besides, of what it could not send yet."""
    stall_timeout: float = Field(default=20.0, gt=0)
    """Seconds in which a connection with a backlog must take at least one byte, else 1013."""

    # --- time ---
    open_timeout: float = Field(default=120.0, gt=0)
    """Seconds from the start until clients are served. A streamer that cannot hear what concerns
    everybody by then ends, so that it is started anew."""
    header_timeout: float = Field(default=10.0, gt=0)
    """Seconds for a complete HTTP request head."""
    connect_timeout: float = Field(default=20.0, gt=0)
    """Seconds from the upgrade to the DDP `connect`, else 1002."""
    anonymous_timeout: float = Field(default=60.0, ge=0)
    """Seconds a connection may stay without a login, else 1008; 0: for ever. A login that is
    under way is waited for."""
    heartbeat_interval: float = Field(default=30.0, gt=0)
    """Seconds without any frame of the client after which it is pinged (spread by ±5 s)."""
    heartbeat_timeout: float = Field(default=30.0, gt=0)
    """Seconds it then has to send something, else 4408."""
    sockjs_heartbeat: float = Field(default=25.0, gt=0)
    """Seconds of our own silence after which a SockJS client gets an `h`."""
    close_timeout: float = Field(default=5.0, gt=0)
    """Seconds a client has to answer a close frame before the socket is cut."""
    login_hold_seconds: float = Field(default=120.0, ge=0)
    """Seconds a login that cannot be decided (account service away) is held before the client is
    told; some clients never log in again after an error."""

    session_resume_seconds: float = Field(default=86_400.0, ge=0)
    """Seconds for which a client whose socket was cut may come back as who it was by offering
    its old DDP session id, as clients do that never log in again; 0: not at all."""
    session_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of these identities in NATS: 1 on a single server, 3 in production."""

    # --- events ---
    linger_seconds: float = Field(default=30.0, ge=0)
    """Seconds for which an audience stays routed after its last listener has gone; clients that
    reconnect find it still there."""
    gap_deadline: float = Field(default=2.0, gt=0)
    """Seconds for finding a missing event in the event log; then its listeners are closed with
    1012 and load anew."""
    log_patience: float = Field(default=15.0, gt=0)
    """Seconds for which events are held while the event log does not answer."""
    legacy_user_status: bool = False
    """Tell every signed-in socket that asks for it (`notify-logged/user-status`) of every change
    of everybody's presence, as old clients want it. Costs the square of the number of users."""
    resync_window: float = Field(default=30.0, ge=0)
    """Seconds over which sockets are closed when events are lost, so that their return is no
    storm (at most 200 per second in any case)."""
    room_rights_seconds: float = Field(default=60.0, gt=0)
    """Seconds for which access to a room is remembered; changes drop the answer at once."""
    permission_seconds: float = Field(default=30.0, gt=0)
    """Seconds for which a permission is remembered; changes drop the answer at once."""
    call_timeout: float = Field(default=30.0, gt=0)
    """Seconds a method or sub may take before it is answered with an error."""

    # --- the end ---
    drain_delay: float = Field(default=0.0, ge=0)
    """Seconds to go on accepting after the stop was asked for: load balancers need a moment to
    choose others. 5 to 10 in Kubernetes."""
    drain_window: float = Field(default=2.0, ge=0)
    """Seconds over which connections are closed (1012) at the end, in random order. Clients
    come back at once, so this spreads their logins. 60 or more for thousands of clients."""
    drain_patience: float = Field(default=25.0, gt=0)
    """Seconds that a connection whose turn has come may wait for what is still unanswered. An
    unanswered login or logout is waited for until `HUBBUB_DRAIN_DEADLINE` is near."""
    max_reconnect_rate: float = Field(default=200.0, gt=0)
    """Connections closed per second in a drain, for each other streamer that is ready: so many
    logins one of them can bear. Slows a drain down whose window is too short for that."""

    # --- rates: calls within a window; 0 switches a limit off ---
    rate_address: int = Field(default=120_000, ge=0)
    """Methods and subs of one address in 60 s."""
    rate_user: int = Field(default=1_200, ge=0)
    """Methods and subs of one user in 60 s, on all sockets of this streamer."""
    rate_connection: int = Field(default=600, ge=0)
    """Methods and subs of one connection in 60 s."""
    rate_user_method: int = Field(default=20, ge=0)
    """Calls of one method by one user in 10 s. Subs do not count: clients open dozens at once."""
    rate_connection_method: int = Field(default=10, ge=0)
    """Calls of one method on one connection in 10 s. Subs do not count."""
    rate_send_message: int = Field(default=5, ge=0)
    """`sendMessage` of one user in 1 s, without the permission `send-many-messages`."""
    rate_create_direct: int = Field(default=10, ge=0)
    """`createDirectMessage` of one user in 60 s, without the permission `send-many-messages`."""
    rate_login: int = Field(default=5, ge=0)
    """`login` on one connection in 10 s."""

    recent_events: int = Field(default=20_000, ge=1, le=1_000_000)
    """Messages, and as many ended connections and subscriptions, that are remembered for
    `hubbub explain`: ids and moments (about 0.2 KB each)."""

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(
                part.strip().rstrip("/").lower() for part in value.split(",") if part.strip()
            )
        return value

    @field_validator("root_path")
    @classmethod
    def _normal_path(cls, value: str) -> str:
        path = value.strip("/")
        return f"/{path}" if path else ""

    @model_validator(mode="after")
    def _soft_below_hard(self) -> StreamerSettings:
        if self.soft_buffered_bytes > self.max_buffered_bytes:
            raise ValueError("soft_buffered_bytes must not exceed max_buffered_bytes")
        return self

    @property
    def hard_limit(self) -> int:
        """Connections at which upgrades are refused."""
        return max(self.max_connections, int(self.max_connections * self.hard_limit_ratio))
