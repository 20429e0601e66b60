"""The configuration that makes a NATS server know the users of `hubbub.bus.permissions`.

A folder of keys holds the seed of every user and `authorization.conf`, which a NATS server
includes or is started with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hubbub.bus.keys import key_file, new_seed, public_key, read_seed
from hubbub.bus.permissions import COMPONENTS, Rights, all_rights

AUTHORIZATION = "authorization.conf"

_SERVER = "nats"
"""The folder of what the server gets, where every file is apart; no user has this name."""

_MARGIN = 60.0  # seconds; for time-outs that somebody made longer, and what a request travels


def _longest_call() -> float:
    """Seconds that anybody waits for an answer."""
    return max(
        action.policy.timeout
        for component in COMPONENTS.values()
        for contract in (*component.serves, *component.serves_alone)
        for action in contract.contract_actions.values()
    )


_EXPIRES = f"{_longest_call() + _MARGIN:.0f}s"
"""How long a service may answer what it was asked: longer than anybody waits for it."""


def make_keys(
    folder: Path, *, rights: Mapping[str, Rights] | None = None, apart: bool = False
) -> Path:
    """Make the keys that are missing in `folder`, and its `authorization.conf` anew.

    Keys that are there stay as they are. Only the owner can read the seeds.

    Args:
        rights: user → what it may do; the services and the command line if None.
        apart: every file in a folder of its own, `<user>/<user>.nk` and
            `nats/authorization.conf`, so that each can be given away without the others.

    Returns: the path of the configuration.
    Raises: OSError; ValueError: a file that is there holds no key, which is named.
    """
    rights = all_rights() if rights is None else rights

    def place(name: str, mode: int = 0o700) -> Path:
        found = folder / name if apart else folder
        found.mkdir(mode=mode, parents=True, exist_ok=True)
        return found

    keys = {user: public_key(_kept_seed(key_file(place(user), user))) for user in rights}
    configuration = place(_SERVER, 0o755) / AUTHORIZATION
    _write(configuration, authorization(keys, rights), mode=0o644)
    return configuration


def authorization(keys: Mapping[str, str], rights: Mapping[str, Rights]) -> str:
    """The block of a NATS server's configuration that knows `keys` (user → public key)."""
    users = "\n".join(_user(name, key, rights[name]) for name, key in sorted(keys.items()))
    return (
        "# Who may say and hear what. Written by `hubbub nats-keys`; nothing in it is secret.\n"
        f"authorization {{\n  users: [\n{users}\n  ]\n}}\n"
    )


def _user(name: str, key: str, rights: Rights) -> str:
    answers = f'\n        allow_responses: {{max: {rights.answers}, expires: "{_EXPIRES}"}}'
    return (
        f"    # {name}\n"
        f"    {{\n"
        f"      nkey: {key}\n"
        f"      permissions: {{\n"
        f"        publish: {_list(rights.publish)}\n"
        f"        subscribe: {_list(rights.subscribe)}{answers * bool(rights.answers)}\n"
        f"      }}\n"
        f"    }}"
    )


def _list(subjects: Iterable[str]) -> str:
    """Which subjects; the server takes an empty list of what is allowed for "everything"."""
    lines = "".join(f'\n          "{subject}"' for subject in subjects)
    return f"{{allow: [{lines}\n        ]}}" if lines else '{deny: [">"]}'


def _kept_seed(file: Path) -> bytes:
    """The seed in `file`, made if there is none. Raises: ValueError: it holds something else."""
    try:
        return read_seed(file)
    except FileNotFoundError:
        seed = new_seed()
        _write(file, f"{seed.decode()}\n", mode=0o600)
        return seed


def _write(file: Path, text: str, *, mode: int) -> None:
    """Whole or not at all: a server may read it meanwhile."""
    waiting = file.with_name(f".{file.name}.new")
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    waiting.replace(file)
