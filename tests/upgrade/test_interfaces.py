"""What others script against is still there: endpoints with their answers, metrics with their labels, error codes.

The application runs on the recorded files, without sockets. What needs an agent (the access log, the metrics of a
WebSocket) is in `test_processes.py`.
"""

import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

import app
from app.main import create_app
from app.settings import load
from tests.upgrade.lost import lost
from tests.upgrade.metrics import exported, recorded_metrics
from tests.upgrade.recorded import KEPT, copied, lines, objects

CALLS = objects(KEPT / "endpoints.txt")
TOKENS = {
    "admin": "the-admin-token-of-the-upgrade-test",
    "agent": "a-plain-token",
    "revoked": "a-revoked-token",
    "unknown": "nobody-knows-this-token",
}
NO_TRAFFIC = {"gateway_websocket_closes_total"}
"""Without labels until a WebSocket was open."""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The recorded files' gateway; its operator's endpoints on the control hosts, its drain without a delay."""
    config = copied(tmp_path, without="admin_bind")
    application = create_app(load(str(config), {"GATEWAY_RECONNECT_GRACE": "0", "GATEWAY_DRAIN_DELAY": "60"}))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://tunnel.example.com") as client:
        yield client
    await application.state.gateway.aclose()


async def called(client: httpx.AsyncClient, call: dict[str, Any]) -> httpx.Response:
    method, target = call["call"].split(" ")
    headers = {"host": call["host"]} if "host" in call else {}
    if "token" in call:
        headers["authorization"] = f"Bearer {TOKENS[call['token']]}"
    return await client.request(method, target, headers=headers, json=call.get("body"))


def without_what_varies(recorded: Any, answer: Any) -> Any:
    """The answer, with what the record leaves open in the record's own words."""
    if isinstance(recorded, dict) and isinstance(answer, dict):
        return {
            key: without_what_varies(recorded[key], value) if key in recorded else value
            for key, value in answer.items()
        }
    if isinstance(recorded, list) and isinstance(answer, list):
        return [without_what_varies(recorded[0], item) for item in answer] if recorded else answer
    if recorded == "TEXT" and isinstance(answer, str) and answer:
        return "TEXT"
    return "TIME" if recorded == "TIME" and isinstance(answer, float) and answer > 0 else answer


@pytest.mark.anyio
async def test_every_call_is_answered_as_it_was(gateway: httpx.AsyncClient):
    """One after the other, because later ones depend on earlier ones; the drain comes last."""
    for call in CALLS:
        response = await called(gateway, call)
        assert response.status_code == call["status"], (call, response.text)
        assert response.text == call.get("text", response.text)
        if "answer" in call:
            answer = response.json()
            assert lost(call["answer"], without_what_varies(call["answer"], answer)) == [], (call, answer)


@pytest.mark.parametrize(
    ("recorded", "answer"),
    [("TEXT", ""), ("TEXT", None), ("TEXT", 5), ("TIME", 0.0), ("TIME", "soon"), ({"a": "TEXT"}, {}),
     ([{"a": "TEXT"}], [{"a": ""}]), ([{"a": 1}], [{"a": 2}]), ([{"a": 1}], [])],
)  # fmt: skip
def test_what_varies_is_still_of_its_kind(recorded: Any, answer: Any):
    assert lost(recorded, without_what_varies(recorded, answer)) != []


# --- metrics


@pytest.mark.anyio
async def test_every_metric_is_exported_with_its_labels(gateway: httpx.AsyncClient):
    await gateway.get("/nowhere")
    response = await called(gateway, {"token": "admin", "call": "GET /metrics"})
    recorded = recorded_metrics()
    for name in NO_TRAFFIC:
        recorded[name]["labels"] = {}
    assert lost(recorded, exported(response.text)) == []


# --- error codes


def codes_in(value: Any) -> Iterable[tuple[str, int, int]]:
    """Every problem that a module's variable holds, by itself or in a table."""
    if isinstance(value, dict):
        for item in value.values():
            yield from codes_in(item)
    elif not isinstance(value, type) and hasattr(value, "close_code") and hasattr(value, "retry_after"):
        yield value.code, value.status, value.close_code


def test_every_error_code_has_its_status():
    """Wherever in the gateway's sources it stands."""
    names = [module.name for module in pkgutil.walk_packages(app.__path__, "app.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__") and ".demo" not in name]
    found = {code for module in modules for value in list(vars(module).values()) for code in codes_in(value)}
    kept = [line.split(" ") for line in lines(KEPT / "problems.txt")]
    assert {(code, int(status), int(close_code)) for code, status, close_code in kept} - found == set()
    assert len({code for code, _, _ in found}) == len(found), "one code, one status"
