"""`GET /-/explain` with real processes: it says what the access log says of a real request for the same URL."""

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from websockets.exceptions import InvalidStatus

from tests.system.clients import Answer, RawClient, websocket
from tests.system.conftest import app_only, not_over, tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, TOKEN, Service, Stack, free_port
from tests.system.process import Processes, wait_until
from tests.system.test_drain import ADMIN, ask
from tests.system.test_learned import learning, register

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("the tests' uvicorn logs text")]

over_tls = not_over("json", "chunk", because="agents of these dialects verify no certificate")

Make = Callable[..., Stack]
BEARER = f"Authorization: Bearer {ADMIN}"
HOUR_SECONDS = 3600.0


def explain(stack: Stack, url: str, **parameters: str) -> dict[str, Any]:
    """The explanation of a URL."""
    query = urlencode({"url": url, **parameters}, quote_via=quote)
    answer = ask(stack.port, f"GET /-/explain?{query} HTTP/1.1", BEARER)
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def line_of(stack: Stack, request_id: str) -> dict[str, Any]:
    """The access line of a finished exchange."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in stack.gateway.output() if f'"request_id":"{request_id}"' in line]
        return [line for line in lines if line.get("event") == "ended"]

    wait_until(lambda: bool(found()), 20, f"{request_id} has an access line")
    (line,) = found()
    return line


def get(stack: Stack, host: str, path: str) -> Answer:
    with RawClient((LOOPBACK, stack.port)) as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: {host}:{stack.port}\r\nAccept: */*\r\n\r\n".encode())
        return client.answer()


async def open_websocket(url: str, origin: str | None = None) -> str:
    """Open one and close it with 1000; its request id."""
    try:
        async with websocket(url, origin=origin) as client:
            assert client.response is not None
            return client.response.headers["x-request-id"]
    except InvalidStatus as refused:
        return refused.response.headers["x-request-id"]


WORDS = ("outcome", "detail", "status", "limit", "closed_by", "close_code", "cluster_id", "service", "agent")
"""Of a line: what a probe's has to have in common with a client's."""


def agrees(stack: Stack, told: dict[str, Any], request_id: str) -> None:
    """The explanation, the line of its probe, and the line of a real request say the same."""
    real, probed = line_of(stack, request_id), line_of(stack, told["probe"]["request_id"])
    assert {word: probed[word] for word in WORDS} == {word: real[word] for word in WORDS}
    assert (told["code"], told["status"]) == (real["outcome"], real["status"])
    assert (told["probe"]["outcome"], told["probe"]["detail"]) == (real["outcome"], real["detail"] or None)
    assert probed["client"] == LOOPBACK


def known_beforehand(stack: Stack, told: dict[str, Any], **parameters: str) -> None:
    """Without a probe the same is said."""
    before = explain(stack, told["url"], probe="false", **parameters)
    assert before["probe"] is None
    for word in ("code", "status", "reason", "verdict", "hint", "route", "candidates", "policy"):
        assert before[word] == told[word], word


@pytest.fixture(scope="module")
def town(module_processes: Processes, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with a route of every kind; what is reached is reached over yamux."""
    folder = tmp_path_factory.mktemp("town")
    (folder / "admin-token").write_text(ADMIN)
    settings: dict[str, str | bool | float] = {
        "admin_token_file": "admin-token", "log_format": "json", "reconnect_grace": 0.0,
    }  # fmt: skip
    stack = with_another_token(learning(Stack(folder, module_processes, settings)))
    pem = str(authority.with_name("service.pem"))
    inside = {"scheme": "https", "ca_file": str(authority), "server_name": "inside.test"}
    plain = stack.add_program("plain", "tests.services.plain")
    ws = stack.add_program("ws", "tests.services.websocket")
    secure = stack.add_program("secure", "tests.services.plain", "--tls", pem, **inside)
    stack.add(Service("misnamed", secure.port, 443, route={**inside, "server_name": "other.test"}))
    stack.add(Service("hasty", plain.port, route={"response_head_timeout": 0.5}))
    stack.add(Service("below", plain.port, path="/app"))
    stack.add(Service("shadow", plain.port, path="/app", route={"host": "x.learned.test"}))
    stack.add(Service("one", ws.port, route={"max_websockets": 1}))
    stack.add(Service("closed", free_port()))
    stack.add(Service("agentless", 1, cluster="c2"))
    stack.add(Service("unknown", 1, cluster="c9"))
    stack.add(Service("another", 1, cluster="c3"))
    with ExitStack() as open_sockets:
        deaf = deaf_port(open_sockets)
        stack.add(Service("deaf", deaf))
        for name in ("forbidden", "nameless"):  # routed, and the agent is not told of them so
            stack.add(Service(name, 1))
        stack.start_gateway()
        del stack.services["forbidden"], stack.services["nameless"]
        options = [service.option for service in stack.services.values() if service.cluster == "c1"]
        agent = module_processes.python(
            "agent a1", "tunnel.agent", "--gateway", f"ws://{LOOPBACK}:{stack.port}/agent", "--token", TOKEN,
            "--cluster", "c1", "--agent-id", "a1", "--dialect", stack.dialect, "--dial-timeout", "1.5", *options,
            f"--service=nameless.apps:80=nowhere.{DOMAIN}.invalid:80",
        )  # fmt: skip
        agent.wait_line("ready:")
        wait_until(
            lambda: ask(stack.port, "GET /readyz?cluster=c1 HTTP/1.1").status == 200, 20, "the gateway hears of a1"
        )
        yield stack


