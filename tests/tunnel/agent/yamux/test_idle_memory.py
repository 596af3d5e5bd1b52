"""What the agent keeps for an idle stream: a splice and its connection, and the session's record of it."""

import pytest

from tests.fakes.kept import kept, kept_bytes
from tests.tunnel.agent.yamux.test_splice import HEADER, Ends
from tunnel.yamux import Role, Session

pytestmark = pytest.mark.anyio

COUNT = 10


async def test_an_idle_splice_keeps_its_connection_and_nothing_else(monkeypatch):
    names = ("Splice", "ServiceConnection")
    before, before_bytes = kept(), kept_bytes(names)
    every = []
    for _ in range(COUNT):
        ends = Ends(monkeypatch)
        every.append(ends)
        ends.splice.deliver(HEADER + b"GET / HTTP/1.1\r\n\r\n")
        await ends.connect()
        ends.transport.take(100)
    more = kept() - before
    assert more == {"Splice": COUNT, "ServiceConnection": COUNT, "Account": COUNT}, "an account for each of the test's"
    assert kept_bytes(names) - before_bytes <= COUNT * 300


def test_an_idle_stream_of_a_session_keeps_its_window_and_nothing_else():
    client, server = Session(Role.CLIENT), Session(Role.SERVER)
    names = ("Stream", "ReceiveWindow")
    before, before_bytes = kept(), kept_bytes(names)
    for _ in range(COUNT):
        stream_id = client.open_stream()
        client.send_data(stream_id, b"hello")
        server.receive_data(client.data_to_send(), 0.0)
        server.send_data(stream_id, bytes(100_000))
        while answer := server.data_to_send():
            client.receive_data(answer, 0.0)
    assert kept() - before == {"Stream": 2 * COUNT, "ReceiveWindow": 2 * COUNT}
    assert kept_bytes(names) - before_bytes <= 2 * COUNT * 220
