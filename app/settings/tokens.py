"""Tokens: where they are read from, what they allow, and the hash that is kept of them. Their text is never kept.

To rotate a token, keep two entries with the same clusters until the agents have moved to the new one. A token without
an entry is unknown: its agent gets 503 and comes back. A revoked token gets 401, and its links are closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from tunnel.text import NotTextError, decoded

from . import hosts
from .errors import Faults, KeyPath, WrongKeyError
from .pipes import A_PIPE, is_pipe
from .schema import AgentEntry

ADMIN_TOKEN_CHARACTERS = 16
"""The least length of the admin token: it opens everything under `/-/`, and guesses are not rate-limited."""

_TOKEN_FILE_BYTES = 16 * 1024
_OF_NO_TOKEN = sha256().digest()


@dataclass(frozen=True, slots=True)
class Grant:
    """What the bearer of a token may claim."""

    clusters: tuple[str, ...]
    revoked: bool = False
    hosts: tuple[str, ...] = ()
    """Host patterns that its agents may register: exact, or `*.` and a domain."""
    dialect: str = "auto"
    """The dialect of its agents' links: `yamux`, `json`, `chunk`, or `auto` for the best one that the agent offers."""
    max_published: int = 100
    """Routes that its agents may have published at once, over all their links."""


def token_hash(token: str | bytes) -> bytes:
    """The hash that is kept of a token. Tokens are long and random, so they need neither a salt nor a slow hash."""
    return sha256(token.encode() if isinstance(token, str) else token).digest()


def fingerprint(digest: bytes) -> str:
    """What log, events and lists show of a token's hash, to compare it with another. Empty for no token.

    >>> fingerprint(token_hash("change-me"))
    'sha256:e2186dbd'
    """
    return f"sha256:{digest.hex()[:8]}" if digest and digest != _OF_NO_TOKEN else ""


def grants(entries: Sequence[AgentEntry], folder: Path, faults: Faults) -> dict[bytes, Grant]:
    """The grants, by SHA-256 of the token. Files are relative to `folder`. What is wrong goes to `faults`."""
    found: dict[bytes, Grant] = {}
    for index, entry in enumerate(entries):
        where: KeyPath = ("agents", index)
        key = faults.check(partial(_key_of, faults), entry, where)
        digest = faults.check(partial(_digest, entry, folder), key, (*where, key)) if key is not None else None
        if key is not None and digest in found:
            text = "an earlier entry has the same token; each entry needs its own"
            faults.add(WrongKeyError((*where, key), text))
        patterns = [
            faults.check(hosts.route_host, pattern, (*where, "hosts", number))
            for number, pattern in enumerate(entry.hosts)
        ]
        if digest is not None:
            found[digest] = Grant(
                clusters=() if (*where, "clusters") in faults else tuple(entry.clusters),
                revoked=entry.revoked,
                dialect=entry.dialect,
                max_published=entry.max_published,
                hosts=tuple(pattern for pattern in patterns if pattern is not None),
            )
    return found


def _key_of(faults: Faults, entry: AgentEntry, where: KeyPath) -> str:
    """Which key says the token. Raises WrongKeyError unless it is one."""
    keys = ("token", "token_sha256", "token_file")
    given = [key for key in keys if getattr(entry, key) is not None or (*where, key) in faults]
    if len(given) != 1:
        raise WrongKeyError(where, "exactly one of token, token_sha256 and token_file is needed")
    return given[0]


def _digest(entry: AgentEntry, folder: Path, key: str, path: KeyPath) -> bytes:
    """The hash of the token that this key says. Raises WrongKeyError."""
    if key == "token_sha256":
        return bytes.fromhex(entry.token_sha256 or "")
    if key == "token_file":
        return token_hash(configured_token(folder / (entry.token_file or ""), path))
    return token_hash(_plain_token(entry.token or "", path))


def configured_token(file: Path, path: KeyPath) -> str:
    """The token of a file that every reload reads again. Raises WrongKeyError."""
    if is_pipe(file):
        raise WrongKeyError(path, f"{file} {A_PIPE}")
    return token_of_file(file, path)


def token_of_file(file: Path, path: KeyPath) -> str:
    """The token that a file holds, without the line end after it. Raises WrongKeyError."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_TOKEN_FILE_BYTES + 1)  # not its size first: a device has none, and no end
        if len(data) > _TOKEN_FILE_BYTES:
            raise WrongKeyError(path, f"{file} is too long; write one token into it")
        text = decoded(data).strip()
    except OSError as error:
        raise WrongKeyError(path, f"{file} cannot be read: {error.strerror}") from None
    except NotTextError as error:
        raise WrongKeyError(path, f"{file} {error}, with one token in it") from None
    if not text:
        raise WrongKeyError(path, f"{file} is empty; write one token into it")
    return _plain_token(text, path)


def checked_admin_token(token: str, path: KeyPath) -> str:
    """The token, if it is long enough and fits into a header. Raises WrongKeyError."""
    if len(token) < ADMIN_TOKEN_CHARACTERS:
        raise WrongKeyError(
            path,
            f"the admin token is too short; valid: at least {ADMIN_TOKEN_CHARACTERS} characters, preferably random",
        )
    return _plain_token(token, path)


def _plain_token(token: str, path: KeyPath) -> str:
    if any(character.isspace() for character in token) or not token.isprintable():
        raise WrongKeyError(path, "the token is not valid; write one without spaces, line ends and control characters")
    return token
