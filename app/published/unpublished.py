"""What is remembered of a host that was unpublished. Only for the operator."""

from dataclasses import dataclass
from typing import Final

from .publication import Holder

MOST_HOSTS: Final = 1_000
"""The latest that are remembered, at 0.5 KiB each. One that is published again is forgotten."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Who had a host, until when by the gateway's clock, and why it went."""

    holder: Holder
    at: float
    why: str
