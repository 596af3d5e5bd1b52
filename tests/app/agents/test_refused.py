"""Refused agents, on every path: what the operator sees of each, and what the agent is told."""

import json
from typing import Any

import pytest

from app.observed.events import Event
from app.observed.metrics import AgentRefused
from app.settings import Grant, fingerprint, token_hash
from tests.app.agents.calls import REGISTER, SYNC, UNREGISTER, register_body, sync_body, told
from tests.app.agents.calls import stage as rest_stage
from tests.app.agents.dial import ENDPOINTS, Dial, stage, text
from tests.app.stage import Stage
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet

CONTROLLER = "/api/v1/clusters/agent/ws"


def refusal(stage: Stage) -> Event:
    """The only event of the node, which is also counted."""
    (event,) = stage.gateway.events.since()
    assert event.kind == "link_refused"
    counted = {reason: count for reason, count in stage.gateway.metrics.agents_refused.items() if count}
    assert counted == {AgentRefused(event.code or ""): 1}
    return event


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("token", "host", "code", "said"),
    [
        ("", "localhost", "no_token", "sent no token"),
        ("t0ken-of-nobody", "localhost", "unknown_token", "token is unknown"),
        ("gone", "localhost", "token_revoked", "was revoked"),
        ("good", "elsewhere.test", "wrong_host", "not a control host"),
    ],
)
@dialogue
async def test_a_handshake_that_is_refused(
    endpoint: str, token: str, host: str, code: str, said: str, caplog: pytest.LogCaptureFixture
):
    async with stage() as s:
        dial = await Dial(s, endpoint, token, host=host).over()
        event = refusal(s)
        assert (event.code, event.address) == (code, "203.0.113.9")
        assert event.token == (fingerprint(token_hash(token)) or None)
        assert said in event.message
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert line == event.message
        assert not token or token not in line
        if dial.refusal is not None and code != "wrong_host":
            assert said in json.loads(dial.refusal[2])["message"]


@dialogue
async def test_a_guesser_learns_only_that_the_token_is_unknown():
    """Whichever cluster it names: an answer that differs would tell which clusters there are."""
    async with stage() as s:
        answers = set()
        for cluster in ("c1", "c9", ""):
            dial = await Dial(s, f"/ws?cluster_uuid={cluster}", "t0ken-of-nobody").over()
            assert dial.refusal is not None
            answers.add(dial.refusal[2])
        assert len(answers) == 1
        assert [event.cluster for event in s.gateway.events.since()] == ["c1", "c9", None]


@pytest.mark.parametrize(
    ("token", "query", "cluster"), [("good", "cluster_uuid=c%32", "c2"), ("wide", "", None), ("gone", "", "c1")]
)
@dialogue
async def test_the_gateway_socket_names_the_cluster_that_is_claimed(token: str, query: str, cluster: str | None):
    async with stage() as s:
        dial = await Dial(s, f"/ws?{query}", token).over()
        assert dial.refusal is not None
        event = refusal(s)
        assert event.cluster == cluster
        assert event.code == ("token_revoked" if token == "gone" else "not_covered")


@pytest.mark.parametrize(
    ("endpoint", "message", "code", "cluster"),
    [
        ("/agent", text("register", {"cluster_id": "c9", "agent_id": "a1"}, "r1"), "not_covered", "c9"),
        (CONTROLLER, text("register", {"name": "prod", "agent_id": "a1"}, "r1"), "not_covered", "prod"),
        ("/agent", "not json", "bad_register", None),
        (CONTROLLER, "not json", "bad_register", None),
    ],
)
@dialogue
async def test_a_registration_that_is_refused(endpoint: str, message: str, code: str, cluster: str | None):
    async with stage() as s:
        dial = Dial(s, endpoint, "wide")
        dial.say(message)
        await dial.over()
        event = refusal(s)
        assert (event.code, event.cluster) == (code, cluster)
        assert event.agent == ("a1" if cluster else None)
        assert event.token == fingerprint(token_hash("wide"))


@dialogue
async def test_a_dialect_that_is_not_offered():
    async with stage(grants={token_hash("good"): Grant(("c1",), dialect="json")}) as s:
        dial = Dial(s, "/agent")
        dial.say(text("register", {"cluster_id": "c1", "agent_id": "a1", "features": {"supports_yamux": True}}, "r1"))
        await dial.over()
        event = refusal(s)
        assert (event.code, event.cluster, event.agent) == ("dialect", "c1", "a1")


@dialogue
async def test_who_never_registers():
    async with stage() as s:
        await Dial(s, "/agent").over()
        assert refusal(s).code == "bad_register"


@dialogue
async def test_one_link_too_many():
    async with stage(max_links_per_cluster=1) as s:
        first = Dial(s, "/ws?cluster_uuid=c1")
        await quiet()
        await Dial(s, "/ws?cluster_uuid=c1").over()
        assert [event.code for event in s.gateway.events.since() if event.kind == "link_refused"] == ["full"]
        first.leave()
        await first.over()


@dialogue
async def test_while_the_gateway_stops():
    async with stage() as s:
        s.gateway.drain.closing = True
        await Dial(s, "/agent").over()
        assert refusal(s).code == "stopping"
        s.gateway.drain.closing = False


@dialogue
async def test_a_wrong_path_is_told_where_a_token_comes_with_it():
    """A browser that tries a path brings none: it is no agent."""
    async with stage() as s:
        await Dial(s, "/agents").over()
        event = refusal(s)
        assert (event.code, event.cluster) == ("wrong_path", "c1")
        assert "/agents" in event.message
        await WebSocket(s.app, "/agents", host="localhost").start().over()
        await Dial(s, "/agents", host="elsewhere.test").over()
        assert refusal(s) is event


@dialogue
async def test_an_agent_that_left_was_not_refused():
    async with stage() as s:
        dial = Dial(s, "/agent")
        await quiet()
        dial.leave(1006)
        await dial.over()
        assert s.gateway.events.since() == []


# --- REST calls


@pytest.mark.parametrize("path", [REGISTER, SYNC, UNREGISTER])
@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 503, "no_token"), ("guess", 503, "unknown_token"), ("gone", 401, "token_revoked")],
)
@dialogue
async def test_a_call_without_a_good_token(path: str, token: str | None, status: int, code: str):
    async with rest_stage() as s:
        got, _ = await told(s, path, token=token)
        event = refusal(s)
        assert (got, event.code, event.address) == (status, code, "203.0.113.9")
        assert path in event.message


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (SYNC, sync_body("x.b.test", cluster="b"), "not_covered"),
        (UNREGISTER, {"hostname": "x.b.test"}, "not_covered"),
        (SYNC, b"not json", "bad_call"),
        (REGISTER, {"hostname": 7}, "bad_call"),
        (SYNC, b" " * (4 * 1024 * 1024 + 1), "bad_call"),
    ],
)
@dialogue
async def test_a_call_that_is_refused(path: str, body: Any, code: str):
    async with rest_stage() as s:
        await told(s, path, body)
        assert refusal(s).code == code


@dialogue
async def test_a_route_that_is_refused_is_an_event_of_its_own():
    async with rest_stage() as s:
        await told(s, REGISTER, register_body("x.b.test"))
        (event,) = s.gateway.events.since()
        assert (event.kind, event.code, event.cluster) == ("route_refused", "route_not_allowed", "a")


@dialogue
async def test_what_this_gateway_does_not_have_refuses_nobody():
    async with rest_stage() as s:
        assert (await told(s, "/api/v1/public/ip-intel/192.0.2.1", method="GET"))[0] == 404
        assert s.gateway.events.since() == []
