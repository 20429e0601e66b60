"""Who a process is to NATS: an nkey, which is an Ed25519 pair.

The server knows public keys only and has every connection sign a number that it makes up, so no
secret travels and none stands in its configuration. A folder of keys holds `<user>.nk`, the
secret seed of one user each; a process needs the one of its service.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import nkeys

_SEED_BYTES = 32


def key_file(folder: Path, user: str) -> Path:
    """Where a folder of keys has the seed of `user`."""
    return folder / f"{user}.nk"


def new_seed() -> bytes:
    """A seed that nobody has."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(_SEED_BYTES), nkeys.PREFIX_BYTE_USER)
    return seed


def read_seed(file: Path) -> bytes:
    """The seed that `file` holds. Raises: OSError; ValueError: it holds something else."""
    seed = file.read_bytes().strip()
    try:
        public_key(seed)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return seed


def public_key(seed: bytes) -> str:
    """The public key of a seed. Raises: ValueError: it is none."""
    public: bytes = _pair(seed).public_key
    return public.decode()


def sign(seed: bytes, nonce: str) -> bytes:
    """The signature of what a server made up. Raises: ValueError: it is no seed."""
    signature: bytes = _pair(seed).sign(nonce.encode())
    return signature


def _pair(seed: bytes) -> nkeys.KeyPair:
    try:
        pair = nkeys.from_seed(bytearray(seed))
        _ = pair.public_key  # which is where the package looks at it
    except (nkeys.NkeysError, ValueError) as error:
        raise ValueError(f"no seed of an nkey ({type(error).__name__})") from None
    return pair
