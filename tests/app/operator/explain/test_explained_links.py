"""Why there is no link, what limits refuse, and a node that stops: as the access log says it."""

import asyncio
import dataclasses

import pytest

from app.observed.events import EventKind
from app.operator.explain.explaining import MOST_PROBES, TooManyProbesError
from app.rules.policy import HeaderChanges, Policy
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.operator.explain.asking import (
    URL,
    WS_URL,
    Link,
    agreeing,
    answer,
    explained,
    foreseen,
    settled,
    stage,
    summary,
)
from tests.app.public.limits import Lines
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tunnel.errors import ServiceRefusedError, TlsFailedError
from tunnel.gateway.link import LinkState
from tunnel.gateway.proxied.request import UnsayableError, check_target


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return Lines(caplog)


# --- links


@dialogue
async def test_a_cluster_that_no_token_covers(lines: Lines):
    async with stage(links=0, grants={token_hash("gone"): Grant(("c1",), revoked=True)}) as s:
        told = await foreseen(s, lines, URL)
        assert summary(told) == ("no_agent", 503, "unknown_cluster")
        assert told.cluster is not None
        assert told.cluster.has_token is False


@dialogue
async def test_a_cluster_that_was_never_here(lines: Lines):
    async with stage(links=0) as s:
        assert summary(await foreseen(s, lines, URL)) == ("no_agent", 503, "never_connected")


@dialogue
async def test_an_agent_that_is_away(lines: Lines):
    async with stage(links=0) as s:
        s.gateway.last_seen.ended("c1", 1_800_000_000.0)
        told = await foreseen(s, lines, URL)
        assert summary(told) == ("no_agent", 503, "away")
        assert "2027-01-15T08:00:00.000Z" in told.verdict


def refuse(s: Stage, at: float, cluster: str = "c1") -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s.gateway.events, "_clock", lambda: at)
        s.gateway.events.emit(
            EventKind.LINK_REFUSED, "agent from 203.0.113.7 refused with 503: its token does not cover it",
            cluster=cluster, address="203.0.113.7", code="agent_refused",
        )  # fmt: skip


@pytest.mark.parametrize("seen", [None, 1_800_000_000.0])
@dialogue
async def test_an_agent_with_the_token_of_another_cluster(lines: Lines, seen: float | None):
    async with stage(links=0) as s:
        if seen is not None:
            s.gateway.last_seen.ended("c1", seen)
        refuse(s, 1_800_000_060.0)
        refuse(s, 1_800_000_061.0, "c2")
        told = await foreseen(s, lines, URL)
        assert summary(told) == ("no_agent", 503, "agent_refused")
        assert told.verdict == (
            "no agent of cluster c1 is connected; one was refused at 2027-01-15T08:01:00.000Z: "
            "agent from 203.0.113.7 refused with 503: its token does not cover it"
        )


@dialogue
async def test_a_refusal_from_before_the_agent_came_counts_no_more(lines: Lines):
    async with stage(links=0) as s:
        refuse(s, 1_799_999_940.0)
        s.gateway.last_seen.ended("c1", 1_800_000_000.0)
        assert summary(await foreseen(s, lines, URL)) == ("no_agent", 503, "away")


@dialogue
async def test_an_agent_whose_cluster_no_token_covers(lines: Lines):
    async with stage(links=0, grants={}) as s:
        refuse(s, 1_800_000_060.0)
        told = await foreseen(s, lines, URL)
        assert summary(told) == ("no_agent", 503, "unknown_cluster")
        assert "203.0.113.7" in told.verdict


@dialogue
async def test_a_link_that_takes_no_requests(lines: Lines):
    async with stage() as s:
        s.link.state, s.link.available = LinkState.JOINING, False
        told = await foreseen(s, lines, URL)
        assert summary(told) == ("no_agent", 503, "not_ready")
        assert f"{s.link.name} is joining" in told.verdict


@dialogue
async def test_an_agent_that_may_come_back():
    async with stage(links=0, reconnect_grace=3.0) as s:
        before = await explained(s, URL, probes=False)
        assert summary(before) == ("no_agent", 503, "returning")
        assert "waits up to 3.0 s" in before.verdict
        told = await explained(s, URL)
        assert summary(told) == ("no_agent", 503, "never_connected")
        assert told.probe is not None
        assert told.probe.detail == "no agent of cluster c1 connected: waited 3.0 s for one"


@dialogue
async def test_an_agent_that_comes_back():
    async with stage(links=0, reconnect_grace=3.0) as s:
        task = asyncio.get_running_loop().create_task(explained(s, URL))
        await asyncio.sleep(1.0)
        s.links.append(Link())
        s.gateway.registry.add(s.link)  # type: ignore[arg-type]
        s.gateway.registry.ready(s.link)  # type: ignore[arg-type]
        await settled(s, answer)
        told = await task
        assert summary(told) == ("ok", 200, "answered")
        assert told.probe is not None
        assert told.probe.hops[0].seconds == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/a;b", "cannot carry a path with a semicolon"),
        ("/a%2Fb", "cannot carry an encoded slash in a path"),
        ("/a?b;c", "cannot carry a query with a semicolon"),
    ],
)
@dialogue
async def test_what_the_dialect_cannot_carry(lines: Lines, target: str, text: str):
    async with stage() as s:
        s.link.dialect = "json"
        s.link.refuses = UnsayableError(f"the json dialect {text}")
        told = await foreseen(s, lines, f"http://{HOST}{target}")
        assert summary(told) == ("bad_request", 400, None)
        assert told.verdict == f"the json dialect {text}"
        assert told.link is not None


