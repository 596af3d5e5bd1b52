"""Rows as the operator's API gives them, for a test to change."""

from typing import Any

NODE: dict[str, Any] = {
    "node": "abc", "name": "gateway-0", "is_self": True, "state": "connected", "about": "It hears itself.",
    "heard_seconds_ago": None, "draining": False, "peer_url": "http://10.0.0.1:8082", "link_out": None,
    "link_out_problem": None, "link_in": False, "build": "0.2.0", "started_at": "2026-01-01T00:00:00.000Z", "links": 3,
    "exchanges": 5, "websockets": 1, "files": "f1", "files_differ": False, "routes_revision": 9,
}  # fmt: skip
NODES: dict[str, Any] = {
    "node": "abc", "state": "connected", "about": "It hears itself.",
    "engine": {
        "state": "connected", "since": "2026-01-01T00:00:00.000Z", "server": "nats://10.0.0.9:4222", "why": None,
        "losses": 2, "forbidden": [],
    },
    "buckets": [{
        "bucket": "tunnel_nodes", "entries": 2, "revision": 70, "lag": 0, "synced": True, "frozen": False,
        "problem": None,
    }],
}  # fmt: skip
LINK: dict[str, Any] = {
    "link": "link-7", "cluster": "c1", "agent": "a1", "publisher": None, "version": "0.1.0", "address": "10.0.0.7",
    "since": "2026-01-01T00:00:00.000Z", "age_seconds": 7260.0, "round_trip_seconds": 0.0123, "dialect": "yamux",
    "state": "ready", "streams": 3, "window_bytes": 262144, "stalled_streams": 1, "bytes_waiting": 1536,
    "heard_seconds_ago": 0.5, "token": "sha256:1a2b3c4d",
}  # fmt: skip
ROUTE: dict[str, Any] = {
    "host": "a.test", "path": "/", "cluster": "c1", "target": "c1/apps/web:80", "scheme": "http", "origin": "file",
    "in_force": True, "expires_at": None, "reason": None, "explanation": None, "connected": True,
}  # fmt: skip
EXCHANGE: dict[str, Any] = {
    "id": "exchange-5", "kind": "http", "request_id": "r-5", "method": "GET", "host": "a.test", "path": "/big",
    "client": "192.0.2.1", "cluster": "c1", "namespace": "apps", "service": "web", "port": 80, "link": "link-7",
    "agent": "a1", "dialect": "yamux", "status": 200, "state": "answering", "since": "2026-01-01T00:00:00.000Z",
    "age_seconds": 1.5, "bytes_up": 0, "bytes_down": 2048, "messages_up": 0, "messages_down": 0, "held_bytes": 0,
    "stalled_by": "client",
}  # fmt: skip
EVENT: dict[str, Any] = {
    "number": 1, "at": "2026-01-01T00:00:00.000Z", "kind": "link_ready", "level": "info", "message": "link-7: ready",
    "cluster": "c1", "agent": "a1", "link": "link-7", "address": "10.0.0.7", "code": None, "token": None,
}  # fmt: skip
CLUSTER: dict[str, Any] = {
    "cluster": "c1", "configured": True, "has_token": True, "connected": True, "links": 1, "routes": 1,
    "last_seen": None, "why_not": None, "requests_waiting": 0,
}  # fmt: skip
ACCOUNT: dict[str, Any] = {
    "held_bytes": 1536, "high_mark_bytes": 1048576, "hard_mark_bytes": 2097152, "state": "normal", "spooled_bytes": 0,
    "spool_limit_bytes": 1048576, "connections": 9, "connections_limit": 100, "requests_waiting": 0,
    "limits": {"max_connections": 100}, "limits_hit": {"connections": 2, "waiting": 0},
}  # fmt: skip
STATUS: dict[str, Any] = {
    "version": "0.1.0", "python": "3.12.1", "started_at": "2026-01-01T00:00:00.000Z", "uptime_seconds": 61.0,
    "ready": True, "draining": False, "closing": False,
    "configuration": {
        "file": "/etc/gateway.toml", "loaded_at": "2026-01-01T00:00:00.000Z", "error": None, "reloads": 1,
        "reloads_refused": 0,
    },
    "counts": {
        "links": 2, "clusters": 3, "clusters_connected": 2, "routes": 4, "exchanges": 5, "websockets": 1,
        "connections": 9, "requests_waiting": 0,
    },
    "account": ACCOUNT, "warnings": ["no token covers cluster c9: its routes answer 503; add an [[agents]] entry"],
}  # fmt: skip
EXPLANATION: dict[str, Any] = {
    "url": "https://a.test/x", "method": "GET", "host": "a.test", "path": "/x", "code": "ok", "status": 200,
    "reason": None, "verdict": "it works", "hint": None, "route": ROUTE, "candidates": [],
    "policy": {"max_body_bytes": None, "idle_timeout": 60.0, "request_headers": {"set": [], "remove": []}},
    "cluster": CLUSTER, "link": LINK,
    "probe": {
        "sent": True, "request_id": "r-9", "status": 200, "outcome": "ok", "detail": None,
        "hops": [
            {"hop": "choose", "seconds": 0.0001, "text": "until link-7 of agent a1 (yamux) was chosen"},
            {"hop": "service", "seconds": None, "text": "no answer"},
        ],
    },
}  # fmt: skip


def page(resource: str, *rows: Any, following: Any = None, total: int | None = None, **more: Any) -> dict[str, Any]:
    return {resource: list(rows), "next": following, "total": len(rows) if total is None else total, **more}
