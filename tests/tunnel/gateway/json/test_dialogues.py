"""The existing agent's recorded HTTP without yamux, played against the application with clients of ours."""

import logging

import pytest

from app.rules import problems
from tests.existing.services import octets, text_body
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue
from tests.tunnel.gateway import sound
from tests.tunnel.gateway.json.recording import NEVER_SENT, NOT_ASKED, JsonPlayback, body_of
from tests.tunnel.gateway.recording import CLUSTER, HOST, stage
from tunnel.gateway.proxied.http import CHUNK_BYTES, COLLECTED_BYTES

LARGE_BYTES = COLLECTED_BYTES + 6 * 32 * 1024
"""More than leaves in one message."""


def ours(problem: problems.Problem, detail: str = "") -> tuple[int, int, str]:
    """The outcome of a request that gets this answer of the gateway's own."""
    status, _, body = problems.render(problem, [], detail)
    return status, len(body), "end"


OUTCOMES = {
    "02-register-stay": {"r-1": (200, 6, "end")},
    "04-http-buffered": {
        "r-1": (200, 6, "end"), "r-2": (200, 2048, "end"), "r-3": (200, 12_288, "end"), "r-4": (200, 12_288, "end"),
        "r-5": (404, 14, "end"), "r-6": (200, 0, "end"), "r-7": (302, 0, "end"), "r-8": (204, 0, "end"),
        "r-9": (200, 8, "end"), "r-10": (200, 369, "end"), "r-11": ours(problems.SERVICE_REFUSED),
    },
    "05-http-streamed": {
        "r-1": (200, 6, "end"), "r-2": (200, 21, "end"), "r-3": (200, 63, "end"), "r-4": (200, 7, "broken off"),
        "r-5": ours(problems.SERVICE_REFUSED), "r-6": (200, 0, "end"), "r-7": (204, 0, "end"), "r-8": (302, 0, "end"),
        "r-9": (404, 14, "end"), "r-10": (200, 8, "end"), "r-11": ours(problems.TOO_SLOW),
        "r-12": ours(problems.BAD_REQUEST, "the json dialect cannot carry a path with two dots in a row"),
        "r-13": ours(problems.BAD_REQUEST, "the json dialect cannot carry a query with a semicolon"),
    },
    "06-http-uploads": {
        "r-1": (200, 511, "end"), "r-2": (200, 346, "end"), "r-3": (200, 348, "end"),
        "r-4": (0, 0, "nothing"), "r-5": (0, 0, "nothing"),
    },
    "13-envelope-rejects": {f"r-{number}": (200, 6, "end") for number in (9, 10, 11, 12)},
    "15-reconnect-http": {f"r-{number}": (200, size, "end") for number, size in ((1, 10), (2, 10), (3, 6))},
}  # fmt: skip
"""Status, bytes of the body and end of what each client got."""

REFUSED_BY_US = {"05-http-streamed": {"r-12", "r-13"}}
"""What that agent would refuse is refused before it is asked."""

SKIPPED = {
    "06-http-uploads": {"r-6 of 06"},
    "13-envelope-rejects": {"an id that is no text", "a payload that is no object"},
}


def plain(request: Request) -> dict[bytes, bytes]:
    """The answer's fields without those of each request."""
    return {name: value for name, value in request.headers if name not in {b"date", b"x-request-id"}}


async def served(playback: JsonPlayback) -> None:
    """A client of the moment is served by the agent of the recording."""
    request = Request(playback.stage.app, target="/hello", host=HOST, headers=[(b"x-recorded", b"now")])
    playback.clients["now"] = request
    playback._wanted["now"] = {
        "method": "GET",
        "path": "/hello",
        "headers": {"Host": [HOST]},
        "service_name": "web",
        "namespace": "default",
        "service_port": 18090,
    }
    request.body()
    request.start()
    await playback.look()
    answer(playback, "now")
    assert await playback.outcome("now") == (202, 0, "end")


def answer(playback: JsonPlayback, theirs: str) -> None:
    """The agent of the recording answers what was asked last, as it does not in the recording."""
    ours = playback.ids[theirs]
    for kind, payload in (("proxy_response_header", '{"status":202,"headers":null}'), ("proxy_response_end", "{}")):
        playback.call.say(f'{{"type":"{kind}","request_id":"{ours}","payload":{payload}}}')


