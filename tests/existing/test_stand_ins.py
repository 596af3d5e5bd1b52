"""Both stand-ins say what the recorded agent said, wherever both speak: handshakes, registration, heartbeats,
pings, and what they do with a message that they do not know.

What only one of them speaks is proved elsewhere: the JSON path by `test_recordings.py` against the recordings; yamux
by the original libraries, on which the one in Go is built.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.existing import normalise
from tests.existing.replay import Line, RecordedGateway, Replay, received, recorded, silent, started
from tests.existing.services import Services
from tests.go.build import go_binary

pytestmark = [pytest.mark.system, pytest.mark.anyio, pytest.mark.timeout(60)]


@asynccontextmanager
async def started_go(gateway: RecordedGateway, *options: str) -> AsyncIterator[None]:
    """The stand-in in Go, with the names of the recordings."""
    process = await asyncio.create_subprocess_exec(
        str(go_binary()),
        *("existing-agent", "--api", gateway.url.replace("ws:", "http:"), "--token", "TEST-TOKEN", *options),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.fixture(params=["Python", "Go"])
async def dialled(
    request: pytest.FixtureRequest, gateway: RecordedGateway, services: Services
) -> AsyncIterator[RecordedGateway]:
    """A gateway that one of the two registers with."""
    async with started(gateway, services, "--yamux", "true") if request.param == "Python" else started_go(gateway):
        yield gateway


def said(event: str) -> list[Line]:
    """The recorded agent's own lines of a kind."""
    return [line for line in recorded("01") if line["dir"] == "agent>gateway" and line["event"] == event]


async def test_handshakes(dialled: RecordedGateway):
    for number, line in enumerate(said("handshake"), 1):
        request = await dialled.handshake(number)
        assert request.path == line["path"] + (f"?{line['query']}" if line["query"] else "")
        headers = dict(request.headers.raw_items())
        for fields in (headers, line["headers"]):
            del fields["Host"], fields["Sec-WebSocket-Key"]
        assert headers == line["headers"]


async def test_registration(dialled: RecordedGateway):
    await dialled.connection()
    got = normalise.message(json.dumps(dialled.register))
    wanted = normalise.message(said("text")[0]["text"])
    for message in (got, wanted):
        assert message.pop("request_id").startswith("req_")
    assert got == wanted


async def test_messages_of_every_link(dialled: RecordedGateway, services: Services):
    """Heartbeat, pings, unknown types and noise; what an agent tells of its machine (`metadata`) may differ."""
    lines = recorded("12")
    first = next(number for number, line in enumerate(lines) if '"heartbeat"' in line.get("text", ""))
    replay = Replay(dialled, services)
    await replay.play(lines[:first])
    got, wanted = normalise.message(await received(replay.connection)), normalise.message(lines[first]["text"])
    for message in (got, wanted):
        assert message["payload"].pop("metadata")
    assert got == wanted
    await replay.play(lines[first + 1 :])
    await silent(replay.connection)
    assert replay.compared == 7
