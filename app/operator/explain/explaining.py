"""The answer to a question: what is known of the URL, and what a probe met on its way.

A probe is a request like any other (`app/public/probes.py`), so its outcome is what its own access line says. Nobody
gets to see its answer.
"""

from itertools import chain
from typing import Final, NamedTuple

from tunnel.gateway.link import Link

from ...node.gateway import Gateway
from ...observed.record import Record, node_of, path_of
from ...rules import problems
from ...rules.hosts import above
from ...rules.routes import Route
from ..api import links
from ..api.clusters import Known
from ..route_reasons import Listed, of_agents, reason_of
from .answer import Explanation
from .hops import probed
from .items import policy_item, route_item
from .label import Label
from .nearest import MOST, nearest_hosts
from .outlook import Outlook, outlook_of
from .question import Question
from .verdicts import verdict_of

PROBE_SECONDS: Final = 20.0
"""How long a probe waits for an answer: more than any dial, handshake or grace takes."""
_LABELS: Final = frozenset(Label)
MOST_PROBES: Final = 16
"""At once. Each is an exchange, with a task of the operator's."""


class TooManyProbesError(Exception):
    """As many are running as may."""


async def explain(gateway: Gateway, question: Question, client: str) -> Explanation:
    """The explanation for an operator at this address. Raises TooManyProbesError."""
    request = question.request(client)
    outlook = outlook_of(gateway, request)
    prober = gateway.prober
    record: Record | None = None
    if question.probes and prober is not None and outlook.may_be_sent:
        if prober.running >= MOST_PROBES:
            raise TooManyProbesError(f"{MOST_PROBES} probes are running already")
        record = await prober.probe(request, PROBE_SECONDS)
        if record.outcome == problems.NO_AGENT.code:
            outlook = outlook_of(gateway, request)  # it has waited for an agent that may have come back
    found = _found(outlook, record)
    verdict = verdict_of(found.label)
    link = _link_of(gateway, record, outlook)
    met = await probed(record, link, was_sent=not _is_foreseen(outlook, record)) if record is not None else None
    route = outlook.route
    return Explanation(
        url=question.url,
        method=question.method,
        host=question.host,
        path=path_of(question.path),
        code=found.code,
        status=found.status,
        reason=found.label if found.label in _LABELS else None,
        verdict=found.text or verdict.text,
        hint=verdict.hint or None,
        route=route_item(gateway, route) if route is not None else None,
        candidates=[route_item(gateway, other) for other in await _candidates(gateway, question.host, route)],
        policy=policy_item(route.policy) if route is not None else None,
        cluster=Known.of(gateway).item(route.target.cluster) if route and not route.target.publisher else None,
        link=links.item_of(link) if link is not None else None,
        node=(node_of(record.link) if record is not None and record.link else outlook.node) or None,
        probe=met,
    )


class _Found(NamedTuple):
    code: str
    status: int | None
    label: str
    text: str


def _found(outlook: Outlook, record: Record | None) -> _Found:
    """What the probe met, where it met something else than was known, or more."""
    if record is None or _is_foreseen(outlook, record):
        return _Found(outlook.code, outlook.status, outlook.label, outlook.detail)
    code, status = record.outcome, record.status or None
    if code == "client_left" and status is not None:
        code = "ok"  # it left an answer that had begun, and saw all that there is to see
    if code == "client_left":
        return _Found(code, status, Label.NO_ANSWER, f"{verdict_of(Label.NO_ANSWER).text}: {record.target}")
    if code != "ok":
        return _Found(code, status, code, f"{verdict_of(code).text}: {record.target}" if record.target else "")
    if record.kind == "websocket" and status != 101:
        return _Found(code, status, Label.DECLINED, f"the service refused the WebSocket with {status}")
    text = "the service opened the WebSocket" if status == 101 else f"the service answered {status}"
    if outlook.label == Label.DRAINING:
        return _Found(code, status, Label.DRAINING, f"{text}, but this node is draining")
    return _Found(code, status, Label.ANSWERED, text)


def _is_foreseen(outlook: Outlook, record: Record) -> bool:
    """Whether the probe was refused as it was known beforehand, and so before anything was sent."""
    return record.outcome == outlook.code != "ok"


def _link_of(gateway: Gateway, record: Record | None, outlook: Outlook) -> Link | None:
    """The link that the probe took, else the one that would be chosen; None where it is gone."""
    if record is None or record.target is None or not record.link:
        return outlook.link
    return next((link for link in gateway.registry.links(record.target.pool) if link.name == record.link), None)


async def _candidates(gateway: Gateway, host: str, route: Route | None) -> list[Listed]:
    """Other routes of the host, those in force first, else those of the hosts most like it; five at most."""
    entries = gateway.routes_of(host)
    others: list[Listed] = [entry for entry in entries or () if entry is not route]
    if len(others) < MOST:
        known = [one for name in above(host) for one in of_agents(gateway, name)]
        others += [one for one in known if reason_of(gateway, one) is not None]
    if others or entries is not None:
        return others[:MOST]
    of_file = (route.host for route in gateway.settings.routes.routes)
    hosts = chain(of_file, gateway.published.hosts(), gateway.learned.hosts())
    found = [gateway.routes_of(name) for name in await nearest_hosts(host, hosts)]
    return [entries[0] for entries in found if entries]