@pytest.mark.parametrize("name", OUTCOMES)
@dialogue
async def test_every_client_gets_its_answer(name: str):
    async with stage(reconnect_grace=3.0) as s:
        playback = JsonPlayback(name, s)
        await playback.play()
        await playback.later(5)
        for theirs, outcome in OUTCOMES[name].items():
            assert (theirs, await playback.outcome(theirs)) == (theirs, outcome)
        assert set(playback.clients) - set(playback.ids) == REFUSED_BY_US.get(name, set()) | (
            {"r-4"} if name.startswith("06") else set()
        )
        assert playback.never == SKIPPED.get(name, set())
        assert playback.again == []
        (link,) = s.gateway.registry.links(CLUSTER)
        assert (link.dialect, link.agent_id) == ("json", "agent-0001")
        await served(playback)
        await playback.end()


@dialogue
async def test_02_it_is_served_on_the_socket_where_it_stays():
    async with stage() as s:
        playback = JsonPlayback("02-register-stay", s)
        playback.dialect = "auto"
        await playback.play()
        (call,) = playback.calls.values()
        assert call.socket == "controller"
        assert call.told_of("gateway_hello") == []
        assert [message["type"] for message in call.told if message["type"] != "ping"] == [
            "register_success", "heartbeat_ack", "proxy_request", "heartbeat_ack"
        ]  # fmt: skip
        assert playback.request("r-1").answer == b"hello\n"
        await playback.end()


@pytest.mark.parametrize("name", ["04-http-buffered", "05-http-streamed"])
@dialogue
async def test_04_05_heads_and_bodies_are_the_service_s(name: str):
    async with stage() as s:
        playback = JsonPlayback(name, s)
        await playback.play()
        text = b"text/plain; charset=utf-8"
        first = playback.request("r-1")
        length = {b"content-length": b"6"}
        fields = {b"content-type": text, b"server": b"test-service", b"x-multi": b"one", **length}
        assert (plain(first), first.answer) == (fields, b"hello\n")
        head = playback.request("r-6")
        assert (head.status, plain(head), head.answer) == (200, fields, b"")
        moved, cookies, missing = ("r-7", "r-9", "r-5") if name.startswith("04") else ("r-8", "r-10", "r-9")
        assert playback.request(moved).header(b"location") == b"/hello"
        assert playback.request(missing).answer == b"404: Not Found"
        assert [value for name, value in playback.request(cookies).headers if name == b"set-cookie"] == [
            b"a=1; Path=/", b"b=2; Path=/; HttpOnly", b"c=3; Path=/; Secure; SameSite=Lax"
        ]  # fmt: skip
        await playback.end()


@dialogue
async def test_04_the_gzip_of_the_way_is_undone():
    async with stage() as s:
        playback = JsonPlayback("04-http-buffered", s)
        await playback.play()
        bodies = {"r-2": text_body(2048), "r-3": text_body(12_288), "r-4": octets(12_288)}
        for theirs, body in bodies.items():
            request = playback.request(theirs)
            assert request.answer == body
            assert request.header(b"content-length") == str(len(body)).encode()
            assert request.header(b"content-encoding") is None
        (cookie,) = playback.asked["r-10"]["headers"]["Cookie"]
        assert (cookie, playback.asked["r-10"]["query"]) == ("c=1", "z=1&a=2&flag")
        assert b"connection refused" not in playback.request("r-11").answer
        await playback.end()


@dialogue
async def test_05_events_reach_the_client_one_by_one():
    async with stage() as s:
        playback = JsonPlayback("05-http-streamed", s)
        events = [f"id: {number}\ndata: event {number}\n\n".encode() for number in range(3)]
        for number in range(3):
            await playback.play(until=f"service writes event {number}")
            assert playback.request("r-3").answer == b"".join(events[:number])
        await playback.play()
        bodies = [message["body"] for message in playback.request("r-3").all("http.response.body")]
        assert [body for body in bodies if body] == events
        await playback.end()


@dialogue
async def test_06_what_uploads_send():
    """Small bodies leave whole: for a chunked one that is once it is complete, and for a cancelled one never."""
    async with stage() as s:
        playback = JsonPlayback("06-http-uploads", s)
        await playback.play(until="chunked upload, cancelled")
        assert body_of(playback.asked["r-3"]) == b"first,second,third"
        assert "streaming" not in playback.asked["r-3"]
        assert [message["type"] for message in playback.sent("r-3")] == ["proxy_request"]
        await playback.play()
        assert "r-4" not in playback.ids
        assert [message["type"] for message in playback.sent("r-5")] == ["proxy_request", "proxy_cancel"]
        (link,) = s.gateway.registry.links(CLUSTER)
        assert link.carrier.ignored == 4  # type: ignore[union-attr]  # the abort of r-4, and r-5's whole answer
        await playback.end()


