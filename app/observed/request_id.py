"""`X-Request-ID`: the id that finds one exchange in every log on its way.

A trusted peer's id is kept if it is short and plain; otherwise a new one is made. It is sent to the service and
returned to the client. The id of an untrusted client never reaches a log or a service.
"""

import os
import re
from typing import Final

from tunnel.port import Headers

from ..rules.shape import REQUEST_ID as NAME

_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch
_ID_BYTES = 16
_BATCH = 256
"""Ids made with one system call."""

made: Final[list[str]] = []
"""Ids that nobody has yet: take the last one, or where there is none, `new_request_id`."""
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=made.clear)  # so that a forked process does not repeat ids


def new_request_id() -> str:
    """A new id: 32 random hexadecimal digits."""
    if not made:
        digits = os.urandom(_BATCH * _ID_BYTES).hex()
        made.extend([digits[at : at + 2 * _ID_BYTES] for at in range(0, len(digits), 2 * _ID_BYTES)])
    return made.pop()


def request_id_of(headers: Headers, trusted: bool) -> str:
    """The request's own `X-Request-ID` if the peer is trusted and sent exactly one valid id; else a new id."""
    if trusted:
        found = [value for name, value in headers if len(name) == len(NAME) and name.lower() == NAME]
        if len(found) == 1 and _ACCEPTABLE(found[0]):
            return found[0].decode("ascii")
    return new_request_id()


def with_request_id(headers: Headers, request_id: str) -> Headers:
    """The headers with this id as their only `X-Request-ID`."""
    kept = [field for field in headers if len(field[0]) != len(NAME) or field[0].lower() != NAME]
    kept.append((NAME, request_id.encode("ascii")))
    return kept
