"""`traceparent` and `tracestate` pass untouched, over each dialect, and the access log names the trace."""

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.system.clients import RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack

pytestmark = [pytest.mark.anyio, tunnel_only]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FIELDS = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}
WRONG = {"traceparent": f"00-{TRACE.upper()}-00f067aa0ba902b7-01", "tracestate": "not one, either"}


def of_trace(headers: list[list[str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower().startswith("trace")}


def through_http(stack: Stack, fields: dict[str, str]) -> tuple[dict[str, str], str]:
    """What the service saw, and the request's id."""
    with RawClient(stack.address("plain")) as client:
        client.request("GET /echo HTTP/1.1", "plain", *(f"{name}: {value}" for name, value in fields.items()))
        answer = client.answer()
    return of_trace(json.loads(answer.body)["headers"]), answer.one("x-request-id")


async def logged(stack: Stack, text: str) -> str:
    """The line with this text."""
    return await asyncio.to_thread(stack.gateway.wait_line, text)


@pytest.mark.parametrize("dialect", ["yamux", "json", "chunk"])
async def test_a_trace_passes_untouched_and_is_logged(own_stack: Callable[..., Stack], dialect: str) -> None:
    stack = own_stack()
    stack.dialect = dialect
    stack.start()
    for fields, ends in ((FIELDS, f", trace {TRACE}"), (WRONG, ""), ({}, "")):
        seen, request_id = through_http(stack, fields)
        assert seen == fields
        assert (await logged(stack, request_id)).endswith(f", id {request_id}{ends}")
    async with websocket(stack.url("ws", "/headers", "ws"), additional_headers=FIELDS) as client:
        assert of_trace(json.loads(await client.recv())["headers"]) == FIELDS
    for text in ("/headers open after ", "/headers closed by "):
        assert (await logged(stack, text)).endswith(f", trace {TRACE}")
