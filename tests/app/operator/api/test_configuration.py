"""`/-/configuration`, and that no answer of the API shows a secret, wherever one was planted."""

import json
from pathlib import Path

import pytest

from app.operator.api.table import RESOURCES
from app.rules.routes import Route, RouteTable
from app.settings import load
from tests.app.operator.api.calls import ask, stage, told
from tests.app.operator.api.test_bad_requests import path_of
from tests.app.operator.world import AtOnce
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue

SECRETS = {
    "admin": "the-secret-of-the-operator",
    "agent": "the-secret-of-an-agent",
    "file": "the-secret-in-a-file",
    "field": "the-secret-of-a-service",
    "route": "the-secret-of-one-route",
    "publisher": "the-secret-of-publishers",
}
TOML = f"""
admin_token_file = "admin"
agent_token_file = "publishers"
publish_hosts = ["*.dev.example.com"]
trusted_proxies = ["10.0.0.0/8"]
max_websockets = 7
request_headers = {{ set = {{ authorization = "Bearer {SECRETS["field"]}" }}, remove = ["x-internal"] }}

[[agents]]
token = "{SECRETS["agent"]}"
clusters = ["c1"]
hosts = ["*.c1.example.com"]

[[agents]]
token_file = "agent"
clusters = ["c2"]
revoked = true

[[routes]]
host = "app.example.test"
path = "/a"
cluster = "c1"
namespace = "apps"
service = "web"
port = 8443
scheme = "https"
verify = false
max_websockets = 3
host_header = "localhost:5173"
strip_prefix = true
response_headers = {{ set = {{ x-key = "{SECRETS["route"]}" }} }}
"""

SHOWN = ("grants", "routes", "policy", "file", "files_read", "agent_token_file", "publish_hosts")


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "admin").write_text(SECRETS["admin"])
    (tmp_path / "agent").write_text(SECRETS["file"])
    (tmp_path / "publishers").write_text(SECRETS["publisher"])
    (tmp_path / "gateway.toml").write_text(TOML)
    return str(tmp_path / "gateway.toml")


@dialogue
async def test_the_settings_in_force(config: str):
    settings = load(config, {})
    fields = {name: getattr(settings, name) for name in SHOWN}
    async with stage(trusted_proxies=settings.trusted_proxies, **fields) as s:
        found = await told(s, "/-/configuration")
        assert found["file"] == config
        assert len(found["files_read"]) == 4
        own = found["settings"]
        assert own["trusted_proxies"] == ["10.0.0.0/8"]
        assert (own["max_websockets"], own["shutdown_grace"], own["max_connections"]) == (7, 10.0, None)
        assert own["admin_token"] == "***"
        assert own["agent_token_file"] == str(Path(config).with_name("publishers"))
        assert own["publish_hosts"] == ["*.dev.example.com"]
        assert own["control_hosts"] == ["localhost"]
        assert not {"rewrite", "host_header", "strip_prefix"} & set(own)
        assert own["request_headers"] == {"set": {"authorization": "***"}, "remove": ["x-internal"]}
        assert [(each["clusters"], each["revoked"]) for each in found["agents"]] == [
            (["c1"], False), (["c2"], True), (["default"], False)
        ]  # fmt: skip
        assert found["routes"] == [
            {"host": "app.example.test", "path": "/a", "cluster": "c1", "namespace": "apps", "service": "web",
             "port": 8443, "scheme": "https", "verify": False, "ca_file": None, "server_name": None,
             "policy": {"host_header": "localhost:5173", "strip_prefix": True, "max_websockets": 3,
                        "response_headers": {"set": {"x-key": "***"}, "remove": []}}}
        ]  # fmt: skip


@pytest.mark.parametrize("row", RESOURCES, ids=lambda row: f"{row.method} {row.path}")
@dialogue
async def test_no_secret_is_in_any_answer(config: str, row: object):
    settings = load(config, {})
    fields = {name: getattr(settings, name) for name in SHOWN}
    async with stage(**fields) as s:
        s.app.state.reloader._worker = AtOnce()  # type: ignore[attr-defined]
        for query in ("", f"?nothing={SECRETS['agent']}", *(f"?{name}={SECRETS['agent']}" for name in NAMES)):
            _, body = await ask(s, path_of(row) + query, row.method)  # type: ignore[arg-type, attr-defined]
            for secret in [*SECRETS.values(), *(digest.hex() for digest in settings.grants)]:
                assert secret not in json.dumps(body)


NAMES = ("limit", "after", "cluster", "state", "watch", "wait", "grace")


@dialogue
async def test_ten_thousand_routes_are_said_in_slices():
    routes = RouteTable([Route(f"h{number}.test", b"/", TARGET) for number in range(10_000)])
    async with stage(routes=routes) as s:
        assert len((await told(s, "/-/configuration"))["routes"]) == 10_000
