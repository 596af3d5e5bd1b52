"""The settings in force, as JSON, without secrets: for a bundle that somebody else may read.

Values are shown by type: bytes are always hashes or header values, so they are never shown. Paths of files are.
"""

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields
from typing import Any, Final

import msgspec

from ...rules.policy import HeaderChanges, Policy
from ...rules.routes import Route
from ...settings import Grant, Settings, fingerprint
from .pages import ROWS_PER_TURN
from .resources import Answer, Asked, Node, answer

SECRET: Final = "***"  # noqa: S105  (what stands in the place of one)
_ELSEWHERE: Final = frozenset(
    {"policy", "admin_token_hash", "tls_places", "grants", "routes", "arguments", "file", "files_read"}
)
"""Fields of `Settings` that are shown otherwise, or not at all."""


class AgentToken(msgspec.Struct, frozen=True, kw_only=True):
    """One agents' token, and what its bearer may claim."""

    token: str
    """`sha256:` and the first 8 digits of its hash."""
    clusters: tuple[str, ...]
    hosts: tuple[str, ...]
    dialect: str
    revoked: bool


class ConfiguredRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One route of the file. `policy`: what differs from the settings."""

    host: str
    path: str
    cluster: str
    namespace: str
    service: str
    port: int
    scheme: str
    verify: bool
    ca_file: str | None
    server_name: str | None
    policy: dict[str, Any]


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force."""

    file: str | None
    files_read: tuple[str, ...]
    settings: dict[str, Any]
    """By key, with the defaults of all routes. Header values and the admin token appear as `***`."""
    agents: list[AgentToken]
    routes: list[ConfiguredRoute]


async def configuration(node: Node, _: Asked) -> Answer:
    """The settings in force."""
    settings = node.gateway.settings
    agents, routes = [], []
    for number, (digest, grant) in enumerate(settings.grants.items(), 1):
        agents.append(msgspec.Raw(msgspec.json.encode(_token(digest, grant))))
        if number % ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
    for number, route in enumerate(settings.routes.routes, 1):
        routes.append(msgspec.Raw(msgspec.json.encode(_route(route, settings.policy))))
        if number % ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
    return answer(
        {
            "file": settings.file, "files_read": settings.files_read, "settings": _settings(settings),
            "agents": agents, "routes": routes,
        }
    )  # fmt: skip


def _settings(settings: Settings) -> dict[str, Any]:
    own = {field.name: _shown(getattr(settings, field.name)) for field in fields(settings)
           if field.name not in _ELSEWHERE}  # fmt: skip
    token = None if settings.admin_token_hash is None else SECRET
    return own | {"admin_token": token} | _policy(settings.policy, None)


def _policy(policy: Policy, beside: Policy | None) -> dict[str, Any]:
    """The keys of a policy, and of its rewrite; with another beside it, those that differ."""
    values = {field.name: getattr(policy, field.name) for field in fields(policy) if field.name != "rewrite"}
    rewritten = {} if policy.rewrite is None else policy.rewrite.keys
    return rewritten | {
        name: _shown(value) for name, value in values.items() if beside is None or value != getattr(beside, name)
    }


def _token(digest: bytes, grant: Grant) -> AgentToken:
    return AgentToken(
        token=fingerprint(digest), clusters=grant.clusters, hosts=grant.hosts, dialect=grant.dialect,
        revoked=grant.revoked,
    )  # fmt: skip


def _route(route: Route, defaults: Policy) -> ConfiguredRoute:
    target = route.target
    return ConfiguredRoute(
        host=route.host, path=route.path.decode(), cluster=target.cluster, namespace=target.namespace,
        service=target.service, port=target.port, scheme=target.scheme, verify=target.verify, ca_file=target.ca_file,
        server_name=target.server_name, policy=_policy(route.policy, defaults) if route.policy != defaults else {},
    )  # fmt: skip


def _shown(value: object) -> Any:  # noqa: ANN401  (JSON)
    match value:
        case None | bool() | int() | float() | str():
            return value
        case HeaderChanges():
            names = [name.decode("latin-1") for name, _ in value.set]
            return {
                "set": dict.fromkeys(names, SECRET),
                "remove": sorted(name.decode("latin-1") for name in value.remove),
            }
        case Mapping():
            return {str(key): _shown(item) for key, item in value.items()}
        case AbstractSet():
            return sorted(str(item) for item in value)
        case tuple() | list():
            return [_shown(item) for item in value]
        case bytes():
            return SECRET
        case _:
            return str(value)  # networks
