"""Builds policies from their keys: the file's keys override the defaults, and a route's keys override the file's.

A route's key replaces the file's value as a whole, header changes included.
"""

import dataclasses
import re
from typing import Any

from msgspec import UNSET

from ..rules.policy import HeaderChanges, Policy
from ..rules.shown import shown
from . import hosts
from .errors import Faults, KeyPath, WrongKeyError
from .schema import HeaderKeys, PolicyKeys, keys_of

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

HOP_BY_HOP = frozenset(
    (
        "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "proxy-authenticate", "proxy-authorization", "http2-settings",
    )
)  # fmt: skip
"""Fields of one connection, not of the message (RFC 9110 section 7.6.1)."""


def policy(base: Policy, keys: PolicyKeys, faults: Faults, path: KeyPath = ()) -> Policy:
    """`base`, overridden by the keys that are set. What is wrong goes to `faults`."""
    changes: dict[str, Any] = {}
    for name in keys_of(PolicyKeys):
        value = getattr(keys, name)
        if value is UNSET:
            continue
        if name == "origins":
            value = tuple(faults.check(hosts.origin, text, (*path, name, index)) for index, text in enumerate(value))
        elif isinstance(value, HeaderKeys):
            value = _header_changes(value, faults, (*path, name), of_request=name == "request_headers")
        elif value == "unlimited":
            value = None
        changes[name] = value
    return dataclasses.replace(base, **changes) if changes else base


def _header_changes(keys: HeaderKeys, faults: Faults, path: KeyPath, *, of_request: bool) -> HeaderChanges:
    set_fields: dict[str, str] = {}
    removed: set[str] = set()

    def set_field(value: str, where: KeyPath) -> None:
        lowered = _field_name(str(where[-1]), where, of_request=of_request)
        if lowered in set_fields:
            raise WrongKeyError(where, "this header is set twice; names are case-insensitive")
        if _CONTROL.search(value) or value != value.strip():
            raise WrongKeyError(where, "the value is not valid; remove control characters, and spaces at its ends")
        set_fields[lowered] = value

    def removed_field(name: str, where: KeyPath) -> None:
        lowered = _field_name(name, where, of_request=of_request)
        if lowered in set_fields:
            raise WrongKeyError(where, f"{shown(name)} is set as well, which replaces it; drop it here")
        removed.add(lowered)

    for name, value in keys.set.items():
        faults.check(set_field, value, (*path, "set", name))
    for index, name in enumerate(keys.remove):
        faults.check(removed_field, name, (*path, "remove", index))
    return HeaderChanges(
        [(name.encode(), value.encode()) for name, value in set_fields.items()],
        frozenset(name.encode() for name in removed),
    )


def _field_name(name: str, path: KeyPath, *, of_request: bool) -> str:
    lowered = name.lower()
    if not _TOKEN.fullmatch(name):
        raise WrongKeyError(path, f"{shown(name)} is not a header name; valid: letters, digits and !#$%&'*+-.^_`|~")
    ours = (
        lowered in HOP_BY_HOP
        or lowered == "content-length"
        or (of_request and lowered == "host")
        or lowered.startswith("sec-websocket-")
    )
    if ours:
        kept = "Host, " if of_request else ""
        raise WrongKeyError(
            path,
            f"{name} cannot be changed; the gateway sets {kept}Content-Length, Sec-WebSocket-* and hop-by-hop headers",
        )
    return lowered
