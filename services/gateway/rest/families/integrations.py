"""`integrations.*`: incoming and outgoing webhooks. Scripts of integrations are not run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from hubbub.contracts.integrations import (
    IntegrationFields,
    IntegrationKind,
    IntegrationNotFound,
)
from services.gateway.rest.answers import PlainRefusal
from services.gateway.rest.asked import Asked, Flag, Listed, Required, Whole, Word, Words
from services.gateway.rest.call import Call
from services.gateway.rest.paging import paged, parse_conditions, parse_fields, parse_paging
from services.gateway.rest.requests import missing
from services.gateway.rest.router import Routes
from services.gateway.rest.validation import filled

routes = Routes()

_SORTABLE = ("name", "type", "enabled", "username", "_createdAt", "_updatedAt")


class About(Asked):
    """What can be said of an integration."""

    type: Required
    """`webhook-incoming` or `webhook-outgoing`."""
    name: Word | None = None
    enabled: Flag | None = None
    username: Word | None = None
    """Who speaks for it; they need `message-impersonate`."""
    channel: Word | None = None
    """`#room`, `@user`, several with commas between; outgoing ones also take
    `all_public_channels`, `all_private_groups` and `all_direct_messages`."""
    alias: Word | None = None
    emoji: Word | None = None
    avatar: Word | None = None
    script_enabled: Flag | None = None
    """True is refused: scripts are not run."""
    override_destination_channel_enabled: Flag | None = None
    """Whether a payload may say where its message goes."""
    event: Word | None = None
    """`sendMessage`, `fileUploaded`, `roomArchived`, `roomCreated`, `roomJoined`, `roomLeft` or
    `userCreated`."""
    urls: Words | None = None
    trigger_words: Words | None = None
    trigger_word_anywhere: Flag | None = None
    token: Word | None = None
    """What the other server knows this one by."""
    target_room: Word | None = None
    """Where answers are posted, instead of the room where it happened."""
    impersonate_user: Flag | None = None
    retry_failed_calls: Flag | None = None
    retry_count: Whole = None
    retry_delay: Word | None = None
    """`powers-of-ten`, `powers-of-two` or `increments-of-two`."""
    run_on_edits: Flag | None = None

    @property
    def kind(self) -> IntegrationKind:
        """Raises: PlainRefusal: there is no such kind."""
        return _kind(self.type)

    @property
    def fields(self) -> IntegrationFields:
        """Raises: InvalidParams: something is too long."""
        return filled(
            IntegrationFields, self.model_dump(include=set(IntegrationFields.model_fields))
        )


class Changed(About):
    """An integration, and what is to change of it."""

    integration_id: Word | None = None
    target_url: Word | None = Field(default=None, alias="target_url")
    """An address that an outgoing one calls, in place of its id."""


class Unwanted(Asked):
    """An integration, by id, or an outgoing one by an address that it calls."""

    type: Required
    integration_id: Word | None = None
    target_url: Word | None = Field(default=None, alias="target_url")


@routes.post("integrations.create")
async def create(call: Call, asked: About) -> dict[str, Any]:
    """Make an incoming or outgoing webhook."""
    made = await call.services.apps.create_integration(call.user_id, asked.kind, asked.fields)
    return {"integration": made}


async def update(call: Call, asked: Changed) -> dict[str, Any]:
    """Change a webhook; what is not named stays as it is."""
    kind = asked.kind
    with _plainly():
        changed = await call.services.apps.update_integration(
            call.user_id, kind, asked.fields, asked.integration_id, asked.target_url
        )
    return {"integration": changed}


routes.add("PUT", "integrations.update", update)


@routes.post("integrations.remove")
async def remove(call: Call, asked: Unwanted) -> dict[str, Any]:
    """Forget a webhook, and what it did."""
    kind = _kind(asked.type)
    if kind is IntegrationKind.OUTGOING and not (asked.integration_id or asked.target_url):
        raise PlainRefusal("An integrationId or target_url needs to be provided.")
    if kind is IntegrationKind.INCOMING and not asked.integration_id:
        raise missing("integrationId")
    with _plainly():
        removed = await call.services.apps.remove_integration(
            call.user_id, kind, asked.integration_id, asked.target_url
        )
    return {"integration": removed}


class OneIntegration(Asked):
    """An integration."""

    integration_id: Required
    created_by: Word | None = None
    """Only if this user made it."""


@routes.get("integrations.get")
async def get(call: Call, asked: OneIntegration) -> dict[str, Any]:
    """One webhook."""
    with _plainly():
        found = await call.services.apps.integration(
            call.user_id, asked.integration_id, asked.created_by or None
        )
    return {"integration": found}


@routes.get("integrations.list")
async def list_all(call: Call, asked: Listed) -> dict[str, Any]:
    """The webhooks that the caller may manage, newest first."""
    parse_conditions(asked, {})
    fields = parse_fields(asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable=_SORTABLE)
    page = await call.services.apps.list_integrations(call.user_id, paging)
    shown = page.model_copy(update={"items": [fields.of(item) for item in page.items]})
    return paged("integrations", shown, paging) | {"items": len(page.items)}


class HistoryOf(Listed):
    """A part of what an outgoing integration did."""

    id: Word | None = None
    """The integration's."""


@routes.get("integrations.history")
async def history(call: Call, asked: HistoryOf) -> dict[str, Any]:
    """What an outgoing webhook did, latest first; it is kept for a month."""
    if not asked.id or not asked.id.strip():
        raise PlainRefusal("Invalid integration id.")
    parse_conditions(asked, {})
    paging = parse_paging(asked, await call.paging_rules())
    page = await call.services.apps.integration_history(call.user_id, asked.id, paging)
    return paged("history", page, paging) | {"items": len(page.items)}


def _kind(text: str) -> IntegrationKind:
    try:
        return IntegrationKind(text)
    except ValueError:
        raise PlainRefusal("Invalid integration type.") from None


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except IntegrationNotFound:
        raise PlainRefusal("No integration found.") from None
