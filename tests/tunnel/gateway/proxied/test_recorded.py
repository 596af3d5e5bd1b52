"""Recorded traffic of the existing agent, played against the json dialect: its answers are fed as they were.

What its gateway asked is asked anew through our port, and compared by meaning; ids are mapped, for ours are UUIDs.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.loop import quiet
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.proxied.agent import HANDSHAKE, Agent, Door, Stage, conversation
from tunnel.port import Exchange, RequestHead, Target
from tunnel.websocket import Closed

FOLDER = Path(__file__).parents[3] / "dialogues"
CHOSEN_BY_US = {"timeout", "cluster_uuid", "scheme", "supports_response_streaming", "headers"}
HOP_BY_HOP = {"Connection", "Te"}


def lines(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if line.get("socket") == "gateway"]


class Play:
    """One recording, line by line."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.sinks: dict[str, FakeSink] = {}
        self.exchanges: list[Exchange] = []
        self.doors: dict[str, Door] = {}
        self._ids: dict[str, str] = {}

    async def line(self, line: dict[str, Any]) -> None:
        match line["dir"], line["event"]:
            case "gateway>agent", "text":
                message = json.loads(line["text"])
                if message["type"] == "proxy_request" and "timeout" not in message["payload"]:
                    await self._ask(message["request_id"], message["payload"])
            case "agent>gateway", "text":
                message = json.loads(line["text"])
                for where in (message, message["payload"]):
                    for key in ("request_id", "stream_id"):
                        if where.get(key) in self._ids:
                            where[key] = self._ids[where[key]]
                self.agent.say_text(json.dumps(message))
            case "agent>gateway", "binary":
                data = base64.b64decode(line["data"])
                size = int.from_bytes(data[:2], "big")
                ours = self._ids[data[2 : 2 + size].decode()].encode()
                self.agent.carrier.bytes_received(len(ours).to_bytes(2, "big") + ours + data[2 + size :])
            case _:
                pass
        await quiet()

    async def _ask(self, theirs: str, payload: dict[str, Any]) -> None:
        path = payload["path"].replace("%", "%25")
        target = (path + ("?" + payload["query"] if "query" in payload else "")).encode()
        to = Target("c1", payload["namespace"], payload["service_name"], payload["service_port"])
        if payload.get("is_websocket"):
            door = Door(self.agent, [*HANDSHAKE, (b"origin", b"http://127.0.0.1")])
            self.doors[theirs] = door
            self.sinks[theirs], exchange = door.sink, door.exchange
        else:
            self.sinks[theirs] = FakeSink()
            fields = [(n.lower().encode(), v.encode()) for n, vs in payload["headers"].items() for v in vs]
            head = RequestHead(payload["method"].encode(), target, fields, 0)
            exchange = self.agent.carrier.upstream(to).open(head, self.sinks[theirs])
        self.exchanges.append(exchange)
        await quiet()
        asked = self.agent.hear_one("proxy_request")
        self._ids[theirs] = asked["request_id"]
        if not payload.get("is_websocket"):
            ours = {key: value for key, value in asked["payload"].items() if key not in CHOSEN_BY_US}
            assert ours == {key: value for key, value in payload.items() if key not in CHOSEN_BY_US}
            theirs_sent = {name: v for name, v in payload["headers"].items() if name not in HOP_BY_HOP}
            assert asked["payload"]["headers"] == theirs_sent

    def outcomes(self) -> dict[str, tuple[list[int], int, str]]:
        return {name: (sink.statuses, len(sink.body), sink.outcome) for name, sink in self.sinks.items()}


@conversation
async def test_buffered_answers(stage: Stage):
    play = Play(stage.agent())
    for line in lines("04-http-buffered"):
        await play.line(line)
    outcomes = play.outcomes()
    assert outcomes["r-1"] == ([200], 6, "end")
    assert outcomes["r-2"] == ([200], 2048, "end")
    assert outcomes["r-3"] == ([200], 12_288, "end")
    assert outcomes["r-4"] == ([200], 12_288, "end")
    assert outcomes["r-5"] == ([404], 14, "end")
    assert outcomes["r-6"] == ([200], 0, "end")
    assert outcomes["r-7"] == ([302], 0, "end")
    assert outcomes["r-8"] == ([204], 0, "end")
    assert outcomes["r-10"] == ([200], 369, "end")
    assert outcomes["r-11"] == ([], 0, "ServiceRefusedError")
    cookies = [value for name, value in play.sinks["r-9"].heads[0].headers if name == b"Set-Cookie"]
    assert len(cookies) == 3

    assert play.sinks["r-4"].body == bytes((n * 7 + n // 256) % 256 for n in range(12_288))
    assert play.agent.carrier.ignored == 0


@conversation
async def test_streamed_answers(stage: Stage):
    play = Play(stage.agent())
    skipped = {"r-12", "r-13"}  # what ours refuses to ask
    for line in lines("05-http-streamed"):
        if line.get("event") == "text" and json.loads(line["text"]).get("request_id") in skipped:
            continue
        await play.line(line)
    assert play.outcomes() == {
        "r-1": ([200], 6, "end"),
        "r-2": ([200], 21, "end"),
        "r-3": ([200], 63, "end"),
        "r-4": ([200], 7, "ServiceBrokeOffError"),
        "r-5": ([], 0, "ServiceRefusedError"),
        "r-6": ([200], 0, "end"),
        "r-7": ([204], 0, "end"),
        "r-8": ([302], 0, "end"),
        "r-9": ([404], 14, "end"),
        "r-10": ([200], 8, "end"),
    }
    assert play.sinks["r-3"].calls == ["head", "data", "data", "data", "end"]
    assert play.agent.carrier.ignored == 1  # the abort of r-11, whose timeout ours would not ask for


@conversation
async def test_websockets(stage: Stage):
    play = Play(stage.agent())
    for line in lines("07-websocket"):
        await play.line(line)
    assert {name: sink.statuses for name, sink in play.sinks.items()} == {
        "w-1": [101], "w-2": [101], "w-3": [101], "w-4": [101]
    }  # fmt: skip
    assert [event.data for event in play.doors["w-1"].events()] == ["héllo", b"\x00\x01\x02\xfe\xff", "", b""]  # type: ignore[union-attr]
    assert [event.data for event in play.doors["w-2"].events()] == ["greeting", "hi"]  # type: ignore[union-attr]
    for exchange in play.exchanges:
        exchange.reset()


@conversation
async def test_refusals(stage: Stage):
    play = Play(stage.agent())
    incomplete = {"w-s5", "w-b5"}  # ours asks nothing without a complete target
    for line in lines("08-websocket-refused"):
        if line.get("event") == "text" and json.loads(line["text"]).get("request_id") in incomplete:
            continue
        await play.line(line)
    unreachable = ([], 0, "ServiceUnreachableError")
    assert play.outcomes() == {
        "w-s1": ([403], 0, "end"), "w-s2": unreachable, "w-s3": unreachable, "w-s4": unreachable,
        "w-b1": unreachable, "w-b2": unreachable, "w-b3": unreachable, "w-b4": unreachable,
    }  # fmt: skip


@conversation
async def test_backpressure(stage: Stage, caplog: pytest.LogCaptureFixture):
    play = Play(stage.agent())
    for line in lines("10-websocket-backpressure"):
        await play.line(line)
    (door,) = play.doors.values()
    assert door.events()[-1] == Closed(1011, "a message was lost on the way")
    assert "channel_full" in caplog.text
    assert play.agent.kinds() == ["proxy_websocket_close"]
