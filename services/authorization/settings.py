"""Settings of the authorization service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class AuthorizationSettings(Settings):
    """How long facts are believed. Events usually replace them much earlier."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_AUTHORIZATION_")

    fact_age: float = Field(default=5.0, gt=0, le=5.0)
    """Seconds after which roles, memberships, rooms and permissions are read anew even if no
    event told of a change. At most 5: that is how long access may outlive its end when an event
    is lost."""
    permission_stale: float = Field(default=30.0, ge=0, le=30.0)
    """Seconds that facts may be old for permission checks while the database does not answer.
    Access to rooms never uses such facts."""
    cached_users: int = Field(default=50_000, ge=1)
    """Users whose roles are kept (about 400 bytes each)."""
    cached_memberships: int = Field(default=200_000, ge=1)
    """Pairs of user and room that are kept (about 400 bytes each)."""
    cached_rooms: int = Field(default=50_000, ge=1)
    """Rooms that are kept."""
    query_timeout: float = Field(default=1.5, gt=0)
    """Seconds that one query may take. Below the 2 s that callers wait."""
