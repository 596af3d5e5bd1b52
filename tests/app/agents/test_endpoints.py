"""The agents' endpoints: who is let in, who is turned away with what, and what an agent is told."""

import json
from typing import Any

import pytest

from app.agents import endpoints
from app.asgi.reading import read_scope
from app.node.gateway import Gateway
from app.rules import problems
from app.rules.request import Request
from app.rules.routes import Route, RouteTable
from app.settings import Grant, Settings, fingerprint, token_hash
from tests.app.agents.dial import ENDPOINTS, GRANTS, Dial, bearer, stage, text
from tests.fakes.asgi import Pairs, WebSocket, scope_of
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tunnel.gateway.link import LinkState

CONTROLLER = endpoints.CONTROLLER.decode()


def handshake(**scope: Any) -> Request:
    return read_scope(scope_of("websocket", **scope), None)


@pytest.mark.parametrize(
    ("clusters", "claims", "cluster"),
    [
        (("c1",), (), "c1"),
        (("c1",), ("",), "c1"),
        (("c1",), ("c1",), "c1"),
        (("c1",), ("c9",), "c1"),
        (("c1", "c2"), ("c2",), "c2"),
        (("c1", "c2"), ("", "c2"), "c2"),
        (("c1", "c2"), ("c9", "c1"), "c1"),
        (("c1", "c2"), ("c1", "c2"), "c1"),
        (("c1", "c2"), (), None),
        (("c1", "c2"), ("", ""), None),
        (("c1", "c2"), ("c9",), None),
    ],
)
def test_cluster_of(clusters: tuple[str, ...], claims: tuple[str, ...], cluster: str | None):
    assert endpoints.cluster_of(Grant(clusters), *claims) == cluster


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (bearer("good"), None),
        ([(b"authorization", b"bearer good")], None),
        ([(b"authorization", b"BEARER   good ")], None),
        (bearer("unknown"), 503),
        (bearer(""), 503),
        (bearer("good extra"), 503),
        ([(b"authorization", b"good")], 503),
        ([(b"authorization", b"Basic good")], 503),
        ([(b"authorization", b"Bearer \xff\xfe")], 503),
        ([], 503),
        (bearer("gone"), 401),
    ],
)
def test_authorise(headers: Pairs, status: int | None):
    found = endpoints.authorise(Gateway(Settings(grants=GRANTS)), handshake(headers=headers))
    if status is None:
        assert found == Grant(("c1",))
    else:
        assert isinstance(found, problems.Problem)
        assert found.status == status


def test_a_token_may_have_letters_of_any_alphabet():
    gateway = Gateway(Settings(grants={token_hash("schlüssel"): Grant(("c1",))}))
    assert endpoints.authorise(gateway, handshake(headers=bearer("schlüssel"))) == Grant(("c1",))


def test_nobody_is_let_in_once_the_gateway_closes():
    gateway = Gateway(Settings(grants=GRANTS))
    gateway.drain.draining = True  # it still serves, agents too
    assert endpoints.authorise(gateway, handshake(headers=bearer("good"))) == Grant(("c1",))
    gateway.drain.closing = True
    for token in ("good", "gone", "unknown"):
        assert endpoints.authorise(gateway, handshake(headers=bearer(token))) is problems.STOPPING


@pytest.mark.parametrize(
    ("public_url", "scope", "url"),
    [
        (None, {"host": "gw.test:8080"}, "ws://gw.test:8080/ws"),
        (None, {"host": "gw.test", "scheme": "wss"}, "wss://gw.test/ws"),
        (None, {"host": "gw.test", "root_path": "/base"}, "ws://gw.test/base/ws"),
        (None, {"host": None}, "ws://localhost/ws"),
        ("https://gw.example.test", {"host": "other"}, "wss://gw.example.test/ws"),
        ("http://gw.example.test:8080", {"scheme": "wss"}, "ws://gw.example.test:8080/ws"),
        ("https://http.example.test/base", {"root_path": "/inner"}, "wss://http.example.test/base/ws"),
        ("HTTPS://gw.example.test", {}, "wss://gw.example.test/ws"),
    ],
)
def test_gateway_url(public_url: str | None, scope: dict[str, Any], url: str):
    gateway = Gateway(Settings(public_url=public_url))
    assert endpoints._gateway_url(gateway, handshake(**scope)) == url


# --- handshakes


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("token", "status"), [("t0ken-of-nobody", 503), ("gone", 401)])
@dialogue
async def test_turned_away_before_the_upgrade(endpoint: str, token: str, status: int):
    async with stage() as s:
        dial = await Dial(s, endpoint, token).over()
        if endpoint == CONTROLLER and status == 503:
            assert dial.closed == (1013, "agent_refused")
            return
        assert dial.refusal is not None
        assert dial.refusal[0] == status
        assert json.loads(dial.refusal[2])["status"] == status
        assert token.encode() not in dial.refusal[2]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@dialogue
