"""Plays a recording of the json dialect: what its gateway asked, clients of ours ask, and its agent answers them.

A client names its recorded request in a field of its own, `X-Recorded`, so our ids and the recorded ones are matched
however many are under way. The agent answers our pings, as it would have (the recorded gateway sent few).
"""

import base64
import contextlib
import json
from typing import Any
from urllib.parse import quote

from app.asgi.http_client import BrokenOffError
from tests.app.stage import Stage
from tests.fakes.asgi import Request, WebSocket
from tests.tunnel.gateway import sound
from tests.tunnel.gateway.recording import HOST, NOT_SENT_BY_US, REFUSED_HOST, SLOW_HOST, AgentCall, Playback

HOST_OF_PORT = {18090: HOST, 18091: SLOW_HOST, 18999: REFUSED_HOST}

NOT_ASKED = {
    "w-s5": "a route of ours is complete, or is no route",
    "w-b5": "a route of ours is complete, or is no route",
    "r-6 of 06": "our base64 has its padding",
    "k-8": "a request for the Kubernetes API has no service, so no route of ours leads there",
}
"""Recorded requests that no client can make us ask."""

NEVER_SENT = {
    "proxy_websocket_start": "the Kubernetes API is reached by no route",
    "proxy_stream_chunk": "that agent does not know it",
    "proxy_stream_close": "that agent does not know it",
    "error": "a text of the wrong kind would make that agent forget its cluster",
    "ping": "ours has no id and comes when the link wants to know; each is answered",
    "not JSON": "everything we say is an envelope",
    "binary": "everything we say in this dialect is text",
    "an id that is no text": "an agent drops it; our ids are UUIDs",
    "a payload that is no object": "an agent drops it",
}
"""What the recorded gateway sent and ours never does, each with the reason."""

DIFFERENT = {
    "headers": "compared one by one, see FIELDS_DIFFERENT",
    "supports_response_streaming": "always true: the buffered answer is for agents that cannot stream, and understood",
    "timeout": "an hour, so that the doors' deadlines come first; none on WebSockets",
    "scheme": "always said",
    "cluster_uuid": "always said; not read by that agent",
    "body": "compared decoded: ours is base64 always",
    "body_encoding": "ours is base64 always",
}
"""Keys of a proxy_request that are not equal to the recorded gateway's."""

FIELDS_DIFFERENT = {
    "Host": "the client's: it chooses the route",
    "Origin": "the page's, on the client's host",
    "Connection": "hop by hop",
    "Te": "hop by hop",
    "Upgrade": "hop by hop; is_websocket says it",
    "Sec-WebSocket-Key": "the agent makes its own",
    "Sec-WebSocket-Version": "the agent's own; alone it would make that agent think of a WebSocket",
    "X-Forwarded-For": "the client's address: a stranger's claim is not passed on",
    "X-Forwarded-Proto": "how the client reached us: a stranger's claim is not passed on",
}
"""Fields of a recorded request that ours sends otherwise, or not."""

ADDED = {
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Request-Id",
    "X-Recorded",
}
"""Fields that ours sends in addition."""


