"""The listener behind a TCP balancer, on real sockets: whose header is read, to which byte, and who is closed."""

import asyncio
import logging
import socket
from collections import Counter
from itertools import pairwise

import psutil
import pytest

from app.server import arrival, balanced_listener
from app.server.balanced_listener import BalancedListener
from app.server.descriptors import CUT_OFF_AT_ONCE
from app.server.doorman import Doorman
from app.server.listener import ACCEPTS_PER_TURN
from tests.app.server.proxy_headers import LOCAL, block, checked, line, relayed
from tests.system.balanced import CLIENT, CLIENT6, HOST, HOST6, SERVER, SERVER6, Echo, World, both, on, turns
from tests.system.clients import RESET

pytestmark = pytest.mark.system


@both
@pytest.mark.parametrize(
    ("header", "told"),
    [
        (line(CLIENT, SERVER), (CLIENT[0], SERVER[0])),
        (line(CLIENT6, SERVER6), (CLIENT6[0], SERVER6[0])),
        (relayed(CLIENT, SERVER), (CLIENT[0], SERVER[0])),
        (checked(CLIENT6, SERVER6), (CLIENT6[0], SERVER6[0])),
        (b"PROXY UNKNOWN\r\n", ("", "")),
        (block(LOCAL, 0), ("", "")),
    ],
    ids=["1 IPv4", "1 IPv6", "2 IPv4", "2 IPv6", "1 unknown", "2 local"],
)
def test_no_byte_after_the_header_is_lost_however_it_is_cut(loop: object, header: bytes, told: tuple[str, str]):
    async def test(world: World) -> None:
        after = b"\x16\x03\x01 and more"
        whole = world.connect(header + after)
        assert await world.read(whole, len(after)) == after
        assert world.met[0].told == told
        for cut in range(1, len(header) + 1):
            client = world.connect(header[:cut])
            await turns(lambda cut=cut: len(world.listener) == 1 or len(world.met) == 1 + cut)
            client.sendall(header[cut:] + after)
            assert await world.read(client, len(after)) == after
            assert world.met[-1].told == told
            client.close()
        assert len(world.met) == 1 + len(header)
        assert len(world.listener) == 0
        whole.close()

    on(loop, test)


@both
def test_a_header_byte_by_byte_costs_one_look_a_byte(loop: object, monkeypatch: pytest.MonkeyPatch):
    looks = Counter[int]()
    read = arrival.read_proxy_header

    def counting(data: bytes) -> object:
        looks[len(data)] += 1
        return read(data)

    monkeypatch.setattr(arrival, "read_proxy_header", counting)

    async def test(world: World) -> None:
        header = relayed(CLIENT, SERVER)
        client = world.connect()
        for at in range(len(header)):
            client.sendall(header[at : at + 1])
            await turns(lambda at=at: at + 1 in looks)
            for _ in range(10):  # the socket must not stay readable
                await asyncio.sleep(0)
        client.sendall(b"x")
        assert await world.read(client, 1) == b"x"
        assert looks == dict.fromkeys(range(1, len(header) + 1), 1)
        client.close()

    on(loop, test)


@both
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "it does not begin with a PROXY header"),
        (b"\x16\x03\x01\x02\x00", "it does not begin with a PROXY header"),
        (b"PROXY TCP4 1.2.3.4\r\n", "the line does not have two addresses and two ports between single blanks"),
        (block(0x21, 0x11, bytes(11)), "the block is too short for its addresses"),
    ],
)
def test_without_a_header_it_is_closed_and_the_operator_hears_of_it(
    loop: object, data: bytes, text: str, caplog: pytest.LogCaptureFixture
):
    async def test(world: World) -> None:
        client = world.connect(data)
        assert await world.ended(client)
        assert world.met == []
        assert world.faults == {"invalid": 1}
        (told,) = [record.getMessage() for record in caplog.records]
        assert told == (
            f"connections closed because of their PROXY header: 1, the last from 127.0.0.1: {text}. Check that the "
            "balancer sends the header, or set proxy_protocol = false"
        )
        client.close()

    on(loop, test)


