"""The gateway as a part of other applications: prefixes, hosts, several at once, first use, and nothing left behind."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Host, Mount

from app.settings import Grant, load, token_hash
from tests.app.observed.counted import samples
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import App, Call, Request, WebSocket
from tests.fakes.exchange import FakeExchange
from tests.fakes.loop import dialogue, left_behind, quiet

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "mounting.md"
EXAMPLE = ROOT / "tests" / "examples" / "mounting.py"
BEARER = [(b"authorization", b"Bearer good")]
GRANTS = {token_hash("good"): Grant(("c1",))}
ADMIN = "the-admin-token-of-this-test"


def answer(exchange: FakeExchange) -> None:
    exchange.answer(200, [(b"Content-Length", b"2")])
    exchange.bring(b"ok")
    exchange.finish()


async def carried(app: App, stage: Stage, path: str, **scope: Any) -> bytes:
    """What the service is asked for when a client asks for `path`."""
    request = Request(app, target=path, **scope).start()
    await quiet()
    exchange = stage.link.exchanges[-1]
    answer(exchange)
    assert (await request.over()).answer == b"ok"
    return exchange.head.target


# --- where it is mounted


@pytest.mark.parametrize(
    ("prefix", "asked", "seen"),
    [
        ("", "/a%2Fb?q=%2F", b"/a%2Fb?q=%2F"),
        ("/gw", "/gw/a%2Fb?q=%2F", b"/a%2Fb?q=%2F"),
        ("/gw", "/gw/", b"/"),
        ("/gw", "/gw/gw/x", b"/gw/x"),
        ("/g/w", "/g/w/x;v=1", b"/x;v=1"),
        ("/{tenant}", "/anyone/x%20y", b"/x%20y"),
        ("/g w", "/g%20w/x", b"/x"),
    ],
)
def test_a_mounts_prefix_comes_off_and_nothing_else(prefix: str, asked: str, seen: bytes) -> None:
    @dialogue
    async def run() -> None:
        async with Stage() as s:
            assert await carried(Starlette(routes=[Mount(prefix, app=s.app)]), s, asked) == seen

    run()


@dialogue
async def test_mounts_in_mounts_come_off_together():
    async with Stage() as s:
        app = Starlette(routes=[Mount("/a", routes=[Mount("/b", app=s.app)])])
        assert await carried(app, s, "/a/b/c%2Fd") == b"/c%2Fd"


@dialogue
async def test_a_servers_own_root_path_comes_off_too():
    """uvicorn --root-path puts it before path and raw_path alike."""
    async with Stage() as s:
        app = Starlette(routes=[Mount("/gw", app=s.app)])
        assert await carried(app, s, "/base/gw/x%2Fy", root_path="/base") == b"/x%2Fy"


@dialogue
async def test_under_a_host_route():
    async with Stage() as s:
        app = Starlette(routes=[Host("{name}.example.test", app=s.app)])
        assert await carried(app, s, "/a%2Fb") == b"/a%2Fb"
        other = await Request(app, host="elsewhere.test").start().over()
        assert (other.status, other.answer) == (404, b"Not Found"), "not ours to answer"


@dialogue
async def test_agents_and_websockets_find_it_under_a_prefix():
    async with Stage(links=0, grants=GRANTS) as s:
        app = Starlette(routes=[Mount("/gw", app=s.app)])
        agent = WebSocket(app, "/gw/ws?supports_yamux=true", host="localhost", headers=BEARER).start()
        elsewhere = WebSocket(app, "/gw/gw/ws", host="localhost", headers=BEARER).start()
        await quiet()
        assert len(s.gateway.registry.links("c1")) == 1
        await elsewhere.over()
        assert elsewhere.refusal is not None
        assert elsewhere.refusal[0] == 404
        agent.leave(1006)
        await agent.over()


@dialogue
async def test_an_agent_is_told_to_dial_below_the_prefix():
    async with Stage(links=0, grants=GRANTS) as s:
        app = Starlette(routes=[Mount("/gw", app=s.app)])
        agent = WebSocket(app, "/gw/api/v1/clusters/agent/ws", host="localhost:81", headers=BEARER).start()
        agent.say('{"type": "register", "request_id": "r", "payload": {"name": "c1"}}')
        await quiet()
        assert '"gateway_ws_url":"ws://localhost:81/gw/ws"' in str(agent.heard[0])
        agent.leave(1000)
        await agent.over()


@dialogue
async def test_the_operators_paths_are_below_the_prefix():
    async with Stage(admin_token_hash=token_hash(ADMIN)) as s:
        app = Starlette(routes=[Mount("/gw", app=s.app)])
        bearer = [(b"authorization", f"Bearer {ADMIN}".encode())]
        request = await Request(app, target="/gw/metrics", host="localhost", headers=bearer).start().over()
        assert request.status == 200
        request = await Request(app, target="/metrics", host="localhost", headers=bearer).start().over()
        assert request.status == 404


# --- first use


ENTRANCES: dict[str, Callable[[App], Call]] = {
    "a request": Request,
    "a WebSocket": WebSocket,
    "an agent": lambda app: WebSocket(app, "/agent", host="localhost", headers=BEARER),
    "the existing agent": lambda app: WebSocket(app, "/ws?supports_yamux=true", host="localhost", headers=BEARER),
}


@pytest.mark.parametrize("entrance", list(ENTRANCES))
def test_it_opens_on_first_use_where_no_lifespan_runs(entrance: str) -> None:
    @dialogue
    async def run() -> None:
        stage = Stage(grants=GRANTS)
        await quiet()
        assert left_behind() == []
        call = ENTRANCES[entrance](stage.app).start()
        await quiet()
        assert len([item for item in left_behind() if isinstance(item, asyncio.TimerHandle)]) > 0
        await stage.gateway.aclose()
        call.put({"type": "http.disconnect" if isinstance(call, Request) else "websocket.disconnect", "code": 1006})
        await call.over()

    run()


@dialogue
async def test_questions_about_health_need_no_gateway_at_work():
    stage = Stage()
    for path in ("/healthz", "/readyz"):
        assert (await Request(stage.app, target=path, host="nobody.test").start().over()).status == 200
    assert left_behind() == []


# --- aclose


@dialogue
async def test_an_idle_one_leaves_nothing_the_moment_it_is_closed():
    stage = Stage()
    await carried(stage.app, stage, "/")
    await stage.gateway.aclose()
    assert left_behind() == []


@dialogue
async def test_closed_before_its_first_use_it_never_opens():
    stage = Stage(links=0)
    await stage.gateway.aclose()
    request = await Request(stage.app).start().over()
    assert request.status == 503
    assert left_behind() == []


@dialogue
async def test_closed_while_it_drains_it_leaves_no_drain_behind():
    stage = Stage(drain_delay=600.0)
    drain = stage.gateway.begin_drain()
    await quiet()
    await stage.gateway.aclose()
    await quiet()
    assert drain.done()
    assert left_behind() == []


def test_the_file_is_not_looked_at_any_more(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("")

    @dialogue
    async def run() -> None:
        settings = load(str(file), {})
        stage = Stage(file=settings.file, files_read=settings.files_read)
        await carried(stage.app, stage, "/")
        assert len([item for item in left_behind() if isinstance(item, asyncio.TimerHandle)]) == 2
        await stage.gateway.aclose()
        assert left_behind() == []

    run()


# --- two of them


@dialogue
async def test_two_gateways_in_one_process_know_nothing_of_each_other():
    async with Stage() as one, Stage(links=0) as two:
        app = Starlette(routes=[Mount("/one", app=one.app), Mount("/two", app=two.app)])
        assert await carried(app, one, "/one/x") == b"/x"
        refused = await Request(app, target="/two/x").start().over()
        assert refused.status == 503
        assert b"no_agent" in refused.answer
        requests = ("gateway_requests_total", "GET", "ok", "2xx")
        assert samples(one.gateway.metrics)[requests] == 1
        assert samples(two.gateway.metrics).get(requests, 0) == 0
        await two.gateway.aclose()
        assert await carried(app, one, "/one/y") == b"/y"
        assert HOST in one.gateway.settings.routes.hosts


# --- the document


def test_the_documents_example_is_the_program_that_is_tested() -> None:
    """But for the package's name: the document is for users of the wheel."""
    program = EXAMPLE.read_text(encoding="utf-8")
    assert program.count("from app.main import") == 1
    program = program.replace("from app.main import", "from tunnel_gateway.main import")
    assert f"```python\n{program}```\n" in DOCUMENT.read_text(encoding="utf-8")