def with_another_token(stack: Stack) -> Stack:
    """The stack's file has a second token, of cluster c3 alone."""
    written = stack.write_config

    def write_config() -> Path:
        path = written()
        path.write_text(path.read_text() + '[[agents]]\ntoken = "another-token"\nclusters = ["c3"]\n')
        return path

    stack.write_config = write_config  # type: ignore[method-assign]
    return stack


def deaf_port(open_sockets: ExitStack) -> int:
    """A port whose backlog is full: packets of further clients are dropped."""
    listener = open_sockets.enter_context(socket.socket())
    listener.bind((LOOPBACK, 0))
    listener.listen(0)
    for _ in range(4):
        client = open_sockets.enter_context(socket.socket())
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    port: int = listener.getsockname()[1]
    return port


# --- HTTP


@pytest.mark.parametrize(
    ("name", "path", "code", "reason"),
    [
        ("plain", "/small?n=secret", "ok", "answered"),
        ("plain", "/status?code=503", "ok", "answered"),
        pytest.param("secure", "/small", "ok", "answered", marks=over_tls),
        ("nobody", "/", "no_route", "no_such_host"),
        ("plian", "/", "no_route", "no_such_host"),
        ("below", "/other", "no_route", "wrong_path"),
        ("below", "/app/..%2fother", "unsafe_path", None),
        ("closed", "/", "service_refused", None),
        ("forbidden", "/", "not_allowed", None),
        ("nameless", "/", "no_such_service", None),
        pytest.param("deaf", "/", "service_slow", None, marks=pytest.mark.slow),
        ("hasty", "/never?id=hasty", "service_too_slow", None),
        pytest.param("misnamed", "/", "tls_failed", None, marks=over_tls),
        ("agentless", "/", "no_agent", "never_connected"),
        ("unknown", "/", "no_agent", "unknown_cluster"),
    ],
)
def test_it_says_what_a_real_request_meets(town: Stack, name: str, path: str, code: str, reason: str | None) -> None:
    host = f"{name}.{DOMAIN}"
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(get, town, host, path)
        told = explain(town, f"http://{host}:{town.port}{path}")
        answer = asked.result()
    assert (told["code"], told["reason"]) == (code, reason)
    agrees(town, told, answer.one("x-request-id"))
    assert told["status"] == answer.status
    assert "secret" not in json.dumps(told)
    if code in ("no_route", "unsafe_path", "no_agent"):
        known_beforehand(town, told)
        assert told["probe"]["sent"] is False
    else:
        assert told["probe"]["sent"] is True
        assert told["link"]["agent"] == "a1"
        assert told["cluster"]["connected"] is True