@dialogue
async def test_a_certificate_that_the_dialect_cannot_verify(lines: Lines):
    target = dataclasses.replace(TARGET, scheme="https")
    async with stage(routes=RouteTable([Route(HOST, b"/", target)])) as s:
        s.link.upstream = lambda _: s.link  # type: ignore[method-assign]
        s.link.dialect = "json"
        with pytest.raises(TlsFailedError) as error:
            check_target(target, "json")
        s.link.refuses = error.value
        assert summary(await foreseen(s, lines, URL)) == ("tls_failed", 502, None)


# --- limits


@dialogue
async def test_an_origin_that_is_refused(lines: Lines):
    async with stage() as s:
        told = await foreseen(s, lines, WS_URL, origin="https://evil.test")
        assert summary(told) == ("origin_refused", 403, None)
        task = asyncio.get_running_loop().create_task(explained(s, WS_URL, origin=f"https://{HOST}"))
        await settled(s, lambda exchange: exchange.fail(ServiceRefusedError("no")))
        assert (await task).code == "service_refused"


@pytest.mark.parametrize(
    ("limit", "code", "status"),
    [
        ("max_websockets", "too_many_websockets", 503),
        ("max_websockets_per_cluster", "too_many_websockets_of_cluster", 503),
        ("max_websockets_per_client", "too_many_websockets_of_client", 429),
    ],
)
@dialogue
async def test_too_many_websockets(lines: Lines, limit: str, code: str, status: int):
    async with stage(**{limit: 1}) as s:
        call = WebSocket(s.app, "/a").start()
        await quiet()
        FakeService(s.exchange).accept()
        await quiet()
        assert summary(await foreseen(s, lines, WS_URL)) == (code, status, None)
        call.leave()
        s.exchange.finish()
        await call.over()
        assert (await explained(s, WS_URL, probes=False)).code == "ok"


@dialogue
async def test_too_many_requests(lines: Lines):
    async with stage(max_requests_per_client=1) as s:
        call = Request(s.app, target="/a").start()
        await quiet()
        assert summary(await foreseen(s, lines, URL)) == ("too_many_requests_of_client", 429, None)
        s.exchange.whole(b"")
        await call.over()


@dialogue
async def test_a_process_that_holds_too_much(lines: Lines):
    async with stage(held_bytes_limit=100, held_bytes_hard_limit=1_000) as s:
        s.gateway.open()
        s.gateway.account.adjust(500)
        await asyncio.sleep(3.0)  # nobody is found who stalls
        told = await foreseen(s, lines, URL)
        assert summary(told) == ("busy", 503, "full")
        s.gateway.account.adjust(-500)


@dialogue
async def test_trace_is_not_carried():
    async with stage() as s:
        for probes in (False, True):
            told = await explained(s, URL, method="TRACE", probes=probes)
            assert summary(told) == ("not_implemented", 501, None)


# --- a node that stops


@dialogue
async def test_a_node_that_drains(lines: Lines):
    async with stage() as s:
        s.gateway.drain.draining = True
        told = await agreeing(s, lines, URL, answer)
        assert summary(told) == ("ok", 200, "draining")
        assert summary(await explained(s, URL, probes=False)) == ("ok", None, "draining")


@pytest.mark.parametrize("url", [URL, WS_URL])
@dialogue
async def test_a_node_that_stops(lines: Lines, url: str):
    async with stage() as s:
        s.gateway.drain.draining = s.gateway.drain.closing = True
        assert summary(await foreseen(s, lines, url)) == ("stopping", 503, None)


@dialogue
async def test_a_node_that_listens_no_more():
    async with stage() as s:

        async def listener() -> None: ...

        s.gateway.listeners.append(listener)
        s.gateway.drain.draining = s.gateway.drain.closing = True
        told = await explained(s, URL)
        assert summary(told) == ("stopping", 503, "closed")
        assert told.probe is None


# --- secrets, and bounds


@dialogue
async def test_values_of_header_fields_are_not_shown(lines: Lines):
    secret = HeaderChanges([(b"authorization", b"Bearer s3cret")], frozenset({b"cookie"}))
    routes = RouteTable([Route(HOST, b"/", TARGET, Policy(request_headers=secret, response_headers=secret))])
    async with stage(routes=routes) as s:
        told = await agreeing(s, lines, f"{URL}?token=s3cret", answer)
        assert "s3cret" not in repr(told)
        assert told.policy is not None
        for name in ("request_headers", "response_headers"):
            assert told.policy[name] == {"set": ["authorization"], "remove": ["cookie"]}
        assert told.policy["upgrade_timeout"] == 10.0
        assert set(told.policy) == {field.name for field in dataclasses.fields(Policy)} - {"rewrite"}


@dialogue
async def test_probes_are_bounded():
    async with stage() as s:
        tasks = [asyncio.get_running_loop().create_task(explained(s, URL)) for _ in range(MOST_PROBES)]
        await quiet()
        with pytest.raises(TooManyProbesError):
            await explained(s, URL)
        assert (await explained(s, URL, probes=False)).code == "ok"
        for exchange in list(s.link.exchanges):
            exchange.whole(b"")
        await asyncio.gather(*tasks)
