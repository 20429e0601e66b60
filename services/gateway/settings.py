"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class GatewaySettings(Settings):
    """How the gateway listens and what it lets strangers do."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_GATEWAY_", populate_by_name=True)

    host: str = "127.0.0.1"
    """Address of the public port. A container needs `0.0.0.0`."""
    port: int = Field(default=3000, ge=0, le=65535)
    """Public port; 0 lets the system choose."""
    forwarded_count: int = Field(
        default=0, ge=0, le=16, validation_alias="HUBBUB_HTTP_FORWARDED_COUNT"
    )
    """Trusted proxies in front: the client's address is that entry of `X-Forwarded-For`, counted
    from the end. 0: the address of the socket; the header is then not believed."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    """Bytes of a JSON or form body. Files have their own limit."""
    max_query_bytes: int = Field(default=16_384, ge=1024)
    """Bytes of a query string."""
    header_timeout: float = Field(default=10.0, gt=0)
    """Seconds until the headers of a request must be complete, counted from its first byte (for
    the first request: from the connection)."""
    min_body_rate: float = Field(default=1024.0, gt=0)
    """Bytes per second that a body must arrive with, beside `body_grace`."""
    body_grace: float = Field(default=10.0, gt=0)
    """Seconds a body may take whatever its size."""
    max_file_bytes: int = Field(default=1_073_741_824, ge=1024)
    """Bytes of a file at most, whatever the workspace's setting says: -1 there means this."""
    min_upload_rate: float = Field(default=8192.0, gt=0)
    """Bytes per second that a file must arrive with, beside `upload_grace`."""
    upload_grace: float = Field(default=20.0, gt=0)
    """Seconds an upload may take whatever its size."""
    upload_timeout: float = Field(default=3600.0, gt=0)
    """Seconds after which an upload is given up, however well it goes."""
    max_uploads: int = Field(default=64, ge=1)
    """Uploads at the same time; each holds about half a megabyte. Further ones are refused as
    unavailable."""
    download_stall: float = Field(default=30.0, gt=0)
    """Seconds a client may take for the next 255 KiB of a file before its connection is cut."""
    unsent_hours: float = Field(default=24.0, gt=0)
    """Hours an uploaded file is kept that no message carries."""
    file_cleaning_interval: float = Field(default=600.0, gt=0)
    """Seconds between two removals of such files."""
    max_half_open: int = Field(default=1000, ge=1)
    """Connections whose headers are not complete; further ones are closed at once."""
    keepalive_timeout: float = Field(default=75.0, gt=0)
    """Seconds an idle connection is kept. Longer than the proxies in front keep theirs."""
    request_timeout: float = Field(default=30.0, gt=0)
    """Seconds one request may take before it is answered with 503."""
    drain_delay: float = Field(default=0.0, ge=0)
    """Seconds to go on accepting after the stop was asked for: load balancers need a moment to
    choose others. 5 to 10 in Kubernetes."""
    shutdown_timeout: float = Field(default=20.0, gt=0)
    """Seconds that running requests get to finish after that. Both together stay below
    `HUBBUB_DRAIN_DEADLINE`."""
    token_cache_ttl: float = Field(default=5.0, gt=0, le=5.0)
    """Seconds a checked token is believed even if the event that revokes it is lost."""
    token_cache_size: int = Field(default=50_000, ge=1)
    """Tokens remembered."""
    rate_limit: bool = False
    """Limit calls per address and endpoint. Off suits a laptop; production switches it on."""
    rate_limit_calls: int | None = Field(default=None, ge=1)
    """Calls of one endpoint from one address within the window. Not set: as the workspace's
    settings say, 10 in a new one; administrators may switch the limit off there."""
    rate_limit_window: float = Field(default=60.0, gt=0)
    """Seconds of the window, where `rate_limit_calls` is set."""
    rate_limit_addresses: int = Field(default=100_000, ge=1)
    """Pairs of address and endpoint that are counted; the oldest are forgotten first."""
    cors_origin: str = ""
    """Origins whose pages may call the API: `*` or a comma list. Empty: as the workspace's settings
    say, none in a new one."""
