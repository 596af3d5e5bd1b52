"""Why there is no route, or no link: what the gateway remembers of what was there, and of what was refused."""

from collections.abc import Collection
from dataclasses import dataclass

from ...learned import Learned
from ...learned.served import above
from ...node.gateway import Gateway
from ...observed.events import moment
from ...observed.metrics import link_state
from ...observed.record import printable
from ...rules.routes import Route, UnsafePathError, match
from ..api.clusters import Known
from ..route_reasons import reason_of
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
    registered = [learned for name in names for learned in gateway.learned.registered(name) if _takes(learned, path)]
    for learned in registered:
        if (cause := _why_not_served(gateway, host, learned)) is not None:
            return cause
    for learned in gateway.learned.expired:
        if learned.claim.host in names and _takes(learned, path):
            return Cause(Label.EXPIRED, _expired(learned))
    for refusal in reversed(list(gateway.learned.refusals)):
        if _is_refused_name(refusal.name, names, path):
            whose = f"cluster {refusal.cluster}" if refusal.cluster else "an agent"
            text = f"{whose} wanted to register {printable(refusal.name)} and was refused: {printable(refusal.text)}"
            return Cause(Label.REFUSED, text)
    routes = gateway.routes_of(host)
    if routes is not None:
        prefixes = ", ".join(route.path.decode("ascii", "backslashreplace") for route in routes[:5])
        return Cause(Label.WRONG_PATH, f"{host} is published, but no prefix of it fits the path: there are {prefixes}")
    return Cause(Label.NO_SUCH_HOST, f"nothing is published at {host}")


def why_no_link(gateway: Gateway, cluster: str) -> Cause:
    """The cause of a 503 for a cluster without a link that takes requests."""
    links = gateway.registry.links(cluster)
    if links:
        states = ", ".join(f"{link.name} is {link_state(link)}" for link in links)
        return Cause(Label.NOT_READY, f"cluster {cluster} is connected, but no link takes requests: {states}")
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


def _takes(learned: Learned, path: bytes) -> bool:
    claim = learned.claim
    try:
        return match([Route(claim.host, claim.path.encode(), claim.target)], path) is not None
    except UnsafePathError:
        return False


def _why_not_served(gateway: Gateway, host: str, learned: Learned) -> Cause | None:
    """The cause for a route of an agent that fits the URL. None: a wildcard, and the host has routes of its own."""
    of_file = gateway.settings.routes.of_host(host)
    if of_file is not None:
        name = of_file[0].host
        return Cause(Label.SHADOWED, f"{_registered(learned)}, but the file has {name}, and so all of its paths")
    reason = reason_of(gateway, learned)
    if reason is None:
        return None
    if reason.code == "expired":
        return Cause(Label.EXPIRED, _expired(learned))
    return Cause(Label.UNCOVERED, f"{_registered(learned)}, but no token covers that host any more")


def _registered(learned: Learned) -> str:
    claim = learned.claim
    return f"cluster {claim.target.cluster} registered {claim.host}{claim.path}"


def _expired(learned: Learned) -> str:
    return f"{_registered(learned)}, and did not renew it: it expired {moment(learned.expires_at)}"


def _is_refused_name(name: str, names: Collection[str], path: bytes) -> bool:
    """Whether a refused route, as its agent wrote it, would have been for one of these hosts and this path."""
    written, slash, rest = name.partition("/")
    if written.lower().rstrip(".") not in names:
        return False
    return path.startswith((slash + rest).rstrip("/").encode("ascii", "replace"))
