"""A node that announces, against a subject in memory: what is sent, when again, and what strangers say."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
import pytest

from app.cluster.announcement import LONGEST_BYTES, AnnouncedLink, Announcement, encoded, read
from app.cluster.announcer import AGAIN_SECONDS, Announcer
from app.cluster.connection import Connection
from app.cluster.requests import Message, NotSentError
from tests.app.cluster.one_directory import World
from tests.fakes.jetstream import Delivered
from tests.fakes.loop import dialogue, quiet

SUBJECT = "tunnel.links"


class Subject:
    """One subject, and a connection to it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.receivers: list[Callable[[Message], Awaitable[None]]] = []
        self.is_away = False

    async def publish(self, subject: str, payload: bytes = b"") -> None:
        assert subject == SUBJECT
        if self.is_away:
            raise NotSentError("away")
        self.sent.append(payload)
        await self.say(payload)

    async def say(self, payload: bytes) -> None:
        for receive in list(self.receivers):
            await receive(Delivered(SUBJECT, "", payload))

    async def subscribe(
        self, subject: str, receive: Callable[[Message], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        assert subject == SUBJECT
        if self.is_away:
            raise NotSentError("away")
        self.receivers.append(receive)

        async def unsubscribe() -> None:
            self.receivers.remove(receive)

        return unsubscribe

    def agents(self) -> list[dict[str, int | None]]:
        """What was sent since the last call."""
        sent, self.sent = self.sent, []
        return [{agent: link.came for agent, link in read(message).agents.items()} for message in sent]


class Node(World):
    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.connection = cast("Connection", subject)
        self.announcer = Announcer(SUBJECT, self.directory)

    async def came(self, agent: str, revision: int | None = None, cluster: str = "c1") -> None:
        self.own(agent, revision, cluster=cluster)
        self.announcer.due()
        await quiet()


@dialogue
async def test_each_change_is_announced_at_once():
    subject = Subject()
    node = Node(subject)
    node.announcer.connected(node.connection)
    await node.came("a")
    await node.came("b", 5)
    node.directory.own.went("a@None")
    node.announcer.due()
    await quiet()
    assert subject.agents() == [{"a": 1}, {"a": None, "b": None}, {"b": None}]
    assert repr(node.announcer) == "<Announcer on tunnel.links: 3 sent, 3 heard>"
    await node.announcer.aclose()
    assert subject.receivers == []


@dialogue
async def test_what_has_no_entry_yet_is_announced_again_and_again():
    subject = Subject()
    node = Node(subject)
    node.announcer.connected(node.connection)
    await node.came("b", 5, "c2")
    await node.came("a")
    subject.agents()
    await asyncio.sleep(2 * AGAIN_SECONDS + 1)
    assert subject.agents() == [{"a": 2}, {"a": 2}]
    node.own("c", 6)
    await asyncio.sleep(AGAIN_SECONDS)
    subject.agents()
    await asyncio.sleep(2 * AGAIN_SECONDS)
    assert subject.agents() == []
    await node.announcer.aclose()
    await node.announcer.aclose()


@dialogue
async def test_what_came_while_nats_was_away_is_announced_when_it_is_back():
    subject = Subject()
    node = Node(subject)
    await node.came("a")
    subject.is_away = True
    node.announcer.connected(node.connection)
    await quiet()
    node.announcer.lost()
    await node.came("b")
    subject.is_away = False
    node.announcer.connected(node.connection)
    await quiet()
    assert subject.agents() == [{"a": 1, "b": 2}]
    subject.is_away = True
    await node.came("c")
    node.announcer.lost()
    subject.is_away = False
    node.announcer.connected(node.connection)
    await quiet()
    assert subject.agents() == [{"a": 1, "b": 2, "c": 3}]
    await node.announcer.aclose()


@dialogue
async def test_another_node_knows_it():
    subject = Subject()
    one, two = Node(subject), Node(subject)
    one.directory.own.node = "n1"
    two.nodes("n1")
    for node in (one, two):
        node.announcer.connected(node.connection)
    await quiet()
    await one.came("a")
    assert two.chosen() == "a@n1"
    one.directory.own.went("a@None")
    one.announcer.due()
    await quiet()
    assert two.chosen() is None
    for node in (one, two):
        await node.announcer.aclose()


@dialogue
async def test_strangers_are_told_of_once(caplog: pytest.LogCaptureFixture):
    subject = Subject()
    node = Node(subject)
    node.nodes("n1")
    node.announcer.connected(node.connection)
    await quiet()
    for message in (b"nonsense", b"{}", b'{"v":2}', b'{"v":3}', b"x" * LONGEST_BYTES * 2):
        await subject.say(message)
    await subject.say(msgspec.json.encode({"v": 1, "node": "me", "seq": 9, "cluster": "c1", "agents": {"a": {}}}))
    await node.announcer.aclose()
    assert node.directory.claims("c1") == []
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    strange, newer = (record.getMessage() for record in caplog.records)
    assert strange.startswith("subject tunnel.links: a message was ignored, because JSON is malformed: ")
    assert strange.endswith(". Find out who else publishes there")
    assert newer.startswith("subject tunnel.links has messages of version 2, from a gateway of another release: ")


@dialogue
async def test_a_listener_that_fails_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture):
    subject = Subject()
    node = Node(subject)
    node.nodes("n1")
    node.announcer.connected(node.connection)
    await quiet()
    node.directory.on_claim = lambda _pool: 1 / 0
    for number in (1, 2):
        links = {f"a{number}": AnnouncedLink(number)}
        await subject.say(encoded(Announcement(node="n1", seq=number, cluster="c1", agents=links)))
    await node.announcer.aclose()
    assert [record.getMessage() for record in caplog.records] == ["an announcement of node n1 could not be taken"] * 2
    assert {claim.agent_id for claim in node.directory.claims("c1")} == {"a2"}


@dialogue
async def test_what_is_too_long_is_not_announced():
    subject = Subject()
    node = Node(subject)
    node.announcer.connected(node.connection)
    for number in range(400):
        node.own(f"{number:0250}", 5)
    node.announcer.due()
    await quiet()
    assert subject.sent == []
    await node.came("a", 6, "c2")
    assert subject.agents() == [{"a": None}]
    await node.announcer.aclose()
