"""Contract of the apps engine with whoever keeps apps as they are declared elsewhere.

An operator of a cluster is no user of the workspace: nobody signed in, and the permissions of the
workspace do not speak of it. Whether it may ask is decided by the key with which it is on the
bus. Each app belongs to one owner: a declaration, by its name, or the administrators. Nobody
changes what belongs to another one here; administrators may, and are followed back.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from pydantic import Field

from hubbub.contracts.apps import App, Chunk
from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Frozen, Identifier, JsonValue, Text
from hubbub.errors import BadRequest, Conflict
from hubbub.ids import UserId

OPERATOR: Final = UserId("hubbub.operator")
"""Who did it, in the audit log: no user has this id."""


class AppOfAnother(Conflict):
    """The app belongs to another declaration, or to the administrators."""

    default_code = "error-app-of-another"

    def __init__(self, reason: str = "The app belongs to somebody else", **more: Any) -> None:
        super().__init__(reason, **more)


class HostsNotAllowed(BadRequest):
    """The manifest names hosts that were not allowed; `details["hosts"]` has them."""

    default_code = "error-app-hosts-not-allowed"


class ProvidedApp(Frozen):
    """An installed app, as far as a declaration of it has to know."""

    app: App
    digest: str
    """SHA-256 of its package, in hexadecimal digits."""
    owner: str = ""
    """The declaration that it belongs to; empty: the administrators."""


class AppTerms(Frozen):
    """What a declaration says of an app. A package that does not keep to it is not installed."""

    owner: str = Field(min_length=1, max_length=512)
    app_id: Identifier
    version: Text | None = Field(default=None, max_length=64)
    """The version that the package has to have; None: any."""
    permissions: list[str] = Field(default=[], max_length=64)
    hosts: list[str] = Field(default=[], max_length=64)


class Provisioning(Contract, Protocol, name="apps-provisioning"):
    """Apps as they are declared. Everything may be repeated after an interruption."""

    @action(idempotent=True)
    async def provided(self, app_id: Identifier) -> ProvidedApp | None:
        """An app, whoever it belongs to; None: it is not installed."""
        ...

    @action()
    async def begin_package(self) -> str:
        """The id under which a package is brought here in parts. It is forgotten after an hour."""
        ...

    @action(idempotent=True, running=8, waiting=64)
    async def add_to_package(self, package_id: Identifier, chunk: Chunk) -> None:
        """Add a part to a package; the same one again has no further effect.

        Raises: NotFound: no such package; PackageTooLarge.
        """
        ...

    @action(timeout=60.0, running=4, waiting=16)
    async def install(
        self,
        package_id: Identifier,
        terms: AppTerms,
        settings: dict[str, JsonValue],
        enable: bool = True,
    ) -> ProvidedApp:
        """Install a package that was brought here, over an older version of the app, as the
        action of the same name that administrators have does it.

        Raises: NotFound: no such package; InvalidPackage: also of another app or version;
            PermissionsNotGranted; HostsNotAllowed; InvalidAppSettings; AppOfAnother;
            FieldTaken: the username of its user.
        """
        ...

    @action(idempotent=True, timeout=30.0)
    async def configure(
        self, owner: Text, app_id: Identifier, settings: dict[str, JsonValue]
    ) -> ProvidedApp:
        """Give an app exactly these settings: one that is not among them has its default again.
        Nothing happens where they are so already.

        Raises: AppNotFound; AppOfAnother; InvalidAppSettings.
        """
        ...

    @action(idempotent=True, timeout=30.0)
    async def switch(self, owner: Text, app_id: Identifier, on: bool) -> ProvidedApp:
        """Let an app run, or not any more. Raises: AppNotFound; AppOfAnother."""
        ...

    @action(idempotent=True, timeout=150.0)
    async def remove(self, owner: Text, app_id: Identifier) -> None:
        """Remove an app with its jobs, what it keeps and its log.

        Raises: AppNotFound; AppOfAnother.
        """
        ...
