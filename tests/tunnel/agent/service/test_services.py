"""What may be reached, and what never."""

import pytest

from tunnel.agent.service.services import (
    AllowPattern,
    Destination,
    NotReachableError,
    ServiceEntry,
    ServiceRuleError,
    Services,
    address_of,
)
from tunnel.wire.routing_header import UDP, RoutingHeader

ENTRIES = (
    ServiceEntry.parse("kuma.apps:3001=127.0.0.1:13001"),
    ServiceEntry.parse("six.apps:80=[::1]:8080"),
    ServiceEntry.parse("api.apps:443=10.96.0.1:443"),
    ServiceEntry.parse("named.apps:443=api.internal:443"),
)
PATTERNS = (AllowPattern.parse("shop/*:80"), AllowPattern.parse("lab-*/web:*"), AllowPattern.parse("*/metrics:9090"))
SERVICES = Services(ENTRIES, PATTERNS, "cluster.local", ("10.96.0.1", "API.internal"))


@pytest.mark.parametrize(
    ("header", "destination"),
    [
        (RoutingHeader("kuma", "apps", 3001), "127.0.0.1:13001"),
        (RoutingHeader("six", "apps", 80), "[::1]:8080"),
        (RoutingHeader("cart", "shop", 80), "cart.shop.svc.cluster.local:80"),
        (RoutingHeader("web", "lab-1", 8443), "web.lab-1.svc.cluster.local:8443"),
        (RoutingHeader("metrics", "anything", 9090), "metrics.anything.svc.cluster.local:9090"),
        (RoutingHeader("metrics", "default", 9090), "metrics.default.svc.cluster.local:9090"),
    ],
)
def test_reachable(header, destination):
    assert str(SERVICES.destination_of(header)) == destination


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (RoutingHeader("kuma", "apps", 3002), "no --service entry"),
        (RoutingHeader("kuma", "other", 3001), "no --service entry"),
        (RoutingHeader("cart", "shop", 81), "no --service entry"),
        (RoutingHeader("cart", "shops", 80), "no --service entry"),
        (RoutingHeader("webs", "lab-1", 80), "no --service entry"),
        (RoutingHeader("kuma", "apps", 3001, protocol=UDP), "protocol 2 is not TCP"),
        (RoutingHeader("", "shop", 80), "DNS label"),
        (RoutingHeader("cart", "", 80), "DNS label"),
        (RoutingHeader("cart.evil", "shop", 80), "DNS label"),
        (RoutingHeader("CART", "shop", 80), "DNS label"),
        (RoutingHeader("-cart", "shop", 80), "DNS label"),
        (RoutingHeader("c" * 64, "shop", 80), "DNS label"),
        (RoutingHeader("cart\n", "shop", 80), "DNS label"),
        (RoutingHeader("cart", "shop", 0), "port 0"),
        (RoutingHeader("api", "apps", 443), "API server"),
        (RoutingHeader("named", "apps", 443), "API server"),
    ],
)
def test_refused(header, said):
    with pytest.raises(NotReachableError, match=said):
        SERVICES.destination_of(header)


def test_nothing_is_reachable_by_default():
    with pytest.raises(NotReachableError, match="no --service entry"):
        Services().destination_of(RoutingHeader("kuma", "apps", 3001))


def test_the_api_service_is_refused_whatever_the_patterns_say():
    services = Services(patterns=(AllowPattern.parse("*/*:*"),))
    assert services.destination_of(RoutingHeader("kubernetes", "apps", 443)).port == 443
    with pytest.raises(NotReachableError, match="API server"):
        services.destination_of(RoutingHeader("kubernetes", "default", 443))


def test_resolved_addresses_are_compared():
    SERVICES.check_address("10.96.0.2")
    SERVICES.check_address("some.name")
    for address in ("10.96.0.1", "::ffff:10.96.0.1"):
        with pytest.raises(NotReachableError, match="API server"):
            SERVICES.check_address(address)
    with pytest.raises(NotReachableError, match="API server"):
        SERVICES.check_address("10.0.0.9", frozenset(["10.0.0.9"]))
    assert SERVICES.api_names == ("api.internal",)


