"""The conformance checklist of the realtime protocol: one number per test, reported as a list.

A test with `test_NNN_` in its name belongs to number NNN; there may be several per number.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import pytest

Level = Literal["must", "should"]

CHECKLIST: Final[dict[int, tuple[Level, str]]] = {
    1: ("must", "/websocket, /websocket/, /websocket?x=1, <root>/websocket all give raw framing"),
    2: ("must", "/sockjs/123/abcdefgh/websocket gives o, then a[…] frames"),
    3: ("must", "/sockjs/info body and headers"),
    4: ("must", 'first frame is {"server_id":"0"} without msg'),
    5: ("must", "connect version 1 → connected with a string session"),
    6: ("must", 'version 2 with support ["2"] → failed "1" and close'),
    7: ("must", "sub and method pipelined with connect in the same TCP segment are answered"),
    8: ("must", "ping without id → pong without id"),
    9: ("must", "no server ping before connected"),
    10: ("must", "garbage → 1007"),
    11: ("must", "pong before connect does not close"),
    12: (
        "must",
        "a client that stops reading is closed with 1013 and the pod's memory returns to the",
    ),
    13: ("must", "drain: 1012, not 1000"),
    14: ("should", "h and c frames in SockJS."),
    15: ("must", "numeric id echoed as number"),
    16: ("must", "result before updated, both exactly once, for success, error, unknown method"),
    17: ("must", "no error key on success"),
    18: ("must", "error object has all five fields"),
    19: ("must", 'surplus parameter "" on every method of section 5 changes nothing'),
    20: ("must", "login and three sub frames sent at once on a fresh socket: subs are authorised"),
    21: ("must", "one id per ready"),
    22: ("must", "useCollection in both forms (true, object) yields added before ready"),
    23: ("must", "unsub → nosub without error, also for unknown and for queued ids"),
    24: ("must", "same id subscribed twice → two ready, one delivery per event, one unsub ends it"),
    25: ("must", "two ids for the same event → one frame per event"),
    26: ("must", "unknown publication 404"),
    27: (
        "must",
        "a message inserted the moment after ready was read is delivered (1 000 repetitions",
    ),
    28: (
        "must",
        'sub with args: [null], [false], [undefined→null], ["GENERAL"], [], params[1] = "x"',
    ),
    29: ("must", "100 000 sub/unsub cycles on one socket: no growth"),
    30: ("must", "resume, digest by username, by e-mail, plain password, string user"),
    31: ("must", "result has id, token, tokenExpires.$date, type"),
    32: ("must", "token is stored only hashed"),
    33: ("must", "LT's ready-made bcrypt hash ($2b$, password performance) logs in"),
    34: ("must", "wrong user and wrong password: same error, same time ± 20 %."),
    35: ("must", "expired and unknown token: texts of 3.5"),
    36: ("must", "users document arrives before result"),
    37: (
        "must",
        "logout: token gone, subs ended by nosub, socket open, presence offline after the",
    ),
    38: ("must", "revoking one of two sessions: only that socket gets force_logout and 1008"),
    39: ("must", "11th failure is refused"),
    40: ("should", "TOTP flow with totp-required, totp-invalid"),
    41: (
        "must",
        "room-messages/<rid>: insert, edit, reaction, thread reply (parent counters), pin",
    ),
    42: ("must", "not sent: _hidden, imported, hidden system types"),
    43: ("must", "no access → not-allowed"),
    44: ("must", "__my_messages__: joined, not joined public, private, direct"),
    45: ("must", "joining a room during the subscription makes its messages arrive"),
    46: ("must", "subscriptions-changed inserted/updated/removed exact"),
    47: ("must", "rooms-changed: only joined rooms"),
    48: ("must", "userData dotted keys"),
    49: ("must", "notification, message (ephemeral) shapes"),
    50: ("must", "typing ↔ user-activity in both directions"),
    51: ("must", "deleteMessage, deleteMessageBulk (with users: [], ts dates)"),
    52: ("must", "user-presence: first sub ready, later nosub without error"),
    53: ("must", "notify-logged of anonymous refused"),
    54: ("must", "public-settings-changed for anonymous"),
    55: (
        "must",
        "all 35 login subscriptions of an LT web client and the 4 of a room answered with",
    ),
    56: ("must", "stream-notify-user write to a foreign uid …/notification has no effect"),
    57: ("must", "events written on pod A reach sockets on pods A, B, C exactly once"),
    58: ("must", "order: 1 000 messages by one sender arrive in ts order on every socket"),
    59: ("must", "sendMessage: with and without _id"),
    60: ("must", "ts 30 s off accepted but stored with the database's time, 2 min off refused"),
    61: ("must", "read-only, muted, blocked, no access: error **and** ephemeral message"),
    62: ("must", "thread reply to a reply attaches to the root"),
    63: ("must", "counters of 5.3 for mention, all, plain, DM, thread, own message"),
    64: ("must", "readMessages resets"),
    65: ("must", "loadHistory paging without gap or duplicate over equal ts"),
    66: (
        "must",
        "loadNextMessages, loadSurroundingMessages, loadMissedMessages, getThreadMessages",
    ),
    67: ("must", "subscriptions/get, rooms/get with nothing, {}, null, date"),
    68: ("must", "every element has alert, open, unread"),
    69: ("must", "getRoomIdByNameOrId for id, name, username"),
    70: ("must", "createDirectMessage twice gives the same rid"),
    71: ("must", "joinRoom, leaveRoom, addUsersToRoom, removeUserFromRoom, saveRoomSettings both"),
    72: ("must", "license:isEnterprise → false present"),
    73: ("must", "rooms%2Fget through REST method.call"),
    74: ("must", "LT documents (string dates, boolean sysMes) are readable"),
    75: ("must", "first login → online"),
    76: ("must", "last socket closed → offline after the grace time"),
    77: (
        "must",
        "SIGKILL of a streamer with 1 000 users: those not reconnected are offline within 60",
    ),
    78: ("must", "status text change alone emits"),
    79: ("must", "restart of presence loses nobody"),
    80: (
        "must",
        "DC: login by token and digest, stream for room-messages, notify-user, notify-room",
    ),
    81: (
        "must",
        "S1: login (REST + resume), subscribe, onMessage, reconnect after 1012 without loss",
    ),
    82: ("must", "LT against 3 streamers: no error status in its own metrics (rc_actions"),
    83: ("must", "GO: every realtime function returns without panic"),
    84: ("must", "SD and D: call, sub, collections filled (D with useCollection)"),
    85: ("must", "S0: respondToMessages loop, reaction, edit, and a cut with automatic recovery"),
    86: ("should", "RN SDK branch: background/foreground, re-login with the same sub ids"),
    87: (
        "must",
        "mongod primary step-down during 10 000 messages: all delivered once or twice, none",
    ),
    88: ("must", "NATS restart (5 s): gap detected, clients recover or are told"),
    89: (
        "must",
        "hub leader killed: delivery resumes < 5 s, order kept, _updatedAt never goes back",
    ),
    90: (
        "must",
        "5 000 sockets reconnect within 10 s on 3 pods: all logged in and subscribed < 30 s",
    ),
    91: (
        "must",
        "stop every account replica for 20 s while 200 DC, S0, S1 and SD clients reconnect",
    ),
    92: (
        "must",
        "SIGTERM of 1 of 3 streamers under DC, S0 (or A.9), S1, SD, D and GO: each ends up",
    ),
    93: (
        "must",
        "at the soft connection limit a DC client completes the handshake, is closed with",
    ),
    94: ("should", "GO without any login call after a cut receives __my_messages__ again"),
    95: ("must", "a sub sent 500 ms before the login on a fresh socket becomes ready"),
    96: (
        "must",
        "after joining a room, a message committed within 1 ms of the membership arrives on",
    ),
    97: ("must", "an update that changes only _updatedAt of a room, subscription, role or user"),
    98: (
        "must",
        "session ids occur in no log line, metric, event or database document of a full test",
    ),
    99: ("must", "mongod stopped for 30 s and started: events of writes after the start arrive"),
    100: ("must", "the frames of Appendix A, byte for byte where no id or time is involved"),
}
"""Number → how much it matters, and what it is about."""

_NUMBER: Final = re.compile(r"::test_(\d{3})_")
_WORST: Final = ("error", "failed", "skipped", "passed")


def outcomes(reporter: pytest.TerminalReporter) -> dict[int, str]:
    """Number → its worst outcome among the tests that ran."""
    found: dict[int, str] = {}
    for outcome in _WORST:
        for report in reporter.stats.get(outcome, ()):
            number = _NUMBER.search(getattr(report, "nodeid", ""))
            if number is not None:
                found.setdefault(int(number[1]), outcome)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the list, where at least half of it ran."""
    found = outcomes(terminalreporter)
    if len(found) * 2 < len(CHECKLIST):
        return
    terminalreporter.section("conformance checklist of the realtime protocol")
    for number, (level, title) in CHECKLIST.items():
        outcome = found.get(number, "no test")
        terminalreporter.write_line(f"{number:>3}  {level:<6}  {outcome:<8} {title}")
