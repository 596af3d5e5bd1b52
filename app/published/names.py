"""Names that the gateway gives to published ports: the same for the same agent and port, without any state.

A name is a digest of the cluster, the agent's seed, the port's key and the number of the attempt. So it survives a
restart of either side, is the same on every node, and cannot be guessed without the seed.
"""

import base64
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

TRIES: Final = 10
"""Names to try before giving up. Two agents that want the same one have the same seed."""
LABEL_CHARACTERS: Final = 10
"""Fifty bits: among 20,000 names the chance that any two are the same is 1 in 5 million."""


def names_below(domain: str, *, cluster: str, seed: str, key: str) -> Iterator[str]:
    """The names to try in turn. `domain`: with its leading dot."""
    for attempt in range(TRIES):
        digest = sha256("\0".join((cluster, seed, key, str(attempt))).encode()).digest()
        yield base64.b32encode(digest).decode().lower()[:LABEL_CHARACTERS] + domain


def first_wildcard(patterns: Iterable[str]) -> str | None:
    """The first of a token's `hosts` that names can be given below."""
    return next((pattern for pattern in patterns if pattern.startswith("*.")), None)
