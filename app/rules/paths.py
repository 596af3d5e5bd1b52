"""Raw paths: which prefixes can be read in one way only, and which paths have dot segments in whatever writing."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_PREFIX: Final = re.compile(r"/|(/(?!\.\.?(/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")
"""No empty segments, no dot segments, no escapes."""
PREFIX_CHARACTERS: Final = 1024
"""The longest prefix of a route of an agent, or of a rewrite: enough for any ingress controller, and small."""
_DECODINGS: Final = 2
_DOT_SEGMENT: Final = re.compile(rb"[/\\]\.\.?(?:[/\\;]|\Z)")
"""RFC 3986 section 3.3. Some services read a backslash as a slash, and drop what follows a semicolon."""


def is_prefix(path: str) -> bool:
    """Whether this is a valid prefix of paths.

    >>> is_prefix("/"), is_prefix("/api/v1"), is_prefix("/a/../b"), is_prefix("api")
    (True, True, False, False)
    """
    return _PREFIX.fullmatch(path) is not None


def has_dot_segments(path: bytes) -> bool:
    """Whether a service may find a dot segment in this path: as it is, or decoded once or twice.

    >>> has_dot_segments(b"/a/../b"), has_dot_segments(b"/a/%252e%252E"), has_dot_segments(b"/a..b/.well-known")
    (True, True, False)
    """
    for _ in range(_DECODINGS):
        if _DOT_SEGMENT.search(path) is not None:
            return True
        if b"%" not in path:
            return False
        path = unquote_to_bytes(path)
    return _DOT_SEGMENT.search(path) is not None
