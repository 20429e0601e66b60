"""Who is calling: the token headers, checked by the account service, remembered for a moment."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.account import Account, Identity
from hubbub.contracts.base import listen
from hubbub.contracts.events import UserChanged
from hubbub.errors import Unauthenticated
from hubbub.ids import UserId

_ABSENT = frozenset({"", "undefined", "null"})  # what clients send before they have a token
_LONGEST = 1024  # characters of a token or an id


@dataclass(slots=True)
class _Asking:
    """A question to the account service that is under way."""

    user_id: UserId
    outdated: bool = False


class Authentication:
    """Checks the two headers of a call.

    A token that was found good is believed for at most `ttl` seconds, and no longer than until
    the event that tells of a change of its user. Refusals are not remembered. Tokens are kept
    only as digests.
    """

    def __init__(
        self, account: Account, *, ttl: float, size: int, clock: Clock | None = None
    ) -> None:
        self._account = account
        self._ttl = ttl  # seconds
        self._size = size
        self._clock = clock or SystemClock()
        # (user id, digest of the token) → (identity, end of belief), oldest first
        self._known: OrderedDict[tuple[UserId, bytes], tuple[Identity, float]] = OrderedDict()
        self._keys_of: dict[UserId, set[tuple[UserId, bytes]]] = {}
        self._questions: dict[int, _Asking] = {}  # by object id

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        """The caller, or None when no token was sent.

        Raises:
            Unauthenticated: the token is unknown, or one of the two headers is missing.
            Unavailable: the account service does not answer.
        """
        token = headers.get("X-Auth-Token", "")
        user_id = headers.get("X-User-Id", "")
        if token in _ABSENT and user_id in _ABSENT:
            return None
        if token in _ABSENT or user_id in _ABSENT or not _plausible(token, user_id):
            raise Unauthenticated("Invalid user")
        return await self._identity(UserId(user_id), token)

    async def _identity(self, user_id: UserId, token: str) -> Identity:
        key = (user_id, hashlib.sha256(token.encode()).digest())
        found = self._known.get(key)
        if found is not None and self._clock.monotonic() < found[1]:
            return found[0]
        asked_at = self._clock.monotonic()
        question = _Asking(user_id)
        self._questions[id(question)] = question
        try:
            identity = await self._account.authenticate(user_id, token)
        finally:
            del self._questions[id(question)]
        # A change of the user while the question was under way may not be in the answer.
        if not question.outdated:
            self._remember(key, identity, asked_at + self._ttl)
        return identity

    def _remember(self, key: tuple[UserId, bytes], identity: Identity, until: float) -> None:
        self._known[key] = (identity, until)
        self._known.move_to_end(key)
        self._keys_of.setdefault(key[0], set()).add(key)
        while len(self._known) > self._size:
            oldest, _ = self._known.popitem(last=False)
            self._discard(oldest)

    def _discard(self, key: tuple[UserId, bytes]) -> None:
        keys = self._keys_of.get(key[0])
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._keys_of[key[0]]

    def forget(self, user_id: UserId) -> None:
        """Believe no token of this user any more."""
        for key in self._keys_of.pop(user_id, ()):
            self._known.pop(key, None)
        for question in self._questions.values():
            if question.user_id == user_id:
                question.outdated = True

    def forget_all(self) -> None:
        """Believe nothing any more: events may have been missed."""
        self._known.clear()
        self._keys_of.clear()
        for question in self._questions.values():
            question.outdated = True

    @listen(UserChanged, to="all")
    async def on_user_changed(self, event: UserChanged) -> None:
        """Tokens, roles or the active flag of a user may be other ones now."""
        self.forget(event.user_id)


def _plausible(token: str, user_id: str) -> bool:
    return len(token) <= _LONGEST and len(user_id) <= _LONGEST and _clean(token + user_id)


def _clean(text: str) -> bool:
    return text.isprintable() and text.isascii()
