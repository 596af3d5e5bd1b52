"""Agents that dial in at the application: their handshakes, what they say, and what they are told."""

import json
from typing import Any

from app.settings import Grant, token_hash
from tests.app.stage import Stage
from tests.fakes.asgi import Pairs, WebSocket

GRANTS = {
    token_hash("good"): Grant(("c1",)),
    token_hash("wide"): Grant(("c1", "c2")),
    token_hash("gone"): Grant(("c1",), revoked=True),
}
ENDPOINTS = ["/agent", "/ws", "/api/v1/clusters/agent/ws"]


def bearer(token: str) -> Pairs:
    return [(b"authorization", f"Bearer {token}".encode())]


def text(kind: str, payload: dict[str, Any], request_id: str | None = None) -> str:
    envelope = {"type": kind, "payload": payload, "timestamp": "2026-01-02T03:04:05Z"}
    return json.dumps(envelope | ({"request_id": request_id} if request_id else {}))


class Dial(WebSocket):
    """An agent's handshake at a control host, and what it is told in JSON."""

    def __init__(self, stage: Stage, target: str, token: str = "good", host: str = "localhost", **scope: Any) -> None:
        super().__init__(stage.app, target, host=host, headers=bearer(token), **scope)
        self.start()

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.heard if isinstance(message, str)]

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.told]


def stage(**settings: Any) -> Stage:
    return Stage(links=0, **{"grants": GRANTS, **settings})
