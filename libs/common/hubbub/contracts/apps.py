"""Contract of the apps engine: apps, what they offer, and calls that lead into them.

An app is somebody else's code. It runs in a process of its own and can do here what its
permissions say, as a user of its own. Whoever calls these actions waits no longer than their
deadlines, whatever an app does.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

from pydantic import ConfigDict, Field

from hubbub.contracts.base import Contract, Event, action
from hubbub.contracts.documents import Document, Frozen, Identifier, JsonValue, Text
from hubbub.contracts.integrations import IntegrationActions
from hubbub.errors import BadRequest, Conflict, NotAllowed, NotFound, TooLarge
from hubbub.ids import UserId

CHUNK: Final = 512 * 1024
"""Bytes of a package that one call carries: NATS takes 1 MiB, and bytes travel as base64."""
LONGEST_PACKAGE: Final = 5 * 1024 * 1024
"""Bytes of a whole package."""
LONGEST_BODY: Final = 512 * 1024
"""Bytes of the body of a request to an app, and of its answer."""
HOOK_WITHIN: Final = 0.6
"""Seconds that a send waits for the apps that may change or refuse it."""


class AppNotFound(NotFound):
    """No such app."""

    default_code = "error-app-not-found"

    def __init__(self, reason: str = "App not found", **more: Any) -> None:
        super().__init__(reason, **more)


class InvalidPackage(BadRequest):
    """Not a package that can be installed; the reason names what is wrong with it."""

    default_code = "error-invalid-app-package"


class PackageTooLarge(TooLarge):
    """A package of more than `LONGEST_PACKAGE` bytes."""

    default_code = "error-app-package-too-large"


class PermissionsNotGranted(BadRequest):
    """The manifest asks for more than was granted; `details["permissions"]` names what."""

    default_code = "error-app-permissions-not-granted"


class InvalidAppSettings(BadRequest):
    """A setting that the manifest does not know, or a value of the wrong type."""

    default_code = "error-invalid-app-settings"


class AppDisabled(Conflict):
    """The app is not running."""

    default_code = "error-app-not-running"


class AppFailed(BadRequest):
    """The app did not answer in time, broke down meanwhile, or answered nonsense."""

    default_code = "error-app-failed"


class AppPreventedSending(NotAllowed):
    """An app refused a message; the reason is the app's."""

    default_code = "error-app-prevented-sending"


class UnknownAppCommand(NotFound):
    """No running app has this command."""

    default_code = "invalid-command"


class NoSuchEndpoint(NotFound):
    """The app answers no such path."""

    default_code = "error-app-endpoint-not-found"


class AppStatus(StrEnum):
    """Where an app stands, as Rocket.Chat's clients know it."""

    INITIALIZED = "initialized"
    """It is being started."""
    ENABLED = "manually_enabled"
    DISABLED = "manually_disabled"
    INVALID_SETTINGS = "invalid_settings_disabled"
    """A setting that it requires has no value."""
    ERROR = "error_disabled"
    """It broke down too often; `App.reason` says how."""

    @property
    def runs(self) -> bool:
        """Whether the app is meant to run."""
        return self in (AppStatus.INITIALIZED, AppStatus.ENABLED)


class AppCommand(Frozen):
    """A slash command of an app."""

    command: str
    description: str = ""
    parameters: str = ""
    """What to type behind it."""
    permission: str | None = None
    """A permission of the workspace that its caller needs."""
    app_id: str

    @property
    def view(self) -> dict[str, Any]:
        """As clients know commands."""
        return {
            "command": self.command,
            "description": self.description,
            "params": self.parameters,
            "clientOnly": False,
            "providesPreview": False,
            "appId": self.app_id,
        }


class AppSetting(Frozen):
    """A setting of an app and its value."""

    name: str
    type: Literal["string", "number", "boolean", "secret", "select"]
    label: str = ""
    required: bool = False
    options: list[str] = Field(default=[])
    value: JsonValue = None
    """Absent for secrets; `is_set` says whether there is one."""
    is_set: bool = False


