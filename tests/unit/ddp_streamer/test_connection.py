"""A connection on fakes: greeting, heartbeat, closing, limits, floods. No clock, no socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hubbub.ddp.messages import Connect, Method, Sub
from hubbub.ddp.stream import stream_frame
from hubbub.ddp.websocket import BINARY, CLOSE, PING, PONG, TEXT
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.settings import StreamerSettings
from tests.unit.ddp.client_frames import client_frame
from tests.unit.ddp_streamer.fakes import CONNECT, Client, decode_frames, narrow
from tests.unit.ddp_streamer.stage import reading

CALL = b'{"msg":"method","id":"1","method":"echo","params":[1]}'


def sockjs_message(text: bytes) -> bytes:
    return json.dumps([text.decode()]).encode()


# --- greeting -----------------------------------------------------------------------------------


def test_the_server_speaks_first() -> None:
    client = Client(connect=False)
    assert client.texts() == [b'{"server_id":"0"}']
    client.text(CONNECT + b"\n")
    assert client.texts() == [b'{"msg":"connected","session":"ssssssssssssssssssssssss"}']
    assert client.session.got == [Connect("1", ("1",), None)]


def test_sockjs_framing_both_ways() -> None:
    client = Client(sockjs=True, connect=False)
    assert client.texts() == [b"o", b'a["{\\"server_id\\":\\"0\\"}"]']
    client.text(sockjs_message(CONNECT))
    assert client.texts() == [
        b'a["{\\"msg\\":\\"connected\\",\\"session\\":\\"ssssssssssssssssssssssss\\"}"]'
    ]
    client.text(json.dumps([CALL.decode(), '{"msg":"ping"}']).encode())
    assert client.texts() == [
        b'a["{\\"msg\\":\\"result\\",\\"id\\":\\"1\\",\\"result\\":[1]}"]',
        b'a["{\\"msg\\":\\"updated\\",\\"methods\\":[\\"1\\"]}"]',
        b'a["{\\"msg\\":\\"pong\\"}"]',
    ]
    client.connection.close(1012, "SERVICE_RESTART")
    assert client.frames() == [
        (TEXT, b'c[1012,"SERVICE_RESTART"]'),
        (CLOSE, b"\x03\xf4SERVICE_RESTART"),
    ]


@pytest.mark.parametrize("framing", ["raw", "sockjs"])
def test_arrays_strings_and_objects_are_taken_on_both(framing: str) -> None:
    client = Client(sockjs=framing == "sockjs")
    for payload in (CALL, sockjs_message(CALL), json.dumps(CALL.decode()).encode(), b"", b"[]"):
        client.text(payload)
    assert client.session.got[1:] == [Method("1", "echo", [1])] * 3


def test_messages_in_one_segment_are_handled_in_order() -> None:
    client = Client(connect=False)
    sub = b'{"msg":"sub","id":"2","name":"p","params":[]}'
    client.receive(b"".join(client_frame(TEXT, text) for text in (CONNECT, CALL, sub)))
    assert client.session.got == [
        Connect("1", ("1",), None),
        Method("1", "echo", [1]),
        Sub("2", "p", []),
    ]
    assert len(client.transport.writes) == 1  # all answers of one turn in one write


@pytest.mark.parametrize("first", [CALL, b'{"msg":"sub","id":"1","name":"x"}', b'{"a":1}'])
def test_the_first_message_must_be_connect(first: bytes) -> None:
    client = Client(connect=False)
    client.frames()
    client.text(first)
    assert client.frames() == [
        (TEXT, b'{"msg":"error","reason":"Must connect first","offendingMessage":' + first + b"}"),
        (CLOSE, b"\x03\xeaCLOSE_PROTOCOL_ERROR"),
    ]
    assert client.session.got == []


def test_ping_and_pong_are_tolerated_before_connect() -> None:
    client = Client(connect=False)
    client.frames()
    client.text(b'{"msg":"ping","id":"a"}')
    client.text(b'{"msg":"pong"}')
    assert client.texts() == [b'{"msg":"pong","id":"a"}']
    client.text(CONNECT)
    assert client.connection.connected


@pytest.mark.parametrize("version", [b'"2"', b"1", b'"pre2","support":["pre2","1"]'])
def test_a_version_that_is_not_spoken(version: bytes) -> None:
    client = Client(connect=False)
    client.frames()
    client.text(b'{"msg":"connect","version":%b}' % version)
    assert client.frames() == [(TEXT, b'{"msg":"failed","version":"1"}'), (CLOSE, b"\x03\xe8")]
    assert client.session.got == []


def test_a_second_connect_is_an_error_and_nothing_more() -> None:
    client = Client()
    client.text(CONNECT)
    assert client.texts() == [
        b'{"msg":"error","reason":"Already connected","offendingMessage":' + CONNECT + b"}"
    ]
    client.text(CALL)
    assert len(client.texts()) == 2


def test_unknown_messages_are_answered_and_the_connection_stays() -> None:
    client = Client()
    client.text(b'{"msg":"foo","x":[1, 2]}')
    assert client.texts() == [
        b'{"msg":"error","reason":"Bad request","offendingMessage":{"msg":"foo","x":[1, 2]}}'
    ]
    assert not client.connection.closed


# --- violations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (client_frame(TEXT, b"garbage"), 1007, b"UNSUPPORTED_DATA"),
        (client_frame(TEXT, b"5"), 1007, b"UNSUPPORTED_DATA"),
        (client_frame(BINARY, b"x"), 1007, b"UNSUPPORTED_DATA"),
        (client_frame(TEXT, b"\xff"), 1007, b"UNSUPPORTED_DATA"),
        (client_frame(TEXT, b"", declared=1 << 62), 1009, b"MESSAGE_TOO_BIG"),
        (client_frame(TEXT, CALL, mask=None), 1002, b"CLOSE_PROTOCOL_ERROR"),
        (client_frame(TEXT, b'{"msg":"method","method":"x"}'), 1002, b"CLOSE_PROTOCOL_ERROR"),
    ],
)
def test_violations_close_with_their_code(data: bytes, code: int, reason: bytes) -> None:
    client = Client()
    client.receive(data)
    assert client.closed_with() == (code, reason)
    client.receive(client_frame(TEXT, CALL))
    assert len(client.session.got) == 1
    client.transport.lose()
    assert client.session.ended == [(code, reason.decode())]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(TEXT, b"garbage"), 1007),
        (client_frame(BINARY, b"x"), 1007),
        (client_frame(TEXT, b"", declared=1 << 62), 1009),
        (client_frame(TEXT, CALL, mask=None), 1002),
        (client_frame(TEXT, b'{"msg":"method","method":"hunter2"}'), 1002),
        (client_frame(TEXT, json.dumps(["{}"] * 5_000).encode()), 1008),
    ],
)
def test_bad_input_leaves_one_line_in_the_log(data: bytes, code: int) -> None:
    client = Client()
    with capture_logs() as lines:
        client.receive(data)
        client.receive(data)
        client.transport.lose()
    (line,) = lines
    assert line["event"] == "session_closed"
    assert line["log_level"] == "warning"
    assert line["code"] == code
    assert line["uid"] == "ana"
    assert line["conn"] == client.connection.connection_id
    assert "exc_info" not in line
    assert "hunter2" not in str(line)
    assert "s" * 24 not in str(line)  # the DDP session id is a credential


def test_an_ordinary_end_is_no_warning() -> None:
    client = Client()
    with capture_logs() as lines:
        client.receive(client_frame(CLOSE, b"\x03\xe8bye"))
        client.transport.lose()
    (line,) = lines
    assert (line["log_level"], line["code"], line["reason"]) == ("info", 1000, "client")


def test_a_client_answers_the_close_and_the_socket_ends() -> None:
    client = Client()
    client.connection.close(1012, "SERVICE_RESTART")
    client.connection.close(1008, "POLICY")  # the first one counts
    assert client.closed_with() == (1012, b"SERVICE_RESTART")
    client.receive(client_frame(CLOSE, b"\x03\xf4"))
    assert client.session.ended == [(1012, "SERVICE_RESTART")]
    assert len(client.registry) == 0


def test_after_broken_framing_our_side_ends_behind_the_close_frame() -> None:
    client = Client()
    client.receive(client_frame(TEXT, b"x", rsv=1))
    assert client.transport.ended
    client.receive(b"anything at all" * 1000)
    assert client.session.ended == []
    client.advance(6)
    assert client.session.ended == [(1002, "CLOSE_PROTOCOL_ERROR")]


@pytest.mark.parametrize(
    ("payload", "echo", "told"),
    [
        (b"\x03\xe8bye", b"\x03\xe8", (1000, "bye")),
        (b"", b"", (1005, "")),
        (b"\x0f\xa0", b"\x0f\xa0", (4000, "")),
    ],
)
def test_a_client_closes(payload: bytes, echo: bytes, told: tuple[int, str]) -> None:
    client = Client()
    client.connection.send(b'{"msg":"ready","subs":["1"]}')
    client.receive(client_frame(CLOSE, payload))
    assert client.frames() == [(TEXT, b'{"msg":"ready","subs":["1"]}'), (CLOSE, echo)]
    assert client.session.ended == [told]
    assert client.connection.closed


def test_a_cut_is_told_as_1006_once() -> None:
    client = Client()
    client.transport.lose()
    client.connection.connection_lost(None)
    assert client.session.ended == [(1006, "")]
    client.connection.send(b"{}")
    client.connection.close(1000)
    assert client.connection.send_shared(SharedFrame(b"{}")) is False
    assert client.connection.backlog == 0


def test_who_does_not_answer_the_close_is_cut() -> None:
    client = Client()
    client.connection.close(1012, "SERVICE_RESTART")
    client.advance(4.5)
    assert client.session.ended == []
    client.advance(1.5)
    assert client.session.ended == [(1012, "SERVICE_RESTART")]


def test_a_defect_of_the_session_closes_its_connection_only() -> None:
    client = Client()
    neighbour = Client(beside=client)
    client.text(b'{"msg":"method","id":"1","method":"break","params":[]}')
    assert client.closed_with() == (1011, b"INTERNAL_ERROR")
    neighbour.text(CALL)
    assert len(neighbour.texts()) == 2


# --- time ---------------------------------------------------------------------------------------


def test_no_connect_in_time() -> None:
    client = Client(connect=False)
    client.advance(19.5)
    client.text(b'{"msg":"ping"}')
    assert not client.connection.closed
    client.advance(1.0)
    assert client.closed_with() == (1002, b"CLOSE_PROTOCOL_ERROR")


def test_no_ping_before_connect() -> None:
    client = Client(StreamerSettings(connect_timeout=100, anonymous_timeout=0), connect=False)
    client.frames()
    client.advance(90)
    assert client.frames() == []


def test_a_silent_client_is_pinged_and_then_closed() -> None:
    client = Client(StreamerSettings(anonymous_timeout=0))
    client.advance(24.5)
    while not (frames := client.texts()):
        client.advance(0.5)
    assert frames == [b'{"msg":"ping"}']
    assert 1_000 + 25 <= client.loop.now <= 1_000 + 36
    client.advance(29.5)
    assert client.frames() == []
    client.advance(1.5)
    assert client.closed_with() == (4408, b"TIMEOUT")


@pytest.mark.parametrize(
    "sign",
    [
        client_frame(TEXT, b'{"msg":"pong"}'),
        client_frame(PING, b""),
        client_frame(PONG, b""),
        client_frame(TEXT, CALL),
    ],
)
def test_any_frame_is_a_sign_of_life(sign: bytes) -> None:
    client = Client(StreamerSettings(anonymous_timeout=0))
    for _ in range(20):
        client.advance(25 + 30 - 1)  # a ping went out meanwhile
        client.receive(sign)
    assert not client.connection.closed


def test_a_pong_counts_that_comes_at_the_moment_of_the_ping() -> None:
    """The clock of an event loop stands still within a round, and a client may be near."""
    client = Client(StreamerSettings(anonymous_timeout=0))
    pings = 0
    for _ in range(400):
        client.advance(0.5)
        if client.texts():
            pings += 1
            client.text(b'{"msg":"pong"}')
    assert pings >= 5
    assert not client.connection.closed


def test_pings_are_spread() -> None:
    first = Client(StreamerSettings(anonymous_timeout=0, max_anonymous_per_address=0))
    clients = [first] + [Client(beside=first) for _ in range(60)]
    pinged = {}
    for _ in range(100):
        first.advance(0.5)
        for client in clients:
            if client not in pinged and client.frames():
                pinged[client] = first.loop.now
    moments = sorted(pinged.values())
    assert len(moments) == 61
    assert moments[-1] - moments[0] > 5
    assert moments[0] >= 1_000 + 25
    assert moments[-1] <= 1_000 + 36


def test_sockjs_heartbeat_only_in_silence() -> None:
    client = Client(StreamerSettings(anonymous_timeout=0, heartbeat_interval=1000), sockjs=True)
    client.advance(24)
    assert client.frames() == []
    client.advance(2)
    assert client.texts() == [b"h"]
    client.advance(20)
    client.connection.send(b'{"msg":"x"}')
    client.frames()
    client.advance(24)
    assert client.frames() == []
    client.advance(2)
    assert client.texts() == [b"h"]


def test_a_websocket_ping_is_answered_with_its_payload() -> None:
    client = Client(connect=False)
    client.frames()
    client.receive(client_frame(PING, b"abc"))
    assert client.frames() == [(PONG, b"abc")]


# --- limits -------------------------------------------------------------------------------------


def test_over_the_soft_limit_clients_are_served_and_asked_to_leave() -> None:
    first = Client(StreamerSettings(max_connections=1, max_anonymous_per_address=0))
    second = Client(beside=first)
    second.text(CALL)
    assert len(second.texts()) == 2
    first.advance(1.5)
    assert not second.connection.closed
    first.advance(7.5)
    assert second.closed_with() == (1013, b"TRY_AGAIN_LATER")
    assert not first.connection.closed


def test_an_unanswered_login_is_waited_for() -> None:
    first = Client(StreamerSettings(max_connections=1))
    second = Client(beside=first)
    second.connection.login_pending = True
    first.advance(50)
    assert not second.connection.closed
    second.connection.login_pending = False
    first.advance(2)
    assert second.connection.closed


def test_without_a_login_a_connection_ends() -> None:
    client = Client(StreamerSettings(heartbeat_interval=1000))
    client.advance(59)
    assert not client.connection.closed
    client.advance(2)
    assert client.closed_with() == (1008, b"POLICY")


def test_a_login_in_time_and_a_logout() -> None:
    client = Client(StreamerSettings(heartbeat_interval=1000))
    client.connection.authenticated = True
    client.advance(300)
    assert not client.connection.closed
    client.connection.authenticated = False
    client.advance(59)
    assert not client.connection.closed
    client.advance(2)
    assert client.closed_with() == (1008, b"POLICY")


def test_many_anonymous_connections_of_one_address() -> None:
    limits = StreamerSettings(max_anonymous_per_address=3)
    first = Client(limits)
    same = [Client(beside=first) for _ in range(4)]
    other = Client(beside=first, address="192.0.2.2")
    same[3].connection.authenticated = True
    first.advance(9)
    assert [client.connection.closed for client in same] == [False, False, True, False]
    assert same[2].closed_with() == (1008, b"POLICY")
    assert not first.connection.closed
    assert not other.connection.closed
    # who has gone or logged in makes room again
    same[0].connection.authenticated = True
    same[1].transport.lose()
    same[2].transport.lose()
    newcomer = Client(beside=first)
    first.advance(9)
    assert not newcomer.connection.closed


def test_counts_of_the_registry_end_at_nothing() -> None:
    first = Client()
    clients = [first, Client(beside=first), Client(beside=first, connect=False)]
    clients[1].connection.authenticated = True
    sessions = first.metrics.sessions
    assert reading(sessions.labels("yes")) == 1
    assert reading(sessions.labels("no")) == 1
    assert reading(first.metrics.connections) == 3
    for client in clients:
        client.transport.lose()
    assert reading(sessions.labels("yes")) == 0
    assert reading(sessions.labels("no")) == 0
    assert reading(first.metrics.connections) == 0
    assert not first.registry._anonymous


# --- floods -------------------------------------------------------------------------------------


def test_a_flood_stops_reading_for_a_second_and_then_closes() -> None:
    client = Client()
    call = client_frame(TEXT, b'{"msg":"pong"}')
    client.receive(call * 400)
    assert client.transport.reading
    client.receive(call * 1000)
    assert not client.transport.reading
    assert not client.connection.closed
    client.advance(2)
    assert client.connection.closed
    assert client.closed_with() == (1008, b"POLICY")


def test_a_burst_within_the_allowance_is_no_flood() -> None:
    client = Client(StreamerSettings(anonymous_timeout=0))
    for _ in range(10):
        client.receive(client_frame(TEXT, b'{"msg":"pong"}') * 450)
        client.advance(9)
    assert client.transport.reading
    assert not client.connection.closed


def test_what_was_read_before_the_pause_is_handled_after_it() -> None:
    client = Client(StreamerSettings(frames_per_second=1000, frame_burst=10))
    client.receive(client_frame(TEXT, CALL) * 12)
    handled = len(client.session.got)
    assert handled < 13
    client.advance(2)
    assert len(client.session.got) == 13
    assert client.transport.reading


def test_many_messages_in_one_sockjs_frame_count_one_by_one() -> None:
    client = Client(sockjs=True)
    client.text(json.dumps(['{"msg":"pong"}'] * 501).encode())
    assert client.closed_with() == (1008, b"POLICY")


def test_empty_fragments_and_control_frames_count() -> None:
    client = Client()
    client.receive(client_frame(TEXT, b"", fin=False) + client_frame(0, b"", fin=False) * 600)
    assert not client.transport.reading
    client = Client()
    client.receive(client_frame(PING, b"x") * 150)
    assert not client.transport.reading


# --- slow clients -------------------------------------------------------------------------------

MESSAGE = stream_frame("room-messages", "GENERAL", b'["' + b"x" * 1000 + b'"]')


def test_shared_frames_of_one_turn_leave_in_one_write() -> None:
    first = Client()
    clients = [first] + [Client(beside=first) for _ in range(9)]
    for client in clients:
        client.transport.writes.clear()
    frames = [SharedFrame(MESSAGE) for _ in range(20)]
    for frame in frames:
        for client in clients:
            assert client.connection.send_shared(frame)
    first.loop.run()
    for client in clients:
        assert len(client.transport.writes) == 1
        assert decode_frames(client.transport.writes[0]) == [(TEXT, MESSAGE)] * 20


def test_a_client_that_does_not_read_is_closed() -> None:
    client = Client(narrow(soft=50_000, hard=100_000))
    client.transport.room = 0
    frame = SharedFrame(MESSAGE)
    sent = 0
    while client.connection.send_shared(frame):
        client.loop.run()
        sent += 1
        assert sent < 200
    assert 80 <= sent <= 95
    assert client.connection.closed
    assert client.connection.backlog < 5_000  # what waited here is forgotten at once
    client.advance(6)
    assert client.session.ended == [(1013, "SLOW_CONSUMER")]


def test_a_slow_client_that_catches_up_gets_everything() -> None:
    client = Client()
    client.frames()
    client.transport.room = 500
    for number in range(100):
        client.connection.send_shared(SharedFrame(MESSAGE + b"%d" % number))
        client.loop.run()
    client.transport.drain(None)
    frames = client.frames()
    assert frames == [(TEXT, MESSAGE + b"%d" % number) for number in range(100)]


def test_no_progress_for_twenty_seconds() -> None:
    client = Client(StreamerSettings(anonymous_timeout=0))
    client.transport.room = 0
    client.connection.send_shared(SharedFrame(MESSAGE))
    client.loop.run()
    client.advance(19)
    assert not client.connection.closed
    client.advance(8)
    assert client.connection.closed
    client.advance(6)
    assert client.session.ended == [(1013, "SLOW_CONSUMER")]


def test_slow_progress_is_progress() -> None:
    client = Client(StreamerSettings(anonymous_timeout=0))
    client.transport.room = 0
    client.connection.send_shared(SharedFrame(MESSAGE))
    client.loop.run()
    for _ in range(20):
        client.advance(10)
        client.text(b'{"msg":"pong"}')
        client.transport.drain(1)
    assert not client.connection.closed


def test_typing_is_dropped_and_presence_kept_for_a_slow_client() -> None:
    client = Client(StreamerSettings(soft_buffered_bytes=2_000))
    client.frames()
    client.transport.room = 0
    for _ in range(3):
        client.connection.send_shared(SharedFrame(MESSAGE))
        client.loop.run()
    assert not client.connection.send_shared(SharedFrame(b"typing", droppable=True))
    assert not client.connection.send_shared(SharedFrame(b"away", droppable=True, key="u1"))
    assert not client.connection.send_shared(SharedFrame(b"online", droppable=True, key="u1"))
    client.transport.drain(None)
    assert client.texts() == [MESSAGE] * 3 + [b"online"]
    flusher = client.common.flusher
    assert (flusher.dropped, flusher.coalesced) == (1, 1)  # typing; the older status


# --- whatever arrives ---------------------------------------------------------------------------

FRAGMENTS = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda payload: client_frame(TEXT, payload)),
    st.sampled_from(
        [
            client_frame(TEXT, CALL),
            client_frame(TEXT, CONNECT),
            client_frame(PING, b"x"),
            client_frame(TEXT, b'{"a', fin=False),
            client_frame(0, b'":1}'),
            client_frame(CLOSE, b"\x03\xe8"),
            client_frame(TEXT, b'{"msg":"method","id":{"$ne":1}}'),
        ]
    ),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FRAGMENTS, max_size=12), st.booleans(), st.booleans())
def test_whatever_bytes_arrive_the_end_is_a_documented_one(
    pieces: list[bytes], sockjs: bool, connect: bool
) -> None:
    client = Client(sockjs=sockjs, connect=connect)
    for piece in pieces:
        if client.transport.protocol is not None:
            client.receive(piece)
    client.advance(200)
    assert client.session.ended
    ((code, _),) = client.session.ended
    assert code in {1000, 1002, 1005, 1007, 1008, 1009, 4408}
    assert len(client.registry) == 0
    for _, payload in decode_frames(b"".join(client.transport.writes)):
        assert payload is not None


def test_anonymous_sockets_stay_where_the_workspace_lets_them_read() -> None:
    client = Client(StreamerSettings(anonymous_timeout=10, heartbeat_interval=1000))
    allowed = True
    client.common.anonymous_may_stay = lambda: allowed
    client.advance(60)
    assert not client.connection.closed
    allowed = False
    client.advance(3)
    assert client.closed_with() == (1008, b"POLICY")


@pytest.mark.parametrize("sockjs", [False, True])
def test_waiting_frames_of_a_lost_room_are_dropped(sockjs: bool) -> None:
    client = Client(sockjs=sockjs)
    for room_id in ("R1", "R2"):
        payload = stream_frame("room-messages", room_id, b'[{"_id":"m"}]')
        client.connection.send_shared(SharedFrame(payload))
    client.connection.drop_room("R1")
    (text,) = client.texts()
    assert b"R2" in text
