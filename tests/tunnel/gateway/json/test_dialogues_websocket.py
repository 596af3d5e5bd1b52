"""The existing agent's recorded WebSockets without yamux, and what else it says, played with clients of ours."""

import itertools
import json
import logging

import pytest

from app.rules.policy import Policy
from tests.fakes.loop import dialogue
from tests.tunnel.gateway import sound
from tests.tunnel.gateway.json.recording import JsonPlayback
from tests.tunnel.gateway.json.test_dialogues import served
from tests.tunnel.gateway.recording import CLUSTER, HOST, stage


def data_sent(playback: JsonPlayback, theirs: str) -> list[bytes]:
    """The encoded messages that we sent for one WebSocket, and what followed them."""
    request, *rest = playback.sent(theirs)
    assert request["type"] == "proxy_request"
    return [
        sound.decoded(message["payload"]["data"]) if "data" in message["payload"] else message["type"].encode()
        for message in rest
    ]


@dialogue
async def test_07_messages_and_closes():
    """Ours closes in two steps, each time; the recorded gateway left one of them out, in turn."""
    async with stage() as s:
        playback = JsonPlayback("07-websocket", s)
        await playback.play()
        await playback.later(3)
        cleaned = b"proxy_websocket_close"
        hello = ["héllo", b"\x00\x01\x02\xfe\xff", "", b""]
        heard = {"w-1": hello, "w-2": ["greeting", "hi"], "w-3": ["hi"], "w-4": ["hi"]}
        said = {
            "w-1": ["\x01héllo".encode(), b"\x02\x00\x01\x02\xfe\xff", b"\x01", b"\x02", b"\x08\x0f\xa1client bye"],
            "w-2": [b"\x01hi", b"\x08\x03\xe8"],
            "w-3": [b"\x01hi", b"\x08"],
            "w-4": [b"\x01hi", b"\x08\x03\xe8"],
        }
        for theirs, messages in heard.items():
            client = playback.websocket(theirs)
            assert client.accepted is not None
            assert client.accepted["subprotocol"] == ("chat.v1" if theirs == "w-1" else None)
            names = {name for name, _ in client.accepted["headers"]}
            assert not {name for name in names if name.startswith(b"sec-") or name in {b"upgrade", b"connection"}}
            assert client.heard == messages
            assert data_sent(playback, theirs) == [*said[theirs], cleaned]
            await client.over()
        assert playback.asked["w-1"]["headers"]["Sec-WebSocket-Protocol"] == ["chat.v1, chat.v2"]
        assert playback.asked["w-1"]["headers"]["Origin"] == [f"http://{HOST}"]
        assert playback.asked["w-1"]["query"] == "room=1"
        await playback.end()


@dialogue
async def test_08_refusals():
    async with stage() as s:
        playback = JsonPlayback("08-websocket-refused", s)
        await playback.play()
        statuses = {}
        for theirs in playback.clients:
            client = playback.websocket(theirs)
            await client.over()
            assert client.refusal is not None
            statuses[theirs] = client.refusal[0]
            assert b"127.0.0.1" not in client.refusal[2]
            assert [message["type"] for message in playback.sent(theirs)] == ["proxy_request"]
        assert statuses == {
            "w-s1": 403, "w-s2": 502, "w-s3": 502, "w-s4": 502, "w-b1": 502, "w-b2": 502, "w-b3": 502, "w-b4": 502
        }  # fmt: skip
        refusal = playback.websocket("w-s1").refusal
        assert refusal is not None
        assert refusal[1][b"x-why"] == b"denied"
        assert playback.never == {"w-s5", "w-b5"}
        await served(playback)
        await playback.end()


@dialogue
async def test_09_the_silence_after_the_service_s_close():
    """The agent does not tell, so a client that speaks on is not heard; its own close cleans up."""
    async with stage() as s:
        playback = JsonPlayback("09-websocket-service-close", s)
        await playback.play()
        client = playback.websocket("w-1")
        assert (client.heard, client.closed) == (["hi"], None)
        await playback.later(2)
        last = [b"\x01late", b"\x08\x03\xe8", b"proxy_websocket_close"]
        assert data_sent(playback, "w-1") == [b"\x01hi", b"\x01close:4001:service bye", *last]
        await served(playback)
        await playback.end()


@dialogue
async def test_09_the_idle_limit_ends_it():
    async with stage(policy=Policy(idle_timeout=2.0)) as s:
        playback = JsonPlayback("09-websocket-service-close", s)
        await playback.play(until="late frame")
        client = playback.websocket("w-1")
        await client.over()
        assert client.closed is not None
        assert client.closed[0] == 1001
        await playback.later(2)
        assert data_sent(playback, "w-1")[-1] == b"proxy_websocket_close"
        assert sum(said[:1] == b"\x08" for said in data_sent(playback, "w-1")) == 1
        await playback.end()


