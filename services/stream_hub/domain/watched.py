"""What of the database's history the hub asks for: one pipeline, as plain data.

The server sends nothing that no decision needs. That is not only cheaper: a change event holds
the document and its difference at once, and one that is larger than 16 MB stops the stream with
the same error after every resume. So the difference travels as names only; values travel where
clients are told them, of users, and there without what is secret.
"""

from __future__ import annotations

from typing import Any, Final

from hubbub.contracts.workspace import USER_DATA_FIELDS
from services.stream_hub.domain.change import (
    CUSTOM_STATUSES,
    MEMBERSHIPS,
    MESSAGES,
    PERMISSIONS,
    ROLES,
    ROOMS,
    SETTINGS,
    TRASH,
    USERS,
)
from services.stream_hub.domain.messages import PRUNE, PRUNED_BY
from services.stream_hub.domain.users import FLAGS

Stage = dict[str, Any]

_WRITES = ["insert", "update", "replace"]
_KEPT = [MEMBERSHIPS, ROOMS, USERS, ROLES, PERMISSIONS, SETTINGS, CUSTOM_STATUSES]
_ENDS = ["drop", "rename"]

_PRUNE: Final = "first last ids users excludePinned ignoreDiscussion".split()
_UPDATED: Final = {"$objectToArray": {"$ifNull": ["$updateDescription.updatedFields", {}]}}


def match() -> Stage:
    """Which changes concern the hub at all."""
    return {
        "$match": {
            "$or": [
                {"ns.coll": MESSAGES, "operationType": {"$in": _WRITES}},
                {"ns.coll": {"$in": _KEPT}, "operationType": {"$in": [*_WRITES, "delete"]}},
                {
                    "ns.coll": TRASH,
                    "operationType": "insert",
                    "fullDocument.__collection__": {"$in": ["message", PRUNE]},
                    f"fullDocument.{PRUNED_BY}": {"$exists": False},
                },
                {"ns.coll": {"$in": [MESSAGES, *_KEPT]}, "operationType": {"$in": _ENDS}},
                {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
            ]
        }
    }


def pipeline() -> list[Stage]:
    """The pipeline whose events `change.read` reads."""
    return [
        match(),
        {
            "$project": {
                **_PLACE,
                "fullDocument": _document(),
                "before": _before(),
                "changed": {
                    "$concatArrays": [
                        {"$map": {"input": _UPDATED, "in": "$$this.k"}},
                        {
                            "$map": {
                                "input": {"$ifNull": ["$updateDescription.truncatedArrays", []]},
                                "in": "$$this.field",
                            }
                        },
                    ]
                },
                "removed": {"$ifNull": ["$updateDescription.removedFields", []]},
                "values": _values(),
            }
        },
    ]


def places() -> list[Stage]:
    """The same changes with nothing but their place: small whatever the documents are."""
    return [match(), {"$project": _PLACE}]


_PLACE: Final = {
    "operationType": 1,
    "ns.coll": 1,
    "documentKey._id": 1,
    "clusterTime": 1,
    "wallTime": 1,
}


def _document() -> Stage:
    user: Stage = {name: f"$fullDocument.{name}" for name in ("_id", *sorted(USER_DATA_FIELDS))}
    user["services"] = {
        flag: {"enabled": f"$fullDocument.services.{flag}.enabled"} for flag in FLAGS
    }
    trashed = {name: f"$fullDocument.{name}" for name in ("_id", "__collection__", "rid", *_PRUNE)}
    return {
        "$switch": {
            "branches": [
                {"case": {"$eq": ["$ns.coll", USERS]}, "then": _if_there(user)},
                {"case": {"$eq": ["$ns.coll", TRASH]}, "then": trashed},
            ],
            "default": "$fullDocument",
        }
    }


def _if_there(document: Stage) -> Stage:
    """`document`, unless the looked-up one is gone by now (null) or there never is one."""
    return {"$cond": [{"$eq": [{"$type": "$fullDocument"}, "object"]}, document, "$$REMOVE"]}


def _before() -> Stage:
    """What a membership was: when it ends, and when its roles change."""
    kept = {name: f"$fullDocumentBeforeChange.{name}" for name in ("_id", "rid", "t", "u", "roles")}
    roles_changed = {
        "$or": [
            {"$in": ["roles", {"$map": {"input": _UPDATED, "in": "$$this.k"}}]},
            {"$in": ["roles", {"$ifNull": ["$updateDescription.removedFields", []]}]},
        ]
    }
    there = {"$eq": [{"$type": "$fullDocumentBeforeChange"}, "object"]}
    wanted = {"$or": [{"$eq": ["$operationType", "delete"]}, roles_changed]}
    return {
        "$cond": [
            {"$and": [{"$eq": ["$ns.coll", MEMBERSHIPS]}, there, wanted]},
            kept,
            "$$REMOVE",
        ]
    }


def _values() -> Stage:
    first = {"$arrayElemAt": [{"$split": ["$$this.k", "."]}, 0]}
    public = {"$filter": {"input": _UPDATED, "cond": {"$in": [first, sorted(USER_DATA_FIELDS)]}}}
    return {"$cond": [{"$eq": ["$ns.coll", USERS]}, public, "$$REMOVE"]}
