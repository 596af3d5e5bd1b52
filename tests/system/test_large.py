"""200 MB in each direction, whole by hash, while gateway and agent hold next to nothing of it."""

import hashlib
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.services.pattern import blocks, digest
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack
from tests.system.process import Memory

pytestmark = [pytest.mark.anyio, tunnel_only]

SIZE_BYTES = 200_000_000
GROWTH_MIB = 30


@pytest.fixture
def stack(own_stack: Callable[..., Stack]) -> Stack:
    """Fresh processes: what an earlier test made them keep would hide what this one costs."""
    return own_stack().start()


async def pieces() -> AsyncIterator[bytes]:
    for block in blocks(SIZE_BYTES):
        yield block


@pytest.mark.parametrize("how", ["length", "chunked"])
async def test_200_mb_down_arrive_whole_in_constant_memory(stack: Stack, http: aiohttp.ClientSession, how: str) -> None:
    sha256, length = hashlib.sha256(), 0
    with Memory(stack.gateway, stack.agent) as memory:
        async with http.get(stack.url("plain", f"/download?size={SIZE_BYTES}&how={how}")) as answer:
            assert answer.status == 200
            async for piece in answer.content.iter_any():
                sha256.update(piece)
                length += len(piece)
    assert length == SIZE_BYTES
    assert sha256.hexdigest() == digest(SIZE_BYTES)
    memory.assert_below(GROWTH_MIB)


@pytest.mark.parametrize("how", ["length", "chunked"])
async def test_200_mb_up_arrive_whole_in_constant_memory(stack: Stack, http: aiohttp.ClientSession, how: str) -> None:
    headers = {"Content-Length": str(SIZE_BYTES)} if how == "length" else {}
    with Memory(stack.gateway, stack.agent) as memory:
        async with http.post(stack.url("plain", "/upload"), data=pieces(), headers=headers) as answer:
            got = await answer.json()
    assert got["length"] == SIZE_BYTES
    assert got["sha256"] == digest(SIZE_BYTES)
    memory.assert_below(GROWTH_MIB)
