"""More connections than the gateway has room for: who is served all the same, and what the log and the metrics say.

The gateway's limit of open files is lowered, so that few clients are many.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.fakes.certificates import Authority
from tests.system.clients import RawClient
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import wait_until
from tests.system.test_drain import ADMIN, BEARER

pytestmark = [tunnel_only, app_only("it has no bound on connections")]

OPEN_FILES = 160
ROOM = 60
"""Connections that it leaves room for."""
RESERVE = 16
SILENT = 400
WAIT_SECONDS = 60.0

Make = Callable[..., Stack]


@pytest.fixture
def stack(own_stack: Make, tmp_path: Path) -> Stack:
    (tmp_path / "admin-token").write_text(f"{ADMIN}\n")
    made = own_stack(admin_token_file="admin-token", state_dir="state")
    made.ulimit = f"-n {OPEN_FILES}"
    return made


def asked(stack: Stack, path: str, host: str = "localhost", *fields: str) -> tuple[int, str] | None:
    """Status and body. None: the gateway closed the connection without an answer."""
    with contextlib.suppress(ConnectionError, EOFError), RawClient((LOOPBACK, stack.port)) as client:
        client.send("\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode())
        answer = client.answer()
        return answer.status, answer.body.decode()
    return None


def answers(stack: Stack, path: str, host: str, status: int) -> bool:
    found = asked(stack, path, host)
    return found is not None and found[0] == status


def metrics(stack: Stack) -> dict[str, float]:
    """The metrics of connections, by name and label."""
    found = asked(stack, "/metrics", "localhost", BEARER)
    assert found is not None
    assert found[0] == 200
    lines = [line.rpartition(" ") for line in found[1].splitlines() if line.startswith("gateway_connections_")]
    return {name: float(value) for name, _, value in lines}


@contextlib.contextmanager
def many(stack: Stack, beginning: bytes) -> Iterator[list[socket.socket]]:
    """Clients that say nothing, or only this: all that there is room for, and many more."""
    with ExitStack() as closing:
        clients = []
        for number in range(SILENT):
            client = closing.enter_context(socket.socket())
            client.settimeout(WAIT_SECONDS)
            with contextlib.suppress(ConnectionError):
                client.connect((LOOPBACK, stack.port))
                client.sendall(beginning if number % 2 else b"")
            clients.append(client)
        yield clients


@pytest.fixture
def crowd(stack: Stack) -> Iterator[list[socket.socket]]:
    stack.start(agent=False)
    with many(stack, b"GET / HT") as clients:
        yield clients


def is_open(client: socket.socket) -> bool:
    """Whether the gateway has neither answered nor closed this connection."""
    client.setblocking(False)
    try:
        client.recv(1)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


@pytest.mark.timeout(180)
def test_silent_clients_take_neither_the_agents_nor_the_operators_place(
    stack: Stack, crowd: list[socket.socket]
) -> None:
    wait_until(lambda: answers(stack, "/readyz", "localhost", 200), WAIT_SECONDS, "the reserve is free again")
    assert is_open(crowd[0])  # nothing was waited for but the reserve
    assert answers(stack, "/healthz", "nobody.example.test", 200)
    assert metrics(stack)["gateway_connections_limit"] == ROOM
    told = asked(stack, "/small", "plain.example.test")
    assert told is not None
    assert (told[0], "too_many_connections" in told[1]) == (503, True)
    stack.start_agent()
    assert answers(stack, "/readyz?cluster=c1", "localhost", 200)
    # All this while the silent ones that came first still have their places.
    assert [is_open(client) for client in crowd[:ROOM]] == [True] * ROOM
    assert psutil.Process(stack.gateway.popen.pid).num_fds() < OPEN_FILES


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_when_silent_clients_are_late_ordinary_ones_get_in_again(stack: Stack, crowd: list[socket.socket]) -> None:
    """A head has twenty real seconds."""
    wait_until(lambda: answers(stack, "/readyz", "localhost", 200), WAIT_SECONDS, "the reserve is free again")
    stack.start_agent()
    wait_until(lambda: answers(stack, "/small", "plain.example.test", 200), WAIT_SECONDS, "ordinary clients get in")
    assert not any(is_open(client) for client in crowd)
    found = metrics(stack)
    assert found["gateway_connections_limit"] == ROOM
    assert found['gateway_connections_shed_total{reason="turned_away"}'] > RESERVE
    assert found['gateway_connections_shed_total{reason="cut_off"}'] >= SILENT - ROOM - 3 * RESERVE
    assert stack.gateway.stop() == 0
    output = stack.gateway.output()
    assert len([line for line in output if "no room for more than 60 connections: 0 idle" in line]) == 1
    assert not [line for line in output if "Traceback" in line or "Too many open files" in line or "rror" in line]


def test_idle_clients_make_room_for_new_ones(stack: Stack) -> None:
    stack.start()
    with ExitStack() as closing:
        clients = []
        for _ in range(2 * ROOM):
            clients.append(closing.enter_context(RawClient(stack.address("plain"))))
            clients[-1].request("GET /small?n=1 HTTP/1.1", "plain")
            assert clients[-1].answer().status == 200
        assert [client.read_end() for client in clients[:ROOM]] == [b""] * ROOM
        clients[-1].request("GET /small?n=2 HTTP/1.1", "plain")
        assert clients[-1].answer().body == b"small 2"
        found = metrics(stack)
        assert found["gateway_connections_active"] <= ROOM + 1
        assert found['gateway_connections_shed_total{reason="idle"}'] >= ROOM
        assert found['gateway_connections_shed_total{reason="turned_away"}'] == 0
        assert found['gateway_connections_shed_total{reason="cut_off"}'] == 0


def test_a_bound_above_what_the_limit_of_open_files_allows_is_said(own_stack: Make) -> None:
    stack = own_stack(max_connections=1000)
    stack.ulimit = f"-n {OPEN_FILES}"
    stack.start(agent=False)
    stack.gateway.wait_line("max_connections is 1000, but a limit of 160 open files leaves room for 60")
    assert psutil.Process(stack.gateway.popen.pid).rlimit(psutil.RLIMIT_NOFILE) == (OPEN_FILES, OPEN_FILES)


def test_a_soft_limit_is_raised_to_the_hard_one(own_stack: Make) -> None:
    stack = own_stack()
    stack.ulimit = "-S -n 100"
    stack.start(agent=False)
    soft, hard = psutil.Process(stack.gateway.popen.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard > 100


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_over_tls_silent_clients_do_not_use_up_the_descriptors(stack: Stack, tmp_path: Path) -> None:
    """A handshake has ten seconds, and a connection before its end is one of those that are bounded."""
    authority = Authority(tmp_path)
    authority.write(authority.issue("localhost"))
    admin = free_port()
    stack.settings |= {"tls_certificate": "tls.crt", "tls_key": "tls.key", "admin_bind": f"{LOOPBACK}:{admin}"}
    stack.start(agent=False)

    def cut_off() -> float:
        with RawClient((LOOPBACK, admin)) as client:
            client.send(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{BEARER}\r\n\r\n".encode())
            body = client.answer().body.decode()
        name = 'gateway_connections_shed_total{reason="cut_off"}'
        return next(float(line.split(" ")[1]) for line in body.splitlines() if line.startswith(name))

    def is_healthy() -> bool:
        with contextlib.suppress(ConnectionError, EOFError, ssl.SSLError), RawClient((LOOPBACK, stack.port)) as client:
            client.socket = authority.client().wrap_socket(client.socket, server_hostname="localhost")
            client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return client.answer().status == 200
        return False

    assert is_healthy()
    with many(stack, b"\x16\x03\x01") as crowd:
        wait_until(lambda: cut_off() >= SILENT - ROOM - RESERVE, WAIT_SECONDS, "those without a place are cut off")
        assert psutil.Process(stack.gateway.popen.pid).num_fds() < OPEN_FILES
        wait_until(is_healthy, WAIT_SECONDS, "the handshakes are late")
        assert not any(is_open(client) for client in crowd)
    assert stack.gateway.stop() == 0
    assert not [line for line in stack.gateway.output() if "Traceback" in line or "rror" in line]