@over_tls
def test_the_hops_add_up_and_tls_is_named(town: Stack) -> None:
    told = explain(town, f"https://secure.{DOMAIN}/small")
    choose, link, service, answer = told["probe"]["hops"]
    assert [hop["hop"] for hop in (choose, link, service, answer)] == ["choose", "link", "service", "answer"]
    assert 0 <= choose["seconds"] <= answer["seconds"]
    assert 0 < link["seconds"] < 2
    assert 0 <= service["seconds"] <= answer["seconds"]  # the loop counts milliseconds
    assert service["text"].endswith("of c1/apps/secure:80, over TLS")
    assert told["route"]["scheme"] == "https"
    assert told["link"]["dialect"] == town.dialect


def test_a_host_that_was_mistyped_is_shown_the_nearest(town: Stack) -> None:
    told = explain(town, f"http://plian.{DOMAIN}/")
    assert told["candidates"][0]["host"] == f"plain.{DOMAIN}"
    assert told["verdict"] == f"nothing is published at plian.{DOMAIN}"


def test_a_control_host_is_the_gateways_own(town: Stack) -> None:
    assert (explain(town, f"http://localhost:{town.port}/healthz")["code"]) == "ok"
    answer = get(town, "localhost", "/somewhere")
    told = explain(town, f"http://localhost:{town.port}/somewhere")
    assert (told["code"], told["reason"]) == ("no_route", "control_host")
    agrees(town, told, answer.one("x-request-id"))
    known_beforehand(town, told)


def test_another_method_is_sent_if_it_is_asked_for(town: Stack) -> None:
    url = f"http://plain.{DOMAIN}/echo"
    assert explain(town, url, method="POST", probe="false")["probe"] is None
    told = explain(town, url, method="POST")
    assert told["probe"]["sent"] is True
    line = line_of(town, told["probe"]["request_id"])
    assert (line["method"], line["bytes_up"]) == ("POST", 0)


# --- WebSockets


@pytest.mark.parametrize(
    ("name", "path", "origin", "code", "reason"),
    [
        ("ws", "/echo", None, "ok", "answered"),
        ("ws", "/echo", f"https://ws.{DOMAIN}", "ok", "answered"),
        ("ws", "/echo", "https://evil.test", "origin_refused", None),
        ("ws", "/refuse?status=403", None, "ok", "declined"),
        ("nobody", "/", None, "no_route", "no_such_host"),
        pytest.param(
            "forbidden",
            "/",
            None,
            "not_allowed",
            None,
            marks=not_over("json", "chunk", because="an agent's reason for a WebSocket has no kind there"),
        ),
        ("agentless", "/", None, "no_agent", "never_connected"),
    ],
)
async def test_it_says_what_a_real_websocket_meets(
    town: Stack, name: str, path: str, origin: str | None, code: str, reason: str | None
) -> None:
    url = f"ws://{name}.{DOMAIN}:{town.port}{path}"
    request_id = await open_websocket(url, origin)
    parameters = {} if origin is None else {"origin": origin}
    told = await asyncio.to_thread(explain, town, url, **parameters)
    assert (told["code"], told["reason"]) == (code, reason)
    await asyncio.to_thread(agrees, town, told, request_id)
    if code in ("no_route", "no_agent", "origin_refused"):
        await asyncio.to_thread(known_beforehand, town, told, **parameters)


@asynccontextmanager
async def held(url: str) -> AsyncIterator[None]:
    async with websocket(url):
        yield


async def test_a_limit_that_is_hit(town: Stack) -> None:
    url = f"ws://one.{DOMAIN}:{town.port}/echo"
    async with held(url):
        request_id = await open_websocket(url)
        told = await asyncio.to_thread(explain, town, url)
        assert (told["code"], told["status"]) == ("too_many_websockets", 503)
        assert told["policy"]["max_websockets"] == 1
        await asyncio.to_thread(agrees, town, told, request_id)
        await asyncio.to_thread(known_beforehand, town, told)

    def is_free() -> bool:
        return str(explain(town, url, probe="false")["code"]) == "ok"

    await asyncio.to_thread(wait_until, is_free, 20, "the place is free again")


# --- what changes


