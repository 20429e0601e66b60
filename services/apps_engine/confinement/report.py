"""What is active around one app process, as its launcher found it and the engine believes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What became of one means of confinement."""

    ACTIVE = "active"
    REFUSED = "refused"  # the kernel has it and did not let us: a container's rules, a setting
    ABSENT = "absent"  # the kernel does not have it, or not on this machine


class Means(StrEnum):
    """One thing that a process can do to confine itself."""

    SESSION = "session"
    LIMITS = "limits"
    THREADS = "threads"  # RLIMIT_NPROC, where it counts only this app
    USER_ID = "user-id"  # an own user id; only an engine that runs as root has one to give
    USERS = "users"  # a user namespace
    NETWORK = "network"
    PROCESSES = "processes"
    MOUNTS = "mounts"
    IPC = "ipc"
    VIEW = "view"  # an own tree of files, with a scratch folder that cannot outgrow its size
    CAPABILITIES = "capabilities"
    NO_NEW_PRIVILEGES = "no-new-privileges"
    LANDLOCK = "landlock"
    SIGNAL_SCOPE = "signal-scope"  # Landlock's word on signals and abstract sockets
    SECCOMP = "seccomp"
    DIES_WITH_ENGINE = "dies-with-engine"


@dataclass(frozen=True, slots=True)
class Finding:
    """One means and what became of it."""

    state: State
    detail: str = ""


@dataclass(slots=True)
class Confinement:
    """Everything that was tried."""

    findings: dict[Means, Finding] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    """Means that are not wanted here."""

    def skips(self, means: Means) -> bool:
        """Whether `means` is not wanted; says so in the report."""
        if means not in self.without:
            return False
        self.note(means, State.ABSENT, "not wanted here")
        return True

    def note(self, means: Means, state: State, detail: str = "") -> None:
        """Remember what became of `means`."""
        self.findings[means] = Finding(state, detail)

    def has(self, *means: Means) -> bool:
        """Whether all of `means` are active; what nobody reported is not."""
        return all(
            one in self.findings and self.findings[one].state is State.ACTIVE for one in means
        )

    def to_json(self) -> dict[str, dict[str, str]]:
        """As it travels to the engine and stands in listings."""
        return {
            means.value: {"state": finding.state.value, "detail": finding.detail}
            for means, finding in self.findings.items()
        }

    @classmethod
    def from_json(cls, value: Any) -> Confinement:
        """The reverse of `to_json`.

        Raises:
            ValueError: it is something else.
        """
        result = cls()
        try:
            for means, finding in value.items():
                result.note(Means(means), State(finding["state"]), str(finding["detail"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("no report of a confinement") from error
        return result
