"""What must not leave the machine in a bundle, and how it is masked: a second line of defence.

The operator's API shows no secret. But texts come from agents, services and clients too, so whatever looks like a
secret is masked once more: credentials after the names of their fields, bearer tokens, passwords in URLs, query
strings, and long random words. Hashes as the gateway shows them (`sha256:` and 8 digits), request ids and traces stay.
"""

import re
from typing import Any, Final

MASK: Final = "***"
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_RULES: Final = (
    # A field and its value, which ends with the line.
    (re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)([\"']?\s*[:=]\s*)[^\r\n]+"), rf"\1\2{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)((?:token=|(?:secret|password|api[_-]?key)\s*[:=]\s*))[^\s\"'&,;]+"), rf"\1{MASK}"),
    (re.compile(r"//[^\s/@\"']+@"), f"//{MASK}@"),
    (re.compile(r"\?[^\s\"'<>]+"), f"?{MASK}"),
    (re.compile(r"\beyJ[\w-]+(?:\.[\w-]*){1,4}"), MASK),
    (re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{40,}"), MASK),
    # Words of a random generator have all three kinds of characters; names of hosts and services do not.
    (re.compile(r"(?<![\w+=-])(?=[\w+=-]*[A-Z])(?=[\w+=-]*[a-z])(?=[\w+=-]*\d)[\w+=-]{32,}"), MASK),
)


def masked_text(text: str) -> str:
    """The text without what looks like a secret.

    >>> masked_text("GET /a?key=1: Authorization: Bearer abcdef")
    'GET /a?*** Authorization: ***'
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def masked(value: Any) -> Any:  # noqa: ANN401  (JSON)
    """A JSON value with all of its texts masked. What a field for credentials holds is masked whole."""
    match value:
        case str():
            return masked_text(value)
        case list():
            return [masked(one) for one in value]
        case dict():
            return {
                masked_text(name): MASK if name.lower() in _CREDENTIALS and one is not None else masked(one)
                for name, one in value.items()
            }
        case _:
            return value
