"""The OpenAPI 3.1 document of a table of resources. The types of the answers describe themselves."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from tunnel.version import VERSION

from .errors import Fault, NotAdmitted
from .resources import Resource, parameters_of

_SCHEMA = "#/components/schemas/{name}"
_ALWAYS = {
    400: "The query or the body is not valid.",
    401: "The admin token is missing or wrong.",
    403: "On a loopback listener without a token: not a program on this machine.",
}
_OF_ANOTHER = {504: "The node that this is about did not answer."}
_WATCHING = {503: "32 clients are watching already, or the gateway is stopping."}


def described(table: Iterable[Resource]) -> dict[str, Any]:
    """The document."""
    rows = list(table)
    types = [Fault, NotAdmitted, *(kind for row in rows for kind in row.answers.values())]
    schemas, components = msgspec.json.schema_components(types, ref_template=_SCHEMA)
    fault, not_admitted, *bodies = schemas
    paths: dict[str, dict[str, Any]] = {}
    given = iter(bodies)
    for row in rows:
        answers = {status: next(given) for status in row.answers}
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, answers, fault, not_admitted)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tunnel-gateway", "version": VERSION, "summary": "What the operator may ask and do."},
        "security": [{"adminToken": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "adminToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin token. A listener on loopback without a token asks for none.",
                }
            },
        },
    }


def _operation(
    row: Resource, answers: dict[int, Any], fault: dict[str, Any], not_admitted: dict[str, Any]
) -> dict[str, Any]:
    watched = row.is_watched or row.follow is not None
    responses: dict[str, Any] = {}
    for status, schema in answers.items():
        content = {"application/json": {"schema": schema}}
        if watched and status == 200:
            content["text/event-stream"] = {"schema": {"type": "string"}}
        responses[str(status)] = {"description": "Done." if status < 300 else "Refused.", "content": content}
    for status, text in {
        **_ALWAYS,
        **(_WATCHING if watched else {}),
        **(_OF_ANOTHER if row.of_any_node else {}),
        **row.errors,
    }.items():
        responses[str(status)] = {
            "description": text,
            "content": {"application/json": {"schema": not_admitted if status == 401 else fault}},
        }
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", row.path)
    ]
    in_query = [
        {
            "name": parameter.name, "in": "query", "required": parameter.required, "description": parameter.text,
            "schema": parameter.kind.schema() | ({} if parameter.default is None else {"default": parameter.default}),
        }
        for parameter in parameters_of(row)
    ]  # fmt: skip
    name = re.sub(r"\W+", "_", f"{row.method.lower()} {row.path}").strip("_")
    return {"operationId": name, "summary": row.summary, "parameters": [*in_path, *in_query], "responses": responses}
