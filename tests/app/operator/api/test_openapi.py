"""The description is of what is served: every path and method, every parameter, and every answer as it comes.

jsonschema takes a second to import, so only the tests that ask it do.
"""

import json
from typing import Any

import pytest

from app.operator.admin import Admin, create_admin_app
from app.operator.api.resources import parameters_of
from app.operator.api.table import RESOURCES
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.operator.api.calls import ask, stage, told
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema by itself, with what it refers to. Fields that it does not name are errors."""
    named = {
        name: {**each, "additionalProperties": False} if "properties" in each else each
        for name, each in document["components"]["schemas"].items()
    }
    return {**schema, "components": {"schemas": named}}


def check(document: dict[str, Any], path: str, method: str, status: int, body: Any) -> None:
    """The answer is one that the document announces, with no field that it does not name."""
    import jsonschema

    content = document["paths"][path][method.lower()]["responses"][str(status)]["content"]["application/json"]
    jsonschema.Draft202012Validator(resolved(document, content["schema"])).validate(body)


@dialogue
async def test_it_describes_exactly_what_is_served():
    import jsonschema

    async with stage() as s:
        document = await told(s, "/-/openapi.json")
        assert document["openapi"].startswith("3.1.")
        described = {(path, method.upper()) for path, row in document["paths"].items() for method in row}
        assert described == {(row.path, row.method) for row in RESOURCES}
        assert len({row["operationId"] for path in document["paths"].values() for row in path.values()}) == len(
            described
        )
        served = {route.path for route in Admin(s.app.state.node).routes}  # type: ignore[attr-defined]
        assert served == {row.path for row in RESOURCES} | {"/metrics"}
        for row in RESOURCES:
            operation = document["paths"][row.path][row.method.lower()]
            in_query = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
            assert in_query == {parameter.name for parameter in parameters_of(row)}
            assert operation["summary"].endswith(".")
            watched = row.is_watched or row.follow is not None
            assert ("text/event-stream" in operation["responses"].get("200", {}).get("content", {})) == watched
            for each in operation["parameters"]:
                jsonschema.Draft202012Validator.check_schema(each["schema"])
        for schema in document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)


def full() -> Stage:
    """One of everything."""
    return stage(
        links=2,
        grants={
            token_hash("t"): Grant(("c1", "away"), hosts=("*.c1.test",)),
            token_hash("r"): Grant(("r",), revoked=True),
        },
        routes=RouteTable([Route("app.example.test", b"/", TARGET), Route("localhost", b"/", TARGET)]),
    )


GETS = [row.path for row in RESOURCES if row.method == "GET" and "{" not in row.path and "explain" not in row.path]


@pytest.mark.parametrize("path", GETS)
@dialogue
async def test_every_answer_is_as_described(path: str):
    async with full() as s:
        document = await told(s, "/-/openapi.json")
        check(document, path, "GET", 200, await told(s, path))
        status, body = await ask(s, f"{path}?nothing=1")
        check(document, path, "GET", status, body)


@dialogue
async def test_every_answer_about_a_link_is_as_described():
    async with full() as s:
        document = await told(s, "/-/openapi.json")
        name = s.link.name
        check(document, "/-/links/{link}", "GET", 200, await told(s, f"/-/links/{name}"))
        check(document, "/-/links/{link}/drain", "POST", 202, await told(s, f"/-/links/{name}/drain", "POST"))
        status, body = await ask(s, "/-/links/nothing")
        check(document, "/-/links/{link}", "GET", status, body)


@dialogue
async def test_who_may_not_ask_is_answered_as_described():
    async with full() as s:
        document = await told(s, "/-/openapi.json")
        answered = await Request(s.app, target="/-/links", host="localhost").start().over()
        check(document, "/-/links", "GET", answered.status, json.loads(answered.answer))
        listener = create_admin_app(s.gateway, open_to_all=True)
        answered = await Request(listener, target="/-/links", host="rebound.test").start().over()
        check(document, "/-/links", "GET", answered.status, json.loads(answered.answer))
        assert answered.status == 403


@dialogue
async def test_the_controls_answer_as_described():
    async with full() as s:
        document = await told(s, "/-/openapi.json")
        status, body = await ask(s, "/-/reload", "POST")
        check(document, "/-/reload", "POST", status, body)
        assert (status, body["code"]) == (409, "configuration_refused")
        status, body = await ask(s, "/-/drain?wait=1", "POST")
        check(document, "/-/drain", "POST", status, body)
