"""Every query of the authorization service: facts for decisions, and roles as such."""

from services.authorization.store.facts import (
    AuthorizationStore,
    MongoAuthorizationStore,
    Pair,
    TeamPair,
)
from services.authorization.store.roles import MongoRoleStore

__all__ = ["AuthorizationStore", "MongoAuthorizationStore", "MongoRoleStore", "Pair", "TeamPair"]
