"""Accounts: profile, tokens, second factor."""
