"""Files, variables and command lines of the recorded version mean today what they meant then."""

import asyncio
import dataclasses
import ipaddress
import sqlite3
import ssl
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.commands import run
from app.learned import Learned, LearnedRoutes, Store
from app.settings import ConfigurationError, Settings, load, token_hash
from tests.fakes.command_line import parsed
from tests.upgrade.recorded import FILES, command_lines, copied, lines, variables
from tunnel.agent.settings import AgentSettings, read

TOML: dict[str, Any] = tomllib.loads((FILES / "gateway.toml").read_text(encoding="utf-8"))
OF_A_ROUTE = {"host", "path", "cluster", "namespace", "service", "port", "scheme", "verify", "ca_file", "server_name"}
POLICY = set(TOML["routes"][0]) - OF_A_ROUTE
PLAIN = set(TOML) - POLICY - {"agents", "routes"}
UNLIMITED = {key for key, value in TOML["routes"][1].items() if value == "unlimited"}
TOKENS = ("a-plain-token", "a-hashed-token", "a-token-in-a-file", "a-revoked-token")


# --- gateway.toml, written again from the settings that it gives


def header_changes(changes: Any) -> dict[str, Any]:
    return {"set": {name.decode(): value.decode() for name, value in changes.set}, "remove": sorted(changes.remove)}


def policy_as_written(policy: Any) -> dict[str, Any]:
    told = {key: getattr(policy, key) for key in POLICY}
    told |= {key: header_changes(told[key]) for key in ("request_headers", "response_headers")}
    return told | {"origins": list(policy.origins)}


def route_as_written(route: Any, folder: Path) -> dict[str, Any]:
    target = route.target
    told = {key: getattr(target, key) for key in OF_A_ROUTE - {"host", "path"}}
    if target.ca_file is not None:
        told["ca_file"] = str(Path(target.ca_file).relative_to(folder))
    return told | {"host": route.host, "path": route.path.decode()} | policy_as_written(route.policy)


def grants_as_written(settings: Settings) -> list[dict[str, Any]]:
    grants = [(token, settings.grants[token_hash(token)]) for token in TOKENS if token_hash(token) in settings.grants]
    return [
        {
            "token": token, "clusters": list(grant.clusters), "hosts": list(grant.hosts),
            "dialect": grant.dialect, "revoked": grant.revoked,
        }
        for token, grant in grants
    ]  # fmt: skip


def as_written(settings: Settings, folder: Path) -> dict[str, Any]:
    """What a file says that gives these settings, with every key of the recorded one."""
    told = {key: getattr(settings, key) for key in PLAIN}
    for key in ("state_dir", "admin_token_file"):
        told[key] = told[key] and str(Path(told[key]).relative_to(folder))
    told["control_hosts"] = sorted(settings.control_hosts)
    told["trusted_proxies"] = [str(network) for network in settings.trusted_proxies]
    told["admin_bind"] = settings.admin_bind
    routes = [route_as_written(route, folder) for route in settings.routes.routes]
    return told | policy_as_written(settings.policy) | {"agents": grants_as_written(settings), "routes": routes}


def policy_meant(table: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        key: None if value == "unlimited" else value for key, value in table.items() if key in POLICY
    }
    for key in ("request_headers", "response_headers"):
        if key in told:
            names = {name.lower(): value for name, value in told[key].get("set", {}).items()}
            told[key] = {"set": names, "remove": sorted(name.lower().encode() for name in told[key].get("remove", []))}
    return told


def meant(table: dict[str, Any], admin_bind: tuple[str, int]) -> dict[str, Any]:
    """What the keys of a file mean, in the form of `as_written`."""
    plain = {key: None if table[key] == "unlimited" else table[key] for key in PLAIN}
    plain |= {"control_hosts": sorted(table["control_hosts"]), "admin_bind": admin_bind}
    plain["trusted_proxies"] = [str(ipaddress.ip_network(value)) for value in table["trusted_proxies"]]
    policy = policy_meant(table)
    routes = [
        {"path": "/", "scheme": "http", "verify": True, "ca_file": None, "server_name": None}
        | {key: value for key, value in route.items() if key in OF_A_ROUTE}
        | policy
        | policy_meant(route)
        for route in table["routes"]
    ]
    agents = [
        {
            "token": token, "clusters": agent["clusters"], "hosts": agent.get("hosts", []),
            "dialect": agent.get("dialect", "auto"), "revoked": agent.get("revoked", False),
        }
        for token, agent in zip(TOKENS, table["agents"], strict=True)
    ]  # fmt: skip
    return plain | policy | {"agents": agents, "routes": routes}


def test_the_file_loads_and_every_key_lands(tmp_path: Path):
    settings = load(str(copied(tmp_path)), {})
    assert as_written(settings, tmp_path) == meant(TOML, ("127.0.0.1", 9090))
    assert set(meant(TOML, ("", 0))) == set(TOML)
    assert settings.is_admin_token("the-admin-token-of-the-upgrade-test")
    assert len(settings.grants) == len(TOKENS)


