"""Which dialect an agent is spoken with: its token's word, then what it says it can, at each of the endpoints."""

import json
from typing import Any

import pytest

from app.agents.dialects import dialect_of
from app.settings import Grant, token_hash
from tests.app.agents.dial import Dial, stage, text
from tests.fakes.loop import dialogue, quiet
from tunnel.gateway.link import LinkState

REGISTER: dict[str, Any] = {"agent_id": "a1", "name": "c1"}
CHUNKS = {"supports_stream_chunks": True}
CONTROLLER = "/api/v1/clusters/agent/ws"


@pytest.mark.parametrize(
    ("said", "features", "dialect"),
    [
        ("auto", {}, "json"),
        ("auto", {"supports_yamux": True}, "yamux"),
        ("auto", {"supports_yamux": False}, "json"),
        ("auto", {"supports_yamux": True, **CHUNKS}, "yamux"),
        ("auto", CHUNKS, "chunk"),
        ("auto", {"supports_stream_chunks": False}, "json"),
        ("auto", {"supports_streaming": True, "supports_websocket": True}, "json"),
        ("yamux", {}, "yamux"),
        ("json", {"supports_yamux": True, **CHUNKS}, "json"),
        ("chunk", {"supports_yamux": True}, "chunk"),
    ],
)
def test_dialect_of(said: str, features: dict[str, bool], dialect: str):
    assert dialect_of(Grant(("c1",), dialect=said), features) == dialect


@dialogue
async def test_an_agent_without_yamux_is_spoken_with_in_json():
    async with stage() as s:
        dial = Dial(s, "/ws?cluster_uuid=c1")
        dial.say(text("heartbeat", {"agent_id": "a1"}))
        await quiet()
        assert dial.kinds == ["ping", "heartbeat_ack"]
        (link,) = s.gateway.registry.links()
        assert (link.agent_id, link.dialect) == ("a1", "json")
        assert link.available
        dial.leave()
        await dial.over()


@dialogue
async def test_an_agent_that_declines_yamux_is_spoken_with_in_json():
    async with stage() as s:
        dial = Dial(s, "/ws?cluster_uuid=c1&supports_yamux=true")
        await quiet()
        (link,) = s.gateway.registry.links()
        assert (link.state, link.dialect, link.available) == (LinkState.JOINING, "", False)
        dial.say(text("gateway_hello_ack", {"use_yamux": False}))
        await quiet()
        assert (link.state, link.dialect, link.available) == (LinkState.READY, "json", True)
        dial.leave()
        await dial.over()


@pytest.mark.parametrize("window_bytes", [262_144, 4_000_000])
@dialogue
async def test_the_agent_is_asked_for_windows_as_large_as_ours(window_bytes: int):
    async with stage(max_window_bytes=window_bytes) as s:
        dial = Dial(s, "/ws?cluster_uuid=c1&supports_yamux=true")
        await quiet()
        assert dial.told[0]["payload"]["yamux_config"]["max_stream_window_size"] == window_bytes
        dial.leave()
        await dial.over()


@pytest.mark.parametrize(
    ("features", "dialect"), [({"supports_yamux": True}, ""), (CHUNKS, "chunk"), ({}, "json")], ids=str
)
@dialogue
async def test_at_our_own_endpoint_the_features_decide(features: dict[str, bool], dialect: str):
    async with stage() as s:
        dial = Dial(s, "/agent")
        dial.say(text("register", {**REGISTER, "features": features}, "r"))
        await quiet()
        (link,) = s.gateway.registry.links("c1")
        assert link.dialect == dialect  # with yamux it is settled by the agent's answer
        assert dial.kinds == ["register_success", "ping" if dialect else "gateway_hello"]
        dial.leave()
        await dial.over()


@pytest.mark.parametrize(
    ("dialect", "features"), [("json", {"supports_yamux": True}), ("chunk", {"supports_yamux": True}), ("json", CHUNKS)]
)
@dialogue
async def test_an_agent_of_another_dialect_is_not_left_waiting(dialect: str, features: dict[str, bool]):
    async with stage(grants={token_hash("good"): Grant(("c1",), dialect=dialect)}) as s:
        dial = Dial(s, "/agent")
        dial.say(text("register", {**REGISTER, "features": features}, "r"))
        await dial.over()
        assert dial.kinds == ["error"]
        assert f"speaks {dialect} with" in dial.told[0]["payload"]["error"]
        assert dial.closed is not None
        assert dial.closed[0] == 1008
        assert s.gateway.registry.links() == ()


@pytest.mark.parametrize("way", ["features", "token"])
@dialogue
async def test_an_agent_of_the_requirement_stays_on_the_controller_socket(way: str):
    grants = {token_hash("good"): Grant(("c1",), dialect="chunk" if way == "token" else "auto")}
    async with stage(grants=grants, public_url="https://gw.example.test") as s:
        dial = Dial(s, CONTROLLER)
        dial.say(text("register", {**REGISTER, "features": CHUNKS if way == "features" else {}}, "r"))
        await quiet()
        assert dial.kinds == ["register_success", "ping"]
        assert "gateway_ws_url" not in dial.told[0]["payload"]
        (link,) = s.gateway.registry.links("c1")
        assert (link.agent_id, link.dialect, link.available) == ("a1", "chunk", True)
        dial.leave()
        await dial.over()
        assert link.state is LinkState.CLOSED


@dialogue
async def test_an_agent_that_stays_on_the_controller_socket_is_served_there():
    async with stage(public_url="https://gw.example.test") as s:
        dial = Dial(s, CONTROLLER)
        dial.say(text("heartbeat", {"agent_id": "a1"}))  # not registered: it may be one that resumes
        dial.say(text("register", REGISTER, "r"))
        await quiet()
        assert s.gateway.registry.links() == ()
        dial.say(text("heartbeat", {"agent_id": "a1", "cluster_id": "c1"}))
        await quiet()
        assert dial.kinds == ["register_success", "heartbeat_ack", "ping"]
        (link,) = s.gateway.registry.links("c1")
        assert (link.agent_id, link.dialect, link.available) == ("a1", "json", True)
        dial.leave()
        await dial.over()


@dialogue
async def test_an_agent_that_goes_away_gets_no_new_exchange():
    async with stage() as s:
        dial = Dial(s, "/ws?cluster_uuid=c1")
        await quiet()
        (link,) = s.gateway.registry.links()
        assert link.available
        dial.say(json.dumps({"type": "going_away", "payload": {}}))
        await quiet()
        assert (link.available, link.state) == (False, LinkState.READY)
        dial.leave()
        await dial.over()
