"""An authenticator app for tests: RFC 6238 from its text, not from our code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass

from tests.conformance.ddp import Ddp
from tests.conformance.rest import User


def code_for(secret: str, *, steps_ahead: int = 0) -> str:
    """The code of the present 30 s step, or of one before or after it."""
    counter = int(time.time() // 30) + steps_ahead
    digest = hmac.new(base64.b32decode(secret), counter.to_bytes(8, "big"), hashlib.sha1).digest()
    start = digest[-1] % 16
    number = int.from_bytes(digest[start : start + 4], "big") % 2**31
    return str(number % 10**6).zfill(6)


@dataclass
class App:
    """The app of one user. Each of its codes is used once, in order."""

    secret: str
    recovery: list[str]
    used: int = -1

    def code(self) -> str:
        """A code that was not shown yet: there are two, until half a minute has passed."""
        self.used += 1
        assert self.used < 2, "codes of this minute are used up"
        return code_for(self.secret, steps_ahead=self.used)


async def enrolled(client: Ddp) -> App:
    """Switch one-time passwords on for the user of a socket, with the code of the last step."""
    begun = await client.call("2fa:enable")
    confirmed = await client.call(
        "2fa:validateTempToken", code_for(begun["secret"], steps_ahead=-1)
    )
    return App(begun["secret"], confirmed["codes"])


@dataclass(frozen=True)
class Showing(User):
    """A user who shows a second factor with every call."""

    code: str = ""
    method: str = "totp"

    @property
    def headers(self) -> dict[str, str]:
        return {**super().headers, "X-2fa-code": self.code, "X-2fa-method": self.method}


def showing(user: User, code: str, method: str = "totp") -> Showing:
    """`user` with a code in the headers."""
    return Showing(user.id, user.username, user.password, user.token, code, method)