def test_exact_entries_win_over_patterns():
    services = Services((ServiceEntry.parse("cart.shop:80=127.0.0.1:1"),), (AllowPattern.parse("*/*:*"),))
    assert services.destination_of(RoutingHeader("cart", "shop", 80)) == Destination("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("web.apps:80=5173", "localhost"),
        ("web.apps:80=:5173", "localhost"),
        ("web.apps:80=localhost:5173", "localhost"),
        ("web.apps:80=127.0.0.1:5173", "127.0.0.1"),
        ("web.apps:80=[::1]:5173", "::1"),
    ],
)
def test_a_port_alone_is_one_of_this_machine(text, host):
    assert ServiceEntry.parse(text) == ServiceEntry("web", "apps", 80, Destination(host, 5173))


PUBLISH = "as the gateway's route names it; to publish a port that no route names, run tunnel-agent http"
NO_FORM = "is not of the form NAME.NAMESPACE:PORT=HOST:PORT"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5173", f"does not say which service it is: write NAME.NAMESPACE:PORT=5173, {PUBLISH} 5173"),
        (":5173", f"does not say which service it is: write NAME.NAMESPACE:PORT=:5173, {PUBLISH} :5173"),
        ("[::1]:5", f"does not say which service it is: write NAME.NAMESPACE:PORT=[::1]:5, {PUBLISH} [::1]:5"),
        (
            "localhost:5173",
            f"does not say which service it is: write NAME.NAMESPACE:PORT=localhost:5173, {PUBLISH} localhost:5173",
        ),
        ("web:80=5173", f"does not say the service's namespace: write web.NAMESPACE:80=5173, {PUBLISH} 5173"),
        ("web.apps=h:51", f"does not say the service's port: write web.apps:PORT=h:51, {PUBLISH} h:51"),
        ("web=:5", f"does not say the service's namespace and port: write web.NAMESPACE:PORT=:5, {PUBLISH} :5"),
        ("web.apps:80", "does not say where the service is: write web.apps:80=HOST:PORT, or =PORT for this machine"),
        ("web.apps:80=", "does not say where the service is: write web.apps:80=HOST:PORT, or =PORT for this machine"),
        ("web.apps:80=10.0.0.1", "does not say the port of 10.0.0.1: write web.apps:80=10.0.0.1:PORT"),
        ("web.apps:80=[::1]", "does not say the port of [::1]: write web.apps:80=[::1]:PORT"),
        (
            "web.apps:80=https://h:1",
            "has a URL where HOST:PORT belongs; the gateway's route says whether a service speaks TLS",
        ),
        *((text, f"{NO_FORM}: a port is a number from 1 to 65535") for text in (
            "kuma.apps:0=h:1", "kuma.apps:65536=h:1", "kuma.apps:3001=h:0", "kuma.apps:3001=70000",
        )),
        *((text, NO_FORM) for text in (
            "", "=", ":", "=5", "web", "kuma.apps.svc:3001=127.0.0.1:1", "Kuma.apps:3001=127.0.0.1:1",
            "kuma.apps:http=127.0.0.1:1", "kuma.apps:3001=127.0.0.1:", "kuma.apps:3001=a b:1", "kuma.apps:3001=a..b:1",
            "kuma.apps:3001=127.0.0.1:\u0661", "kuma.apps:3001=[::1:5", "kuma.apps:3001=-:5",
        )),
    ],
)  # fmt: skip
def test_what_an_entry_lacks(text, said):
    with pytest.raises(ServiceRuleError) as caught:
        ServiceEntry.parse(text)
    assert str(caught.value) == f"{text!r} {said}"


@pytest.mark.parametrize(
    "text",
    ["kubernetes.default:443=127.0.0.1:1", "api.apps:443=kubernetes.default.svc:443", "a.b:1=Kubernetes.Default:1"],
)
def test_entries_that_name_the_api_server(text):
    with pytest.raises(ServiceRuleError, match="never reachable"):
        ServiceEntry.parse(text)


@pytest.mark.parametrize(
    "text", ["", "*", "shop/cart", "shop:80", "shop/cart:0", "shop/cart:x", "a/b/c:80", "sh?p/c:1", "/c:1", "s/:1"]
)
def test_bad_patterns(text):
    with pytest.raises(ServiceRuleError, match="NAMESPACE/SERVICE:PORT"):
        AllowPattern.parse(text)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("0:0::1", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("name", None),
    ],
)
def test_addresses(host, address):
    assert address_of(host) == address
