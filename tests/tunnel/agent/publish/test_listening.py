"""Who is told that nobody listens."""

import asyncio

import pytest

from tests.fakes.loop import dialogue
from tunnel.agent.publish import listening
from tunnel.agent.publish.targets import Target
from tunnel.agent.service.services import Services

REFUSED = ConnectionRefusedError(111, "Connection refused")


class Network:
    """Who answers at which address; put in the place of the running loop's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: object) -> None:
        self.answers = answers
        self.left = []
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", self._connect)

    async def _connect(self, factory, host, port):
        answer = self.answers.get(host, REFUSED)
        if isinstance(answer, OSError):
            raise answer
        if answer == "never":
            await asyncio.get_running_loop().create_future()
        factory().connection_made(self)

    def close(self):
        self.left.append("closed")


async def noted(patch, *texts, api_hosts=(), **answers):
    targets = [Target.parse(text) for text in texts]
    network = Network(patch, **answers)
    notes = []
    services = Services(tuple(target.entry for target in targets), api_hosts=api_hosts)
    await listening.look(targets, services, notes.append)
    return notes, network.left


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
@dialogue
async def test_a_server_on_either_loopback_address_listens(family: str):
    with pytest.MonkeyPatch.context() as patch:
        assert await noted(patch, "5173", **{family: "here"}) == ([], ["closed"])


@dialogue
async def test_nobody_there_is_told_once():
    with pytest.MonkeyPatch.context() as patch:
        notes, _ = await noted(patch, "5173", "5173", "192.0.2.1:80", **{"192.0.2.1": "here"})
    assert notes == ["nothing listens on localhost:5173 yet"]


@dialogue
async def test_a_machine_without_the_other_family_is_not_another_reason():
    """The second address fails in another way, and the first has refused."""
    missing = OSError(99, "Cannot assign requested address")
    with pytest.MonkeyPatch.context() as patch:
        notes, _ = await noted(patch, "5173", **{"::1": missing})
    assert notes == ["nothing listens on localhost:5173 yet"]


@dialogue
async def test_other_reasons_have_their_words():
    with pytest.MonkeyPatch.context() as patch:
        notes, _ = await noted(
            patch, "192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:443",
            api_hosts=("192.0.2.3",), **{"192.0.2.1": "never", "192.0.2.2": OSError(113, "No route to host")},
        )  # fmt: skip
    assert sorted(notes) == [
        "192.0.2.1:80 does not answer: no connection within 5 s",
        "192.0.2.2:80 does not answer: No route to host",
        "cannot reach 192.0.2.3:443: the destination is the Kubernetes API server's address",
    ]
