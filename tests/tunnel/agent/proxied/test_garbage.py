"""Whatever a gateway says in whatever order, the link goes on, and holds nothing once the exchanges are over."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tunnel.agent.proxied.conversation import Conversation, b64

KINDS = {
    "json": ["proxy_websocket_data", "ws_data", "proxy_websocket_close", "ws_close"],
    "chunk": ["proxy_stream_chunk", "proxy_stream_close"],
}
COMMON = ["proxy_request", "proxy_request_chunk", "proxy_request_stream_end", "proxy_cancel"]
ROUTE = {"service_name": "web", "namespace": "apps", "service_port": 80, "supports_response_streaming": True}

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
payloads = st.one_of(
    scalars,
    st.lists(scalars, max_size=2),
    st.dictionaries(st.sampled_from(["data", "request_id", "path", "timeout"]), scalars, max_size=3),
    st.builds(lambda data: {"data": b64(data)}, st.binary(max_size=8)),
    st.builds(lambda kind, data: {"data": b64(bytes((kind,)) + data)}, st.sampled_from([1, 2, 8, 9]), st.binary()),
    st.builds(lambda more: {**ROUTE, **more}, st.sampled_from([
        {}, {"is_websocket": True}, {"streaming": True, "method": "POST"}, {"body": "x"}, {"path": "x"},
        {"streaming": True, "headers": {"Content-Length": ["3"]}}, {"is_websocket": True, "streaming": True},
    ])),
)  # fmt: skip
answers = st.sampled_from([
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nx", b"ok", b"\x81\x01x", b"\x88\x00",
    b"HTTP/1.1 101 Yes\r\n\r\n", b"nonsense", "end", "lose", "slow", "take", "full", "room",
])  # fmt: skip


async def dialogue(conversation, steps):
    for step in steps:
        if isinstance(step, tuple):
            kind, request_id, payload = step
            conversation.tell(kind, payload, request_id)
            continue
        await asyncio.sleep(0)  # the dial's turn
        if step in ("full", "room"):
            (conversation.carrier.pause if step == "full" else conversation.carrier.resume)()
        elif conversation.services and not conversation.services[-1].closed:
            act(conversation.services[-1], step)
    conversation.carrier.resume()
    conversation.carrier.lost("over")
    await conversation.over()
    assert conversation.account.held_bytes == 0


def act(service, step):
    match step:
        case bytes():
            service.say(step)
        case "slow":
            service.become_slow()
        case "take":
            service.catch_up()
        case _:
            getattr(service, step)()


@pytest.mark.parametrize("dialect", ["json", "chunk"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_that_a_gateway_says_breaks_the_carrier(monkeypatch, caplog, dialect, data):
    kinds = st.sampled_from(COMMON + KINDS[dialect])
    messages = st.tuples(kinds, st.sampled_from(["a", "b", None]), payloads)
    steps = data.draw(st.lists(messages | answers, max_size=30))

    async def run():
        await dialogue(Conversation(monkeypatch, dialect), steps)

    asyncio.run(run())
    assert not [record for record in caplog.records if record.exc_info]