KEYS = [
    (number, line)
    for number, line in enumerate((FILES / "gateway.toml").read_text(encoding="utf-8").splitlines())
    if "=" in line and not line.startswith("#") and line != 'path = "/"'
]
"""All but the one that says the default, as the smallest useful route in the documents does."""


@pytest.mark.parametrize("number", [number for number, _ in KEYS], ids=[line.partition(" ")[0] for _, line in KEYS])
def test_each_line_of_it_counts(tmp_path: Path, number: int):
    """Without the line the file means something else, so the test above sees a key that is ignored."""
    config = copied(tmp_path)
    text = config.read_text(encoding="utf-8").splitlines()
    config.write_text("\n".join([*text[:number], *text[number + 1 :]]), encoding="utf-8")
    try:
        settings = load(str(config), {})
    except ConfigurationError:
        return
    assert as_written(settings, tmp_path) != meant(TOML, ("127.0.0.1", 9090))


def test_no_file_and_no_variable_are_needed():
    assert load(None, {}).summary() == "0 routes of 0 hosts, 0 agent tokens, no admin token"


# --- variables


def value_meant(key: str, text: str) -> Any:
    """The text of a variable as its key in the file would be written."""
    example = TOML[key]
    if isinstance(example, list):
        return [part.strip() for part in text.split(",")]
    if isinstance(example, bool):
        return text == "true"
    return text if isinstance(example, str) or text == "unlimited" else float(text)


VARIABLES = variables("gateway.env")
OVERRIDDEN = {key: VARIABLES[f"GATEWAY_{key.upper()}"] for key in TOML if f"GATEWAY_{key.upper()}" in VARIABLES}


def test_every_variable_lands_and_wins_over_the_file(tmp_path: Path):
    environment = {**VARIABLES, "GATEWAY_CONFIG": str(copied(tmp_path))}
    settings = load(None, environment)
    table = TOML | {key: value_meant(key, text) for key, text in OVERRIDDEN.items()}
    assert as_written(settings, tmp_path) == meant(table, ("::1", 9191))
    assert settings.is_admin_token(VARIABLES["GATEWAY_ADMIN_TOKEN"])
    assert set(OVERRIDDEN) == set(TOML) - {"agents", "routes", "request_headers", "response_headers"}


@pytest.mark.parametrize("key", sorted(OVERRIDDEN))
def test_each_variable_says_something_else_than_the_file(key: str):
    assert value_meant(key, OVERRIDDEN[key]) != TOML[key]


# --- the agent


def agent_told(settings: AgentSettings) -> dict[str, Any]:
    told = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    gateways = [(gateway.url, gateway.proxy) for gateway in settings.gateways]
    services = [
        (item.service, item.namespace, item.port, item.destination.host, item.destination.port)
        for item in settings.services
    ]
    allow = [(item.namespace, item.service, item.port) for item in settings.allow]
    tls = settings.tls
    assert tls is not None
    return told | {
        "gateways": gateways, "services": services, "allow": allow, "token": settings.read_token(),
        "tls": (tls.verify_mode is ssl.CERT_REQUIRED, len(tls.get_ca_certs())),
    }  # fmt: skip


AGENT: dict[str, Any] = {
    "gateways": [("wss://a.example.com/agent", None), ("wss://b.example.com:8443/prefix/agent", None)],
    "token": "a-token-in-a-file",
    "cluster": "c1",
    "agent_id": "agent-7",
    "hostname": "pod-1",
    "dialect": "json",
    "services": [("kuma", "apps", 3001, "127.0.0.1", 3001), ("printer", "office", 9100, "fd00::9", 9100)],
    "allow": [("apps", "kuma", 3001), ("web-*", "*", None)],
    "cluster_domain": "c1.internal",
    "grace_seconds": 25.5,
    "ping_seconds": 12.0,
    "dead_seconds": 18.0,
    "dial_seconds": 4.5,
    "memory_bytes": 128 * 1024 * 1024,
    "tls": (True, 1),
    "log_format": "json",
    "log_level": "debug",
}
TRIAL = {
    "gateways": [("wss://a.example.com/agent", None)],
    "token": "a-plain-token",
    "cluster": "c2",
    "dialect": "yamux",
}


