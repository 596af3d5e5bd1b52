"""The stand-in answers what the recorded agent answered: every recording of its JSON path, line by line."""

import asyncio
import base64
import json

import pytest

from tests.existing import normalise
from tests.existing.replay import Line, RecordedGateway, Replay, answer, begun, recorded, silent, started
from tests.existing.services import Services

pytestmark = [pytest.mark.system, pytest.mark.anyio, pytest.mark.timeout(60)]

COMPARED = {
    "04": 12,
    "05": 40,
    "06": 16,
    "07": 32,
    "08": 21,
    "09": 8,
    "11": 30,
    "12": 8,
    "13": 13,
    "15": 13,
    "15b": 17,
    "15c": 10,
}
"""Recording -> how many of its lines are compared: an empty file or a skipped rest would show."""


OPTIONS = {"15b": ["--reconnect", "0.65"]}
"""The replay drops TCP a little earlier than the recording: two answers and two events have to fall into the gap."""


@pytest.mark.parametrize("name", COMPARED)
async def test_recording(name: str, gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--yamux", "true", *OPTIONS.get(name, [])):
        replay = Replay(gateway, services)
        await replay.play(recorded(name))
        assert replay.compared == COMPARED[name]
        await silent(replay.connection)


async def test_registration(gateway: RecordedGateway, services: Services):
    lines = recorded("01")
    wanted = json.loads(next(line["text"] for line in lines if '"register"' in line.get("text", "")))
    async with started(gateway, services):
        await gateway.connection()
        got = gateway.register
        request_id = got.pop("request_id")
        assert request_id.startswith("req_")
        assert request_id.endswith("_agent-0001")
        del wanted["request_id"], wanted["timestamp"], got["timestamp"]
        assert got == wanted
        assert [path.split("?")[0] for path in await gateway.paths(2)] == [
            "/api/v1/clusters/agent/ws",
            "/ws",
        ]


async def test_resume(gateway: RecordedGateway, services: Services):
    handshakes = [line for line in recorded("03") if "path" in line]
    wanted = [line["path"] + (f"?{line['query']}" if line["query"] else "") for line in handshakes]
    cached = f"ws://127.0.0.1:{gateway.port}/ws?shard=3"
    async with started(gateway, services, "--entry", "resume", "--gateway", cached, "--yamux", "true"):
        await silent(await begun(gateway))
        assert await gateway.paths(2) == wanted
        assert gateway.register == {}


async def test_resume_that_fails_registers(gateway: RecordedGateway, services: Services):
    gateway.refusals = [401]
    async with started(gateway, services, "--entry", "gateway") as standin:
        await silent(await begun(gateway))
        await standin.line("section 10: the cached gateway is of no use")
        assert gateway.register["type"] == "register"


async def test_redials_with_doubled_delays_after_503(gateway: RecordedGateway, services: Services):
    wanted = [line["status"] for line in recorded("17") if line.get("status") and line["socket"] == "gateway"][1:]
    async with started(gateway, services, "--reconnect", "0.05") as standin:
        connection = await gateway.connection()
        gateway.refusals = [status for status in wanted if status != 101]
        connection.transport.abort()
        connection = await gateway.connection()
        await standin.line("section 10: handshake answered 503", times=3)
        assert [path[:3] for path in await gateway.paths(6)] == ["/ap", *["/ws"] * 5]
        assert (await answer(connection))["type"] == "heartbeat"


async def test_is_stranded_by_401_until_an_old_ping_loop_tries_once_more(gateway: RecordedGateway, services: Services):
    async with started(gateway, services, "--reconnect", "0.05", "--ping", "0.3") as standin:
        connection = await gateway.connection()
        gateway.refusals = [401, 401]
        connection.transport.abort()
        await standin.line("section 10: stranded", times=2)
        assert standin.process.returncode is None
        assert gateway.opened.empty()


def lengthened(text: str) -> str:
    """The same frame with a longer payload: whole bursts of the recorded size would fit into this kernel's buffers."""
    message = json.loads(text)
    message["payload"]["data"] = base64.b64encode(base64.b64decode(message["payload"]["data"]) + b"." * 600).decode()
    return json.dumps(message)


async def test_burst_to_a_slow_service_is_reordered_and_cut(gateway: RecordedGateway, services: Services):
    lines = recorded("10")
    requests = [line for line in lines if line["dir"] == "gateway>agent" and line.get("socket") == "gateway"]
    opening, *frames, after, close = [line["text"] for line in requests if line["event"] == "text"]
    assert len(frames) == 150
    async with started(gateway, services, "--send-buffer", "2304", "--yamux", "true"):
        connection = await gateway.connection()
        assert (await answer(connection))["type"] == "heartbeat"
        await connection.send(opening)
        opened: list[Line] = [line for line in lines if '"proxy_response_' in line.get("text", "")]
        for line in opened:
            message = normalise.message(await connection.recv())
            assert message == normalise.message(line["text"])
        for text in frames:
            await connection.send(lengthened(text))
        arrived: list[int] = []
        lost = 0
        async with asyncio.timeout(20):
            while len(arrived) + lost < 150:
                waiting = [
                    asyncio.ensure_future(services.wait_note(lambda note: "slow service got" in note, "a frame")),
                    asyncio.ensure_future(connection.recv()),
                ]
                done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in rest:
                    task.cancel()
                await asyncio.gather(*rest, return_exceptions=True)
                if waiting[0] in done:
                    arrived.append(int(waiting[0].result().split("seq:")[1][:3]))
                if waiting[1] in done:
                    wanted = {"reason": "channel_full", "request_id": "w-1"}
                    message = json.loads(waiting[1].result())
                    assert (message["type"], message["request_id"], message["payload"]) == (
                        "backpressure",
                        "w-1",
                        wanted,
                    )
                    lost += 1
        assert 1 <= lost <= 49
        assert len(set(arrived)) == len(arrived)
        assert arrived != sorted(arrived)
        await connection.send(after)
        await services.wait_note(lambda note: note == "slow service got after", "after")
        await connection.send(close)
        await services.wait_note(lambda note: note == "service got close 1000", "the close")


def test_recordings_hold_what_they_are_compared_by():
    texts = [line["text"] for line in recorded("04") if line.get("dir") == "agent>gateway" and "text" in line]
    packed = next(json.loads(text) for text in texts if '"gzip"' in text)
    assert len(base64.b64decode(packed["payload"]["body"])) < 2048
    assert len(normalise.message(json.dumps(packed))["payload"]["body"]) == 2048
