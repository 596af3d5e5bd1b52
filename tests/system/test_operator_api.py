"""The operator's API at every door that serves it: asked, watched, drained, and ended with the gateway."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed

from tests.system.clients import Answer, RawClient, http_client, websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import wait_until
from tests.system.servers import OUR_DOOR, SERVERS
from tests.system.test_drain import ADMIN, BEARER, ask
from tests.system.test_two_agents import second_service, served_by

pytestmark = [pytest.mark.anyio, tunnel_only]

Make = Callable[..., Stack]

DOORS = [pytest.param(name, marks=pytest.mark.slow) if name == OUR_DOOR else name for name in SERVERS]
"""The door of our own under uvicorn differs least from the others."""


@pytest.fixture
def make(own_stack: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Stacks with an admin token, not started."""
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    (tmp_path / "admin-token").write_text(f"{ADMIN}\n")
    return lambda **settings: own_stack(admin_token_file="admin-token", **settings)


class Watching:
    """One connection that watches. Use as a context manager."""

    def __init__(self, port: int, target: str, *, receive_buffer_bytes: int | None = None) -> None:
        self.client = RawClient((LOOPBACK, port), receive_buffer_bytes=receive_buffer_bytes)
        self.client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{BEARER}\r\n\r\n".encode())
        self._text = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.socket.close()

    def head(self) -> Answer:
        return self.client.answer_head()

    def event(self) -> tuple[str, Any]:
        """The next event that is no comment: its name and JSON."""
        while True:
            while b"\n\n" not in self._text:
                chunk = self._chunk()
                assert chunk, "it ended"
                self._text += chunk
            block, _, self._text = self._text.partition(b"\n\n")
            if not block.startswith(b":"):
                fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
                return fields["event"], json.loads(fields["data"])

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The page of the first event that is wanted."""
        while True:
            _, page = self.event()
            if wanted(page):
                return page

    def ends(self) -> bool:
        """Whether what is left ends in order, with the last chunk."""
        while self._chunk():
            pass
        return True

    def _chunk(self) -> bytes:
        size = int(self.client.read_until(b"\r\n"), 16)
        data = self.client.read_exactly(size)
        self.client.read_exactly(2)
        return data


def told(port: int, line: str) -> tuple[int, Any]:
    answer = ask(port, f"{line} HTTP/1.1", BEARER)
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("server", DOORS)
def test_a_watcher_sees_the_agent_come_and_its_link_drained_and_ends_with_the_node(make: Make, server: str) -> None:
    stack = make(shutdown_grace=1.0)
    SERVERS[server](stack)
    with Watching(stack.port, "/-/links?watch=true") as links, Watching(stack.port, "/-/status?watch=true") as node:
        assert links.head().one("content-type").startswith("text/event-stream")
        assert links.event() == ("snapshot", {"links": [], "next": None, "total": 0})
        assert node.head().status == 200
        stack.start_agent()
        (link,) = links.until(lambda page: page["total"] and page["links"][0]["state"] == "ready")["links"]
        assert (link["cluster"], link["address"], link["agent"] is not None) == ("c1", LOOPBACK, True)
        assert node.until(lambda page: page["counts"]["links"] == 1)["ready"] is True
        assert told(stack.port, f"GET /-/links/{link['link']}")[1]["dialect"] == link["dialect"]
        status, body = told(stack.port, f"POST /-/links/{link['link']}/drain")
        assert (status, body["state"]) == (202, "leaving")
        (again,) = links.until(
            lambda page: page["total"] == 1 and page["links"][0]["link"] != link["link"]
            and page["links"][0]["state"] == "ready"
        )["links"]  # fmt: skip
        assert again["agent"] == link["agent"], "the agent has dialled again"
        assert told(stack.port, f"GET /-/links/{link['link']}")[0] == 410
        assert told(stack.port, "POST /-/drain?wait=20") == (
            200, {"drained": True, "exchanges": 0, "message": "drained"}
        )  # fmt: skip
        assert links.ends()
        assert node.ends()


@app_only("it stops at the first signal, in its own way")
@pytest.mark.parametrize("own_listener", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_signal_ends_those_that_watch_and_those_that_do_not_read(make: Make, own_listener: bool) -> None:
    admin = free_port()
    stack = make(shutdown_grace=1.0, **({"admin_bind": f"{LOOPBACK}:{admin}"} if own_listener else {}))
    config = stack.write_config()
    names = ", ".join(f'"cluster-{number:04}-{"x" * 40}"' for number in range(1_000))
    config.write_text(config.read_text().replace('"c1", "c2"]', f'"c1", "c2", {names}]'))
    stack.write_config = lambda: config  # type: ignore[method-assign]
    stack.start()
    port = admin if own_listener else stack.port
    stuck = [Watching(port, "/-/clusters?watch=true", receive_buffer_bytes=4_096) for _ in range(10)]
    with Watching(port, "/-/clusters?watch=true&limit=1") as watching:
        assert watching.head().status == 200
        assert watching.event()[0] == "snapshot"
        wait_until(lambda: told(port, "GET /-/clusters")[0] == 200, 30, "it serves others meanwhile")
        stack.gateway.ask_to_stop()
        assert watching.ends()
    assert stack.gateway.wait_end() == 0
    for each in stuck:
        each.client.socket.close()
    said = "\n".join(stack.gateway.output())
    for wrong in ("Traceback", "never awaited", "was destroyed", "exception ignored"):
        assert wrong not in said


@app_only("it does not read its file again by itself")
def test_the_configuration_is_read_again_when_it_is_asked_for(make: Make) -> None:
    stack = make().start(agent=False)
    config = stack.folder / "gateway.toml"
    good = config.read_text()
    config.write_text("max_websockets = 0\n" + good)
    status, body = told(stack.port, "POST /-/reload")
    assert (status, body["code"]) == (409, "configuration_refused")
    assert "max_websockets" in body["errors"][0]
    config.write_text("max_websockets = 3\n" + good)
    assert told(stack.port, "POST /-/reload")[1]["changed"] is True
    assert told(stack.port, "GET /-/configuration")[1]["settings"]["max_websockets"] == 3


@pytest.mark.parametrize("server", DOORS)
def test_answers_and_errors_are_the_same_at_every_door(make: Make, server: str) -> None:
    stack = make()
    SERVERS[server](stack)
    assert told(stack.port, "GET /-/status")[1]["draining"] is False
    assert told(stack.port, "GET /-/openapi.json")[1]["openapi"].startswith("3.1")
    status, body = told(stack.port, "GET /-/links?limit=0")
    message = "limit is 0; write a number from 1 to 1000"
    assert (status, body) == (400, {"status": 400, "code": "bad_request", "parameter": "limit", "message": message})
    answer = ask(stack.port, "DELETE /-/links HTTP/1.1", BEARER)
    assert (answer.status, answer.one("allow")) == (405, "GET, HEAD")
    answer = ask(stack.port, "POST /-/reload HTTP/1.1", BEARER, "Content-Length: 0")
    assert answer.status == 200
    assert ask(stack.port, "GET /-/status HTTP/1.1").status == 401


async def test_exchanges_are_seen_and_ended_and_the_events_say_so(make: Make) -> None:
    stack = make().start()
    with (
        Watching(stack.port, "/-/events?watch=true&kind=exchange_ended_by_operator") as events,
        RawClient(stack.address("plain")) as request,
    ):
        assert events.head().status == 200
        async with websocket(stack.url("ws", "/echo?token=secret", "ws"), compression=None) as client:
            await client.send("twelve bytes")
            assert await client.recv() == "twelve bytes"
            request.request("GET /never?id=api HTTP/1.1", "plain", "X-Token: secret")
            wait_until(lambda: told(stack.port, "GET /-/exchanges")[1]["total"] == 2, 30, "both run")
            page = told(stack.port, "GET /-/exchanges")[1]
            assert "secret" not in json.dumps(page)
            talking, waiting = page["exchanges"]
            assert (talking["kind"], talking["path"], talking["status"]) == ("websocket", "/echo", 101)
            assert (talking["messages_up"], talking["bytes_down"]) == (1, 12)
            assert (waiting["kind"], waiting["service"], waiting["state"]) == (
                "http",
                "plain",
                "waiting for the answer",
            )
            assert told(stack.port, f"DELETE /-/exchanges/{talking['id']}")[0] == 202
            with pytest.raises(ConnectionClosed, match="1012"):
                await client.recv()
            assert told(stack.port, f"DELETE /-/exchanges/{waiting['id']}")[0] == 202
            answer = request.answer()
            assert (answer.status, json.loads(answer.body)["code"]) == (502, "ended_by_operator")
            said = "(ended_by_operator: ended by the operator)"
            wait_until(lambda: sum(said in line for line in stack.gateway.output()) == 2, 30, "both lines say so")
        assert [events.event()[1]["cluster"] for _ in range(2)] == ["c1", "c1"]
        wait_until(lambda: told(stack.port, "GET /-/exchanges")[1]["total"] == 0, 30, "both are over")
        assert told(stack.port, f"GET /-/exchanges/{talking['id']}")[0] == 410


async def test_while_a_link_is_drained_what_runs_on_it_goes_on_and_nothing_new_fails(make: Make) -> None:
    stack = make(shutdown_grace=3600).start()
    async with http_client() as http:
        held = await http.get(stack.url("plain", "/sse?channel=held"))
        assert held.headers["X-Service"] == "plain"
        (first,) = told(stack.port, "GET /-/links")[1]["links"]
        stack.start_agent("a2", services={"plain": second_service(stack)})
        assert told(stack.port, f"POST /-/links/{first['link']}/drain")[0] == 202
        for _ in range(3):
            assert await served_by(stack) == {"other"}
        item = told(stack.port, f"GET /-/links/{first['link']}")[1]
        assert (item["state"], item["streams"]) == ("leaving", 1)
        for push in ("channel=held&data=late", "channel=held"):
            async with http.post(stack.control("plain", f"/sse/push?{push}")) as pushed:
                assert pushed.status == 202
        assert await held.read() == b"id: 1\ndata: late\n\n"
    wait_until(lambda: told(stack.port, f"GET /-/links/{first['link']}")[0] == 410, 30, "the link is closed")
    wait_until(lambda: len(told(stack.port, "GET /-/links?state=ready")[1]["links"]) == 2, 30, "its agent is back")
