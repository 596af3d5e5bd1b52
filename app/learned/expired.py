"""Learned routes that nobody renewed in time, the latest thousand: why a host is gone that was there yesterday.

Only for the operator. A route that is registered again is forgotten here; a restart forgets all but those that it finds
expired in the file.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from .state_file import Learned

MOST_ROUTES: Final = 1_000
"""Each costs 0.5 KiB."""


class ExpiredRoutes:
    """See the module. Iterates from the latest to the earliest."""

    __slots__ = ("_routes",)

    def __init__(self) -> None:
        self._routes: OrderedDict[tuple[str, str], Learned] = OrderedDict()  # by host and path

    def put(self, learned: Learned) -> None:
        """This one has expired."""
        key = learned.claim.host, learned.claim.path
        self._routes[key] = learned
        self._routes.move_to_end(key)
        if len(self._routes) > MOST_ROUTES:
            self._routes.popitem(last=False)

    def forget(self, host: str, path: str) -> None:
        """It is there again; idempotent."""
        self._routes.pop((host, path), None)

    def __iter__(self) -> Iterator[Learned]:
        return iter(list(reversed(self._routes.values())))

    def __len__(self) -> int:
        return len(self._routes)

    def __repr__(self) -> str:
        return f"<ExpiredRoutes {len(self)}>"
