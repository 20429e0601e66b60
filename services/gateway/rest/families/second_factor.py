"""Second factors by e-mail, as far as a server without mail goes. One-time passwords are switched
on and off by methods: `2fa:enable` and its neighbours."""

from __future__ import annotations

from services.gateway.rest.asked import Asked, Required
from services.gateway.rest.call import Call
from services.gateway.rest.router import Routes

routes = Routes()


class Addressee(Asked):
    """Who wants a code."""

    email_or_username: Required


@routes.post("users.2fa.enableEmail", second_factor=True)
async def enable_email(call: Call) -> None:
    """Ask for codes by e-mail: refused, since no mail is sent here."""
    await call.services.account.set_email_factor(call.user_id, True)


@routes.post("users.2fa.disableEmail", second_factor=True)
async def disable_email(call: Call) -> None:
    """Ask for no codes by e-mail any more."""
    await call.services.account.set_email_factor(call.user_id, False)


@routes.post("users.2fa.sendEmailCode", access="anonymous")
async def send_email_code(call: Call, asked: Addressee) -> None:
    """Send a code by e-mail: refused, whoever is named, since no mail is sent here."""
    await call.services.account.send_email_code(asked.email_or_username)
