"""Every query parameter and every body that is not valid, for every resource: a row each, with status and text.

The rows are made from the API's own table, so a resource or parameter that is added is tested without a word here.
"""

from collections.abc import Iterator

import pytest

from app.operator.api.events_of_nodes import Numbered
from app.operator.api.parameters import Choice, Flag, Kind, Parameter, Seconds, Text, Whole
from app.operator.api.resources import Resource, parameters_of
from app.operator.api.table import RESOURCES
from tests.app.operator.api.calls import ask, request, stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue

SECRET = "top-secret-token"


def path_of(row: Resource) -> str:
    """A path that the row serves; what it names need not exist."""
    return row.path.replace("{link}", "link-1").replace("{id}", "exchange-1")


def asked_of(row: Resource) -> str:
    """The same with the parameters that the row needs."""
    needed = [parameter.name for parameter in row.parameters if parameter.required]
    return f"{path_of(row)}?{'&'.join(f'{name}={NEEDED[name]}' for name in needed)}"


NEEDED = {"url": "http://nobody.test/"}


def wrong_of_kind(kind: Kind) -> list[tuple[str, str]]:
    """What only this kind refuses."""
    match kind:
        case Text():
            return [(value, f"has control characters; write {kind.valid}") for value in ("a%00b", "a%0Ab")]
        case Choice():
            return [(value, f"is not known; write {kind.valid}") for value in (SECRET, kind.words[0].swapcase())]
        case Flag():
            return [(value, "is not valid; write true or false") for value in ("1", "yes", "True", "on")]
        case Whole():
            bounds = f"from {kind.least} to {kind.most}"
            words = [(text, f"is not a whole number; write one {bounds}") for text in NO_NUMBERS]
            beyond = [number for number in (kind.least - 1, kind.most + 1) if len(str(number)) <= kind.most_characters]
            return words + [(str(number), f"is {number}; write a number {bounds}") for number in beyond]
        case Seconds():
            words = [(text, "is not valid; write a number of seconds") for text in ("soon", "nan", "1s", "1,5")]
            beyond = [] if kind.clamped else ["-1", "inf"]
            return words + [(text, f"is {text}; write {kind.valid}") for text in beyond]
        case _:
            raise AssertionError(f"no rows for {kind}")


NO_NUMBERS = ("one", "1.5", "0x1", "%D9%A1", "--1", "1%2C0")


def wrong_values(parameter: Parameter) -> Iterator[tuple[str, str]]:
    """A value as it is written in a query, and how the message goes on after the parameter's name."""
    kind = parameter.kind
    yield "", f"is empty; write {kind.valid}"
    for length in (kind.most_characters + 1, 12 * kind.most_characters + 1):
        yield "x" * length, f"is too long; write at most {kind.most_characters} characters"
    yield "%ff", "is not UTF-8; encode it as UTF-8 with %XX"
    for value in ("%e", "%zz", "%"):
        yield value, "is not percent-encoded; encode it as UTF-8 with %XX"
    yield from wrong_of_kind(kind)


def name_of(row: Resource, parameter: str, value: str) -> str:
    return f"{row.method} {row.path} {parameter}={value[:12]}-{len(value)}"


WRONG = [
    pytest.param(row, parameter.name, value, f"{parameter.name} {text}", id=name_of(row, parameter.name, value))
    for row in RESOURCES
    for parameter in parameters_of(row)
    for value, text in wrong_values(parameter)
]


@pytest.mark.parametrize(("row", "name", "value", "text"), WRONG)
@dialogue
async def test_a_wrong_value_is_refused_by_name(row: Resource, name: str, value: str, text: str):
    async with stage() as s:
        status, body = await ask(s, f"{path_of(row)}?{name}={value}", row.method)
        assert (status, body) == (400, {"status": 400, "code": "bad_request", "parameter": name, "message": text})
        assert not s.gateway.draining


@pytest.mark.parametrize("row", RESOURCES, ids=lambda row: f"{row.method} {row.path}")
@dialogue
async def test_what_is_no_parameter_of_the_row_is_refused(row: Resource):
    known = sorted(parameter.name for parameter in parameters_of(row))
    names = f"known: {', '.join(known)}" if known else "there are none"
    async with stage() as s:
        for query, name in (
            (f"nothing={SECRET}", "nothing"), ("nothing", "nothing"), ("=1", ""), ("Limit=1", "Limit"),
            (f"{'n' * 500}=1", "n" * 60), ("%0A=1", "\\n"),
        ):  # fmt: skip
            status, body = await ask(s, f"{path_of(row)}?{query}", row.method)
            message = f"there is no parameter {name!r} here; {names}"
            assert (status, body["parameter"], body["message"]) == (400, name, message)
        for query in ("%ff=1", "%=1"):
            status, body = await ask(s, f"{path_of(row)}?{query}", row.method)
            assert (status, body["parameter"]) == (400, None)
            assert body["message"].startswith("a parameter's name is not ")