@dialogue
async def test_10_frames_are_spaced_and_a_lost_one_ends_its_websocket(caplog: pytest.LogCaptureFixture):
    async with stage() as s:
        playback = JsonPlayback("10-websocket-backpressure", s)
        with caplog.at_level(logging.WARNING, "tunnel"):
            await playback.play()
        client = playback.websocket("w-1")
        await client.over()
        assert client.closed == (1011, "a message was lost on the way")
        (record,) = caplog.records
        assert "channel_full" in record.getMessage()
        call = playback.call
        times = [
            moment
            for moment, message in zip(call.times, call.sent, strict=True)
            if "proxy_websocket_data" in (message.get("text") or "")
        ]
        assert len(times) > 1
        assert min(after - before for before, after in itertools.pairwise(times)) >= 0.002 - 1e-9
        *frames, close, last = data_sent(playback, "w-1")
        assert [int(frame[5:8]) for frame in frames] == list(range(len(frames)))
        assert (close, last) == (b"\x08\x03\xf3a message was lost on the way", b"proxy_websocket_close")
        await served(playback)
        await playback.end()


@dialogue
async def test_11_the_kubernetes_api_is_never_asked_and_its_answers_are_nobody_s(caplog: pytest.LogCaptureFixture):
    """Two WebSockets that nobody here opened are closed, once each; each stray message has one line for debugging."""
    async with stage() as s:
        playback = JsonPlayback("11-kubernetes-exec", s)
        with caplog.at_level(logging.DEBUG, "tunnel"):
            await playback.play()
        assert playback.never == {"proxy_websocket_start", "k-8"}
        told = [line for line in playback.lines if line["dir"] == "agent>gateway" and line["event"] == "text"]
        strays = [line for line in told if json.loads(line["text"]).get("request_id", "")[:2] in {"k-", "to"}]
        assert len(strays) == 17
        lines = [record for record in caplog.records if "nobody waits" in record.getMessage()]
        assert len(lines) == len(strays)
        assert not [record for record in caplog.records if record.levelno > logging.INFO]
        closed = [message["request_id"] for message in playback.call.told_of("proxy_websocket_close")]
        assert closed == ["k-1", "k-2"]
        assert playback.clients == {}
        await served(playback)
        await playback.end()


@dialogue
async def test_12_pongs_and_fallbacks_are_taken_in_silence(caplog: pytest.LogCaptureFixture):
    async with stage() as s:
        playback = JsonPlayback("12-ping-unknown-error", s)
        with caplog.at_level(logging.INFO, "tunnel"):
            await playback.play()
        assert playback.never == {
            "ping", "proxy_stream_chunk", "proxy_stream_close", "error", "not JSON", "binary"
        }  # fmt: skip
        assert caplog.records == []
        await served(playback)
        await playback.end()


@dialogue
async def test_12_the_same_said_to_us(caplog: pytest.LogCaptureFixture):
    """We answer as that agent does: pings with pongs, unknown types once, text that is no envelope with a log line."""
    async with stage() as s:
        playback = JsonPlayback("12-ping-unknown-error", s)
        await playback.play()
        call = playback.call
        said = [line for line in playback.lines if line["dir"] == "gateway>agent" and line.get("conn") == 2]
        texts = [line["text"] for line in said if line["event"] == "text"]
        with caplog.at_level(logging.INFO, "tunnel"):
            for text in texts:
                call.say(text.replace("proxy_stream", "unheard_of"))
                await playback.look()
        pings = [json.loads(text).get("request_id") for text in texts if '"ping"' in text]
        assert [message.get("request_id") for message in call.told_of("pong")] == pings
        logged = [record.getMessage() for record in caplog.records]
        assert sum("unknown message type 'unheard_of_chunk'" in line for line in logged) == 1
        assert sum("unknown message type 'unheard_of_close'" in line for line in logged) == 1
        assert sum("agent reports: test error" in line for line in logged) == 1
        assert sum("message skipped: not an envelope" in line for line in logged) == 1
        assert len(logged) == 4
        assert len(s.gateway.registry.links(CLUSTER)) == 1
        await served(playback)
        await playback.end()


@dialogue
async def test_15c_a_websocket_does_not_outlive_its_connection():
    """It might go on, but what its service said in the gap is lost: the client is told, the agent cleans up."""
    async with stage(reconnect_grace=3.0) as s:
        playback = JsonPlayback("15c-reconnect-websocket", s)
        await playback.play()
        client = playback.websocket("w-1")
        await client.over()
        assert client.heard == ["before"]
        assert client.closed is not None
        assert client.closed[0] == 1012
        # What its next connection was owed; and again, because the recorded agent, which heard of nothing, went on.
        closes = playback.call.told_of("proxy_websocket_close")
        assert [message["request_id"] for message in closes] == [playback.ids["w-1"]] * 2
        await served(playback)
        await playback.end()
