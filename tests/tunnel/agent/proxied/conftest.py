"""Conversations for the tests of exchanges as messages."""

import pytest

from tests.tunnel.agent.proxied.conversation import Conversation


@pytest.fixture(params=["json", "chunk"])
def dialect(request):
    return request.param


@pytest.fixture
async def conversation(monkeypatch, dialect):
    return Conversation(monkeypatch, dialect)


@pytest.fixture
async def whole(monkeypatch):
    """A gateway that takes answers whole."""
    return Conversation(monkeypatch, streamed=False)
