"""What an app may be allowed to do, and what each thing it does needs.

The engine judges every call by these tables; the process of an app only uses them to tell an
author early. Standard library only: the process of an app imports this.
"""

from __future__ import annotations

from typing import Final

PERMISSIONS: Final[dict[str, str]] = {
    "message.send": "send messages to rooms and users, as its bot",
    "message.read": "read and hear messages of rooms that its bot is a member of",
    "message.update": "change messages that its bot has sent",
    "message.hook": "see messages for rooms that its bot is a member of before they are sent;"
    " change or refuse them",
    "room.create": "create rooms",
    "room.read": "look up public rooms, and rooms that its bot is a member of; hear of changes to"
    " the latter",
    "room.read-all": "hear of and judge what happens in every room, as its other permissions let"
    " it; read public rooms that its bot is not a member of",
    "user.read": "look up users, and hear of changes to them",
    "notify": "show one user a text that nobody else sees",
    "schedule": "do things at set times",
    "store": "keep data between restarts",
    "endpoint": "answer HTTP requests from anywhere",
    "command": "answer slash commands",
    "network": "reach the hosts that its manifest names",
}
"""Permission → what it allows, as an administrator is told. The set is closed."""

CALLS: Final[dict[str, str]] = {
    "send_message": "message.send",
    "update_message": "message.update",
    "read_messages": "message.read",
    "create_room": "room.create",
    "room": "room.read",
    "user": "user.read",
    "notify_user": "notify",
    "store_get": "store",
    "store_set": "store",
    "store_delete": "store",
    "store_list": "store",
    "schedule": "schedule",
    "unschedule": "schedule",
    "jobs": "schedule",
    "fetch": "network",
}
"""What an app asks the engine for → the permission it needs."""

EVENTS: Final[dict[str, str]] = {
    "message_sent": "message.read",
    "message_updated": "message.read",
    "message_deleted": "message.read",
    "room_created": "room.read",
    "room_changed": "room.read",
    "member_joined": "room.read",
    "member_left": "room.read",
    "user_created": "user.read",
    "user_changed": "user.read",
}
"""What an app can hear of → the permission it needs. The set is closed."""

HOOKS: Final[dict[str, str]] = {"message_sending": "message.hook"}
"""What an app is asked about before it happens → the permission it needs."""
