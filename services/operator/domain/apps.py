"""Rules for declared apps: what is to be done next, and what is said of it. Pure.

What an app's engine has (`Found`) is compared with what the object says (`Wanted`); each step
brings them closer, and every step may be done again.

* An app of this id that belongs to somebody else is left alone, until it is gone.
* A package that was refused is not tried again before the object, its source or its settings
  change.
* An app that broke down too often stays down until the object changes.
* What was done by hand is undone: another version, other settings, disabled, removed.
* An app that holds more than is granted by now does not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from services.operator.domain.conditions import Finding

Phase = Literal["Pending", "Installing", "Enabled", "Disabled", "Failed"]
Step = Literal["install", "enable", "disable"]
Engine = Literal["starting", "running", "disabled", "incomplete", "broken"]
"""Where the engine has an app; `incomplete`: a setting that it requires has no value."""
Kind = Literal[
    "EngineAbsent",
    "EngineFailed",
    "SourceNotFound",
    "SettingsNotFound",
    "BelongsToAnother",
    "PackageRefused",
    "PermissionsNotGranted",
    "SettingsRefused",
    "VersionDiffers",
]

_WAITING: Final[frozenset[Kind]] = frozenset({"EngineAbsent", "SourceNotFound", "SettingsNotFound"})
"""Somebody else's turn; nothing is wrong with the app."""
_REFUSALS: Final[dict[str, Kind]] = {
    "error-invalid-app-package": "PackageRefused",
    "error-app-package-too-large": "PackageRefused",
    "error-app-permissions-not-granted": "PermissionsNotGranted",
    "error-app-hosts-not-allowed": "PermissionsNotGranted",
    "error-invalid-app-settings": "SettingsRefused",
}
"""Code of an error → what it is; the same again would be refused again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an object says."""

    owner: str
    app_id: str
    version: str | None
    enabled: bool
    permissions: frozenset[str]
    hosts: frozenset[str]
    digest: str | None
    """Of the package that its source holds; None: there is none to hand."""
    fresh: bool = False
    """The object changed since the last pass that came to an end."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the engine has under this id."""

    owner: str
    version: str
    digest: str
    engine: Engine
    reason: str
    permissions: frozenset[str]
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why it is not as it is wanted."""

    kind: Kind
    message: str

    @property
    def waits(self) -> bool:
        """Whether it passes without anybody changing the object."""
        return self.kind in _WAITING


def refusal(code: str | int, reason: str) -> Problem | None:
    """What an error of the engine says of the package or the settings; None: nothing."""
    kind = _REFUSALS.get(str(code))
    return Problem(kind, reason) if kind is not None else None


def standing(wanted: Wanted, found: Found | None) -> Problem | None:
    """What is wrong between the two, whatever is done next."""
    if found is None:
        return None
    if found.owner != wanted.owner:
        theirs = found.owner or "the administrators, who installed it"
        text = f"an app {wanted.app_id} is there and belongs to {theirs}; remove it there first"
        return Problem("BelongsToAnother", text)
    excess = sorted((found.permissions - wanted.permissions) | (found.hosts - wanted.hosts))
    if excess:
        return Problem("PermissionsNotGranted", f"it also asks for: {', '.join(excess)}")
    if wanted.version not in (None, found.version) and wanted.digest in (None, found.digest):
        text = f"the package is of version {found.version}, not {wanted.version}"
        return Problem("VersionDiffers", text)
    return None


def next_step(wanted: Wanted, found: Found | None, *, refused: bool = False) -> Step | None:
    """What to do now; None: nothing.

    Args:
        refused: the engine refused exactly this before.
    """
    if found is not None and found.owner != wanted.owner:
        return None
    if wanted.digest is not None and not refused and _differs(wanted, found):
        return "install"
    if found is None:
        return None
    excess = found.permissions - wanted.permissions or found.hosts - wanted.hosts
    if not wanted.enabled or excess:
        return "disable" if found.engine != "disabled" else None
    if found.engine == "disabled" or (found.engine == "broken" and wanted.fresh):
        return "enable"
    return None


def phase(wanted: Wanted, found: Found | None, problem: Problem | None) -> Phase:
    """Where the app stands, in a word."""
    if problem is not None and not problem.waits:
        return "Failed"
    if found is None:
        return "Pending"
    if not wanted.enabled:
        return "Disabled"
    phases: dict[Engine, Phase] = {
        "starting": "Installing",
        "running": "Enabled",
        "disabled": "Disabled",
        "incomplete": "Failed",
        "broken": "Failed",
    }
    return phases[found.engine]


def last_error(wanted: Wanted, found: Found | None, problem: Problem | None) -> str | None:
    """What people read first; None: nothing is wrong."""
    if problem is not None:
        return problem.message
    if found is not None and wanted.enabled and found.reason:
        return found.reason
    return None


def findings(wanted: Wanted, found: Found | None, problem: Problem | None) -> list[Finding]:
    """The conditions: installed, enabled, granted what it asks for, healthy."""
    own = found if found is not None and found.owner == wanted.owner else None
    return [
        _installed(own, problem),
        _enabled(wanted, own, problem),
        _granted(own, problem),
        _healthy(own, problem),
    ]


def _differs(wanted: Wanted, found: Found | None) -> bool:
    return found is None or found.digest != wanted.digest


def _installed(found: Found | None, problem: Problem | None) -> Finding:
    if problem is not None and problem.kind == "EngineAbsent":
        return Finding("Installed", "Unknown", problem.kind, problem.message)
    if found is None:
        if problem is None:
            return Finding("Installed", "False", "NotInstalled", "it is about to be installed")
        return Finding("Installed", "False", problem.kind, problem.message)
    text = f"version {found.version}"
    if problem is not None:
        return Finding("Installed", "True", problem.kind, f"{text}; {problem.message}")
    return Finding("Installed", "True", "Installed", text)


def _enabled(wanted: Wanted, found: Found | None, problem: Problem | None) -> Finding:
    if problem is not None and problem.kind == "EngineAbsent":
        return Finding("Enabled", "Unknown", problem.kind)
    if found is None:
        return Finding("Enabled", "False", "NotInstalled")
    if found.engine == "disabled":
        reason = "Disabled" if not wanted.enabled or problem is None else problem.kind
        return Finding("Enabled", "False", reason)
    if found.engine in ("running", "starting"):
        return Finding("Enabled", "True", "Enabled")
    why = "SettingsMissing" if found.engine == "incomplete" else "BrokeDown"
    return Finding("Enabled", "False", why, found.reason)


def _granted(found: Found | None, problem: Problem | None) -> Finding:
    if problem is not None and problem.kind == "PermissionsNotGranted":
        return Finding("PermissionsGranted", "False", problem.kind, problem.message)
    if found is None or (problem is not None and problem.kind == "EngineAbsent"):
        reason = problem.kind if problem is not None else "NotInstalled"
        return Finding("PermissionsGranted", "Unknown", reason)
    return Finding(
        "PermissionsGranted", "True", "Granted", ", ".join(sorted(found.permissions)) or "none"
    )


def _healthy(found: Found | None, problem: Problem | None) -> Finding:
    if problem is not None and problem.kind == "EngineAbsent":
        return Finding("Healthy", "Unknown", problem.kind, problem.message)
    if found is None or found.engine == "disabled":
        return Finding("Healthy", "Unknown", "NotRunning")
    if found.engine == "running" and not found.reason:
        return Finding("Healthy", "True", "Running")
    if found.engine == "starting" and not found.reason:
        return Finding("Healthy", "Unknown", "Starting")
    return Finding("Healthy", "False", "Failing", found.reason)