async def test_turned_away_by_a_server_that_cannot_say_503(endpoint: str):
    """Its refusal would be a 403, at which the existing agent stays away until its pod restarts."""
    async with stage() as s:
        dial = await Dial(s, endpoint, "unknown", extensions={}).over()
        assert dial.accepted is not None
        assert dial.closed is not None


@dialogue
async def test_whoever_is_refused_on_the_controller_socket_is_closed_with_1013():
    """Any answer but 101 strands the existing agent there; it exits after a close, and Kubernetes starts it again."""
    async with stage() as s:
        closed = [(await Dial(s, CONTROLLER, "unknown").over()).closed]
        closed.append((await Dial(s, CONTROLLER, host="elsewhere.test").over()).closed)
        s.gateway.drain.closing = True
        closed.append((await Dial(s, CONTROLLER).over()).closed)
        assert closed == [(1013, "agent_refused"), (1013, "not_a_control_host"), (1013, "stopping")]
        assert repr(s.gateway.seats) == "<Seats 0 of clusters, 0 of tokens>"
        s.gateway.drain.closing = False


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@dialogue
async def test_wrong_host_is_503(endpoint: str):
    async with stage() as s:
        for host in ("elsewhere.test", "", "192.0.2.99", "localhost.evil.test"):
            dial = await Dial(s, endpoint, host=host).over()
            if endpoint == CONTROLLER:
                assert dial.closed == (1013, "not_a_control_host"), host
                continue
            assert dial.refusal is not None, host
            assert dial.refusal[0] == 503
            assert dial.refusal[1][b"retry-after"] == b"5"


@pytest.mark.parametrize("host", ["localhost", "LocalHost.:8080", "192.0.2.1", "192.0.2.1:8080"])
@dialogue
async def test_control_hosts_are_served(host: str):
    async with stage() as s:
        dial = Dial(s, "/ws?cluster_uuid=c1&supports_yamux=true", host=host)
        await quiet()
        assert dial.accepted is not None
        dial.leave()
        await dial.over()


@pytest.mark.parametrize("path", ["/agent/", "/agents", "/ws/", "/api/v1/clusters/agent", "/", "/WS", "/%77s"])
@dialogue
async def test_a_wrong_path_is_never_accepted_nor_401_or_403(path: str):
    async with stage() as s:
        dial = await Dial(s, path).over()
        assert dial.accepted is None
        assert dial.refusal is not None
        assert dial.refusal[0] in (404, 503)


@dialogue
async def test_a_wildcard_route_never_takes_a_control_host():
    """`public_url` under the wildcard of the applications is the usual set-up."""
    routes = RouteTable([Route("*.example.test", b"/", TARGET)])
    async with stage(routes=routes, control_hosts=frozenset({"gw.example.test"})) as s:
        dial = Dial(s, "/ws?cluster_uuid=c1&supports_yamux=true", host="gw.example.test")
        await quiet()
        assert dial.accepted is not None
        dial.leave()
        await dial.over()


# --- /ws


@pytest.mark.parametrize(
    ("token", "query", "cluster"),
    [
        ("good", "cluster_uuid=c1", "c1"),
        ("good", "", "c1"),
        ("wide", "cluster_uuid=c2&shard=3", "c2"),
        ("good", "cluster_uuid=c2", None),
        ("wide", "", None),
        ("wide", "cluster_uuid=c3", None),
    ],
)
@dialogue
async def test_gateway_socket(token: str, query: str, cluster: str | None):
    async with stage() as s:
        dial = Dial(s, f"/ws?agent_version=1.2&supports_yamux=true&{query}", token)
        await quiet()
        if cluster is None:
            assert dial.refusal is not None
            assert dial.refusal[0] == 503
        else:
            (link,) = s.gateway.registry.links()
            assert (link.cluster, link.agent_id, link.agent_version) == (cluster, None, "1.2")
            assert dial.kinds == ["gateway_hello"]
            dial.leave()
        await dial.over()
        assert s.gateway.registry.links() == ()


@dialogue
async def test_an_agent_that_leaves_before_the_handshake():
    async with stage() as s:
        for endpoint in ENDPOINTS:
            dial = WebSocket(s.app, endpoint, host="localhost", headers=bearer("good"))
            await dial.receive()
            dial.leave(1006)
            await dial.start().over()
            assert dial.accepted is None
        assert s.gateway.registry.links() == ()


# --- /agent