TWICE = [
    pytest.param(row, parameter.name, id=f"{row.method} {row.path} {parameter.name}")
    for row in RESOURCES
    for parameter in parameters_of(row)
]
GOOD = {Text: "MQ==", Choice: None, Flag: "false", Whole: "1", Numbered: "1", Seconds: "0"}


@pytest.mark.parametrize(("row", "name"), TWICE)
@dialogue
async def test_a_parameter_that_is_given_twice_is_refused(row: Resource, name: str):
    kind = next(parameter.kind for parameter in parameters_of(row) if parameter.name == name)
    value = kind.words[0] if isinstance(kind, Choice) else GOOD[type(kind)]
    async with stage() as s:
        status, body = await ask(s, f"{path_of(row)}?{name}={value}&{name}={value}", row.method)
        assert (status, body["parameter"], body["message"]) == (400, name, f"{name} is given twice; give it once")
        assert not s.gateway.draining


BODIES = [[(b"content-length", b"2")], [(b"transfer-encoding", b"chunked")]]


@pytest.mark.parametrize("headers", BODIES, ids=lambda headers: headers[0][0].decode())
@pytest.mark.parametrize(
    "row", [row for row in RESOURCES if not row.takes_any_body], ids=lambda row: f"{row.method} {row.path}"
)
@dialogue
async def test_a_body_is_refused(row: Resource, headers: list[tuple[bytes, bytes]]):
    async with stage() as s:
        status, body = await ask(s, asked_of(row), row.method, headers)
        message = {
            "status": 400,
            "code": "bad_request",
            "parameter": "body",
            "message": "this takes no body; send none",
        }
        assert (status, body) == (400, message)
        assert (await ask(s, asked_of(row), row.method, [(b"content-length", b"0")]))[0] != 400


@dialogue
async def test_the_drain_ignores_a_body_as_it_always_did():
    async with stage() as s:
        assert (await ask(s, "/-/drain", "POST", [(b"content-length", b"2")]))[0] in (200, 202)


@pytest.mark.parametrize("wait", ["-5", "-inf", "0", "1e-3", "inf", "1e300"])
@dialogue
async def test_a_wait_beyond_its_bounds_counts_as_the_bound_as_it_always_did(wait: str):
    async with stage() as s:
        assert (await ask(s, f"/-/drain?wait={wait}", "POST"))[0] in (200, 202)


# --- methods and names


def methods_of(path: str) -> set[str]:
    return {row.method for row in RESOURCES if row.path == path}


@pytest.mark.parametrize("path", sorted({row.path for row in RESOURCES}))
@dialogue
async def test_another_method_is_refused_and_those_that_there_are_are_named(path: str):
    served = methods_of(path)
    served |= {"HEAD"} if "GET" in served else set()
    row = next(row for row in RESOURCES if row.path == path)
    async with stage() as s:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"):
            if method in served:
                continue
            answered = await request(s, path_of(row), method).over()
            assert answered.status == 405, method
            assert set((answered.header(b"allow") or b"").decode().split(", ")) == served
        assert not s.gateway.draining


@pytest.mark.parametrize("name", ["link-0", "link-x", "link-999999999", "x" * 101, "nothing", "link-%D9%A1", "%2e%2e"])
@pytest.mark.parametrize(("path", "method"), [("/-/links/{}", "GET"), ("/-/links/{}/drain", "POST")])
@dialogue
async def test_a_name_of_nothing_is_not_found(path: str, method: str, name: str):
    async with stage(links=1) as s:
        status, body = await ask(s, path.format(name), method)
        assert (status, body["code"], body["parameter"]) == (404, "not_found", None)


@pytest.mark.parametrize("row", RESOURCES, ids=lambda row: f"{row.method} {row.path}")
@dialogue
async def test_without_the_token_nothing_is_looked_at(row: Resource):
    async with stage() as s:
        for target in (path_of(row), f"{path_of(row)}?nothing=1"):
            asked = await Request(s.app, row.method, target, host="localhost").start().over()
            assert asked.status == 401
            assert asked.header(b"www-authenticate") == b"Bearer"
        assert not s.gateway.draining
