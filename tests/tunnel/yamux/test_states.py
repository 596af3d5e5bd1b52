"""Every state of a stream meets every input, from the peer and from the application: one table each."""

import pytest

from tests.tunnel.yamux.wire import data, live_streams, said, window
from tunnel.yamux import (
    DataReceived,
    DuplicateStream,
    Limits,
    Role,
    Session,
    StreamClosed,
    StreamEnded,
    StreamReset,
    UnexpectedFlag,
)
from tunnel.yamux.errors import InvalidStreamId
from tunnel.yamux.frames import ACK, FIN, RST, SYN
from tunnel.yamux.stream import MOVES, Move, State, Stream
from tunnel.yamux.windows import ReceiveWindow


def queued(session):
    session.open_stream()
    said(session)
    return session.open_stream()


def syn_sent(session):
    stream_id = session.open_stream()
    assert said(session) == [f"WINDOW|SYN {stream_id} 0"]
    return stream_id


def pending(session):
    session.receive_data(window(1, flags=SYN), 0.0)
    return 1


def opened(session):
    stream_id = syn_sent(session)
    session.receive_data(window(stream_id, flags=ACK), 0.0)
    return stream_id


def accepted(session):
    stream_id = pending(session)
    session.accept_stream(stream_id)
    assert said(session) == ["WINDOW|ACK 1 0"]
    return stream_id


def local_ended(session):
    stream_id = opened(session)
    session.end_stream(stream_id)
    assert said(session) == [f"WINDOW|FIN {stream_id} 0"]
    return stream_id


def remote_ended(session):
    stream_id = opened(session)
    session.receive_data(window(stream_id, flags=FIN), 0.0)
    return stream_id


def closed(session):
    stream_id = local_ended(session)
    session.receive_data(window(stream_id, flags=FIN), 0.0)
    return stream_id


def reset_sent(session):
    stream_id = opened(session)
    session.reset_stream(stream_id)
    assert said(session) == [f"WINDOW|RST {stream_id} 0"]
    return stream_id


def reset_received(session):
    stream_id = opened(session)
    session.receive_data(window(stream_id, flags=RST), 0.0)
    return stream_id


SITUATIONS = {
    f.__name__: f
    for f in (
        queued, syn_sent, pending, opened, accepted, local_ended, remote_ended, closed, reset_sent, reset_received
    )
}  # fmt: skip

# What the peer sends, and what is reported of it, in each situation. "-": nothing. The peer is never answered.
FROM_PEER = """
                data   empty  window  ack  fin    rst    data+fin  fin+rst
queued          -      -      -       -    -      -      -         -
syn_sent        data   -      -       -    end    reset  data,end  end,reset
pending         data   -      -       -    end    reset  data,end  end,reset
opened          data   -      -       -    end    reset  data,end  end,reset
accepted        data   -      -       -    end    reset  data,end  end,reset
local_ended     data   -      -       -    end    reset  data,end  end
remote_ended    -      -      -       -    error  reset  error     error
closed          -      -      -       -    -      -      -         -
reset_sent      -      -      -       -    -      -      -         -
reset_received  -      -      -       -    -      -      -         -
"""

# What the application asks for, and what leaves. "-": nothing, without an error.
FROM_APPLICATION = """
                send      end      reset  accept  acknowledge
queued          -         -        -      -       -
syn_sent        DATA      FIN      RST    -       -
pending         DATA|ACK  ACK|FIN  RST    ACK     -
opened          DATA      FIN      RST    -       -
accepted        DATA      FIN      RST    -       -
local_ended     error     -        RST    -       -
remote_ended    DATA      FIN      RST    -       -
closed          error     -        -      -       -
reset_sent      error     -        -      -       -
reset_received  error     -        -      -       -
"""

GONE = {"closed", "reset_sent", "reset_received"}

