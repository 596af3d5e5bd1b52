"""Why there is no route, or no link: what the gateway remembers of what was there, and of what was refused."""

from collections.abc import Collection
from dataclasses import dataclass

from ...learned import Learned, Refusal
from ...node.asking import named
from ...node.gateway import Gateway
from ...observed.events import moment
from ...observed.metrics import link_state
from ...observed.record import printable
from ...published import Holder, Publication
from ...rules.hosts import above
from ...rules.routes import Route, UnsafePathError, match
from ..api.clusters import Known
from ..route_reasons import of_agents, reason_of
from .label import Label


@dataclass(frozen=True, slots=True)
class Cause:
    """A verdict, and the sentence that says what happened to what."""

    label: Label
    text: str


def why_no_route(gateway: Gateway, host: str, path: bytes) -> Cause:
    """The cause of a 404 for a normalised host and a raw path: what is nearest to a route comes first."""
    if host in gateway.settings.control_hosts:
        return Cause(
            Label.CONTROL_HOST,
            f"{host} is a control host: the gateway's own endpoints answer there, and nobody can route it",
        )
    names = list(above(host))
    for known in [one for name in names for one in of_agents(gateway, name) if _takes(one, path)]:
        if (cause := _why_not_served(gateway, host, known)) is not None:
            return cause
    gone = gateway.published.unpublished.of(host)
    if gone is not None:
        when = moment(gateway.in_wall_clock(gone.at))
        return Cause(Label.UNPUBLISHED, f"{_agent(gone.holder)} published {host} until {when}: {gone.why}")
    for learned in reversed([*gateway.learned.expired]):
        if learned.claim.host in names and _takes(learned, path):
            return Cause(Label.EXPIRED, _expired(learned))
    for refusal in reversed([*gateway.learned.refusals, *gateway.published.refusals]):
        if _is_refused_name(refusal.name, [host] if refusal.agent else names, path):
            return Cause(Label.REFUSED, _refused(refusal))
    routes = gateway.routes_of(host)
    if routes is not None:
        prefixes = ", ".join(route.path.decode("ascii", "backslashreplace") for route in routes[:5])
        return Cause(Label.WRONG_PATH, f"{host} is published, but no prefix of it fits the path: there are {prefixes}")
    return Cause(Label.NO_SUCH_HOST, f"nothing is published at {host}")


def why_no_link(gateway: Gateway, route: Route) -> Cause:
    """The cause of a 503 for a route without a link that takes requests."""
    target, publication = route.target, route.published_by
    cluster = target.cluster
    whose = f"agent {printable(target.publisher)}" if target.publisher else f"cluster {cluster}"
    links = gateway.registry.links(target.pool)
    if links:
        states = ", ".join(f"{link.name} is {link_state(link)}" for link in links)
        return Cause(Label.NOT_READY, f"{whose} is connected, but no link takes requests: {states}")
    if isinstance(publication, Publication):
        gone = publication.gone_at
        since = "" if gone is None else f" since {moment(gateway.in_wall_clock(gone))}"
        text = f"{_agent(publication.holder)} published {route.host}, and has been gone{since}"
        return Cause(Label.PUBLISHER_AWAY, text)
    holders = gateway.ask.holders(cluster) if gateway.ask is not None else ()
    if holders:
        text = f"cluster {cluster} has an agent on {named(holders)}, and this node does not get there"
        return Cause(Label.OUT_OF_REACH, text)
    known = Known.of(gateway)
    refused, seen = known.refused.get(cluster), gateway.last_seen.of(cluster)
    told = f"one was refused at {refused.at}: {refused.message}" if refused is not None else ""
    if not known.tokens.get(cluster):
        text = f"no token covers cluster {cluster}, so no agent can serve it"
        return Cause(Label.UNKNOWN_CLUSTER, f"{text}; {told}" if told else text)
    if refused is not None and (seen is None or refused.at > moment(seen)):
        return Cause(Label.AGENT_REFUSED, f"no agent of cluster {cluster} is connected; {told}")
    if seen is None:
        return Cause(Label.NEVER_CONNECTED, f"no agent of cluster {cluster} has connected since the gateway started")
    return Cause(Label.AWAY, f"no agent of cluster {cluster} is connected: its last link ended {moment(seen)}")


def _takes(known: Learned | Publication, path: bytes) -> bool:
    one = known.claim if isinstance(known, Learned) else known
    try:
        return match([Route(one.host, one.path.encode(), one.target)], path) is not None
    except UnsafePathError:
        return False


def _why_not_served(gateway: Gateway, host: str, known: Learned | Publication) -> Cause | None:
    """The cause for a route of an agent that fits the URL. None: a wildcard, and the host has routes of its own."""
    what = _registered(known) if isinstance(known, Learned) else f"{_agent(known.holder)} published {host}{known.path}"
    of_file = gateway.settings.routes.of_host(host)
    if of_file is not None:
        return Cause(Label.SHADOWED, f"{what}, but the file has {of_file[0].host}, and so all of its paths")
    reason = reason_of(gateway, known)
    if reason is None:
        return None
    if isinstance(known, Learned) and reason.code == "expired":
        return Cause(Label.EXPIRED, _expired(known))
    if reason.code == "shadowed":
        return Cause(Label.SHADOWED, f"{what}, but {reason.explanation}")
    return Cause(Label.UNCOVERED, f"{what}, but no token covers that host any more")


def _registered(learned: Learned) -> str:
    claim = learned.claim
    return f"cluster {claim.target.cluster} registered {claim.host}{claim.path}"


def _expired(learned: Learned) -> str:
    return f"{_registered(learned)}, and did not renew it: it expired {moment(learned.expires_at)}"


def _agent(holder: Holder) -> str:
    return f"agent {printable(holder.agent_id)} of cluster {holder.cluster}"


def _refused(refusal: Refusal) -> str:
    verb, whose = "register", f"cluster {refusal.cluster}" if refusal.cluster else "an agent"
    if refusal.agent:
        verb, whose = "publish", f"agent {printable(refusal.agent)} of {whose}"
    return f"{whose} wanted to {verb} {printable(refusal.name)} and was refused: {printable(refusal.text)}"


def _is_refused_name(name: str, names: Collection[str], path: bytes) -> bool:
    """Whether a refused route, as its agent wrote it, would have been for one of these hosts and this path."""
    written, slash, rest = name.partition("/")
    if written.lower().rstrip(".") not in names:
        return False
    return path.startswith((slash + rest).rstrip("/").encode("ascii", "replace"))
