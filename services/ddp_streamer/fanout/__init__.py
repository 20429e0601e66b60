"""From events to sockets.

* `recipients`      what fan-out needs of a session
* `topics`          who listens to what
* `people`          who is signed in here, and where they are members
* `queue`           order, and slices that let others run
* `delivery`        `Fanout`: one event to everybody who gets it
* `memberships`     following the rooms of a user from the first moment to the last
* `my_messages`     the messages of all rooms on one subscription
* `rooms_changed`   changes of rooms, told at a bearable pace
* `presence_watch`  who watches whom
* `private_settings`  settings, to those who may see them
"""

from services.ddp_streamer.fanout.delivery import Consequences, Fanout, Rights
from services.ddp_streamer.fanout.people import Person
from services.ddp_streamer.fanout.recipients import (
    MY_MESSAGES,
    Listening,
    Recipient,
    Topic,
    access_changes,
    membership_end,
    tells_missing,
)

__all__ = [
    "MY_MESSAGES",
    "Consequences",
    "Fanout",
    "Listening",
    "Person",
    "Recipient",
    "Rights",
    "Topic",
    "access_changes",
    "membership_end",
    "tells_missing",
]
