"""When nodes are dialled, in virtual time: pauses that grow, with jitter, and end early when a node moves."""

import asyncio
import itertools
from typing import Any
from unittest import mock

import pytest

from app.cluster.peer import handshake
from app.cluster.peer.dialler import DIAL_SECONDS, MOST_NODES, Dialler, Identity, LinkState, PeerState
from app.cluster.peer.handshake import RefusedError
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport
from tunnel.account import Account


class Network:
    """What `create_connection` meets. `answer`: None: nobody accepts; b"": nobody answers."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.beats = True
        self.dialled: list[tuple[float, str]] = []
        self.states: list[tuple[LinkState, str]] = []
        self.transports: list[FakeTransport] = []
        self.up = asyncio.Event()
        identity = Identity("n1", "test", lambda: b"s")
        self.dialler = Dialler(identity, account=Account(), on_change=self._changed, beats=lambda _: self.beats)
        loop = asyncio.get_running_loop()
        mock.patch.object(loop, "create_connection", self._connect).start()

    def _changed(self, node: str, state: PeerState) -> None:
        assert node == "n2"
        self.states.append((state.state, state.why))
        if state.state is LinkState.UP:
            self.up.set()

    async def _connect(self, make: Any, host: str, port: int, **_: Any) -> tuple[FakeTransport, Any]:
        self.dialled.append((asyncio.get_running_loop().time(), f"{host}:{port}"))
        if self.answer is None:
            raise ConnectionRefusedError("nobody listens")
        protocol = make()
        transport = FakeTransport(protocol)
        self.transports.append(transport)
        protocol.connection_made(transport)
        if self.answer:
            protocol.data_received(self.answer)
        return transport, protocol

    @property
    def pauses(self) -> list[float]:
        times = [at for at, _ in self.dialled]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


@dialogue
async def test_pauses_grow_to_five_seconds_and_are_never_the_same():
    network = Network()
    network.dialler.heard("n2", "http://h:1")
    await asyncio.sleep(60)
    pauses = network.pauses
    for number, pause in enumerate(pauses):
        most = min(0.4 * 2**number, 5.0)
        assert most / 2 <= pause <= most
    assert len(set(pauses)) == len(pauses)
    assert {state for state, _ in network.states} == {LinkState.LOST}
    assert repr(network.dialler) == "<Dialler n2 lost>"
    await network.dialler.close()


@dialogue
async def test_a_node_that_refuses_is_asked_every_ten_seconds():
    refusal = handshake.refusal(RefusedError(handshake.HTTPStatus.UNAUTHORIZED, "no"))
    network = Network(refusal)
    network.dialler.heard("n2", "http://h:1")
    await asyncio.sleep(100)
    assert all(5.0 <= pause <= 10.0 for pause in network.pauses[6:])
    assert set(network.states) == {(LinkState.REFUSED, "refused with 401: 'no'")}
    assert all(transport.aborted for transport in network.transports)
    await network.dialler.close()


@pytest.mark.parametrize("answer", ["refusal", "welcome"])
def test_another_node_at_the_address_of_one_that_does_not_beat_is_no_fault(
    answer: str, caplog: pytest.LogCaptureFixture
):
    """A node was killed, and started again with another id. If the old one beats after all, the address is wrong."""
    caplog.set_level("INFO", "gateway")

    @dialogue
    async def dialled() -> None:
        refusal = handshake.refusal(RefusedError(handshake.HTTPStatus.MISDIRECTED_REQUEST, "another node"))
        network = Network(refusal if answer == "refusal" else handshake.welcome("n1", "0"))
        network.dialler.heard("n2", "http://h:1")
        await asyncio.sleep(3)  # so long a node that was killed seems to beat
        network.beats = False
        await asyncio.sleep(60)
        assert [record.levelname for record in caplog.records] == ["INFO"]
        network.beats = True
        await asyncio.sleep(60)
        assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
        await network.dialler.close()

    dialled()


@dialogue
async def test_a_node_that_is_stopping_is_only_lost():
    network = Network(handshake.refusal(RefusedError(handshake.HTTPStatus.SERVICE_UNAVAILABLE, "stopping")))
    network.dialler.heard("n2", "http://h:1")
    await asyncio.sleep(0.01)
    assert [state for state, _ in network.states] == [LinkState.LOST]
    await network.dialler.close()


@dialogue
async def test_a_node_that_says_nothing_is_given_up():
    network = Network(b"")
    network.dialler.heard("n2", "http://h:1")
    await asyncio.sleep(DIAL_SECONDS - 0.1)
    assert network.states == []
    assert network.dialler.states() == {"n2": PeerState(LinkState.DIALLING)}
    await asyncio.sleep(0.2)
    assert network.states == [(LinkState.LOST, "no answer in time")]
    assert network.transports[0].aborted
    await network.dialler.close()


@dialogue
async def test_a_node_that_has_moved_is_dialled_at_once():
    network = Network()
    network.dialler.heard("n2", "http://h:1")
    await asyncio.sleep(30)
    before = len(network.dialled)
    network.dialler.heard("n2", "http://h:1")  # heard again: nothing new
    network.dialler.heard("n2", "http://h:2")
    await asyncio.sleep(0.001)
    assert [address for _, address in network.dialled[before:]] == ["h:2"]
    await network.dialler.close()


@dialogue
async def test_a_link_that_ends_soon_is_not_dialled_in_a_hurry_and_one_that_lived_is():
    network = Network(handshake.welcome("n2", "0"))
    network.dialler.heard("n2", "http://h:1")
    for _ in range(6):
        await network.up.wait()
        network.up.clear()
        network.transports[-1].lose()
    assert network.pauses[-1] >= 1.0
    network.dialler.forget("n2")
    network.dialler.forget("n2")
    assert network.dialler.states() == {}
    await network.dialler.close()


@dialogue
async def test_this_node_itself_is_not_dialled():
    network = Network()
    network.dialler.heard("n1", "http://h:1")
    assert network.dialler.asking("n1") is None
    await asyncio.sleep(1)
    assert network.dialled == []
    await network.dialler.close()


@dialogue
async def test_not_everybody_whom_somebody_names_is_dialled(caplog: pytest.LogCaptureFixture):
    network = Network(b"")
    for number in range(MOST_NODES + 2):
        network.dialler.heard(f"m{number}", "http://h:1")
    await quiet()
    assert len(network.dialled) == MOST_NODES
    assert caplog.messages == [f"more than {MOST_NODES} nodes are there: node m{MOST_NODES} and others are not dialled"]
    network.dialler.heard("m0", "http://h:1")
    network.dialler.forget("m0")
    network.dialler.heard(f"m{MOST_NODES}", "http://h:1")
    await quiet()
    assert len(network.dialled) == MOST_NODES + 1
    assert len(caplog.messages) == 1
    await network.dialler.close()
