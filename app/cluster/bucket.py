"""A bucket: a few thousand small values by key that all nodes share, and what can happen to a write.

Reading is a plain call and never waits: it answers from this node's mirror. Writing asks the engine and waits for its
answer. `mirror.Mirror` is the real one, `tests/fakes/bucket.py` has one in memory.

What holds for every bucket:

- A revision is a number that the engine gives to each write, ever greater over all keys of one bucket. With `created`
  before it, it orders the writes of a bucket that was made anew, too.
- Once a write has returned, `get` shows it, or something newer, and `on_change` was called with it.
- `on_change` is called with ever greater revisions of a key, never twice with the same. Between keys there is no
  promise.
- A write that was followed by another one of the same key may never be told.
- A key that is gone without a word (the bucket was made anew) is told as a delete of revision 0.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One key as of one revision. A value of None: the key was deleted."""

    key: str
    value: bytes | None
    revision: int
    created: str
    """The `created` of the bucket that gave the revision."""


class Bucket(Protocol):
    """What the rest of the cluster knows of a bucket. All calls belong to the event loop's thread."""

    on_change: Callable[[Entry], None]
    """A key has another value, or none. Called for this node's own writes, too."""

    on_anew: Callable[[], None]
    """The bucket was made anew, or has lost writes. What this node had in it must be put again.

    Called before the bucket is listed: the mirror still holds what was there. Each difference that the listing finds
    is told to `on_change` afterwards.
    """

    @property
    def created(self) -> str | None:
        """Which bucket of this name it is: RFC 3339 in UTC, of fixed length, so that text compares as time does.

        None: not known yet.
        """

    @property
    def revision(self) -> int:
        """The newest write that the mirror has seen; 0 before the first."""

    @property
    def synced(self) -> bool:
        """Whether the mirror has everything as of now. False: it is being listed, or the engine is away."""

    def get(self, key: str) -> Entry | None:
        """The entry of this key; None if there is none, or it was deleted."""

    def items(self) -> Iterator[Entry]:
        """All entries but deleted ones, in no order. The caller may not wait while it iterates."""

    async def put(self, key: str, value: bytes) -> int:
        """Writes, whatever is there. Returns the revision. Raises BucketError; ValueError for `key_problem`."""

    async def create(self, key: str, value: bytes) -> int:
        """Writes if the key has no value. Else ConflictError."""

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Writes if the key's last write, a delete included, has this revision. Else ConflictError."""

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Deletes; with a revision as `update` does."""


class BucketError(Exception):
    """A write that was not confirmed. The message says why, for the operator."""


class ConflictError(BucketError):
    """Somebody else wrote this key first. Nothing was written: read it and decide again."""


class AwayError(BucketError):
    """The engine cannot be reached or does not serve this bucket. Nothing was written, as far as known."""


class UncertainError(BucketError):
    """No answer came in time. The write may have been done, or may still be."""


KEY_LENGTH = 1_024
"""The longest key, in characters. NATS closes the connection over a line of more than 4,096 bytes."""

_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./")


def key_problem(key: str) -> str | None:
    """Why the engine would not take this key; None if it would. What it would misread counts as well."""
    if not key or len(key) > KEY_LENGTH:
        return f"a key has 1 to {KEY_LENGTH:,} characters, this one has {len(key):,}"
    if not _KEY_CHARACTERS.issuperset(key):
        return f"a key has letters, digits and -_=./ only: {key!r}"
    if key.startswith(".") or key.endswith(".") or ".." in key:
        return f"the dots of a key stand between two parts: {key!r}"
    return None
