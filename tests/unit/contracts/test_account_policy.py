"""Policies of the account contract that promises rest on."""

from __future__ import annotations

from hubbub.bus import caller
from hubbub.contracts.account import Account

TALK_AGAIN = 10.0  # seconds


def test_a_login_survives_the_instance_that_took_it() -> None:
    """It is offered again early enough for people to talk again in time."""
    policy = Account.contract_actions["login"].policy

    assert policy.idempotent
    assert policy.timeout * caller._PATIENCE < TALK_AGAIN / 2