class App(Frozen):
    """An installed app."""

    id: str
    name: str
    version: str
    description: str = ""
    status: AppStatus
    reason: str = ""
    """Why it does not run, where it should."""
    permissions: list[str]
    """What it was granted."""
    hosts: list[str] = Field(default=[])
    """Where it may send requests to."""
    bot_id: UserId
    bot_username: str
    """The user that it acts as."""
    settings: list[AppSetting] = Field(default=[])
    commands: list[AppCommand] = Field(default=[])
    events: list[str] = Field(default=[])
    hooks: list[str] = Field(default=[])
    endpoints: list[str] = Field(default=[])
    confinement: list[str] = Field(default=[])
    """What keeps its process in its place, of what the system offers; empty while it is not
    running."""
    restarts: int = 0
    """How often its process was started again since it was enabled."""
    installed_at: datetime
    updated_at: datetime


class Chunk(Frozen):
    """A part of a package."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64"
    )

    index: int = Field(ge=0, lt=1024)
    data: bytes = Field(min_length=1, max_length=CHUNK, repr=False)


class LogLine(Frozen):
    """Something that an app, or the engine about it, wrote down."""

    at: datetime
    level: Literal["debug", "info", "warning", "error"]
    text: str


class AppInvocation(Frozen):
    """A command of an app as somebody typed it, in a room that they may see."""

    command: Text = Field(min_length=1, max_length=128)
    parameters: Text = ""
    room_id: Identifier
    thread_id: Identifier | None = None


class Verdict(Frozen):
    """What the apps think of a message that is about to be sent."""

    kind: Literal["allow", "change", "refuse"] = "allow"
    text: Text | None = None
    attachments: list[dict[str, Any]] | None = Field(default=None, max_length=100)
    """With `change`: what becomes of both; None: as it was."""
    reason: Text = ""
    app_id: str = ""
    """Whose verdict it is."""


class EndpointRequest(Frozen):
    """A request from outside to an app."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64"
    )

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: Text = Field(max_length=2048)
    """Below the app's own address, with the leading slash."""
    query: dict[str, str] = Field(default={}, max_length=100)
    headers: dict[str, str] = Field(default={}, max_length=100)
    """Names in lower case; none that would tell the caller's identity here."""
    body: bytes = Field(default=b"", max_length=LONGEST_BODY, repr=False)