@both
@pytest.mark.parametrize("data", [b"PRO", relayed(CLIENT, SERVER)[:20]])
@pytest.mark.parametrize("reset", [False, True])
def test_one_that_leaves_within_its_header_is_counted(loop: object, data: bytes, reset: bool):
    async def test(world: World) -> None:
        client = world.connect(data)
        await turns(lambda: len(world.listener) == 1)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        await turns(lambda: len(world.listener) == 0)
        assert world.faults == {"invalid": 1}

    on(loop, test)


@both
@pytest.mark.parametrize("reset", [False, True])
def test_a_balancer_that_only_tries_the_port_is_no_fault(loop: object, reset: bool, caplog: pytest.LogCaptureFixture):
    async def test(world: World) -> None:
        client = world.connect()
        await turns(lambda: len(world.listener) == 1)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        await turns(lambda: len(world.listener) == 0)
        assert world.faults == {}
        assert caplog.records == []

    on(loop, test)


@both
def test_a_header_that_does_not_come_in_time_ends_the_connection(loop: object, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arrival, "HEADER_SECONDS", 0.05)

    async def test(world: World) -> None:
        clients = [world.connect(), world.connect(b"PROXY TCP4 ")]
        for client in clients:
            assert await world.ended(client)
            client.close()
        assert world.faults == {"late": 2}
        assert world.met == []

    on(loop, test)


@both
def test_the_header_of_a_stranger_is_not_believed(loop: object, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, logger="gateway")

    async def test(world: World) -> None:
        client = world.connect()  # a header that it sent would turn the close into a reset
        assert await world.ended(client)
        assert world.met == []
        assert world.faults == {"untrusted": 1}
        assert [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "gateway"] == [
            ("DEBUG", "a connection from 127.0.0.1 was closed: it is not in trusted_proxies")
        ]
        client.close()

    on(loop, test, trusted="10.0.0.0/8")


