"""The REST calls' borders: what a token opens, and to whom; bodies and methods that are none; TCP tunnels."""

import asyncio
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.rest import BODY_BYTES, BODY_SECONDS, SYNC_BODY_BYTES
from app.settings import Grant, Settings, token_hash
from tests.app.agents.calls import (
    GRANTS,
    REGISTER,
    SYNC,
    TUNNELS,
    UNREGISTER,
    asked,
    known,
    register_body,
    stage,
    sync_body,
    told,
)
from tests.fakes.examples import examples
from tests.fakes.loop import dialogue, quiet

# --- who may do what

CROSSING = [
    # token, call, body
    ("of-b", REGISTER, register_body("x.a.test", "b")),  # outside its patterns
    ("of-b", REGISTER, register_body("x.a.test", "a")),  # another's cluster
    ("of-b", REGISTER, register_body("x.both.test", "a")),
    ("of-b", REGISTER, register_body("x.both.test", "b")),  # a host that another cluster holds
    ("of-b", REGISTER, register_body("x.both.test", "b", path="/deep")),
    ("of-b", REGISTER, register_body("x.both.test.", None)),
    ("of-b", REGISTER, register_body("x.both.test", "b", routing_mode="direct")),
    ("of-b", UNREGISTER, {"hostname": "x.both.test"}),
    ("of-b", UNREGISTER, {"hostname": "x.a.test"}),
    ("of-b", SYNC, sync_body("x.both.test", cluster="b")),
    ("of-b", SYNC, sync_body("x.both.test", cluster="a")),
    ("of-b", SYNC, sync_body(cluster="a")),
    ("of-b", SYNC, sync_body(cluster="b")),
    ("none", SYNC, sync_body("x.a.test", cluster="a")),
    ("none", SYNC, sync_body(cluster="a")),
    ("none", UNREGISTER, {"hostname": "x.a.test"}),
    ("none", REGISTER, register_body("x.a.test", service_name="other")),
    ("of-a", REGISTER, register_body("gw.test")),  # a control host, though the patterns have it
    ("of-a", REGISTER, register_body("GW.test.:443")),
    ("of-a", UNREGISTER, {"hostname": "gw.test"}),
    ("of-a", REGISTER, register_body("192.0.2.1")),  # an IP literal, though the patterns have it
    ("of-a", REGISTER, register_body("[2001:db8::1]")),
    ("of-a", REGISTER, register_body("x.b.test")),
    ("of-a", REGISTER, register_body("*.test")),
    ("of-a", REGISTER, register_body("x.a.test", namespace="default", service_name="kubernetes")),
    ("wide", REGISTER, register_body("y.a.test", None)),  # of two clusters, and names none
    ("wide", REGISTER, register_body("y.a.test", "c")),
    ("gone", REGISTER, register_body("y.a.test")),
    ("gone", UNREGISTER, {"hostname": "x.a.test"}),
    ("unknown", SYNC, sync_body()),
    (None, UNREGISTER, {"hostname": "x.a.test"}),
]


@pytest.mark.parametrize(("token", "call", "body"), CROSSING)
@dialogue
async def test_nothing_crosses_the_borders_of_a_token(token: str | None, call: str, body: dict[str, object]):
    async with stage() as s:
        for host in ("x.a.test", "x.both.test"):
            await told(s, REGISTER, register_body(host))
        before = list(s.gateway.learned)
        status, answer = await told(s, call, body, token=token)
        assert list(s.gateway.learned) == before
        if call == SYNC and status == 200:
            assert answer["accepted"] == 0
        elif call == REGISTER and status == 200:
            assert not answer["stored"]
            assert answer["code"] in ("route_not_allowed", "host_taken", "invalid_route")
        else:
            assert status in (401, 403, 409, 422, 503)
            assert answer["status"] == status
            assert token not in ("unknown", None) or status == 503
            assert (status == 401) == (token == "gone")


@dialogue
async def test_a_token_of_several_clusters_serves_each():
    async with stage() as s:
        for cluster in ("a", "b"):
            assert (await told(s, REGISTER, register_body(f"x.{cluster}.test", cluster), token="wide"))[0] == 200
        assert (await told(s, UNREGISTER, {"hostname": "x.b.test"}, token="wide"))[1]["removed"] == 1
        assert known(s) == ["x.a.test/ -> a/ingress/traefik:80"]


@dialogue
async def test_what_changes_while_a_body_comes_counts():
    async with stage() as s:
        request = asked(s, REGISTER)
        await quiet()
        s.gateway.apply(Settings(grants={**GRANTS, token_hash("of-a"): Grant(("a",), revoked=True)}))
        request.body(json.dumps(register_body()).encode())
        await request.over()
        assert request.status == 401
        assert known(s) == []


@dialogue
async def test_no_token_reaches_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with stage() as s:
        for token in ("of-a", "gone", "unknown-secret"):
            await told(s, REGISTER, register_body(), token=token)
            await told(s, REGISTER, register_body("x.b.test"), token=token)
    assert "learned from the agent at 203.0.113.9 of cluster a" in caplog.text
    assert not any(secret in caplog.text for secret in ("of-a", "unknown-secret"))


# --- bodies


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (REGISTER, b""), (REGISTER, b"{"), (REGISTER, b"[]"), (REGISTER, b"{}"), (REGISTER, b'{"hostname":"\xff"}'),
        (REGISTER, b'{"hostname":"x.a.test","service_port":{}}'),
        (REGISTER, b'{"hostname":"\\ud800"}'), (SYNC, b"x"), (SYNC, b'{"ingresses":{}}'),
        (UNREGISTER, b"{}"), (f"{TUNNELS}/sync", b"1"),
    ],
)  # fmt: skip
@dialogue
async def test_what_is_not_understood_is_a_400(call: str, body: bytes):
    async with stage() as s:
        status, answer = await told(s, call, body)
        assert (status, answer["code"]) == (400, "bad_body")


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["x.a.test", "a", "*.a.test", "/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_KEYS = (
    "hostname", "cluster_uuid", "namespace", "service_name", "service_port", "path", "routing_mode", "ingresses",
    "ingress_controller", "rules", "host", "paths",
)  # fmt: skip
_KNOWN = st.recursive(
    _JSON, lambda inner: st.dictionaries(st.sampled_from(_KEYS), inner | st.lists(inner, max_size=3)), max_leaves=20
)


