"""What a dial resolves and where it connects, with a resolver that says what the test wants."""

import asyncio
import socket

import pytest

from tests.fakes.loop import dialogue
from tunnel.agent.service import dial
from tunnel.agent.service.addresses import why_never
from tunnel.agent.service.services import AllowPattern, NotReachableError, ServiceEntry, Services
from tunnel.wire.routing_header import RoutingHeader

HEADER = RoutingHeader("web", "apps", 80)
NAME = "web.apps.svc.cluster.local"


class Network:
    """A resolver, and what is connected to; put in the place of the running loop's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): found for name, found in names.items()}
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []
        self.refusals = 0
        """How many dials are refused first."""
        self.refusal: OSError = ConnectionRefusedError(111, "Connection refused")
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "getaddrinfo", self._resolve)
        monkeypatch.setattr(loop, "create_connection", self._connect)

    async def _resolve(self, host: str, _port: None, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if host.rstrip(".") not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 0)) for found in self.names[host.rstrip(".")]]

    async def _connect(self, _factory: object, host: str, port: int) -> None:
        self.dialled.append((host, port))
        if self.refusals:
            self.refusals -= 1
            raise self.refusal


async def dialled(services: Services) -> None:
    await dial.connect(asyncio.Protocol(), services.destination_of(HEADER), services, 5.0)


def allowed() -> Services:
    """A new one each time: they remember what refuses connections."""
    return Services(patterns=(AllowPattern.parse("apps/*:*"),))


NEVER = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0",
    "127.0.0.1", "127.8.8.8", "::1",
    "0.0.0.0", "0.1.2.3", "::",
    "fd00:ec2::254", "fd20:ce::254", "100.100.100.200",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:7f00:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", NEVER)
@dialogue
async def test_a_pattern_never_reaches_these_whatever_a_name_resolves_to(address: str):
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch, **{NAME: [address]})
        with pytest.raises(NotReachableError, match=r"which no --allow reaches; use --service if it is meant"):
            await dialled(allowed())
        network.names[NAME] = ["10.0.0.7", address]  # one of several is enough
        with pytest.raises(NotReachableError):
            await dialled(allowed())
        assert network.dialled == []


@pytest.mark.parametrize("address", ["10.0.0.7", "100.64.0.1", "192.0.2.1", "2001:db8::1", "fd00::1", "64:ff9b::a00:7"])
@dialogue
async def test_a_pattern_reaches_any_other_address_by_its_complete_name(address: str):
    assert why_never(address) is None
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch, **{NAME: [address]})
        await dialled(allowed())
        assert network.asked == [f"{NAME}."]
        assert network.dialled == [(address, 80)]


@pytest.mark.parametrize("host", ["127.0.0.1", "metadata.internal", "169.254.169.254"])
@dialogue
async def test_a_service_that_the_operator_named_is_reached_wherever_it_is(host: str):
    services = Services((ServiceEntry.parse(f"web.apps:80={host}:8080"),), (AllowPattern.parse("*/*:*"),))
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch, metadata_internal=["169.254.169.254"])
        await dialled(services)
        assert [port for _, port in network.dialled] == [8080]
        assert network.asked == ([host] if host == "metadata.internal" else [])


@pytest.mark.parametrize("address", ["10.96.0.1", "::ffff:10.96.0.1", "64:ff9b::a60:1", "64:ff9b:1::a60:1"])
@pytest.mark.parametrize("api", ["10.96.0.1", "api.internal"])
@dialogue
async def test_the_api_server_is_refused_in_every_spelling(api: str, address: str):
    services = Services(patterns=(AllowPattern.parse("*/*:*"),), api_hosts=(api,))
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch, **{NAME: [address], "api_internal": ["64:ff9b::a60:1"]})
        with pytest.raises(NotReachableError, match="API server"):
            await dialled(services)
        assert network.dialled == []


FAULTS = [
    (ConnectionRefusedError(111, "Connect call failed ('10.0.0.7', 80)"), "refused", "connection refused"),
    (TimeoutError(), "slow", "no connection within 5 s"),
    (OSError(113, "No route to host"), "", "No route to host"),
]


@pytest.mark.parametrize(("fault", "kind", "text"), FAULTS, ids=[kind or "other" for _, kind, _ in FAULTS])
@dialogue
async def test_a_dial_that_fails_says_its_kind(fault: OSError, kind: str, text: str):
    async def fail(*_: object) -> None:
        raise fault

    with pytest.MonkeyPatch.context() as patch:
        Network(patch, **{NAME: ["10.0.0.7"]})
        patch.setattr(asyncio.get_running_loop(), "create_connection", fail)
        with pytest.raises(dial.DialError, match=text) as failed:
            await dialled(allowed())
    assert failed.value.kind == kind


@dialogue
async def test_a_name_without_an_address_is_no_such_name():
    with pytest.MonkeyPatch.context() as patch:
        Network(patch)
        with pytest.raises(dial.DialError, match="no such host") as failed:
            await dialled(allowed())
    assert failed.value.kind == "no_such_name"


@pytest.mark.parametrize(
    "refusal",
    [ConnectionRefusedError(111, "Connection refused"), ConnectionResetError(104, "Connection reset by peer")],
    ids=["refused", "reset"],
)
@dialogue
async def test_a_refused_dial_is_tried_again_where_the_name_leads_by_then(refusal: OSError):
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch, **{NAME: ["10.0.0.7"]})
        network.refusals, network.refusal = 2, refusal
        await dialled(allowed())
        assert network.dialled == [("10.0.0.7", 80)] * 3
        assert network.asked == [f"{NAME}."] * 3


# --- this machine


@pytest.mark.parametrize(("refusals", "dialled_at"), [(0, ["127.0.0.1"]), (1, ["127.0.0.1", "::1"])])
@dialogue
async def test_localhost_is_whichever_address_answers_and_no_resolver_is_asked(refusals: int, dialled_at: list[str]):
    services = Services((ServiceEntry.parse("web.apps:80=LocalHost:8080"),))
    with pytest.MonkeyPatch.context() as patch:
        network = Network(patch)
        network.refusals = refusals
        await dialled(services)
        assert network.dialled == [(address, 8080) for address in dialled_at]
        assert network.asked == []


@dialogue
async def test_a_refusal_counts_more_than_what_another_address_says():
    """A machine without IPv6 says of ::1 that it cannot be assigned; the server may be about to listen on the other."""

    async def fail(_factory: object, host: str, _port: int) -> None:
        raise ConnectionRefusedError(111, "refused") if host == "127.0.0.1" else OSError(99, "Cannot assign")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "create_connection", fail)
        with pytest.raises(dial.DialError, match="connection refused") as failed:
            await dialled(Services((ServiceEntry.parse("web.apps:80=localhost:8080"),)))
    assert failed.value.kind == "refused"
