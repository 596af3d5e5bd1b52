"""Tokens: what is kept of them (a hash), what they allow, and where they are read from. Their text is never kept.

Rotation is two entries of the same clusters for a while: the agents move to the new token, then the old entry goes.
A token that is gone is unknown (503, the agent comes back); a revoked one is told so (401) and its links end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from . import hosts
from .errors import KeyPath, WrongKeyError
from .schema import AgentEntry

ADMIN_TOKEN_CHARACTERS = 16
"""The least length of the admin token: it opens everything under `/-/`, and nothing slows a guesser down."""

_TOKEN_FILE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Grant:
    """What the bearer of a token may claim."""

    clusters: tuple[str, ...]
    revoked: bool = False
    hosts: tuple[str, ...] = ()
    """Host patterns that its agents may register: exact, or `*.` and a domain."""
    dialect: str = "auto"
    """What its agents are spoken with: `yamux`, `json`, `chunk`, or `auto`: the best of what they say they can."""


def token_hash(token: str | bytes) -> bytes:
    """What is kept of a token: 32 bytes. Tokens are long random strings, so no salt and no slow hash is needed."""
    return sha256(token.encode() if isinstance(token, str) else token).digest()


def grants(entries: Sequence[AgentEntry], folder: Path) -> dict[bytes, Grant]:
    """By SHA-256 of the token; files relative to `folder`. Raises WrongKeyError."""
    found: dict[bytes, Grant] = {}
    for index, entry in enumerate(entries):
        where: KeyPath = ("agents", index)
        given = [key for key in ("token", "token_sha256", "token_file") if getattr(entry, key) is not None]
        if len(given) != 1:
            raise WrongKeyError(where, "give one of token, token_sha256 and token_file")
        if entry.token_sha256 is not None:
            digest = bytes.fromhex(entry.token_sha256)
        elif entry.token_file is not None:
            digest = token_hash(token_of_file(folder / entry.token_file, (*where, "token_file")))
        else:
            digest = token_hash(_plain_token(entry.token or "", (*where, "token")))
        if digest in found:
            raise WrongKeyError((*where, given[0]), "the same token stands in an entry before")
        found[digest] = Grant(
            clusters=tuple(entry.clusters),
            revoked=entry.revoked,
            dialect=entry.dialect,
            hosts=tuple(
                hosts.host_pattern(pattern, (*where, "hosts", number)) for number, pattern in enumerate(entry.hosts)
            ),
        )
    return found


def token_of_file(file: Path, path: KeyPath) -> str:
    """The one token that a file holds; a line end behind it is no part of it. Raises WrongKeyError."""
    try:
        if file.stat().st_size > _TOKEN_FILE_BYTES:
            raise WrongKeyError(path, f"{file} is longer than a token file; it holds one token")
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise WrongKeyError(path, f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongKeyError(path, f"{file} is not text") from None
    if not text:
        raise WrongKeyError(path, f"{file} is empty; it holds one token")
    return _plain_token(text, path)


def checked_admin_token(token: str, path: KeyPath) -> str:
    """The token, when it is long enough and fits into a header. Raises WrongKeyError."""
    if len(token) < ADMIN_TOKEN_CHARACTERS:
        raise WrongKeyError(
            path, f"the admin token is too short; valid: at least {ADMIN_TOKEN_CHARACTERS} characters, best random ones"
        )
    return _plain_token(token, path)


def _plain_token(token: str, path: KeyPath) -> str:
    if any(character.isspace() for character in token) or not token.isprintable():
        raise WrongKeyError(path, "a token has no blanks, line ends or control characters")
    return token