@examples(200)
@given(st.sampled_from([REGISTER, SYNC, UNREGISTER, f"{TUNNELS}/sync"]), _KNOWN | st.binary(max_size=50))
def test_whatever_comes_is_answered(call: str, body: object):
    @dialogue
    async def one() -> None:
        async with stage() as s:
            status, answer = await told(s, call, body if isinstance(body, bytes) else json.dumps(body).encode())
            assert status in (200, 400, 403, 422)
            assert answer.get("status", 200) == status
            assert all(one.claim.host.endswith(".a.test") for one in s.gateway.learned)

    one()


@pytest.mark.parametrize(("call", "limit"), [(REGISTER, BODY_BYTES), (UNREGISTER, BODY_BYTES), (SYNC, SYNC_BODY_BYTES)])
@dialogue
async def test_bodies_are_bounded(call: str, limit: int):
    async with stage() as s:
        announced = await asked(s, call, headers=[(b"content-length", b"%d" % (limit + 1))]).over()
        crossing = asked(s, call)
        crossing.body(bytes(limit), more=True)
        await quiet()
        assert s.gateway.account.held_bytes == limit
        crossing.body(b"x", more=True)
        await crossing.over()
        for request in (announced, crossing):
            assert (request.status, request.header(b"connection")) == (413, b"close")
        assert s.gateway.account.held_bytes == 0
        padded = json.dumps(register_body() if call == REGISTER else {"hostname": "x.a.test"}).encode().ljust(limit)
        assert (await told(s, call, padded))[0] == 200


@dialogue
async def test_a_body_that_does_not_come_and_an_agent_that_leaves():
    async with stage() as s:
        slow, left = asked(s, REGISTER), asked(s, REGISTER)
        left.body(b"{", more=True)
        left.leave()
        await left.over()
        assert left.sent == []
        began = asyncio.get_running_loop().time()
        await slow.over()
        assert slow.status == 408
        assert asyncio.get_running_loop().time() - began == pytest.approx(BODY_SECONDS, abs=0.1)


@dialogue
async def test_a_full_gateway_reads_no_bodies():
    async with stage() as s:
        s.gateway.account.adjust(s.gateway.account.high_mark_bytes + 1)
        await asyncio.sleep(1.5)  # nobody stalls, so nobody can be ended
        assert (await told(s, REGISTER, register_body()))[0] == 503
        s.gateway.account.adjust(-s.gateway.account.high_mark_bytes - 1)
        assert known(s) == []


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        (REGISTER, "GET", b"POST"),
        (SYNC, "PUT", b"POST"),
        (UNREGISTER, "DELETE", b"POST"),
        (TUNNELS, "DELETE", b"GET, POST"),
        (f"{TUNNELS}/sync", "GET", b"POST, DELETE"),
        (f"{TUNNELS}/1", "GET", b"DELETE"),
    ],
)
@dialogue
async def test_another_method_is_told_the_right_one(path: str, method: str, allow: bytes):
    async with stage() as s:
        request = await asked(s, path, b"", method=method).over()
        assert (request.status, request.header(b"allow")) == (405, allow)


@dialogue
async def test_a_gateway_that_stops_takes_no_calls():
    async with stage() as s:
        s.gateway.drain.closing = True
        status, answer = await told(s, REGISTER, register_body())
        assert (status, answer["code"]) == (503, "stopping")


# --- TCP tunnels, addresses


@dialogue
async def test_tcp_tunnels_are_honestly_refused():
    async with stage() as s:
        assert await told(s, TUNNELS, method="GET") == (200, [])
        status, answer = await told(s, TUNNELS, {"tunnel_id": "tcp-1"})
        assert (status, answer["code"]) == (501, "no_tcp_tunnels")
        tunnels = [{"tunnel_id": "tcp-1", "protocol": "TCP"}, {"protocol": "UDP"}]
        reason = "This gateway does not serve TCP tunnels."
        assert await told(s, f"{TUNNELS}/sync", {"cluster_uuid": "a", "tunnels": tunnels}) == (
            200,
            {
                "accepted": [],
                "rejected": [{"tunnel_id": "tcp-1", "reason": reason}, {"tunnel_id": "", "reason": reason}],
            },
        )
        assert await told(s, f"{TUNNELS}/sync", {"tunnels": None}) == (200, {"accepted": [], "rejected": []})
        for _ in range(2):
            assert await told(s, f"{TUNNELS}/tcp-1", method="DELETE") == (204, None)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", ""), ("POST", "/sync"), ("DELETE", "/1"), ("DELETE", "/sync")]
)
@pytest.mark.parametrize(("token", "status"), [("of-b", 403), ("gone", 401), ("unknown", 503), (None, 503)])
@dialogue
async def test_tunnels_are_the_clusters_own(method: str, path: str, token: str | None, status: int):
    async with stage() as s:
        assert (await told(s, TUNNELS + path, method=method, token=token))[0] == status


@dialogue
async def test_addresses_are_not_looked_up():
    async with stage() as s:
        status, answer = await told(s, "/api/v1/public/ip-intel/192.0.2.9", method="GET", token=None)
        assert (status, answer["code"]) == (404, "no_ip_intel")
