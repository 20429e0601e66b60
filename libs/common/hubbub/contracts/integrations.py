"""The part of the apps engine's contract about integrations: incoming and outgoing webhooks.

An incoming one lets whoever knows its address speak in rooms as a user of the workspace; an
outgoing one tells a server outside what happens here, and may post what that server answers.
Scripts of integrations are not run.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Protocol

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Page, Paging, Text
from hubbub.errors import BadRequest, Conflict, NotAllowed, NotFound
from hubbub.ids import UserId

MOST_INTEGRATIONS: Final = 1000
"""Integrations of a workspace."""
MOST_URLS: Final = 10
MOST_WORDS: Final = 100
MOST_CHANNELS: Final = 50


class IntegrationKind(StrEnum):
    """Which way it leads, as clients spell it."""

    INCOMING = "webhook-incoming"
    OUTGOING = "webhook-outgoing"


class IntegrationNotFound(NotFound):
    """None, or none that the caller may manage."""

    default_code = "error-integration-not-found"


class InvalidIntegration(BadRequest):
    """What is wrong with an integration; the code says which field it is."""

    default_code = "error-invalid-integration"


class InvalidHook(NotFound):
    """No incoming integration has this id and this token."""

    default_code = "error-invalid-hook"


class HookDisabled(Conflict):
    """The integration is switched off."""

    default_code = "error-hook-disabled"


class OverrideDisabled(NotAllowed):
    """The payload names a room, and the integration lets nobody choose one."""

    default_code = "error-override-disabled"


class IntegrationFields(Frozen):
    """What can be said of an integration. Absent fields stay as they are, or have their default.

    Keys that are not here are ignored: nobody sets `userId`, `_createdBy` or the like.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, alias_generator=to_camel, strict=True
    )

    name: Text | None = Field(default=None, max_length=200)
    enabled: bool | None = None
    username: Text | None = Field(default=None, max_length=200)
    """The user in whose name it speaks; they need `message-impersonate`."""
    channel: Text | None = Field(default=None, max_length=8192)
    """Rooms `#name` and people `@name`, with commas between; for outgoing ones also
    `all_public_channels`, `all_private_groups`, `all_direct_messages`."""
    alias: Text | None = Field(default=None, max_length=200)
    emoji: Text | None = Field(default=None, max_length=200)
    avatar: Text | None = Field(default=None, max_length=2048)
    script_enabled: bool | None = None
    """True is refused: scripts are not run."""
    override_destination_channel_enabled: bool | None = None
    """Whether a payload may choose where its message goes."""

    event: Text | None = None
    urls: list[Text] | None = None
    trigger_words: list[Text] | None = None
    trigger_word_anywhere: bool | None = None
    """Whether a word counts anywhere in the text, and not only where it begins."""
    token: Text | None = Field(default=None, max_length=512, repr=False)
    """What the other server knows us by; a new one when absent."""
    target_room: Text | None = Field(default=None, max_length=256)
    """Where answers are posted, instead of the room where it happened."""
    impersonate_user: bool | None = None
    """Whether answers are posted in the name of whoever caused the call."""
    retry_failed_calls: bool | None = None
    retry_count: int | None = None
    retry_delay: Text | None = None
    """`powers-of-ten`, `powers-of-two` or `increments-of-two`."""
    run_on_edits: bool | None = None


class Delivery(Frozen):
    """What became of a payload in one of its rooms."""

    channel: str
    error: str | None = None


class IntegrationActions(Contract, Protocol):
    """Integrations and what arrives for them. Who manages them needs `manage-incoming-` or
    `manage-outgoing-integrations`, or `manage-own-…` for those that they made."""

    @action()
    async def create_integration(
        self, user_id: UserId, kind: IntegrationKind, fields: IntegrationFields
    ) -> Document:
        """Make an integration; its document, token included.

        Raises: NotAllowed: `not_authorized`; InvalidIntegration.
        """
        ...

    @action(idempotent=True)
    async def update_integration(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        fields: IntegrationFields,
        integration_id: Identifier | None = None,
        target_url: Text | None = None,
    ) -> Document:
        """Change an integration, named by id, or an outgoing one by an address that it calls.

        Raises: LacksPermission; IntegrationNotFound; InvalidIntegration.
        """
        ...

    @action()
    async def remove_integration(
        self,
        user_id: UserId,
        kind: IntegrationKind,
        integration_id: Identifier | None = None,
        target_url: Text | None = None,
    ) -> Document:
        """Forget an integration, and what it did; as it was. What it still had to tell is not
        told. Raises: LacksPermission; IntegrationNotFound.
        """
        ...

    @action(idempotent=True)
    async def integration(
        self, user_id: UserId, integration_id: Identifier, created_by: Identifier | None = None
    ) -> Document:
        """One integration. Raises: LacksPermission; IntegrationNotFound."""
        ...

    @action(idempotent=True)
    async def list_integrations(self, user_id: UserId, paging: Paging) -> Page:
        """Those that the caller may manage, newest first; sortable by `name`, `type`, `enabled`,
        `username`, `_createdAt`, `_updatedAt`. Raises: LacksPermission."""
        ...

    @action(idempotent=True)
    async def integration_history(
        self, user_id: UserId, integration_id: Identifier, paging: Paging
    ) -> Page:
        """What an outgoing integration did, latest first: `{"_id", "step", "steps", "event",
        "url", "data", "httpResult", "error", "finished", …}`. It is kept for a month.

        Raises: LacksPermission.
        """
        ...

    @action(idempotent=True, timeout=20.0, running=64)
    async def deliver_hook(
        self, integration_id: str, token: str, payload: dict[str, Any], delivery_id: Identifier
    ) -> list[Delivery]:
        """Post what a payload says; what became of it, room by room. Nothing at all in the
        payload: nothing is posted.

        Where the payload does not ask for separate answers the first failure is raised, and rooms
        behind it get nothing. Repeating it with the same `delivery_id` posts nothing twice.

        Raises: InvalidHook; HookDisabled; OverrideDisabled; BadRequest: `invalid-channel`, or
        `invalid-params`; what messaging refuses.
        """
        ...

    @action(idempotent=True)
    async def check_hook(self, integration_id: str, token: str) -> None:
        """Raises: InvalidHook."""
        ...

    @action()
    async def hook_creates(
        self, integration_id: str, token: str, fields: IntegrationFields
    ) -> Document:
        """Make an outgoing integration by an incoming one, with the rights of its user.

        Raises: InvalidHook; as `create_integration`.
        """
        ...

    @action(idempotent=True)
    async def hook_removes(self, integration_id: str, token: str, target_url: Text) -> None:
        """Forget the outgoing integration that calls `target_url`, with the rights of the user of
        an incoming one. Raises: InvalidHook; LacksPermission; IntegrationNotFound.
        """
        ...