@both
def test_the_oldest_without_a_header_has_to_go_for_a_new_one(loop: object, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(balanced_listener, "MOST_WAITING", 3)

    async def test(world: World) -> None:
        waiting = [world.connect() for _ in range(5)]
        await turns(lambda: len(world.listener) == 3 and "crowded" in world.faults)
        assert world.faults == {"crowded": 2}
        for client in waiting[:2]:
            assert await world.ended(client)
        last = world.connect(line(CLIENT, SERVER) + b"x")
        assert await world.read(last, 1) == b"x"
        for client in waiting[3:]:
            client.sendall(line(CLIENT, SERVER) + b"y")
            assert await world.read(client, 1) == b"y"
        for client in (*waiting, last):
            client.close()

    on(loop, test)


@both
def test_where_no_room_is_left_one_may_still_wait(loop: object):
    async def test(world: World) -> None:
        world.room = 0
        waiting = [world.connect() for _ in range(3)]
        await turns(lambda: world.faults == {"crowded": 2})
        assert len(world.listener) == 1
        waiting[2].sendall(line(CLIENT, SERVER) + b"x")
        assert await world.read(waiting[2], 1) == b"x"
        for client in waiting:
            client.close()

    on(loop, test)


@both
def test_a_turn_accepts_no_more_than_it_should(loop: object):
    async def test(world: World) -> None:
        clients = [world.connect() for _ in range(3 * ACCEPTS_PER_TURN)]
        seen = [0]
        while seen[-1] < len(clients):
            await asyncio.sleep(0)
            seen.append(len(world.listener))
        assert max(after - before for before, after in pairwise(seen)) == ACCEPTS_PER_TURN
        for client in clients:
            client.close()

    on(loop, test)


@both
def test_clients_that_are_cut_off_hold_few_descriptors(loop: object, monkeypatch: pytest.MonkeyPatch):
    """So many are kept aside for them, however many come at once (`descriptors.py`)."""
    cut_off: list[asyncio.BaseTransport] = []

    def cut(_: Echo, transport: asyncio.Transport) -> None:
        cut_off.append(transport)
        transport.abort()

    monkeypatch.setattr(Echo, "connection_made", cut)
    process = psutil.Process()

    async def test(world: World) -> None:
        clients = [world.connect(line(CLIENT, SERVER))]
        await turns(lambda: len(cut_off) == 1)  # the loop opens files of its own for the first one
        clients += [world.connect(line(CLIENT, SERVER)) for _ in range(200)]
        files = process.num_fds()
        held: list[int] = []

        def all_met() -> bool:
            held.append(process.num_fds() - files)
            return len(cut_off) == len(clients)

        await turns(all_met)
        assert 0 < max(held) <= CUT_OFF_AT_ONCE
        for client in clients:
            client.close()

    on(loop, test)


@both
def test_accepted_sockets_have_the_listening_ones_options(loop: object):
    async def test(world: World) -> None:
        client = world.connect(line(CLIENT, SERVER) + b"x")
        assert await world.read(client, 1) == b"x"
        assert world.met[0].transport is not None
        accepted = world.met[0].transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 128 * 1024
        client.close()

    on(loop, test)


@both
def test_clients_in_the_backlog_and_headers_under_way_are_served_when_it_closes(loop: object):
    async def test(world: World) -> None:
        address = world.listener.address
        late = world.connect(line(CLIENT, SERVER)[:20])
        await turns(lambda: len(world.listener) == 1)
        queued = [world.connect(line(CLIENT, SERVER)) for _ in range(200)]
        closing = asyncio.ensure_future(world.listener.close())
        await turns(lambda: len(world.met) >= len(queued))
        assert not closing.done()
        late.sendall(line(CLIENT, SERVER)[20:])
        await closing
        assert len(world.met) == 201
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for client in (late, *queued):
            client.close()

    on(loop, test)


@both
def test_a_header_that_does_not_end_when_it_closes_is_dropped(loop: object, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(balanced_listener, "LAST_SECONDS", 0.01)

    async def test(world: World) -> None:
        client = world.connect(b"PROXY ")
        await world.listener.close()
        assert await world.ended(client)
        assert len(world.listener) == 0
        client.close()

    on(loop, test)


@both
def test_a_second_close_does_not_wait(loop: object):
    async def test(world: World) -> None:
        client = world.connect(b"PROXY ")
        first = asyncio.ensure_future(world.listener.close())
        await turns(lambda: len(world.listener) == 1)
        await world.listener.close()
        assert len(world.listener) == 0
        await first
        assert await world.ended(client)
        client.close()

    on(loop, test)


@both
def test_it_listens_on_ipv6_alone_too(loop: object):
    async def test(world: World) -> None:
        client = world.connect(relayed(CLIENT6, SERVER6) + b"x")
        assert await world.read(client, 1) == b"x"
        assert world.met[0].told == (CLIENT6[0], SERVER6[0])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, world.listener.address[1]))
        client.close()

    on(loop, test, host=HOST6)


@both
def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open(loop: object):
    async def test(world: World) -> None:
        host, port = world.listener.address
        doorman = Doorman(world.gateway)
        other = BalancedListener(lambda *told: Echo(world, *told), host, port, backlog=16, doorman=doorman)
        with pytest.raises(OSError, match=f"cannot listen on {host} port {port}: address already in use"):
            await other.open()
        await other.close()

    on(loop, test)


@both
def test_without_descriptors_it_rests_and_goes_on(
    loop: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(balanced_listener, "_REST_SECONDS", 0.05)
    accept = socket.socket.accept
    calls = []

    def failing(sock: socket.socket) -> object:
        calls.append(sock)
        if len(calls) == 1:
            raise OSError(24, "Too many open files")
        return accept(sock)

    async def test(world: World) -> None:
        monkeypatch.setattr(socket.socket, "accept", failing)
        client = world.connect(line(CLIENT, SERVER) + b"x")
        assert await world.read(client, 1) == b"x"
        (told,) = [record.getMessage() for record in caplog.records]
        assert told == "cannot accept connections: Too many open files; next try in 0.05 s"
        client.close()

    on(loop, test)
