"""The engine with connections in memory: its states, its pauses, who is told, and that nothing is left of it."""

import asyncio
import itertools
import logging
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cluster import connection as connections
from app.cluster.connection import DialError
from app.cluster.engine import LATEST_SECONDS, SOONEST_SECONDS, Engine, ExtraMissingError, State
from app.settings import ClusterSettings
from tests.fakes.loop import dialogue, quiet

SERVERS = ("nats://a:4222", "nats://b:4222")


class Connection:
    """As far as an engine knows it."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.ended = asyncio.Event()
        self.why = "unexpected EOF"
        self.version = "2.15.1"
        self.said: list[str] = []

    async def end(self) -> None:
        self.said.append("end")

    async def abort(self) -> None:
        self.said.append("abort")


class Nats:
    """What answers the engine's dials: as `answers` says, in turn, then always a connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.answers = list(answers)
        self.dialled: list[str] = []
        self.at: list[float] = []
        self.connections: list[Connection] = []
        self.forbidden: Callable[[str, str], None] = lambda verb, subject: None
        monkeypatch.setattr(connections, "dial", self.dial)

    async def dial(self, _: ClusterSettings, server: str, *, name: str, forbidden: Any) -> Connection:
        assert name == "left"
        self.forbidden = forbidden
        self.dialled.append(server)
        self.at.append(asyncio.get_running_loop().time())
        if self.answers and (answer := self.answers.pop(0)):
            if answer == "never":
                await asyncio.Event().wait()
            raise DialError(answer)
        self.connections.append(Connection(server))
        return self.connections[-1]


class Member:
    def __init__(self) -> None:
        self.told: list[object] = []

    def connected(self, connection: Any) -> None:
        self.told.append(connection)

    def lost(self) -> None:
        self.told.append("lost")

    async def aclose(self) -> None:
        self.told.append("closed")


def engine(**options: Any) -> Engine:
    return Engine(ClusterSettings(SERVERS), name="left", clock=asyncio.get_running_loop().time, **options)


@dialogue
async def test_its_states_and_who_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    nats = Nats(monkeypatch, "refused", "refused", "no answer", "")
    one, member, late = engine(pause=lambda: 1.0), Member(), Member()
    one.attach(member)
    assert one.state == State("connecting", 1_000.0)
    caplog.set_level(logging.INFO, "gateway.cluster")
    one.start()
    one.start()
    await quiet()
    began = one.state.since
    assert (str(one.state), one.connection) == ("away: nats://a:4222: refused", None)
    await asyncio.sleep(2.5)
    assert one.state == State("away", began, "nats://a:4222: no answer")
    await asyncio.sleep(1)
    assert str(one.state) == "connected to nats://b:4222"
    one.attach(late)
    (connection,) = nats.connections
    assert member.told == late.told == [connection]
    connection.ended.set()
    await quiet()
    assert str(one.state) == "away: nats://b:4222: unexpected EOF"
    assert repr(one) == "<Engine away: nats://b:4222: unexpected EOF, 1 losses>"
    assert connection.said == ["abort"]
    await asyncio.sleep(1)
    assert nats.dialled == [*SERVERS, *SERVERS, SERVERS[0]]
    await one.aclose()
    await one.aclose()
    assert member.told == [connection, "lost", nats.connections[1], "closed", "lost", *["closed"] * 3]
    assert nats.connections[1].said == ["end"]
    assert str(one.state) == "stopped"
    assert [record.levelname for record in caplog.records] == [
        "WARNING", "WARNING", "WARNING", "INFO", "WARNING", "INFO"
    ]  # fmt: skip


@dialogue
async def test_nodes_do_not_come_back_in_step(monkeypatch: pytest.MonkeyPatch):
    nats = Nats(monkeypatch, *(["refused"] * 300))
    one = engine()
    one.start()
    await asyncio.sleep(301 * LATEST_SECONDS)
    assert not nats.answers
    pauses = [after - before for before, after in itertools.pairwise(nats.at[:300])]
    assert min(pauses) >= SOONEST_SECONDS
    assert max(pauses) <= LATEST_SECONDS
    assert statistics.stdev(pauses) > 0.3
    await one.aclose()


@dialogue
async def test_it_ends_in_the_middle_of_a_dial(monkeypatch: pytest.MonkeyPatch):
    Nats(monkeypatch, "never")
    one = engine()
    one.start()
    await quiet()
    assert one.state.name == "connecting"
    await one.aclose()
    assert one.state.name == "stopped"


@dialogue
async def test_what_nats_forbids_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    nats = Nats(monkeypatch)
    one = engine()
    one.start()
    await quiet()
    for _ in range(3):
        nats.forbidden("publish", "$kv.b.k")
        nats.forbidden("subscription", "_inbox.>")
    assert one.forbidden == ["publish $kv.b.k", "subscribe _inbox.>"]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2
    await one.aclose()


@dialogue
async def test_asyncios_word_about_tls_connections_is_left_out_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    Nats(monkeypatch)
    one = engine()
    one.start()
    await quiet()
    log = logging.getLogger("asyncio")
    log.warning("returning true from eof_received() has no effect when using ssl")
    log.warning("something else")
    await one.aclose()
    assert [record.getMessage() for record in caplog.records] == ["something else"]
    log.warning("returning true from eof_received() has no effect when using ssl")
    assert len(caplog.records) == 2


def test_without_nats_py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    import app.cluster

    monkeypatch.setitem(sys.modules, "nats", None)
    monkeypatch.delitem(sys.modules, "app.cluster.connection")
    monkeypatch.delattr(app.cluster, "connection")
    with pytest.raises(ExtraMissingError, match=r"pip install 'tunnel-gateway\[cluster\]'"):
        Engine(ClusterSettings(SERVERS), name="left")


def test_a_gateway_of_one_node_imports_none_of_it():
    code = (
        "import sys, app.main, app.serve, app.settings.cluster\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('nats', 'nkeys') or 'app.cluster' in name])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert found.stdout.strip() == "[]"
