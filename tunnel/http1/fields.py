"""What the fields of an answer mean for this hop: framing, whether the connection persists, what is not passed on.

Pure functions over lists of fields; no state, no I/O. llhttp has already refused malformed names and values,
Content-Length together with Transfer-Encoding, and more than one Content-Length. What else we do not accept is
refused here. The cost is linear in the fields, whatever they say, and there are at most `FIELD_LIMIT`.
"""

from dataclasses import dataclass

from tunnel.errors import BadAnswerError
from tunnel.port import Headers

FIELD_LIMIT = 256
"""Fields of one head; common servers send up to 30."""
OF_THIS_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 section 7.6.1. `Proxy-Authenticate` is meant for the next client, which is this gateway."""
_SPECIAL = OF_THIS_HOP | {b"content-length"}
_NOT_IN_TRAILERS = _SPECIAL | {b"host", b"trailer"}
"""RFC 9110 section 6.5.1: framing and routing."""
_LONGEST_LENGTH_DIGITS = 18
"""Below 2**63, which any client can hold."""
_KNOWN_OPTIONS = frozenset({b"", b"close", b"keep-alive", b"content-length"})


@dataclass(slots=True)
class Fields:
    """The fields of an answer, interpreted."""

    passed_on: Headers
    """All but those of this hop, in their order."""
    length: int | None = None
    chunked: bool = False
    close: bool = False
    keep_alive_seconds: float | None = None
    """The service's hint: `Keep-Alive: timeout=N`."""


def read_fields(headers: Headers) -> Fields:
    """Sort the fields of an answer. Raises BadAnswerError."""
    if len(headers) > FIELD_LIMIT:
        raise BadAnswerError(f"a head of more than {FIELD_LIMIT} fields")
    fields = Fields([])
    options: list[bytes] = []
    for field in headers:
        name = field[0].lower()
        if name not in _SPECIAL:
            fields.passed_on.append(field)
        elif name == b"content-length":
            fields.length = length_of(field[1])
            if fields.length is None:
                raise BadAnswerError("Content-Length is not a valid number")
            fields.passed_on.append(field)
        elif name == b"transfer-encoding":
            if fields.chunked or field[1].lower() != b"chunked":
                raise BadAnswerError("a Transfer-Encoding other than exactly chunked")
            fields.chunked = True
        elif name == b"connection":
            options.extend(field[1].lower().split(b","))
        elif name == b"keep-alive":
            fields.keep_alive_seconds = timeout_of(field[1])
    if options:
        _obey_connection(fields, {option.strip(b" \t") for option in options})
    return fields


def _obey_connection(fields: Fields, options: set[bytes]) -> None:
    """Remove the fields that Connection names; `options` are in lower case."""
    fields.close = b"close" in options
    # Content-Length is for every recipient, whatever Connection says.
    named = options - _KNOWN_OPTIONS
    if named:
        fields.passed_on = [field for field in fields.passed_on if field[0].lower() not in named]


def without_length(headers: Headers) -> Headers:
    """For 1xx and 204, which must not have a Content-Length (RFC 9110 section 8.6)."""
    return [field for field in headers if field[0].lower() != b"content-length"]


def trailers_passed_on(headers: Headers) -> Headers:
    """The trailer fields that may go to the next hop."""
    return [field for field in headers if field[0].lower() not in _NOT_IN_TRAILERS]


def length_of(value: bytes) -> int | None:
    """What a Content-Length says; None for what is no valid number."""
    return int(value) if len(value) <= _LONGEST_LENGTH_DIGITS and value.isdigit() else None


def timeout_of(value: bytes) -> float | None:
    """The seconds of a `Keep-Alive: timeout=N`; None where it has none."""
    for parameter in value.split(b","):
        name, _, number = parameter.partition(b"=")
        digits = number.strip(b' \t"')
        if name.strip(b" \t").lower() == b"timeout" and digits.isdigit() and len(digits) <= 9:
            return float(digits)
    return None
