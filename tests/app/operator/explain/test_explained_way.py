"""What an explanation says of the way to a service: what the access log says of a real request."""

import asyncio
import dataclasses

import pytest

from app.operator.explain.explaining import PROBE_SECONDS
from app.rules.routes import Route, RouteTable
from tests.app.operator.explain.asking import (
    URL,
    WS_URL,
    agreeing,
    answer,
    explained,
    settled,
    stage,
    summary,
)
from tests.app.public.limits import Lines
from tests.app.stage import HOST
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tunnel.errors import (
    LinkLostError,
    NoSuchServiceError,
    ServiceNotAllowedError,
    ServiceRefusedError,
    ServiceSlowError,
    TlsFailedError,
    TunnelError,
)
from tunnel.gateway.link import LinkState


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return Lines(caplog)


@dialogue
async def test_a_url_that_works(lines: Lines):
    async with stage() as s:
        told = await agreeing(s, lines, URL, answer)
        assert summary(told) == ("ok", 200, "answered")
        assert (told.verdict, told.hint) == ("the service answered 200", None)
        assert told.route is not None
        assert (told.route.host, told.route.path, told.route.target) == (HOST, "/", "c1/apps/web:80")
        assert told.cluster is not None
        assert (told.cluster.cluster, told.cluster.connected) == ("c1", True)
        assert told.link is not None
        assert (told.link.link, told.link.agent, told.link.dialect) == (s.link.name, "a1", "yamux")
        assert told.probe is not None
        assert [(hop.hop, hop.text) for hop in told.probe.hops] == [
            ("choose", f"until {s.link.name} of agent a1 (yamux) was chosen"),
            ("link", f"the round trip of a ping on {s.link.name}"),
            ("service", "from the request's head to the head of the answer of c1/apps/web:80"),
            ("answer", "the whole: 200, 5 bytes"),
        ]
        assert told.probe.hops[1].seconds == 0.012


@dialogue
async def test_without_a_probe_nothing_is_sent(lines: Lines):
    async with stage() as s:
        told = await explained(s, URL, probes=False)
        assert summary(told) == ("ok", None, "not_sent")
        assert told.link is not None
        assert told.probe is None
        assert s.link.exchanges == []
        assert lines.ended == []


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (ServiceRefusedError("connection refused"), "service_refused", 502),
        (ServiceNotAllowedError("no --allow pattern names it"), "not_allowed", 502),
        (NoSuchServiceError("no such host"), "no_such_service", 502),
        (ServiceSlowError("no connection within 10 s"), "service_slow", 504),
        (TlsFailedError("certificate verify failed"), "tls_failed", 502),
    ],
)
@pytest.mark.parametrize("url", [URL, WS_URL])
@dialogue
async def test_a_service_that_cannot_be_reached(lines: Lines, url: str, error: TunnelError, code: str, status: int):
    async with stage() as s:
        told = await agreeing(s, lines, url, lambda exchange: exchange.fail(error))
        assert summary(told) == (code, status, None)
        assert told.verdict.endswith(": c1/apps/web:80")
        assert told.hint
        assert told.probe is not None
        assert told.probe.sent is True
        assert told.probe.hops[2].text == "no answer of c1/apps/web:80"


@dialogue
async def test_a_tls_service_is_named_as_such(lines: Lines):
    target = dataclasses.replace(TARGET, scheme="https")
    async with stage(routes=RouteTable([Route(HOST, b"/", target)])) as s:
        s.link.upstream = lambda _: s.link  # type: ignore[method-assign]
        told = await agreeing(s, lines, URL, answer)
        assert told.probe is not None
        assert told.probe.hops[2].text.endswith("of c1/apps/web:80, over TLS")


@dialogue
async def test_a_service_that_is_slow(lines: Lines):
    async with stage(response_head_timeout=2.0) as s:
        assert summary(await agreeing(s, lines, URL)) == ("service_too_slow", 504, None)


@dialogue
async def test_a_service_that_is_slower_than_a_probe_waits(lines: Lines):
    async with stage(response_head_timeout=60.0) as s:
        told = await explained(s, URL)
        assert summary(told) == ("client_left", None, "no_answer")
        assert told.probe is not None
        assert told.probe.detail == lines.last["detail"] == f"the probe waited no longer than {PROBE_SECONDS:g} s"
        assert lines.last["outcome"] == told.code


@dialogue
async def test_an_answer_that_goes_on_is_an_answer(lines: Lines):
    async with stage() as s:
        task = asyncio.get_running_loop().create_task(explained(s, URL))
        await quiet()
        s.exchange.answer(200)
        assert summary(await task) == ("ok", 200, "answered")
        assert lines.last["outcome"] == "client_left"


@dialogue
async def test_a_link_that_is_lost_meanwhile():
    async with stage() as s:
        task = asyncio.get_running_loop().create_task(explained(s, URL, method="POST", probes=True))
        await quiet()
        s.gateway.registry.remove(s.link)  # type: ignore[arg-type]
        s.exchange.fail(LinkLostError("link-1 ended"))
        told = await task
        assert told.code == "agent_lost"
        assert told.link is None
        assert told.probe is not None
        assert told.probe.hops[1].text == f"{s.link.name} is gone"


@dialogue
async def test_a_link_that_does_not_answer_pings():
    async with stage() as s:
        s.link.probe = lambda: None  # type: ignore[attr-defined]
        task = asyncio.get_running_loop().create_task(explained(s, URL))
        await settled(s, answer)
        told = await task
        assert told.probe is not None
        assert told.probe.hops[1].seconds is None
        assert told.probe.hops[1].text == f"no answer to a ping on {s.link.name} within 2 s"
        assert repr(s.link.round_trips) == "<RoundTrips latest None, 0 waiting>"  # type: ignore[attr-defined]


@dialogue
async def test_a_link_that_is_lost_while_it_is_measured():
    async with stage() as s:
        s.link.probe = lambda: setattr(s.link, "state", LinkState.CLOSED)  # type: ignore[attr-defined]
        task = asyncio.get_running_loop().create_task(explained(s, URL))
        await settled(s, answer)
        told = await task
        assert told.probe is not None
        assert told.probe.hops[1].seconds is None
        assert told.probe.hops[1].text == f"{s.link.name} is gone"


@dialogue
async def test_an_operator_who_leaves_waits_for_no_ping():
    async with stage() as s:
        s.link.probe = lambda: None  # type: ignore[attr-defined]
        task = asyncio.get_running_loop().create_task(explained(s, URL))
        await settled(s, answer)
        await quiet()
        assert repr(s.link.round_trips).endswith("1 waiting>")  # type: ignore[attr-defined]
        task.cancel()
        await asyncio.wait((task,))
        assert repr(s.link.round_trips).endswith("0 waiting>")  # type: ignore[attr-defined]


@dialogue
async def test_a_refusal_of_a_websocket_that_does_not_end(lines: Lines):
    async with stage(upgrade_timeout=60.0) as s:
        task = asyncio.get_running_loop().create_task(explained(s, WS_URL))
        await quiet()
        s.exchange.answer(403)
        told = await task
        assert summary(told) == ("client_left", None, "no_answer")
        assert "None" not in told.verdict
        assert lines.last["outcome"] == told.code
