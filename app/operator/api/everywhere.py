"""A call that may be about another node, or about all of them: where it is answered.

Without `nodes` or `node` this node answers by itself, and nobody else is asked. On a gateway without `[cluster]` there
is one node, and `nodes=all` changes nothing.
"""

from collections.abc import Mapping
from urllib.parse import quote

from ...node.asking import Ask, NotAnsweredError, Query
from .errors import bad_request
from .gathering import ALL, chosen, not_answered, target_of
from .resources import NODE, NODES, Answer, Asked, Node, Resource

_ALONE = "this gateway is one node: it has no [cluster]"


async def answered(row: Resource, node: Node, asked: Asked) -> Answer:
    """The answer, whoever gives it. Raises ApiError."""
    ask = node.gateway.ask
    if row.gather is not None and is_of_several(node, asked):
        return await row.gather(row, node, asked)
    wanted: str | None = asked.query.get(NODE.name) if row.of_any_node else None
    if wanted is None:
        return await row.handle(node, asked)
    if ask is None:
        raise bad_request(NODE.name, f"{NODE.name} names another node, and {_ALONE}")
    return await _of_one(row, node, asked, ask, wanted)


def is_of_several(node: Node, asked: Asked) -> bool:
    """Whether nodes are to be asked for their parts of a list. Raises ApiError."""
    wanted = asked.query.get(NODES.name)
    if wanted is None or node.gateway.ask is not None:
        return wanted is not None
    if wanted != ALL:
        raise bad_request(NODES.name, f"{NODES.name} names a node, and {_ALONE}")
    return False


async def _of_one(row: Resource, node: Node, asked: Asked, ask: Ask, wanted: str) -> Answer:
    if wanted == ALL:
        raise bad_request(NODE.name, "node is for one node; write its id or its name")
    found = chosen(ask, wanted, NODE.name)
    if len(found) > 1:
        raise bad_request(NODE.name, "several nodes have this name; write the id of one, GET /-/nodes lists them")
    one = found[0]
    if one.node == ask.own.node:
        return await row.handle(node, asked)
    target = target_of(row, _path(row.path, asked.path), asked.query)
    try:
        reply = await ask.ask(one.node, Query(method=row.method, target=target, client=asked.client))
    except NotAnsweredError as error:
        raise not_answered(one, error) from None
    return Answer(reply.body, reply.status)


def _path(path: str, values: Mapping[str, str]) -> str:
    """The path of a row with its names filled in, as a request line has it."""
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path
