"""What must not leave the machine in a bundle, and how it is masked: a second line of defence.

The operator's API shows no secret. But texts come from agents, services and clients too, so whatever looks like a
secret is masked once more: values of fields whose names say so, and of header fields, bearer tokens, passwords in URLs,
query strings, and long random words. So are secrets that we know, wherever they stand. Hashes as the gateway shows them
(`sha256:` and 8 digits), request ids and traces stay. The work is linear in the length of a text.
"""

import re
from typing import Final

MASK: Final = "***"
_SECRET_NAMES: Final = re.compile(
    r"(?i)authorization|cookie|token|secret|passw|passphrase|credential|api[_-]?key|signature|^query$"
)
_PLACES: Final = re.compile(r"(?i)_file$|^has_")
"""Fields that say where a secret is, or whether there is one."""
_HEADERS: Final = re.compile(r"(?i)headers?$|^set$")
"""What is below them are header fields..."""
_REMOVED: Final = "remove"
"""...but here, which has names of some."""
_SHORT_HASH: Final = re.compile(r"sha256:[0-9a-f]{8}")

_NAMED: Final = re.compile(r"(?<![\w-])([\w-]+)[\"']?\s*[:=]\s*[\"']?")
"""`name=`, `name: ` or `"name": "`. A name is tried once, as a whole."""
_LINE_NAMES: Final = re.compile(r"(?i)authorization$|cookie$|^x-.*(?:key|token|secret)")
"""Header fields: the value ends with the line."""
_LINE: Final = re.compile(r"[^\r\n]+")
_WORD: Final = re.compile(r"(?!sha256:[0-9a-f]{8}\b)[^\s\"'&,;)\]}]+")
_RULES: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"//[^\s/@\"']+@"), f"//{MASK}@"),
    (re.compile(r"\?[^\s\"'<>]+"), f"?{MASK}"),
    (re.compile(r"(?<![\w-])eyJ[\w-]+(?:\.[\w-]*){1,4}"), MASK),
    (re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{40,}"), MASK),
    # Words of a random generator have all three kinds of characters; names of hosts and services do not.
    (re.compile(r"(?<![\w+=-])(?=[\w+=-]*[A-Z])(?=[\w+=-]*[a-z])(?=[\w+=-]*\d)[\w+=-]{32,}"), MASK),
)


def masked_text(text: str, known: tuple[str, ...] = ()) -> str:
    """The text without what looks like a secret. `known`: secrets, whatever they look like.

    >>> masked_text("GET /a?key=1: Authorization: Bearer abcdef")
    'GET /a?*** Authorization: ***'
    """
    for secret in known:
        text = text.replace(secret, MASK)
    text = _without_named(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def masked(value: object, known: tuple[str, ...] = ()) -> object:
    """A JSON value with all of its texts masked. Texts in a field for secrets are masked whole."""
    match value:
        case str():
            return masked_text(value, known)
        case list():
            return [masked(one, known) for one in value]
        case dict():
            return {masked_text(name, known): _field(name, one, known) for name, one in value.items()}
        case _:
            return value


def _field(name: str, value: object, known: tuple[str, ...]) -> object:
    if _HEADERS.search(name) and isinstance(value, dict):
        return {one: fields if one == _REMOVED else _hidden(fields) for one, fields in value.items()}
    if _SECRET_NAMES.search(name) and not _PLACES.search(name):
        return _hidden(value)
    return masked(value, known)


def _hidden(value: object) -> object:
    """The value without its texts. Numbers count secrets; they are none."""
    match value:
        case str():
            return value if not value or _SHORT_HASH.fullmatch(value) else MASK
        case list():
            return [_hidden(one) for one in value]
        case dict():
            return {name: _hidden(one) for name, one in value.items()}
        case _:
            return value


def _without_named(text: str) -> str:
    """The text without the values of what has the name of a secret."""
    parts: list[str] = []
    done = 0
    for found in _NAMED.finditer(text):
        if found.start() < done:  # it stands in a value that is masked already
            continue
        ends = _LINE if _LINE_NAMES.search(found[1]) else _WORD if _SECRET_NAMES.search(found[1]) else None
        value = ends.match(text, found.end()) if ends is not None else None
        if value is not None:
            parts += (text[done : found.end()], MASK)
            done = value.end()
    return "".join((*parts, text[done:]))