async def test_a_route_of_an_agent_whose_host_the_file_has(town: Stack) -> None:
    await register(town, ["x.learned.test"])
    answer = get(town, "x.learned.test", "/other")
    told = explain(town, f"http://x.learned.test:{town.port}/other")
    assert (told["code"], told["reason"]) == ("no_route", "shadowed")
    assert [(route["path"], route["reason"]) for route in told["candidates"]] == [("/app", None), ("/", "shadowed")]
    agrees(town, told, answer.one("x-request-id"))
    known_beforehand(town, told)


async def test_a_route_that_an_agent_wanted_and_did_not_get(town: Stack) -> None:
    await register(town, ["y.elsewhere.test"])
    answer = get(town, "y.elsewhere.test", "/")
    told = explain(town, f"http://y.elsewhere.test:{town.port}/")
    assert (told["code"], told["reason"]) == ("no_route", "refused")
    agrees(town, told, answer.one("x-request-id"))
    known_beforehand(town, told)


def test_an_agent_with_the_token_of_another_cluster(town: Stack) -> None:
    agent = town.processes.python(
        "agent a3", "tunnel.agent", "--gateway", f"ws://{LOOPBACK}:{town.port}/agent", "--token", TOKEN,
        "--cluster", "c3", "--agent-id", "a3", "--service=another.apps:80=127.0.0.1:1",
    )  # fmt: skip
    url = f"http://another.{DOMAIN}:{town.port}/"
    wait_until(lambda: bool(explain(town, url, probe="false")["reason"] == "agent_refused"), 20, "it was refused")
    agent.stop()
    answer = get(town, f"another.{DOMAIN}", "/")
    told = explain(town, url)
    assert (told["code"], told["reason"]) == ("no_agent", "agent_refused")
    assert LOOPBACK in told["verdict"]
    agrees(town, told, answer.one("x-request-id"))
    known_beforehand(town, told)


async def test_a_route_that_its_agent_did_not_renew(own_stack: Make, tmp_path: Path) -> None:
    """Time cannot be moved for a process, so its file is: the route expired while the gateway was away."""
    (tmp_path / "admin-token").write_text(ADMIN)
    settings = {"admin_token_file": "admin-token", "log_format": "json", "state_dir": "state"}
    stack = learning(own_stack(reconnect_grace=0.0, **settings)).start()
    await register(stack, ["x.learned.test"])
    url = f"http://x.learned.test:{stack.port}/small"
    assert explain(stack, url)["code"] == "ok"
    assert stack.gateway.stop() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "learned-routes.sqlite3")) as connection:
        connection.execute("UPDATE routes SET expires_at = 1")
        connection.commit()
    stack.start_gateway()
    answer = get(stack, "x.learned.test", "/small")
    told = explain(stack, url)
    assert (told["code"], told["reason"]) == ("no_route", "expired")
    agrees(stack, told, answer.one("x-request-id"))
    known_beforehand(stack, told)


def own(make: Make, folder: Path, **settings: str | bool | float) -> Stack:
    (folder / "admin-token").write_text(ADMIN)
    return make(admin_token_file="admin-token", log_format="json", reconnect_grace=0.0, **settings).start()


def test_an_agent_that_is_away(own_stack: Make, tmp_path: Path) -> None:
    stack = own(own_stack, tmp_path)
    stack.agent.kill()
    stack.gateway.wait_line("is gone: ")
    answer = get(stack, f"plain.{DOMAIN}", "/small")
    told = explain(stack, stack.url("plain", "/small"))
    assert (told["code"], told["reason"]) == ("no_agent", "away")
    assert told["cluster"]["last_seen"] in told["verdict"]
    agrees(stack, told, answer.one("x-request-id"))
    known_beforehand(stack, told)


def test_a_node_that_drains(own_stack: Make, tmp_path: Path) -> None:
    stack = own(own_stack, tmp_path, drain_delay=HOUR_SECONDS)
    assert ask(stack.port, "POST /-/drain HTTP/1.1", BEARER).status == 202
    answer = get(stack, f"plain.{DOMAIN}", "/small")
    told = explain(stack, stack.url("plain", "/small"))
    assert (told["code"], told["reason"]) == ("ok", "draining")
    agrees(stack, told, answer.one("x-request-id"))
    assert explain(stack, stack.url("plain", "/small"), probe="false")["reason"] == "draining"
    stack.gateway.kill()  # it would drain for an hour
