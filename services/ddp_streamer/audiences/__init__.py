"""Following audiences of the event log without missing or repeating an event.

* `event`       what arrives, as a small object
* `chain`       the order of one audience: pure
* `leaders`     which hub's events count: pure
* `log`         reading the event log by direct get
* `state`       what the log holds, asked for once by many
* `wire`        subscriptions without queues
* `interest`    which audiences are followed, and for how many
* `continuity`  filling holes, checking tails, saying what is lost
* `replay`      what one listener missed, for clients that come back
* `standing`    where audiences are in the log
* `keeper`      `Audiences`: all of it together
"""

from services.ddp_streamer.audiences.continuity import Patience
from services.ddp_streamer.audiences.event import Event
from services.ddp_streamer.audiences.interest import ALL_ROOMS, Receiver
from services.ddp_streamer.audiences.keeper import Audiences
from services.ddp_streamer.audiences.replay import Limits, Replay, Unrecoverable
from services.ddp_streamer.audiences.standing import Places, Standing

__all__ = [
    "ALL_ROOMS",
    "Audiences",
    "Event",
    "Limits",
    "Patience",
    "Places",
    "Receiver",
    "Replay",
    "Standing",
    "Unrecoverable",
]
