"""The field lines of one request, and what they say: worked out once, wherever a door remembers the lines.

What passes to the service as it came is one piece of bytes here, so that no call looks at each field again. Where a
field has to be looked at, there is no such piece, and `app/public/header_rules.py` takes the long way.
"""

from typing import Final

import msgspec

from tunnel.port import Headers

from .shape import Shape
from .trace import trace_id_of

_NAMES_NONE: Final = frozenset((b"", b"keep-alive", b"Keep-Alive", b"close", b"Close"))
"""Values of Connection that name no field."""
VALUES: Final = bytes(0x20 if (byte < 0x20 and byte != 0x09) or byte == 0x7F else byte for byte in range(256))
"""Changes what must not be in values: control characters except tab (RFC 9110 section 5.5)."""

Facts = tuple[bytes, int, bytes, bytes, bytes | None, int, str]
"""What `Fields` has besides its lines."""


class Fields(msgspec.Struct, frozen=True, eq=False, gc=False):
    """See the module."""

    lines: Headers
    """In their order, names in lower case, repetitions kept (RFC 9110 section 5.3)."""
    host: bytes
    """The first Host as sent; empty where there is none."""
    hosts: int
    connection: bytes
    """The values of Connection, joined with commas (RFC 9110 section 5.3); empty where there is none."""
    upgrade: bytes
    """The values of Upgrade, joined with commas."""
    passed: bytes | None
    """The lines that a client who is not trusted may send to a service, each as CR LF, name, colon, blank, value.
    None: each field has to be looked at."""
    length: int
    """Of the body, as Content-Length says; only with `passed`."""
    trace_id: str
    """See `trace.py`. Empty: there is no valid `traceparent`, or more than one."""


def facts_of(shape: Shape, values: tuple[bytes, ...], *, is_checked: bool) -> Facts:
    """What fields of this shape and with these values say. `is_checked`: the values have no control characters."""
    host = b"" if shape.host_at is None else values[shape.host_at]
    connection = b",".join([values[at] for at in shape.connections]) if shape.connections else b""
    upgrade = b",".join([values[at] for at in shape.upgrades]) if shape.upgrades else b""
    trace_id = trace_id_of(values[shape.trace_at]) if shape.trace_at is not None else ""
    length = 0
    passes = shape.is_plain and connection in _NAMES_NONE
    if passes and shape.content_lengths:
        announced = values[shape.content_lengths[0]]
        passes = announced.isdigit() and len(announced) <= 18
        if passes:
            length = int(announced)
            passes = announced == b"%d" % length
    if not passes:
        return host, shape.hosts, connection, upgrade, None, 0, trace_id
    pick = shape.pick
    picked = pick(values)
    if not is_checked:
        joined = b"".join(picked)
        if joined.translate(VALUES) != joined:  # the very same object, where nothing is wrong
            return host, shape.hosts, connection, upgrade, None, 0, trace_id
    return host, shape.hosts, connection, upgrade, shape.passed % picked, length, trace_id
