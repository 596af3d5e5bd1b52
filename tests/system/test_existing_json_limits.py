"""What the existing agent cannot do without yamux, each by name: the harm stays with who asked for it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from tests.services.pattern import BLOCK_BYTES
from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.existing_json import connections, existing, own
from tests.system.outcomes import positions, status
from tests.system.process import Processes, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

IDLE_SECONDS = 1.0
SERVICE_SECONDS = 2.0
MANY = 50
"""Requests past the tunnel, while one through it waits."""
FRAMES = 400
FRAME_BYTES = 100_000


async def test_a_service_s_close_is_not_told_so_the_idle_limit_ends_its_client(
    tmp_path: Path, processes: Processes
) -> None:
    stack = own(tmp_path, processes, idle_timeout=IDLE_SECONDS)
    with existing(stack) as agent:
        agent.provoked("section 8.2: frame for")  # our close frame, of which it is too late to say anything
        for order in ({"do": "close", "code": 4001, "reason": "bye"}, {"do": "abort"}):
            async with websocket(stack.url("ws", "/command", "ws")) as client:
                await client.send(json.dumps(order))
                with pytest.raises(ConnectionClosed):
                    await client.recv()
            assert client.close_code == 1001
        wait_until(lambda: len(positions(stack.gateway, "limit timeout_idle")) == 2, 30, "the log names the limit")
        agent.wait("section 8.6: the service closed")
        agent.wait("section 8.6: the service dropped")
        async with http_client() as http:
            assert await status(http, stack) == 200


async def test_an_answer_cut_at_its_30_s_is_broken_off_and_never_ended(tmp_path: Path, processes: Processes) -> None:
    stack = own(tmp_path, processes)
    with existing(stack, service_limit=SERVICE_SECONDS):
        with RawClient(stack.address("plain")) as events, RawClient(stack.address("plain")) as measured:
            events.request("GET /sse?channel=cut HTTP/1.1", "plain")
            measured.request("GET /never?id=cut&after=head HTTP/1.1", "plain")
            assert (events.answer_head().status, measured.answer_head().status) == (200, 200)
            assert not events.read_end().endswith(b"0\r\n\r\n")
            assert len(measured.read_end()) < 10
        with RawClient(stack.address("plain")) as client:
            client.request("GET /never?id=cut-at-all HTTP/1.1", "plain")
            assert client.answer().status == 504
        async with http_client() as http:
            assert await status(http, stack) == 200


async def test_an_upload_that_no_service_reads_delays_the_rest_and_costs_no_link(
    tmp_path: Path, processes: Processes
) -> None:
    """The keep-alive waits for its pongs behind the upload: longer than it would otherwise."""
    stack = own(tmp_path, processes, link_ping_interval=0.5, link_ping_timeout=0.5)
    with existing(stack, service_limit=SERVICE_SECONDS) as agent:
        agent.provoked("section 5.3: chunk for an unknown id")
        stuck = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            while not stuck.is_set():
                yield bytes(BLOCK_BYTES)

        async with http_client() as http:
            async with http.get(stack.url("plain", "/small?n=1")) as answer:
                assert answer.status == 200  # and the link has answered a ping
            uploading = asyncio.create_task(upload(http, stack.url("plain", "/black-hole?id=hole"), endless()))
            async with http.get(stack.control("plain", "/arrived?id=hole")) as arrived:
                assert arrived.status == 200
            overtaken = 0
            while not uploading.done():
                asked = asyncio.create_task(status(http, stack))
                direct = 0
                while not (asked.done() or uploading.done()):
                    async with http.get(stack.control("plain", "/small?n=2")) as answer:
                        assert answer.status == 200
                    direct += 1
                assert await asked == 200
                overtaken = max(overtaken, direct)
            assert overtaken >= MANY, "none had to wait behind the upload"
            stuck.set()
            assert await uploading in {502, 504}
            assert await status(http, stack) == 200
        assert not any(" is gone" in line for line in stack.gateway.output())


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_whose_client_leaves_is_cancelled(
    tmp_path: Path, processes: Processes, announced: bool
) -> None:
    """It would hang in the agent for ever, and its service with it."""
    stack = own(tmp_path, processes)
    with existing(stack) as agent:
        length = ("Content-Length: 9000000",) if announced else ("Transfer-Encoding: chunked",)
        async with http_client() as http:
            with RawClient(stack.address("plain")) as client:
                client.request("POST /upload HTTP/1.1", "plain", *length)
                client.send((b"" if announced else b"895440\r\n") + bytes(8_000_000))
                await connections(http, stack, 2)
            await connections(http, stack, 1)
            assert await status(http, stack) == 200
        assert agent.count("section 5.") == 0


async def upload(http: aiohttp.ClientSession, url: str, pieces: AsyncIterator[bytes]) -> int:
    async with http.post(url, data=pieces) as answer:
        return answer.status


async def test_a_lost_message_closes_the_client_with_1011(tmp_path: Path, processes: Processes) -> None:
    """A service that does not read: its agent's queue of 100 fills, and what does not fit is lost."""
    stack = own(tmp_path, processes, websocket_write_timeout=30.0)
    with existing(stack, "--send-buffer", "4096") as agent:
        agent.provoked("section 8.7: frame for")
        async with websocket(stack.url("ws", "/silent", "ws")) as client:
            frame = random.Random(8).randbytes(FRAME_BYTES)  # a service's compression shall not make it small

            async def talk() -> None:
                for _ in range(FRAMES):
                    await client.send(frame)
                await client.recv()

            with pytest.raises(ConnectionClosed):
                await talk()
        assert (client.close_code, client.close_reason) == (1011, "a message was lost on the way")
        assert agent.count("section 8.7: frame for") > 0
        wait_until(
            lambda: sum("lost a message" in line for line in stack.gateway.output()) == 1, 5, "one line names it"
        )
        async with websocket(stack.url("ws", "/echo", "ws")) as other:
            await other.send("alive")
            assert await other.recv() == "alive"
