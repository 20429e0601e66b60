"""Settings of the account service."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class AccountSettings(Settings):
    """Login, passwords and registration."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_ACCOUNT_")

    allow_plaintext_login: bool = True
    """Whether clients may send the password itself instead of its SHA-256; old ones can only do
    that. Safe as long as TLS ends in front of Hubbub."""
    password_hash: str = Field(default="bcrypt:10", pattern=r"^(bcrypt:1[0-4]|argon2id)$")
    """How new passwords are hashed: `bcrypt:10` to `bcrypt:14`, or `argon2id`. bcrypt's number is
    the logarithm of its rounds: 10 takes about 60 ms of a core and is what existing hashes have;
    each step doubles it. argon2id takes 64 MiB and about twice that time. Weaker hashes are
    replaced when their users sign in. Unknown users take as long as a hash of this kind, so
    workspaces with hashes of several kinds reveal more by time."""
    password_threads: int = Field(default=0, ge=0, le=256)
    """Threads that compute hashes; 0: one less than the cores this process may use."""
    password_queue: int = Field(default=200, ge=1)
    """Passwords that may wait for a thread; further logins are refused as unavailable."""
    password_wait: float = Field(default=5.0, gt=0)
    """Seconds that a password may wait for a thread."""
    min_password: int = Field(default=8, ge=1)
    """Characters of a new password at least."""
    max_password: int = Field(default=128, le=4096)
    """Characters of a new password at most."""
    refuse_common_passwords: bool = True
    """Whether a new password must not be one of the ten thousand commonest."""
    token_secret: SecretStr = SecretStr("")
    """Who knows it may sign in as anybody, without a password (REST `users.createToken`). Empty:
    whoever holds the permission `user-generate-access-token` may."""
    code_failures: int = Field(default=5, ge=1)
    """Wrong codes of a second factor for one user within `failure_window` before further ones are
    refused."""
    logout_delay: float = Field(default=10.0, gt=0)
    """Seconds for which the other logins of a user go on after `logoutOtherClients`."""
    token_limit: int = Field(default=50, ge=1)
    """Login tokens that a user may have; a further login makes the oldest invalid. Bots that sign
    in at every start would otherwise collect them without end. Personal access tokens do not
    count."""
    user_failures: int = Field(default=10, ge=1)
    """Wrong passwords for one user within `failure_window` before logins are refused."""
    address_failures: int = Field(default=50, ge=1)
    """Wrong passwords from one address (IPv6: one /64) within `failure_window`."""
    failure_window: float = Field(default=300.0, gt=0)
    """Seconds in which failures count together, and for which logins are then refused. Each
    further refusal within an hour lasts twice as long."""
    longest_block: float = Field(default=3600.0, gt=0)
    """Seconds that logins are refused at most."""
    exempt_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks whose addresses are never refused, as JSON: `["10.0.0.0/8"]`. For load tests and
    gateways that hide many people."""
    cleanup_interval: float = Field(default=3600.0, gt=0)
    """Seconds between two removals of expired login tokens."""
    bot_name: str = Field(default="Rocket.Cat", min_length=1)
    """Display name of the built-in bot. Its username `rocket.cat` stays: clients test for it."""

    @model_validator(mode="after")
    def _passwords_can_exist(self) -> Self:
        if self.min_password > self.max_password:
            raise ValueError("HUBBUB_ACCOUNT_MIN_PASSWORD is above HUBBUB_ACCOUNT_MAX_PASSWORD")
        return self


class AdministratorSettings(Settings):
    """The administrator that is made once, when the workspace is new. Without it the first user
    who registers becomes administrator."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_ADMIN_")

    username: str = ""
    """Username; empty: none is made."""
    password: SecretStr = SecretStr("")
    """Password; needed when there is a username."""
    email: str = ""
    """E-mail address; may be empty."""
    name: str = ""
    """Display name; empty: the username."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError(
                "HUBBUB_ADMIN_USERNAME and HUBBUB_ADMIN_PASSWORD go together: set both or none"
            )
        return self