def test_every_variable_of_the_agent_lands(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(FILES)
    proxied = [("wss://a.example.com/agent", "http://proxy.example.com:3128"), AGENT["gateways"][1]]
    expected = AGENT | {"gateways": proxied, "api_hosts": ("10.96.0.1",)}
    told = agent_told(read([], variables("agent.env"), "pod-1"))
    assert {key: told[key] for key in expected} == expected
    trial = agent_told(read([], variables("agent-trial.env"), "pod-1"))
    assert {key: trial[key] for key in TRIAL} == TRIAL
    assert trial["tls"][0] is False


def test_every_option_of_the_agent_lands(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(FILES)
    full, trial = (agent_told(read(arguments, {}, "pod-1")) for arguments in command_lines("tunnel-agent"))
    assert {key: full[key] for key in AGENT} == AGENT
    assert {key: trial[key] for key in TRIAL} == TRIAL
    assert trial["tls"][0] is False


# --- the gateway's commands


def test_every_option_of_the_gateway_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    copied(tmp_path)
    monkeypatch.chdir(tmp_path)
    short, serve, check, token, drain = command_lines("tunnel-gateway")
    first, second = parsed(short), parsed(serve)
    assert (first.command, first.config, first.host, first.port) == ("serve", "gateway.toml", "0.0.0.0", 8081)
    assert (second.command, second.config, second.host, second.port) == ("serve", "gateway.toml", "::", 8082)
    asked = parsed(drain)
    assert (asked.command, asked.url, asked.wait) == ("drain", "http://127.0.0.1:8081", 30.5)
    assert asked.admin_token_file == "admin-token"
    assert run(check) == 0
    assert capsys.readouterr().out == (
        "gateway.toml: ok: 4 routes of 4 hosts, 4 agent tokens (1 revoked), admin token set\n"
    )
    assert run(token) == 0
    printed = capsys.readouterr()
    (entry,) = tomllib.loads(printed.err)["agents"]
    assert entry == {"token_sha256": token_hash(printed.out.strip()).hex(), "clusters": ["c1", "c2"]}


# --- the state file

WRITTEN_AT = 4_102_444_800.0  # 2100-01-01, by the clock of the gateway that wrote it
ROWS = [tuple(line.split(" ")) for line in lines(FILES / "learned-routes.txt")]


def row_of(learned: Learned) -> tuple[str, ...]:
    claim, target = learned.claim, learned.claim.target
    named = (claim.host, claim.path, target.cluster, target.namespace, target.service, target.port)
    return tuple(str(value) for value in (*named, learned.expires_at))


def content(file: Path) -> tuple[int, list[str]]:
    """The schema's version, and everything that is in it."""
    with closing(sqlite3.connect(file)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, list(connection.iterdump())


def test_the_state_file_is_what_its_description_says(tmp_path: Path):
    copied(tmp_path)
    version, _ = content(tmp_path / "state" / "learned-routes.sqlite3")
    assert version == 1
    with closing(sqlite3.connect(tmp_path / "state" / "learned-routes.sqlite3")) as connection:
        found = connection.execute("SELECT * FROM routes ORDER BY host, path").fetchall()
    assert [tuple(str(value) for value in row) for row in found] == ROWS


def opened(folder: Path) -> list[Learned]:
    """What a store finds there."""

    async def run() -> list[Learned]:
        store = Store.open(folder)
        try:
            return store.load()
        finally:
            await store.aclose()

    return asyncio.run(run())


def test_its_migration_keeps_every_row_and_is_done_once(tmp_path: Path):
    copied(tmp_path)
    file = tmp_path / "state" / "learned-routes.sqlite3"
    assert sorted(map(row_of, opened(file.parent))) == ROWS
    migrated = content(file)
    assert sorted(map(row_of, opened(file.parent))) == ROWS
    assert content(file) == migrated


def test_its_routes_are_served_until_they_expire(tmp_path: Path):
    """Two hours later: one route has expired, and one belongs to a cluster that has no token any more."""
    settings = load(str(copied(tmp_path)), {})

    async def run() -> list[tuple[str, ...]]:
        learned = LearnedRoutes(settings, Store.open(tmp_path / "state"), clock=lambda: WRITTEN_AT + 7200)
        try:
            for host, path, *target, _ in ROWS:
                served = [
                    [part.cluster, part.namespace, part.service, str(part.port)]
                    for route in learned.of_host(host) or ()
                    if route.path.decode() == path
                    for part in [route.target]
                ]
                assert served == ([target] if target[0] != "c9" and not host.startswith("late.") else []), host
            assert learned.of_host("any.thing.wild.c1.example.com") is not None
            return [row_of(one) for one in learned]
        finally:
            await learned.aclose()

    assert asyncio.run(run()) == [row for row in ROWS if not row[0].startswith("late.")]


def test_a_route_is_renewed_in_the_old_file(tmp_path: Path):
    settings = load(str(copied(tmp_path)), {})
    renewed = next(row for row in ROWS if row[:2] == ("shop.example.com", "/cart"))

    async def run(now: float, *, renew: bool) -> list[tuple[str, ...]]:
        learned = LearnedRoutes(settings, Store.open(tmp_path / "state"), clock=lambda: now)
        try:
            for claim in [one.claim for one in learned if renew and row_of(one) == renewed]:
                await learned.register(claim, "agent a1")
            return [row_of(one) for one in learned]
        finally:
            await learned.aclose()

    asyncio.run(run(WRITTEN_AT + 7200, renew=True))
    left = asyncio.run(run(WRITTEN_AT + 25 * 3600, renew=False))
    assert left == [(*renewed[:-1], str(WRITTEN_AT + 26 * 3600))]
