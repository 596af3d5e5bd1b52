"""Who gets at the operator's endpoints: the token's holder; on a loopback listener of its own, this machine alone."""

import json

import pytest
from starlette.applications import Starlette

from app.operator.admin import create_admin_app
from app.settings import token_hash
from tests.app.stage import Stage
from tests.fakes.asgi import App, Pairs, Request
from tests.fakes.loop import dialogue

ENDPOINTS = [("GET", "/metrics"), ("POST", "/-/drain")]


def listener(stage: Stage, *, open_to_all: bool) -> App:
    made: Starlette = create_admin_app(stage.gateway, open_to_all=open_to_all)
    return made


async def asked(app: App, method: str, path: str, host: str | None, headers: Pairs | None = None) -> tuple[int, str]:
    """Status, and the code of a refusal."""
    request = await Request(app, method, path, host=host, headers=headers or []).start().over()
    try:
        return request.status, json.loads(request.answer)["code"]
    except (ValueError, KeyError):
        return request.status, ""


# --- without a token, on loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:9000", "LOCALHOST", "localhost.", "127.0.0.1", "127.0.0.1:9000", "[::1]", "[::1]:9000",
    ],
)  # fmt: skip
@dialogue
async def test_names_of_this_machine_are_served(host: str):
    async with Stage() as s:
        app = listener(s, open_to_all=True)
        assert await asked(app, "GET", "/metrics", host) == (200, "")
        assert (await asked(app, "POST", "/-/drain", host))[0] in (200, 202)


@pytest.mark.parametrize(
    "host",
    [
        None, "", "rebound.example", "localhost.rebound.example", "localhost.example:80", "xlocalhost", "127.0.0.2",
        "127.0.0.1.rebound.example", "::1", "[::2]", "0.0.0.0", "localhost@rebound.example", "app.example.test",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@dialogue
async def test_any_other_name_is_not(host: str | None, method: str, path: str):
    """A page could otherwise come in under a name of its own that leads to loopback."""
    async with Stage() as s:
        assert await asked(listener(s, open_to_all=True), method, path, host) == (403, "not_local")
        assert not s.gateway.draining


@pytest.mark.parametrize(
    "origin", [b"http://localhost", b"http://127.0.0.1:9000", b"https://rebound.example", b"null", b""]
)
@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@dialogue
async def test_a_page_is_not_whatever_its_origin(origin: bytes, method: str, path: str):
    async with Stage() as s:
        app = listener(s, open_to_all=True)
        assert await asked(app, method, path, "localhost", [(b"origin", origin)]) == (403, "not_local")


@pytest.mark.parametrize(("site", "refused"), [(b"cross-site", True), (b"same-site", True), (b"none", False)])
@dialogue
async def test_without_a_token_no_image_of_a_page_sends_a_probe(site: bytes, *, refused: bool):
    """A browser sends no Origin for it; `none` is an address that somebody typed."""
    async with Stage() as s:
        app = listener(s, open_to_all=True)
        status, _ = await asked(app, "GET", "/-/explain", "localhost", [(b"sec-fetch-site", site)])
        assert status == (403 if refused else 400)  # there is no url
        assert not s.gateway.draining


# --- with a token


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (b"Bearer admin", 200),
        (b"bearer   admin ", 200),
        (b"Bearer Admin", 401),
        (b"Bearer admin2", 401),
        (b"Bearer", 401),
        (b"Bearer ", 401),
        (b"Basic admin", 401),
        (b"admin", 401),
        (None, 401),
    ],
)
@dialogue
async def test_the_token_opens_from_everywhere(authorization: bytes | None, status: int):
    async with Stage(admin_token_hash=token_hash("admin")) as s:
        headers = [] if authorization is None else [(b"authorization", authorization)]
        for host in ("localhost", "rebound.example"):
            answer = await asked(listener(s, open_to_all=False), "GET", "/metrics", host, headers)
            assert answer == (status, "" if status == 200 else "admin_token_needed")


@dialogue
async def test_without_a_token_nothing_opens_a_listener_that_is_not_for_all():
    async with Stage() as s:
        for credentials in (b"Bearer ", b"Bearer admin", b"Bearer None"):
            answer = await asked(
                listener(s, open_to_all=False), "POST", "/-/drain", "localhost", [(b"authorization", credentials)]
            )
            assert answer == (401, "admin_token_needed")
        assert not s.gateway.draining


@pytest.mark.parametrize("token", ["schl\u00fcssel", "voil\u00e0", "\u9375"])
@dialogue
async def test_a_token_with_letters_beyond_ascii_opens_as_its_bytes_were_written(token: str):
    async with Stage(admin_token_hash=token_hash(token)) as s:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        assert await asked(listener(s, open_to_all=False), "GET", "/metrics", "localhost", headers) == (200, "")
