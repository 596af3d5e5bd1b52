"""The backend of the asynchronous tests, and the two ends that every test of the process needs."""

from collections.abc import AsyncIterator

import pytest

from tests.existing.replay import RecordedGateway
from tests.existing.services import Services


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    async with Services() as running:
        yield running


@pytest.fixture
async def gateway() -> AsyncIterator[RecordedGateway]:
    async with RecordedGateway() as running:
        yield running