@dialogue
async def test_our_agent_registers_and_stays():
    async with stage() as s:
        dial = Dial(s, "/agent")
        dial.say(text("heartbeat", {}))
        features = {"supports_yamux": True}
        register = {"agent_id": "a1", "cluster_id": "c1", "agent_version": "0.1", "features": features}
        dial.say(text("register", register, "r7"))
        await quiet()
        assert dial.kinds == ["register_success", "gateway_hello"]
        assert dial.told[0]["request_id"] == "r7"
        assert dial.told[0]["payload"]["cluster_id"] == dial.told[0]["payload"]["cluster_uuid"] == "c1"
        (link,) = s.gateway.registry.links("c1")
        assert (link.agent_id, link.state) == ("a1", LinkState.JOINING)
        dial.say(text("gateway_hello_ack", {"use_yamux": True}))
        await quiet()
        assert link.state is LinkState.READY
        dial.leave(1001, "bye")
        await dial.over()
        assert link.state is LinkState.CLOSED
        ready, gone = s.gateway.events.since()
        assert (ready.kind, gone.kind) == ("link_ready", "link_gone")
        for event in (ready, gone):
            assert (event.cluster, event.agent, event.link) == ("c1", "a1", link.name)
            assert (event.address, event.token) == ("203.0.113.9", fingerprint(token_hash("good")))
        assert gone.message == "agent a1 of cluster c1 is gone: closed with 1001 bye"
        assert dial.closed is None


@pytest.mark.parametrize(
    ("token", "payload"),
    [
        ("good", {"cluster_id": "c2"}),
        ("wide", {"agent_id": "a1"}),
        ("wide", {"cluster_id": "c9", "name": "c1"}),
    ],
)
@dialogue
async def test_our_agent_names_a_cluster_that_is_not_its_own(token: str, payload: dict[str, str]):
    async with stage() as s:
        dial = Dial(s, "/agent", token)
        dial.say(text("register", payload, "r1"))
        await dial.over()
        assert dial.kinds == ["error"]
        assert dial.closed is not None
        assert dial.closed[0] == 1008
        assert s.gateway.registry.links() == ()


@pytest.mark.parametrize("message", ["not json", '{"payload": {}}', '{"type": "register", "payload": []}'])
@dialogue
async def test_our_agent_says_nonsense(message: str):
    async with stage() as s:
        dial = Dial(s, "/agent")
        dial.say(message)
        await dial.over()
        assert dial.closed == (1008, "registration failed")


@dialogue
async def test_our_agent_never_registers():
    async with stage() as s:
        dial = await Dial(s, "/agent").over()
        assert dial.closed == (1008, "registration failed")


# --- the controller socket


@dialogue
async def test_the_controller_socket_names_the_gateway():
    async with stage(public_url="https://gw.example.test") as s:
        dial = Dial(s, "/api/v1/clusters/agent/ws")
        dial.say(text("register", {"agent_id": "a1", "name": "prod", "features": {"x": True}}, "req_1"))
        await quiet()
        (success,) = dial.told
        assert (success["type"], success["request_id"]) == ("register_success", "req_1")
        assert success["payload"] == {
            "cluster_id": "c1", "cluster_uuid": "c1", "name": "prod", "gateway_ws_url": "wss://gw.example.test/ws",
            "message_limit_bytes": s.gateway.settings.server_message_bytes,
        } | {key: success["payload"][key] for key in ("status",) if key in success["payload"]}  # fmt: skip
        assert s.gateway.registry.links() == ()
        dial.leave(1000)
        await dial.over()


@dialogue
async def test_the_controller_socket_of_an_agent_that_fits_no_cluster():
    async with stage() as s:
        dial = Dial(s, "/api/v1/clusters/agent/ws", "wide")
        dial.say(text("register", {"agent_id": "a1", "name": "prod"}, "req_1"))
        await dial.over()
        assert dial.closed is not None
        assert dial.closed[0] == 1008
        for words in ("not registered", "cluster not found"):  # they would make it forget its id
            assert words not in dial.closed[1].lower()


@dialogue
async def test_the_controller_socket_is_left_unused():
    async with stage() as s:
        dial = Dial(s, "/api/v1/clusters/agent/ws")
        await quiet()
        dial.leave(1000)
        await dial.over()
        assert dial.heard == []
        dial = await Dial(s, "/api/v1/clusters/agent/ws").over()  # or for ever: it is closed in time
        assert dial.closed == (1000, "")


# --- the socket and its link


@dialogue
async def test_a_link_that_closes_takes_its_socket_along():
    async with stage() as s:
        dial = Dial(s, "/ws?supports_yamux=true")
        await quiet()
        (link,) = s.gateway.registry.links()
        link.close(1012, "replaced")
        await dial.over()
        assert dial.closed == (1012, "replaced")


@dialogue
async def test_a_silent_agent_is_dropped_while_its_socket_takes_nothing():
    """A peer that reads nothing blocks our writer: that is when the keep-alive ends the link."""
    async with stage() as s:
        dial = Dial(s, "/ws?supports_yamux=true")
        await quiet()
        dial.hold()
        dial.say(text("gateway_hello_ack", {"use_yamux": True}))
        await quiet()
        (link,) = s.gateway.registry.links()
        link.close(1001, "nothing received")
        await dial.over()
        assert s.gateway.registry.links() == ()


@dialogue
async def test_a_socket_that_cannot_be_written_ends_the_link():
    async with stage() as s:
        dial = Dial(s, "/ws?supports_yamux=true")
        await quiet()
        (link,) = s.gateway.registry.links()
        dial.sends_fail = True
        dial.say(text("ping", {}))
        await dial.over()
        assert link.state is LinkState.CLOSED