INPUTS = {
    "data": lambda i: data(i, b"x"),
    "empty": lambda i: data(i, b""),
    "window": lambda i: window(i, 10),
    "ack": lambda i: window(i, 0, ACK),
    "fin": lambda i: window(i, 0, FIN),
    "rst": lambda i: window(i, 0, RST),
    "data+fin": lambda i: data(i, b"x", FIN),
    "fin+rst": lambda i: window(i, 0, FIN | RST),
}

CALLS = {
    "send": lambda session, i: session.send_data(i, b"x"),
    "end": lambda session, i: session.end_stream(i),
    "reset": lambda session, i: session.reset_stream(i),
    "accept": lambda session, i: session.accept_stream(i),
    "acknowledge": lambda session, i: session.acknowledge(i, 0, 0.0),
}


def cells(table):
    head, *rows = table.strip("\n").splitlines()
    names = head.split()
    for row in rows:
        situation, *values = row.split()
        assert len(values) == len(names)
        for name, value in zip(names, values, strict=True):
            yield pytest.param(situation, name, value, id=f"{situation}-{name}")


def test_the_tables_are_complete():
    for table in (FROM_PEER, FROM_APPLICATION):
        assert {param.values[0] for param in cells(table)} == set(SITUATIONS)


@pytest.fixture
def session():
    return Session(Role.SERVER, Limits(max_unacknowledged_opens=1))


@pytest.mark.parametrize(("situation", "name", "expected"), list(cells(FROM_PEER)))
def test_from_the_peer(session, situation, name, expected):
    stream_id = SITUATIONS[situation](session)
    wire = INPUTS[name](stream_id)

    if expected == "error":
        with pytest.raises(UnexpectedFlag):
            session.receive_data(wire, 0.0)
        assert said(session) == ["GO_AWAY 0 1"]
        return
    events = {"data": DataReceived(stream_id, b"x"), "end": StreamEnded(stream_id), "reset": StreamReset(stream_id)}
    assert session.receive_data(wire, 0.0) == [events[word] for word in expected.split(",") if word != "-"]
    assert said(session) == []
    ends = "reset" in expected or (situation == "local_ended" and "end" in expected)
    others = 1 if situation == "queued" else 0
    assert live_streams(session) == others + (0 if ends or situation in GONE else 1)


@pytest.mark.parametrize(("situation", "name", "expected"), list(cells(FROM_APPLICATION)))
def test_from_the_application(session, situation, name, expected):
    stream_id = SITUATIONS[situation](session)

    if expected == "error":
        with pytest.raises(StreamClosed):
            CALLS[name](session, stream_id)
        assert said(session) == []
        return
    CALLS[name](session, stream_id)
    kind = "" if expected.startswith("DATA") else "WINDOW|"
    size = 1 if expected.startswith("DATA") else 0
    assert said(session) == ([] if expected == "-" else [f"{kind}{expected} {stream_id} {size}"])
    ends = name == "reset" or (situation, name) == ("remote_ended", "end")
    others = 1 if situation == "queued" else 0
    assert live_streams(session) == others + (0 if ends or situation in GONE else 1)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_syn_for_a_used_id_or_for_one_of_ours(session, situation):
    stream_id = SITUATIONS[situation](session)
    error = DuplicateStream if stream_id == 1 else InvalidStreamId
    with pytest.raises(error):
        session.receive_data(window(stream_id, 0, SYN), 0.0)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("call", ["end", "reset", "accept"])
def test_twice_is_once(session, situation, call):
    stream_id = SITUATIONS[situation](session)
    CALLS[call](session, stream_id)
    said(session)
    CALLS[call](session, stream_id)
    assert said(session) == []


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("move", Move)
def test_the_table_of_moves_is_all_that_is_legal(state, move):
    stream = Stream(1, state, ReceiveWindow(10), 10)
    if (state, move) in MOVES:
        stream.move(move)
        assert stream.state is MOVES[state, move]
    else:
        with pytest.raises(UnexpectedFlag, match=f"{move.name} in state {state.name}"):
            stream.move(move)
        assert stream.state is state
