"""The last thousand hosts that were unpublished: who had them, and why they went.

Only for the operator. A host that is published again is forgotten here.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from .publication import Holder

MOST_HOSTS: Final = 1_000
"""Each costs 0.5 KiB."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Who had a host, until when by the gateway's clock, and why it went."""

    holder: Holder
    at: float
    why: str


class UnpublishedHosts:
    """See the module."""

    __slots__ = ("_hosts",)

    def __init__(self) -> None:
        self._hosts: OrderedDict[str, Unpublished] = OrderedDict()

    def put(self, host: str, gone: Unpublished) -> None:
        """Remember that a host is gone."""
        self._hosts[host] = gone
        self._hosts.move_to_end(host)
        if len(self._hosts) > MOST_HOSTS:
            self._hosts.popitem(last=False)

    def forget(self, host: str) -> None:
        """The host is published again; idempotent."""
        self._hosts.pop(host, None)

    def of(self, host: str) -> Unpublished | None:
        """What became of a host. None: it is published, or it is not remembered."""
        return self._hosts.get(host)

    def __len__(self) -> int:
        return len(self._hosts)

    def __repr__(self) -> str:
        return f"<UnpublishedHosts {len(self)}>"
