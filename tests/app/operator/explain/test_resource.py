"""`GET /-/explain` as the API serves it: its parameters, its errors, and who may ask."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from app.operator.explain.explaining import MOST_PROBES
from app.operator.explain.question import METHODS
from app.settings import token_hash
from tests.app.operator.explain.asking import HOST, URL, answer, stage
from tests.app.public.limits import Lines
from tests.app.stage import Stage
from tests.fakes.asgi import CLIENT, Request
from tests.fakes.loop import dialogue, quiet

UNKNOWN = f"method is not known; write one of {', '.join(METHODS)}"
NO_HEADER = "there is no parameter 'header' here; known: method, origin, probe, url"
ADMIN = [(b"authorization", b"Bearer admin")]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return Lines(caplog)


def asking(s: Stage, query: str, method: str = "GET") -> Request:
    request = Request(s.app, method, f"/-/explain{query}", host="localhost", headers=ADMIN)
    request.body()
    return request.start()


async def told(s: Stage, query: str) -> tuple[int, Any]:
    request = await asking(s, query).over()
    return request.status, json.loads(request.answer)


@pytest.mark.parametrize(
    ("query", "parameter", "message"),
    [
        ("", "url", "url is missing; write https://host/path"),
        ("?url=", "url", "url is empty; write https://host/path"),
        ("?url=a.test", "url", "url has no scheme; write url=https://host/path"),
        ("?url=%2Fx", "url", "url has no scheme; write url=https://host/path"),
        ("?url=ftp://a.test", "url", "url has a scheme that is not ours; write http, https, ws or wss"),
        ("?url=http://u:p@a.test", "url", "url has a user name or a password; leave them out"),
        ("?url=http://a.test:70000", "url", "url has a port that does not exist; write 1 to 65535"),
        ("?url=http://a.test/%0d%0aX:y", "url", "url has control characters; write https://host/path"),
        ("?url=http://a.test/%00", "url", "url has control characters; write https://host/path"),
        ("?url=http://a.test/%ff", "url", "url is not UTF-8; encode it as UTF-8 with %XX"),
        ("?url=http://a.test/" + "x" * 10_240, "url", "url is too long; write at most 8192 characters"),
        ("?url=http://a.test&url=http://b.test", "url", "url is given twice; give it once"),
        ("?url=http://a.test&method=BREW", "method", UNKNOWN),
        ("?url=http://a.test&method=GET%0d%0a", "method", UNKNOWN),
        ("?url=ws://a.test&method=POST", "method", "method is POST, and a ws URL opens a WebSocket; leave it out"),
        ("?url=http://a.test&origin=https://b.test", "origin",
         "origin is for WebSockets; write a ws or wss URL, or method=WEBSOCKET"),
        ("?url=ws://a.test&origin=" + "b" * 600, "origin", "origin is too long; write at most 512 characters"),
        ("?url=http://a.test&probe=yes", "probe", "probe is not valid; write true or false"),
        ("?url=http://a.test&probe=1", "probe", "probe is not valid; write true or false"),
        ("?url=http://a.test&header=x", "header", NO_HEADER),
    ],
)  # fmt: skip
@dialogue
async def test_bad_parameters(query: str, parameter: str, message: str):
    async with stage(admin_token_hash=token_hash("admin")) as s:
        assert await told(s, query) == (
            400, {"status": 400, "code": "bad_request", "parameter": parameter, "message": message}
        )  # fmt: skip
        assert s.link.exchanges == []


@dialogue
async def test_a_probe_comes_from_the_operator_and_the_url_may_have_all_characters(lines: Lines):
    async with stage(admin_token_hash=token_hash("admin")) as s:
        request = asking(s, f"?url={quote(f'{URL}/%2F?q=1&r=%20', safe='')}")
        await quiet()
        assert s.exchange.head.target == b"/a/%2F?q=1&r=%20"
        answer(s.exchange)
        await request.over()
        said = json.loads(request.answer)
        assert (request.status, said["code"], said["path"]) == (200, "ok", "/a/%2F")
        assert lines.last["client"] == CLIENT[0]
        assert list(said) == [
            "url", "method", "host", "path", "code", "status", "reason", "verdict", "hint", "route", "candidates",
            "policy", "cluster", "link", "node", "probe",
        ]  # fmt: skip


@dialogue
async def test_only_so_many_probes_at_once():
    async with stage(admin_token_hash=token_hash("admin")) as s:
        requests = [asking(s, f"?url={URL}") for _ in range(MOST_PROBES)]
        await quiet()
        assert await told(s, f"?url={URL}") == (
            503,
            {
                "status": 503, "code": "busy", "parameter": None,
                "message": "16 probes are running already; try again in a few seconds, or with probe=false",
            },
        )  # fmt: skip
        for exchange in list(s.link.exchanges):
            exchange.whole(b"")
        await asyncio.gather(*(request.over() for request in requests))


@dialogue
async def test_it_is_the_operators():
    async with stage(admin_token_hash=token_hash("admin")) as s:
        for host in ("localhost", HOST):
            request = Request(s.app, "GET", f"/-/explain?url={URL}", host=host)
            request.body()
            request.start()
            await quiet()
            if host == HOST:
                assert s.exchange.head.target.startswith(b"/-/explain")  # it belongs to the service
                answer(s.exchange)
            await request.over()
            assert request.status == (401 if host == "localhost" else 200)
