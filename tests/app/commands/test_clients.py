"""The clients against a scripted gateway: what they ask, what they print, and what they say when it fails."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app.commands.answers import (
    ACCOUNT,
    CLUSTER,
    EVENT,
    EXCHANGE,
    EXPLANATION,
    LINK,
    ROUTE,
    STATUS,
    page,
)
from tests.app.commands.conftest import Run
from tests.app.commands.scripted import Said, Script

pytestmark = pytest.mark.system

SECRET = "a-secret-admin-token"


def test_status(script: Script, ran: Run):
    script.say("/-/status", Said(STATUS))
    told = ran("status")
    assert (told.status, told.err) == (0, "")
    assert told.out.splitlines() == [
        "gateway        0.1.0, Python 3.12.1, up for 1 min 1 s (since 2026-01-01T00:00:00.000Z)",
        "state          ready",
        "configuration  /etc/gateway.toml, read 2026-01-01T00:00:00.000Z; reloads: 1, refused: 0",
        "clusters       2 of 3 connected (links: 2)",
        "routes         4",
        "exchanges      5, 1 of them WebSockets; 0 requests wait for an agent",
        "connections    9 of 100",
        "held           1.5 KiB of 2.0 MiB (normal), spooled 0 B of 1.0 MiB",
        "limits hit     connections 2",
        "warning: no token covers cluster c9: its routes answer 503; add an [[agents]] entry",
    ]
    assert json.loads(ran("status", "--json").out) == STATUS


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"ready": False}, "not ready: a cluster is missing, see GET /readyz"),
        ({"ready": False, "draining": True}, "draining"),
        ({"draining": True, "closing": True}, "closing"),
    ],
)
def test_the_state_of_the_node(script: Script, ran: Run, change: dict[str, Any], state: str):
    free = {**ACCOUNT, "connections_limit": None, "limits_hit": {}}
    script.say("/-/status", Said({**STATUS, **change, "account": free}))
    out = ran("status").out
    assert f"state          {state}\n" in out
    assert "connections    9 of any number\n" in out
    assert "limits hit     none\n" in out


def test_links(script: Script, ran: Run):
    joining = {**LINK, "link": "link-8", "state": "joining", "agent": None, "round_trip_seconds": None, "dialect": None}
    joining["publisher"] = "p1"
    script.say("/-/links", Said(page("links", LINK, joining)))
    told = ran("links", "--cluster", "c 1", "--state", "ready")
    assert told.status == 0
    titles, ready, other = (re.split(" {2,}", line) for line in told.out.splitlines())
    assert titles == [
        "link", "cluster", "agent", "state", "address", "age", "round trip", "streams", "stalled", "waiting",
        "dialect", "publishes", "version",
    ]  # fmt: skip
    of_both = ["10.0.0.7", "2 h 1 min"]
    assert ready == ["link-7", "c1", "a1", "ready", *of_both, "12.3 ms", "3", "1", "1.5 KiB", "yamux", "no", "0.1.0"]
    assert other == ["link-8", "c1", "-", "joining", *of_both, "-", "3", "1", "1.5 KiB", "-", "yes", "0.1.0"]
    assert script.lines()[1:] == ["GET /-/links?cluster=c%201&state=ready&limit=1000"]


def test_clusters(script: Script, ran: Run):
    away = {
        **CLUSTER, "cluster": "c2", "connected": False, "links": 0, "has_token": False, "why_not": "no token covers it",
        "requests_waiting": 2, "last_seen": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    script.say("/-/clusters", Said(page("clusters", CLUSTER, away)))
    told = ran("clusters")
    assert (told.status, told.err) == (0, "")
    assert [re.split(" {2,}", line) for line in told.out.splitlines()] == [
        ["cluster", "connected", "links", "routes", "waiting", "token", "last seen", "why not"],
        ["c1", "yes", "1", "1", "0", "yes", "-", "-"],
        ["c2", "no", "0", "1", "2", "no", "2026-01-01T00:00:00.000Z", "no token covers it"],
    ]
    assert json.loads(ran("clusters", "--json").out) == page("clusters", CLUSTER, away)
    ran("clusters", "--not-connected", "--limit", "3")
    ran("clusters", "--connected")
    assert script.lines()[5::2] == [
        "GET /-/clusters?connected=false&limit=3", "GET /-/clusters?connected=true&limit=1000"
    ]  # fmt: skip


def test_routes_and_those_that_were_refused(script: Script, ran: Run):
    lost = {**ROUTE, "path": "/x", "in_force": False, "reason": "shadowed", "explanation": "the file has the host"}
    refused = {"route": "b.test/", "cluster": "c2", "code": "not_allowed", "reason": "no", "refused_at": "now"}
    script.say("/-/routes", Said(page("routes", ROUTE, lost, refused=[refused])))
    told = ran("routes", "--not-in-force", "--host", "a.test")
    lines = [line.split() for line in told.out.splitlines()]
    assert lines[1] == ["a.test", "/", "c1", "c1/apps/web:80", "yes", "yes", "file", "-", "-", "-"]
    assert lines[2][-5:] == ["the", "file", "has", "the", "host"]
    assert lines[3:] == [
        [], ["refused", "cluster", "code", "at", "reason"], ["b.test/", "c2", "not_allowed", "now", "no"]
    ]  # fmt: skip
    assert script.lines() == ["GET /-/routes?host=a.test&in_force=false&limit=1000"]


def test_routes_that_an_agent_publishes(script: Script, ran: Run):
    published = {**ROUTE, "origin": "published", "publisher": "me-1", "expires_at": "soon"}
    script.say("/-/routes", Said(page("routes", published)))
    told = ran("routes", "--origin", "published", "--publisher", "me-1")
    assert told.out.splitlines()[1].split()[-5:] == ["yes", "published", "me-1", "soon", "-"]
    assert script.lines() == ["GET /-/routes?origin=published&publisher=me-1&limit=1000"]


def test_exchanges(script: Script, ran: Run):
    script.say("/-/exchanges", Said(page("exchanges", EXCHANGE)))
    told = ran("exchanges", "--client", "192.0.2.1", "--kind", "http", "--request-id", "r-5")
    assert re.split(" {2,}", told.out.splitlines()[1]) == [
        "exchange-5", "http", "GET", "a.test", "/big", "192.0.2.1", "c1", "link-7", "200", "answering", "1.5 s", "0 B",
        "2.0 KiB", "0 B", "client",
    ]  # fmt: skip
    (line,) = script.lines()[1:]
    asked = sorted(line.partition("?")[2].split("&"))
    assert asked == ["client=192.0.2.1", "kind=http", "limit=1000", "request_id=r-5"]


@pytest.mark.parametrize(
    ("resource", "none"), [("links", "no links\n"), ("clusters", "no clusters\n"), ("exchanges", "no exchanges\n")]
)
def test_empty_lists(script: Script, ran: Run, resource: str, none: str):
    script.say(f"/-/{resource}", Said(page(resource)), Said(page(resource, total=4)))
    assert ran(resource).out == none
    assert ran(resource).out == f"none of 4 {resource}\n"


def test_an_exchange_is_ended(script: Script, ran: Run):
    script.say("/-/exchanges/exchange-5", Said({"id": "exchange-5", "message": "the request was ended"}, 202))
    assert ran("exchanges", "--end", "exchange-5").out == "exchange-5: the request was ended\n"
    assert json.loads(ran("exchanges", "--end", "exchange-5", "--json").out)["id"] == "exchange-5"
    assert script.lines()[0] == "DELETE /-/exchanges/exchange-5"
    gone = {"status": 410, "code": "gone", "parameter": None, "message": "this exchange has ended"}
    script.say("/-/exchanges/exchange-5", Said(gone, 410))
    told = ran("exchanges", "--end", "exchange-5")
    assert (told.status, told.out) == (1, "")
    assert told.err == f"tunnel-gateway: exchanges: {script.url} answered 410: this exchange has ended\n"
    told = ran("exchanges", "--end", "../drain?x")
    assert script.lines()[-1] == "DELETE /-/exchanges/..%2Fdrain%3Fx"
    assert told.status == 1


def test_pages_are_one_list(script: Script, ran: Run):
    rows = [{**LINK, "link": f"link-{number}"} for number in range(5)]
    pages = [
        Said(page("links", *rows[:2], following="K1", total=5)),
        Said(page("links", *rows[2:4], following="K&3", total=5)),
        Said(page("links", *rows[4:], total=5)),
    ]
    script.say("/-/links", *pages)
    assert json.loads(ran("links", "--json").out) == page("links", *rows)
    assert script.lines()[1:] == [
        "GET /-/links?limit=1000", "GET /-/links?limit=1000&after=K1", "GET /-/links?limit=1000&after=K%263"
    ]  # fmt: skip


def test_a_limit_ends_the_list(script: Script, ran: Run, terminal: Callable[[int], None]):
    terminal(200)
    script.say("/-/links", Said(page("links", LINK, LINK, following="K1", total=5)))
    told = ran("links", "--limit", "2")
    assert told.out.splitlines()[-1] == "2 of 5 links"
    assert script.lines()[1:] == ["GET /-/links?limit=2"]


def test_events(script: Script, ran: Run):
    bad = {**EVENT, "number": 2, "level": "warning", "kind": "link_refused", "message": "refused\x1b[2J", "link": None}
    script.say("/-/events", Said(page("events", EVENT, bad, following=2)))
    assert ran("events", "--level", "warning", "--after", "7").out.splitlines() == [
        "2026-01-01T00:00:00.000Z  info     link_ready  link-7: ready",
        "2026-01-01T00:00:00.000Z  warning  link_refused  refused\\x1b[2J",
    ]
    (line,) = script.lines()
    assert sorted(line.partition("?")[2].split("&")) == ["after=7", "level=warning", "limit=1000"]
    script.say("/-/events", Said(page("events", {**EVENT, "message": "it is gone"}, following=2)))
    assert ran("events").out.endswith("  link_ready  link-7: it is gone\n")
    script.say("/-/events", Said(page("events", following=2)))
    assert ran("events").out == "no events\n"


def test_of_events_the_latest_are_shown(script: Script, ran: Run):
    events = [{**EVENT, "number": number, "message": f"number {number}"} for number in range(1, 6)]
    script.say("/-/events", Said(page("events", *events, following=5)))
    assert [line[-8:] for line in ran("events", "--limit", "2").out.splitlines()] == ["number 4", "number 5"]
    told = json.loads(ran("events", "--limit", "2", "--json").out)
    assert ([event["number"] for event in told["events"]], told["next"]) == ([4, 5], 5)


def test_long_events_go_on_below_themselves(script: Script, ran: Run, terminal: Callable[[int], None]):
    terminal(80)
    script.say(
        "/-/events",
        Said(page("events", {**EVENT, "message": "some words, " * 4 + "an end", "link": None}, following=1)),
    )
    first, second = ran("events").out.splitlines()
    assert first.endswith("  link_ready  some words, some words, some")
    assert second == " " * 47 + "words, some words, an end"
    assert max(len(first), len(second)) <= 80


def test_explain_that_works(script: Script, ran: Run):
    script.say("/-/explain", Said(EXPLANATION))
    told = ran("explain", "https://a.test/x?q=1&r", "--method", "HEAD")
    assert (told.status, told.err) == (0, "")
    assert told.out.splitlines() == [
        "GET https://a.test/x",
        "200 ok: it works",
        "",
        "route    a.test/ -> c1/apps/web:80 (file)",
        "policy   idle_timeout 60.0",
        "cluster  c1, connected (links: 1)",
        "link     link-7 of agent a1 0.1.0 at 10.0.0.7, yamux, ready",
        "probe    ok; request id r-9",
        "",
        "hop        time",
        "choose   0.1 ms  until link-7 of agent a1 (yamux) was chosen",
        "service       -  no answer",
    ]
    assert script.lines() == ["GET /-/explain?url=https%3A%2F%2Fa.test%2Fx%3Fq%3D1%26r&method=HEAD"]


def test_explain_that_does_not(script: Script, ran: Run):
    away = {**CLUSTER, "connected": False, "links": 0, "why_not": "no agent connects"}
    lost = {**ROUTE, "reason": "shadowed", "explanation": "the file has it"}
    told_by_api = {
        **EXPLANATION, "code": "no_agent", "status": 503, "reason": "away", "verdict": "no agent", "hint": "Start it.",
        "route": lost, "candidates": [ROUTE], "policy": None, "cluster": away, "link": None, "probe": None,
    }  # fmt: skip
    script.say("/-/explain", Said(told_by_api))
    told = ran("explain", "https://a.test/x", "--no-probe")
    assert (told.status, told.err) == (1, "")
    assert told.out.splitlines() == [
        "GET https://a.test/x",
        "503 no_agent (away): no agent",
        "next: Start it.",
        "",
        "route    a.test/ -> c1/apps/web:80 (file); the file has it",
        "cluster  c1, not connected: no agent connects",
        "",
        "other routes  target          cluster  explanation",
        "a.test/       c1/apps/web:80  c1       -",
    ]
    assert script.lines()[0].endswith("&probe=false")
    told = ran("explain", "https://a.test/x", "--json")
    assert (told.status, json.loads(told.out)) == (1, told_by_api)


def test_reload(script: Script, ran: Run):
    script.say("/-/reload", Said({"changed": True, "message": "configuration reloaded"}))
    assert ran("reload").out == "configuration reloaded\n"
    errors = ["gateway.toml:1: one", "gateway.toml:2: two\x1b"]
    refused = {
        "status": 409,
        "code": "configuration_refused",
        "parameter": None,
        "message": "refused",
        "errors": errors,
    }
    script.say("/-/reload", Said(refused, 409))
    told = ran("reload")
    assert (told.status, told.out) == (2, "")
    assert told.err.splitlines() == [
        f"tunnel-gateway: reload: {script.url}: the configuration is wrong, and nothing has changed",
        "tunnel-gateway: gateway.toml:1: one",
        "tunnel-gateway: gateway.toml:2: two\\x1b",
    ]
    assert script.lines() == ["POST /-/reload"] * 2


def test_drain_of_one_link(script: Script, ran: Run):
    answer = {"link": "link-7", "state": "leaving", "streams": 2, "message": "link-7 takes nothing new"}
    script.say("/-/links/link-7/drain", Said(answer, 202))
    assert ran("drain", "--link", "link-7", "--grace", "2.5").out == "link-7 takes nothing new\n"
    assert json.loads(ran("drain", "--link", "link-7", "--json").out) == answer
    assert script.lines() == ["POST /-/links/link-7/drain?grace=2.5", "POST /-/links/link-7/drain"]
    told = ran("drain", "--link", "link-9")
    assert (told.status, told.err.count("\n")) == (1, 1)


def test_drain_of_the_node_as_json(script: Script, ran: Run):
    answer = {"drained": True, "exchanges": 0, "message": "drained"}
    script.say("/-/drain", Said(answer))
    assert json.loads(ran("drain", "--json").out) == answer


ASKING = [
    ("status",), ("clusters",), ("links",), ("routes",), ("exchanges",), ("exchanges", "--follow"),
    ("exchanges", "--end", "x"), ("explain", "http://a.test"), ("events",), ("events", "--follow"), ("reload",),
    ("drain", "--link", "x"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", ASKING)
def test_nobody_answers(arguments: tuple[str, ...], ran: Run):
    with socket.socket() as nobody:  # bound, but nobody listens
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        told = ran(*arguments, "--url", url)
    assert (told.status, told.out) == (3, "")
    assert told.err.startswith(f"tunnel-gateway: {arguments[0]}: {url}: ")
    assert told.err.endswith("; is the gateway running at this address? See --url and GATEWAY_URL\n")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("arguments", ASKING)
def test_the_admin_token_is_missing_or_wrong(
    arguments: tuple[str, ...], script: Script, ran: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    script.next = lambda _: Said({"code": "admin_token_needed", "message": "Not for everyone"}, 401)  # type: ignore[method-assign]
    told = ran(*arguments)
    assert (told.status, told.out) == (4, "")
    assert told.err == (
        f"tunnel-gateway: {arguments[0]}: {script.url} answered 401: Not for everyone; set GATEWAY_ADMIN_TOKEN or "
        "--admin-token-file\n"
    )
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", SECRET)
    told = ran(*arguments)
    assert (told.status, told.out) == (4, "")
    assert "the gateway has another admin token than GATEWAY_ADMIN_TOKEN or --admin-token-file gives" in told.err
    assert SECRET not in told.err
    (tmp_path / "token").write_text("the-token-of-a-file\n", encoding="utf-8")
    ran(*arguments, "--admin-token-file", str(tmp_path / "token"))
    assert [one.fields.get("authorization") for one in script.asked] == [
        None, f"Bearer {SECRET}", "Bearer the-token-of-a-file"
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [one for one in ASKING if one[-1] != "x"])
def test_an_older_gateway(arguments: tuple[str, ...], script: Script, ran: Run):
    told = ran(*arguments)
    assert (told.status, told.out) == (1, "")
    assert "answered 404: There is nothing here; there is no /-/" in told.err
    assert "start the gateway with an admin token" in told.err


@pytest.mark.parametrize(
    "arguments", [("status",), ("clusters",), ("links",), ("routes",), ("explain", "http://a.test"), ("events",)]
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        [1],
        {},
        {"links": 1, "routes": [2], "events": [3], "next": None},
        {"links": [{"age_seconds": "x"}], "next": None},
        {"links": [{"bytes_waiting": 10**400}], "next": None},
    ],
)
def test_what_answers_is_no_gateway(arguments: tuple[str, ...], body: Any, script: Script, ran: Run):
    script.next = lambda _: Said(body)  # type: ignore[method-assign]
    told = ran(*arguments)
    assert (told.status, told.out) == (3, "")
    assert "what answers there is no gateway of this kind" in told.err


def test_a_wrong_filter_is_wrong_usage(script: Script, ran: Run):
    message = "state is not known; write joining, ready, doubted or leaving"
    script.say("/-/links", Said({"status": 400, "code": "bad_request", "parameter": "state", "message": message}, 400))
    told = ran("links", "--state", "tired")
    assert (told.status, told.err) == (2, f"tunnel-gateway: links: {message}\n")


def test_a_token_with_letters_beyond_ascii_is_sent(script: Script, ran: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "schl\u00fcssel-des-hauses")
    script.say("/-/links", Said(page("links")))
    assert (ran("links").status, ran("links").err) == (0, "")
    assert script.asked[0].fields["authorization"].encode("latin-1") == "Bearer schl\u00fcssel-des-hauses".encode()


def test_a_proxy_of_the_environment_is_not_used(script: Script, ran: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    script.say("/-/links", Said(page("links")))
    assert ran("links").status == 0
    assert ran("links", "--url", f"{script.url}/").status == 0