@dialogue
async def test_06_large_uploads_are_streamed_and_the_cancelled_one_is_cancelled():
    async with stage() as s:
        playback = JsonPlayback("06-http-uploads", s, upload_bytes=LARGE_BYTES)
        await playback.play()
        request, *chunks, end = playback.sent("r-3")
        assert (request["payload"]["streaming"], end["type"]) == (True, "proxy_request_stream_end")
        assert {message["type"] for message in chunks} == {"proxy_request_chunk"}
        data = [sound.decoded(message["payload"]["data"]) for message in chunks]
        pieces = (b"first,", b"second,", b"third")
        assert b"".join(data) == b"".join(piece * (LARGE_BYTES // len(piece)) for piece in pieces)
        assert max(map(len, data)) == CHUNK_BYTES
        assert (await playback.outcome("r-3"))[0] == 200
        request, *chunks, cancel = playback.sent("r-4")
        assert (request["payload"]["streaming"], cancel["type"]) == (True, "proxy_cancel")
        assert sum(len(sound.decoded(message["payload"]["data"])) for message in chunks) == LARGE_BYTES // 6 * 6
        assert await playback.outcome("r-4") == (0, 0, "nothing")
        await playback.end()


@dialogue
async def test_13_whatever_was_rejected_ours_says_soundly(caplog: pytest.LogCaptureFixture):
    """Eight requests that the agent dropped are asked by us so that it would not have: `sound` looks at each."""
    async with stage() as s:
        playback = JsonPlayback("13-envelope-rejects", s)
        with caplog.at_level(logging.WARNING, "tunnel"):
            await playback.play()
        assert len(playback.asked) == 12
        assert len(set(playback.ids.values())) == 12
        assert {len(playback.sent(theirs)) for theirs in playback.ids} == {1}
        assert caplog.records == []
        await playback.end()


@dialogue
async def test_15_answers_come_on_the_next_connection_and_nothing_is_asked_twice():
    async with stage(reconnect_grace=3.0) as s:
        playback = JsonPlayback("15-reconnect-http", s)
        await playback.play()
        await playback.later(1)
        first, second = (call for call in playback.calls.values() if call.socket == "gateway")
        assert [message["type"] for message in first.told_of("proxy_request")] == ["proxy_request"] * 2
        assert len(second.told_of("proxy_request")) == 1
        assert [playback.request(theirs).answer for theirs in ("r-1", "r-2")] == [b"slow done\n"] * 2
        await playback.end()


@dialogue
async def test_15b_what_fell_into_the_gap():
    """An event stream is broken off; a GET whose answer never comes is asked once more, on the new connection."""
    async with stage(reconnect_grace=3.0) as s:
        playback = JsonPlayback("15b-reconnect-event-stream", s)
        await playback.play()
        await playback.later(4)
        assert await playback.outcome("r-1") == (200, 42, "broken off")
        assert playback.request("r-1").answer == b"id: 0\ndata: event 0\n\nid: 1\ndata: event 1\n\n"
        assert await playback.outcome("r-4") == (200, 6, "end")
        assert sorted(playback.again) == ["r-2", "r-3"]
        for theirs in playback.again:
            answer(playback, theirs)
            assert await playback.outcome(theirs) == (202, 0, "end")
        await playback.end()


@pytest.mark.parametrize("name", [b"version", b"key", b"protocol", b"extensions", b"accept"])
@dialogue
async def test_a_stranger_s_handshake_fields_open_no_websocket(name: bytes):
    """Any of the first three would make that agent take a request for a WebSocket's handshake: `sound` looks."""
    async with stage() as s:
        playback = JsonPlayback("02-register-stay", s)
        await playback.play()
        fields = [
            (b"sec-websocket-" + name, b"13"),
            (b"x-recorded", b"stranger"),
            (b"transfer-encoding", b"chunked"),
        ]
        playback._wanted["stranger"] = {**playback._wanted["r-1"], "method": "POST", "streaming": True}
        request = Request(s.app, "POST", "/hello", host=HOST, headers=fields)
        playback.clients["stranger"] = request.start()
        request.body(bytes(LARGE_BYTES))
        await playback.look()
        asked, *chunks, end = playback.sent("stranger")
        assert not [field for field in asked["payload"]["headers"] if field.lower().startswith("sec-")]
        assert len(chunks) == LARGE_BYTES // CHUNK_BYTES
        assert end["type"] == "proxy_request_stream_end"
        answer(playback, "stranger")
        assert await playback.outcome("stranger") == (202, 0, "end")
        await playback.end()


def test_every_exception_has_its_reason():
    assert all(NEVER_SENT.values())
    assert all(NOT_ASKED.values())
    assert not set(NEVER_SENT) & (sound.SENT_TO_AN_AGENT - {"ping"})
