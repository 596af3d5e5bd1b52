"""What the existing agent said on a real yamux session, fed to ours."""

import base64
import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.tunnel.yamux.wire import body_of, live_streams, said, unacknowledged_opens
from tunnel.yamux import DataReceived, Role, Session, StreamEnded

RECORDING = Path(__file__).parents[2] / "dialogues" / "14-yamux.jsonl"


def lines():
    return [json.loads(line) for line in RECORDING.read_text().splitlines()]


def binary(direction):
    return b"".join(
        base64.b64decode(line["data"]) for line in lines() if line["dir"] == direction and line.get("event") == "binary"
    )


def replay(cut):
    """A server session with the gateway's five streams; the agent's bytes in pieces of `cut`."""
    session = Session(Role.SERVER)
    for _ in range(5):
        session.open_stream()
    assert said(session) == [f"WINDOW|SYN {stream_id} 0" for stream_id in (2, 4, 6, 8, 10)]
    wire = binary("agent>gateway")
    events = []
    for start in range(0, len(wire), cut):
        events += session.receive_data(wire[start : start + cut], 0.0)
    return session, events


@pytest.mark.parametrize("cut", [1, 7, 4096, 1_000_000])
def test_the_agents_side(cut):
    session, events = replay(cut)

    kinds = defaultdict(list)
    for event in events:
        if event.__class__ not in kinds[event.stream_id][-1:]:
            kinds[event.stream_id].append(event.__class__)
    assert kinds == {
        2: [DataReceived, StreamEnded],
        4: [DataReceived, StreamEnded],
        6: [StreamEnded],  # nobody listened: no error, just an end without a byte
        10: [DataReceived, StreamEnded],
    }
    answer = body_of(events, 2)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello\n")
    upgraded = body_of(events, 4)
    assert upgraded.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert upgraded.endswith(b"\r\n\r\n\x81\x02hi" + b"\x88\x05\x0f\xa1bye")
    assert len(body_of(events, 10)) == 20_640
    assert said(session) == ["PING|ACK 0 0", "PING|ACK 0 1"]
    assert (live_streams(session), unacknowledged_opens(session)) == (5, 0)


def test_the_gateways_side():
    session = Session(Role.CLIENT)
    events = session.receive_data(binary("gateway>agent"), 0.0)

    assert [event.stream_id for event in events if event.__class__.__name__ == "StreamOpened"] == [2, 4, 6, 8, 10]
    assert [event.stream_id for event in events if event.__class__.__name__ == "StreamReset"] == [8]
    assert b"GET /hello HTTP/1.1\r\n" in body_of(events, 2)
