"""The API for another node: the rows that have something to do with one node, called in process.

Any node of the cluster may ask, and do, what these rows offer: a peer link's secret or certificate is the
authorisation. It answers for this node only, so nothing is passed on any further.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from ...node.asking import Query, Reply
from .errors import ApiError, method_not_allowed, not_found
from .parameters import parse_query
from .resources import Asked, Node, Resource

_NAME_CHARACTERS: Final = 253


class AnswersToNodes:
    """An `Operator`."""

    def __init__(self, table: Iterable[Resource], node: Node) -> None:
        self._node = node
        self._rows = [(_pattern(row.path), row) for row in table if row.gather is not None or row.of_any_node]

    async def __call__(self, query: Query) -> Reply:
        """The answer, an error too."""
        path, _, raw = query.target.partition("?")
        try:
            row, values = self._found(query.method, path)
            asked = Asked(
                parse_query(raw.encode("latin-1", "replace"), row.parameters), values, query.client[:64],
                most_bytes=max(1, query.most_bytes),
            )  # fmt: skip
            said = await row.handle(self._node, asked)
        except ApiError as error:
            return Reply(error.fault.status, error.body)
        return Reply(said.status, said.body)

    def _found(self, method: str, path: str) -> tuple[Resource, dict[str, str]]:
        """The row, and what stands in its path. Raises ApiError."""
        allowed = []
        for pattern, row in self._rows:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if row.method == method:
                return row, {name: unquote(value) for name, value in match.groupdict().items()}
            allowed.append(row.method)
        if allowed:
            raise method_not_allowed(", ".join(allowed))
        raise not_found("other nodes get no answer there")


def _pattern(path: str) -> re.Pattern[str]:
    """The paths of a row.

    >>> _pattern("/-/links/{link}").fullmatch("/-/links/link-7").groupdict()
    {'link': 'link-7'}
    """
    return re.compile(re.sub(r"\\{(\w+)\\}", rf"(?P<\1>[^/]{{1,{_NAME_CHARACTERS}}})", re.escape(path)))