class JsonPlayback(Playback):
    """See the module. `upload_bytes`: each piece of a streamed upload is repeated up to so many."""

    dialect = "json"

    def __init__(self, name: str, stage: Stage, *, drops: bool = True, upload_bytes: int = 0) -> None:
        super().__init__(name, stage, drops=drops)
        self.number = name[:2]
        self.clients: dict[str, Request | WebSocket] = {}
        self.ids: dict[str, str] = {}
        self.asked: dict[str, dict[str, Any]] = {}
        """What we sent for each recorded request."""
        self.again: list[str] = []
        """Those that we asked more than once: only what may be repeated."""
        self.never: set[str] = set()
        """Keys of NEVER_SENT and NOT_ASKED that came up."""
        self._wanted: dict[str, dict[str, Any]] = {}
        self._upload_bytes = upload_bytes
        self._looked: dict[int, int] = {}

    @property
    def call(self) -> AgentCall:
        """The newest connection that is open."""
        return [call for call in self.calls.values() if not call.gone and call.accepted is not None][-1]

    def request(self, theirs: str) -> Request:
        client = self.clients[theirs]
        assert isinstance(client, Request)
        return client

    def websocket(self, theirs: str) -> WebSocket:
        client = self.clients[theirs]
        assert isinstance(client, WebSocket)
        return client

    def sent(self, theirs: str) -> list[dict[str, Any]]:
        """All that we sent for one recorded request, on any connection."""
        ours = self.ids[theirs]
        told = [message for _, call in sorted(self.calls.items()) for message in call.told]
        return [message for message in told if message.get("request_id") == ours]

    async def outcome(self, theirs: str) -> tuple[int, int, str]:
        """Status, bytes of the body, and how it ended."""
        client = self.request(theirs)
        try:
            await client.over()
        except BrokenOffError:
            assert not client.complete
            return client.status, len(client.answer), "broken off"
        return client.status, len(client.answer), "end" if client.complete else "nothing"

    # --- what the agent said, with our ids

    def translated(self, text: str) -> str:
        message = json.loads(text)
        for where in (message, message["payload"]):
            for key in ("request_id", "stream_id"):
                where.update({key: self.ids[where[key]]} if where.get(key) in self.ids else {})
        return json.dumps(message)

    def translated_bytes(self, data: bytes) -> bytes:
        end = 2 + int.from_bytes(data[:2], "big")
        ours = self.ids[data[2:end].decode()].encode()
        return len(ours).to_bytes(2, "big") + ours + data[end:]

    # --- what the gateway said

    def gateway_said(self, call: AgentCall, text: str) -> None:
        if not text.startswith("{"):
            self.never.add("not JSON")
            return
        recorded = json.loads(text)
        kind, theirs, payload = recorded["type"], recorded.get("request_id"), recorded["payload"]
        if kind not in NOT_SENT_BY_US and not kind.startswith("proxy_") and kind not in NEVER_SENT:
            super().gateway_said(call, text)
        elif kind in NEVER_SENT:
            self.never.add(kind)
            assert all(message["type"] != kind or kind == "ping" for message in call.told)
        elif kind == "proxy_request":
            self._ask(theirs, payload)
        elif theirs in self.clients:
            self._go_on(self.clients[theirs], kind, payload)
        else:
            assert kind in NOT_SENT_BY_US or theirs in {"k-1", "k-2"}

    async def binary(self, call: AgentCall, data: bytes) -> None:
        self.never.add("binary")

    def _ask(self, theirs: Any, payload: Any) -> None:
        if not isinstance(theirs, str):
            self.never.add("an id that is no text")
            theirs = f"without id {len(self.clients)}"
        if isinstance(payload, list):
            self.never.add("a payload that is no object")
            (payload,) = payload
        skipped = theirs if theirs in NOT_ASKED else f"{theirs} of {self.number}"
        if skipped in NOT_ASKED:
            self.never.add(skipped)
            return
        self._wanted[theirs] = payload
        host = HOST_OF_PORT[payload["service_port"]]
        target = quote(payload["path"], safe="/.") + ("?" + payload["query"] if "query" in payload else "")
        given = {name.lower(): values for name, values in payload["headers"].items() if name != "Host"}
        if "origin" in given:
            given["origin"] = [f"http://{host}"]
        fields = [(name.encode(), value.encode()) for name, values in given.items() for value in values]
        fields.append((b"x-recorded", theirs.encode()))
        app = self.stage.app
        if payload.get("is_websocket"):
            offered = [item.strip() for value in given.get("sec-websocket-protocol", []) for item in value.split(",")]
            self.clients[theirs] = WebSocket(app, target, host=host, headers=fields, subprotocols=offered).start()
            return
        body = body_of(payload)
        if payload.get("streaming"):
            fields.append((b"transfer-encoding", b"chunked"))
        elif body:
            fields.append((b"content-length", str(len(body)).encode()))
        request = Request(app, payload["method"], target, host=host, headers=fields)
        if not payload.get("streaming"):
            request.body(body)
        self.clients[theirs] = request.start()

    def _go_on(self, client: Request | WebSocket, kind: str, payload: dict[str, Any]) -> None:
        if isinstance(client, Request):
            match kind:
                case "proxy_request_chunk":
                    data = base64.b64decode(payload["data"])
                    client.body(data * (self._upload_bytes // len(data) or 1), more=True)
                case "proxy_request_stream_end":
                    client.body()
                case "proxy_cancel":
                    client.leave()
            return
        if client.is_over:
            return
        if kind == "proxy_websocket_close":
            client.leave(1000, "")
            return
        encoded = base64.b64decode(payload["data"])
        match encoded[0]:
            case 1:
                client.say(encoded[1:].decode())
            case 2:
                client.say(encoded[1:])
            case 8:
                code = int.from_bytes(encoded[1:3], "big") if len(encoded) > 1 else 1005
                client.leave(code, encoded[3:].decode())

    # --- what we said

    def looked(self) -> bool:
        before = sum(self._looked.values())
        for number, call in self.calls.items():
            told = call.told
            for message in told[self._looked.get(number, 0) :]:
                sound.check(message)
                if message["type"] == "ping" and not call.gone:
                    call.say(json.dumps({**message, "type": "pong"}))
                elif message["type"] == "proxy_request":
                    self._asked(message)
            self._looked[number] = len(told)
            assert call.frames == b""
        return sum(self._looked.values()) > before

    def _asked(self, message: dict[str, Any]) -> None:
        payload = message["payload"]
        (theirs,) = payload["headers"]["X-Recorded"]
        if theirs in self.ids:
            assert payload["method"] == "GET", f"{theirs} is asked twice"
            self.again.append(theirs)
        self.ids[theirs] = message["request_id"]
        self.asked[theirs] = payload
        wanted = self._wanted[theirs]
        compare(payload, wanted)
        if not self._upload_bytes and not wanted.get("streaming"):
            assert body_of(payload) == body_of(wanted)

    async def end(self) -> None:
        """The clients that are left leave."""
        for client in self.clients.values():
            client.leave()
            with contextlib.suppress(BrokenOffError):
                await client.over()
        await super().end()
        assert self.stage.gateway.proxied.exchanges == {}


def body_of(payload: dict[str, Any]) -> bytes:
    """The body within a proxy_request."""
    body = payload.get("body", "")
    return base64.b64decode(body, validate=True) if payload.get("body_encoding") == "base64" else body.encode()


def compare(ours: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Two proxy_requests' payloads, by meaning."""
    collected = {"streaming"} if recorded.get("streaming") and not ours.get("streaming") else set()
    ignored = set(DIFFERENT) | collected | {"request_id"}
    assert {key: value for key, value in ours.items() if key not in ignored} == {
        key: value for key, value in recorded.items() if key not in ignored
    }
    mine, theirs = ours["headers"], recorded["headers"]
    assert set(mine) - set(theirs) <= ADDED, set(mine) - set(theirs) - ADDED
    for name, values in theirs.items():
        if name not in FIELDS_DIFFERENT:
            assert mine[name] == values, name
        elif name not in {"Host", "Origin", "X-Forwarded-For", "X-Forwarded-Proto"}:
            assert name not in mine