class EndpointAnswer(Frozen):
    """What an app answers to a request."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64"
    )

    status: int = Field(default=200, ge=200, le=599)
    headers: dict[str, str] = Field(default={}, max_length=100)
    body: bytes = Field(default=b"", max_length=LONGEST_BODY, repr=False)


class Offers(Frozen):
    """What the running apps offer to other services."""

    hooks: list[str] = Field(default=[])
    """Hooks that at least one app wants to be asked at: `message_sending`."""
    commands: list[AppCommand] = Field(default=[])
    judges: list[UserId] = Field(default=[])
    """The users of apps that want to be asked where these users are members."""
    judged_everywhere: bool = False
    """Whether an app wants to be asked in every room."""
    bots: list[UserId] = Field(default=[])
    """The users that apps act as: no app is asked about what another one says."""


class AppsChanged(Event, name="apps.changed"):
    """What the running apps offer is another thing now: all of it. Told to every replica that
    keeps a copy, at most once; who missed it asks `offers`."""

    offers: Offers


class AppActions(Contract, Protocol):
    """Apps: their packages, their life, and the calls that lead into them. Who `user_id` is
    needs `manage-apps` wherever something is shown or changed."""

    # -- life of an app

    @action()
    async def begin_package(self, user_id: UserId) -> str:
        """The id under which a package is brought here in parts. It is forgotten after an hour.

        Raises: LacksPermission.
        """
        ...

    @action(idempotent=True, running=8, waiting=64)
    async def add_to_package(self, user_id: UserId, package_id: Identifier, chunk: Chunk) -> None:
        """Add a part to a package; the same one again has no further effect.

        Raises: LacksPermission; NotFound: no such package, or not the user's; PackageTooLarge.
        """
        ...

    @action(timeout=60.0, running=4, waiting=16)
    async def install(
        self,
        user_id: UserId,
        package_id: Identifier,
        permissions: list[str],
        settings: dict[str, JsonValue] | None = None,
        enable: bool = True,
    ) -> App:
        """Install a package that was brought here, over an older version of the app: what it
        keeps, its jobs and its settings stay.

        An older version that was disabled stays so. Otherwise it runs when this returns, or
        `App.status` and `App.reason` say why it does not.

        Args:
            permissions: what is granted: all that the manifest asks for, or nothing is installed.
            settings: values beside those that it has already.

        Raises: LacksPermission; NotFound: no such package; InvalidPackage;
            PermissionsNotGranted; InvalidAppSettings; FieldTaken: the username of its user.
        """
        ...

    @action(idempotent=True, timeout=30.0)
    async def enable(self, user_id: UserId, app_id: Identifier) -> App:
        """Let an app run; as `install` says. Raises: LacksPermission; AppNotFound."""
        ...

    @action(idempotent=True, timeout=30.0)
    async def disable(self, user_id: UserId, app_id: Identifier) -> App:
        """Let an app not run any more. Raises: LacksPermission; AppNotFound."""
        ...

    @action(idempotent=True, timeout=30.0)
    async def update_settings(
        self, user_id: UserId, app_id: Identifier, settings: dict[str, JsonValue]
    ) -> App:
        """Change some settings; null takes a value away. A running app is told.

        Raises: LacksPermission; AppNotFound; InvalidAppSettings.
        """
        ...

    @action(idempotent=True, timeout=150.0)
    async def remove(self, user_id: UserId, app_id: Identifier) -> None:
        """Remove an app with its jobs, what it keeps and its log. What its user said stays.

        Raises: LacksPermission; AppNotFound.
        """
        ...

    @action(idempotent=True)
    async def list_apps(self, user_id: UserId) -> list[App]:
        """Every installed app, by name. Raises: LacksPermission."""
        ...

    @action(idempotent=True)
    async def app(self, user_id: UserId, app_id: Identifier) -> App:
        """One app. Raises: LacksPermission; AppNotFound."""
        ...

    @action(idempotent=True)
    async def logs(self, user_id: UserId, app_id: Identifier, count: int = 100) -> list[LogLine]:
        """The last things (at most 1000) that an app wrote down, oldest first.

        Raises: LacksPermission; AppNotFound.
        """
        ...

    # -- what apps offer

    @action(idempotent=True)
    async def offers(self) -> Offers:
        """What the running apps offer now."""
        ...

    @action(timeout=15.0)
    async def run_app_command(self, user_id: UserId, invocation: AppInvocation) -> None:
        """Carry out a command of an app for somebody who may see the room.

        Raises: UnknownAppCommand; NotAllowed: without the permission that the command takes;
            RoomNotFound; AppDisabled; AppFailed: with the app's reason.
        """
        ...

    @action(timeout=HOOK_WITHIN, attempts=1, waiting=4096)
    async def before_message(self, message: Document) -> Verdict:
        """What the apps think of a message that is about to be stored: `rid`, `msg`, `u` and what
        else is known of it. Never repeated: whoever has no answer in time goes on without.

        Asked are apps whose user is in the room, and those with `room.read-all`. An app that does
        not answer in time is passed by.
        """
        ...

    @action(timeout=15.0)
    async def serve_endpoint(self, app_id: Identifier, request: EndpointRequest) -> EndpointAnswer:
        """Let an app answer a request. Everybody may ask; who asks is the app's to find out.

        Raises: NoSuchEndpoint: no such app, or none that answers this path by this method;
            AppDisabled; AppFailed.
        """
        ...


class Apps(AppActions, IntegrationActions, Protocol, name="apps-engine"):
    """Everything that other people's programs may do here."""
