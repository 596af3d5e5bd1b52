"""The trace that a request belongs to, as its `traceparent` says (W3C Trace Context, section 3.2).

The field passes untouched: the gateway is no part of the trace, and only names it in its log.
"""

import re
from typing import Final

TRACEPARENT: Final = b"traceparent"

_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?"
)
_BYTES = 55
"""Of version 00, exactly (section 3.2.2). A later version may append something after a dash (section 3.2.4)."""


def trace_id_of(value: bytes) -> str:
    """The trace id: 32 lower-case hexadecimal digits. Empty where the value is not valid."""
    found = _TRACEPARENT.fullmatch(value)
    if found is None or (len(value) > _BYTES and value.startswith(b"00")):
        return ""
    return found[1].decode("ascii")
