"""What the values of all buckets have in common: JSON objects with a version, written by nodes of other releases, too.

A reader ignores members that it does not know, so the next release may add some. A change that an older release would
misread gets another `v`, and the older one ignores the value. Whoever may write to the buckets may write anything: a
value that cannot be read is ignored, and never stops a node.
"""

import logging
from collections import OrderedDict
from typing import Final, TypeVar

import msgspec

from .keys import NotAKeyError

logger = logging.getLogger("gateway.cluster")

VERSION: Final = 1
LONGEST_BYTES: Final = 1024 * 1024
"""NATS' own limit for one message. 128 bytes for each agent: 8,000 agents of one cluster on one node."""
_REMEMBERED: Final = 1_000
"""Keys with a value that could not be read: 0.2 KiB each."""

_Value = TypeVar("_Value", bound=msgspec.Struct)


class ValueIgnoredError(Exception):
    """A value that this node cannot use. `version`: of another release; None: it is not a value of ours."""

    def __init__(self, why: str, version: int | None = None) -> None:
        super().__init__(why)
        self.version = version


class _Versioned(msgspec.Struct):
    v: int


def decoded(kind: type[_Value], value: bytes) -> _Value:
    """A value as `kind`. Raises ValueIgnoredError."""
    if len(value) > LONGEST_BYTES:
        raise ValueIgnoredError(f"it has {len(value)} bytes")
    try:
        version = msgspec.json.decode(value, type=_Versioned).v
        if version != VERSION:
            raise ValueIgnoredError(f"it has version {version}", version)
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueIgnoredError(str(error)) from None
    except (UnicodeDecodeError, RecursionError):
        raise ValueIgnoredError("it is not JSON") from None


class Complaints:
    """Tells the operator of ignored values: once for each key, and once for all of one newer version."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._told: OrderedDict[str | int, None] = OrderedDict()

    def tell(self, key: str, error: ValueIgnoredError | NotAKeyError) -> None:
        """The value of this key, or the key, cannot be used."""
        version = error.version if isinstance(error, ValueIgnoredError) else None
        told: str | int = key if version is None else version
        if told in self._told:
            return
        self._told[told] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        if version is not None:
            logger.warning(
                "bucket %s has values of version %d, from a gateway of another release: they are ignored here. "
                "Upgrade the older nodes",
                self._bucket, version,
            )  # fmt: skip
        else:
            logger.warning(
                "bucket %s, key %.100r: ignored, because %.200s. Find out who else writes to this bucket",
                self._bucket, key, error,
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Complaints of {self._bucket}: {len(self._told)}>"
