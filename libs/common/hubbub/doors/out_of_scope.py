"""What the protocol knows and Hubbub does not offer, and what clients get instead.

Most of it is answered like any name that does not exist: 404. Some of it clients ask for at
start and take an error badly, so it has an answer of its own: what somebody gets who has none of
that feature. The doors hold rows for those; the page about the protocol is made from here, and
tests ask for everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class StandIn:
    """A name that is answered although there is nothing behind it."""

    name: str
    answer: Any
    """The result of a method; the body of an endpoint without `success`."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that is not offered, by the names that belong to it."""

    title: str
    methods: str = ""
    """Separated by spaces; a final `*` stands for any end. They answer 404, but for those below."""
    endpoints: str = ""
    """Likewise, behind `/api/v1/`."""
    answered_methods: tuple[StandIn, ...] = ()
    answered_endpoints: tuple[StandIn, ...] = ()


_NO_ITEMS: Final[dict[str, Any]] = {"count": 0, "offset": 0, "total": 0}

FEATURES: Final = (
    Feature(
        "Omnichannel: visitors, agents, queues, canned responses",
        methods="livechat:*",
        endpoints="livechat/* omnichannel/* canned-responses*",
    ),
    Feature(
        "Voice and video calls",
        methods="jitsi:* voip* videoconf*",
        endpoints="voip/* video-conference.*",
    ),
    Feature(
        "End-to-end encryption and off-the-record conversations",
        methods="e2e.*",
        endpoints="e2e.* chat.otr",
        answered_endpoints=(StandIn("e2e.fetchMyKeys", {}),),
    ),
    Feature(
        "Teams",
        endpoints="teams.* channels.convertToTeam groups.convertToTeam",
        answered_endpoints=(
            StandIn("teams.list", {"teams": [], **_NO_ITEMS}),
            StandIn("users.listTeams", {"teams": []}),
        ),
    ),
    Feature(
        "Login by other services: LDAP, SAML, OAuth, CAS",
        methods="configureLoginService addLoginService removeOAuthService",
        endpoints="ldap.* oauth-apps.*",
        answered_endpoints=(
            StandIn("service.configurations", {"configurations": []}),
            StandIn("settings.oauth", {"services": []}),
        ),
    ),
    Feature(
        "Mail from within the socket",
        methods="resetPassword forgotPassword verifyEmail sendForgotPasswordEmail",
        endpoints="mailer mailer.unsubscribe",
    ),
    Feature("Translation", methods="autoTranslate.* loadLocale", endpoints="autotranslate.*"),
    Feature(
        "Licences and the marketplace: everything is free",
        methods="apps/* cloud:*",
        endpoints="cloud.*",
        answered_methods=(
            StandIn("license:getModules", []),
            StandIn("license:isEnterprise", False),
        ),
        answered_endpoints=(StandIn("licenses.isEnterprise", {"isEnterprise": False}),),
    ),
    Feature(
        "Custom sounds",
        endpoints="custom-sounds.getOne",
        answered_methods=(StandIn("listCustomSounds", []),),
        answered_endpoints=(StandIn("custom-sounds.list", {"sounds": []}),),
    ),
    Feature(
        "Banners",
        endpoints="banners.dismiss",
        answered_endpoints=(
            StandIn("banners", {"banners": []}),
            StandIn("banners.getNew", {"banners": []}),
        ),
    ),
    Feature("Importers", methods="importers*", endpoints="import import.* import/*"),
    Feature(
        "Administration that is done by other means (REST, the ops port, the chart)",
        methods="getStatistics instances/get getUserMentionsByChannel sendFileMessage",
        endpoints="assets.* dns.* engagement-dashboard/*",
    ),
    Feature(
        "Federation, calendars, WebDAV, search by machine",
        endpoints="federation/* calendar-events.* webdav.* ai-search*",
    ),
    Feature("Snippets", endpoints="chat.getSnippetedMessages chat.getSnippetedMessageById"),
)


METHODS_NOT_FOUND: Final = tuple(name for one in FEATURES for name in one.methods.split())
"""Names of methods that answer 404, some with a final `*`."""

ENDPOINTS_NOT_FOUND: Final = tuple(name for one in FEATURES for name in one.endpoints.split())
"""Names of endpoints that answer 404, some with a final `*`."""

METHOD_ANSWERS: Final = {one.name: one.answer for it in FEATURES for one in it.answered_methods}
ENDPOINT_ANSWERS: Final = {one.name: one.answer for it in FEATURES for one in it.answered_endpoints}


def is_among(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of `patterns` stands for `name`."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )
