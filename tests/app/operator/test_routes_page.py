"""`/-/routes`: what the operator sees of the routes in force and beside them."""

import json

import pytest

from app.rules.routes import Route, RouteTable
from app.settings import token_hash
from tests.app.agents.calls import REGISTER, register_body, stage, told
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue
from tunnel.port import Target

TOKEN = "0123456789abcdef"
FILE = RouteTable(
    [
        Route("x.a.test", b"/", Target("c", "apps", "kuma", 3001, scheme="https")),
        Route("*.w.test", b"/api", Target("c", "apps", "api", 80)),
    ]
)


async def page(stage: Stage, token: str = TOKEN, host: str = "gw.test") -> Request:
    request = Request(
        stage.app, "GET", "/-/routes", host=host, headers=[(b"authorization", f"Bearer {token}".encode())]
    )
    request.body()
    return await request.start().over()


@dialogue
async def test_routes_of_both_origins():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: 1_800_000_000.25)
        async with stage(routes=FILE, admin_token_hash=token_hash(TOKEN)) as s:
            await told(s, REGISTER, register_body("y.a.test", path="/app"))
            await told(s, REGISTER, register_body("x.a.test"))
            body = json.loads((answer := await page(s)).answer)
            reasons = [(route.pop("reason"), route.pop("explanation")) for route in body["routes"]]
            assert [code for code, _ in reasons] == ["no_token", "no_token", "shadowed", None]
            assert all((text is None) == (code is None) for code, text in reasons)
            assert (answer.status, answer.header(b"content-type")) == (200, b"application/json")
            away = {"connected": False, "publisher": None, "rewrite": None}
            common = {"origin": "file", "in_force": False, "expires_at": None, "cluster": "c", **away}
            learned = {
                "origin": "learned", "expires_at": "2027-01-16T08:00:00+00:00", "cluster": "a",
                "target": "a/ingress/traefik:80", "scheme": "http", **away,
            }  # fmt: skip
            assert body == {
                "routes": [
                    {"host": "x.a.test", "path": "/", "target": "c/apps/kuma:3001", "scheme": "https", **common},
                    {"host": "*.w.test", "path": "/api", "target": "c/apps/api:80", "scheme": "http", **common},
                    {"host": "x.a.test", "path": "/", "in_force": False, **learned},  # the file has this host
                    {"host": "y.a.test", "path": "/app", "in_force": True, **learned},
                ],
                "refused": [],
                "next": None,
                "total": 4,
            }


@dialogue
async def test_it_is_the_operators():
    async with stage(admin_token_hash=token_hash(TOKEN)) as s:
        assert (await page(s, "of-a")).status == 401
        assert (await page(s, host="elsewhere.test")).status == 404
    async with stage() as s:
        assert (await page(s)).status == 404
