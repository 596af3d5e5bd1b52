"""Admission of WebSockets and requests: what counts where, until when, and which answer refuses one."""

from app.node.admission import Admission, Ticket
from app.public.reading import read_request
from app.rules import problems
from app.rules.policy import Policy
from app.rules.request import Request
from app.rules.routes import Route
from tunnel.port import Target


def handshake(client: str = "192.0.2.1", origin: bytes | None = None) -> Request:
    fields = [(b"host", b"a.test")] + ([(b"origin", origin)] if origin is not None else [])
    return read_request(
        method="GET", path=b"/", query=b"", fields=fields, peer=client, peer_scheme="http", proxies=None,
        is_websocket=True,
    )  # fmt: skip


def route(path: bytes = b"/", **policy: int) -> Route:
    return Route("a.test", path, Target("c1", "apps", "web", 80), Policy(**policy))  # type: ignore[arg-type]


def admitted(found: Ticket | problems.Problem) -> Ticket:
    assert isinstance(found, Ticket)
    return found


def test_a_ticket_counts_until_it_is_released_and_may_be_released_twice():
    admission = Admission()
    one = admitted(admission.admit(route(), handshake(), None))
    two = admitted(admission.admit(route(b"/b"), handshake("192.0.2.2"), None))
    assert repr(admission) == "<Admission 2 WebSockets: 2 routes, 2 clients, 1 clusters>"
    one.release()
    one.release()
    assert repr(admission) == "<Admission 1 WebSockets: 1 routes, 1 clients, 1 clusters>"
    two.release()
    assert repr(admission) == "<Admission 0 WebSockets: 0 routes, 0 clients, 0 clusters>"


def test_a_websocket_whose_ticket_was_given_up_counts_until_it_has_left():
    admission = Admission()
    for client in ("192.0.2.1", "2001:db8::1"):
        ticket = admitted(admission.admit(route(), handshake(client), None))
        ticket.give_up()
        ticket.release()
    assert repr(admission) == "<Admission 2 WebSockets: 1 routes, 2 clients, 1 clusters>"
    admission.left(route(), "192.0.2.1")
    assert repr(admission) == "<Admission 1 WebSockets: 1 routes, 1 clients, 1 clusters>"
    admission.left(route(), "2001:db8::1")
    assert repr(admission) == "<Admission 0 WebSockets: 0 routes, 0 clients, 0 clusters>"


def test_each_limit_has_its_own_answer():
    admission = Admission()
    admitted(admission.admit(route(), handshake(), None))
    assert admission.admit(route(max_websockets=1), handshake("192.0.2.2"), None) is problems.TOO_MANY_OF_ROUTE
    assert admission.admit(route(b"/b", max_websockets_per_client=1), handshake(), None) is problems.TOO_MANY_OF_CLIENT
    assert admission.admit(route(b"/b"), handshake("192.0.2.2"), 1) is problems.TOO_MANY_OF_CLUSTER
    admitted(admission.admit(route(b"/b", max_websockets=1), handshake("192.0.2.2"), 2))


def test_what_is_refused_does_not_count():
    admission = Admission()
    assert admission.admit(route(), handshake(origin=b"https://evil.test"), None) is problems.ORIGIN_REFUSED
    assert admission.admit(route(max_websockets=0), handshake(), None) is problems.TOO_MANY_OF_ROUTE
    assert repr(admission) == "<Admission 0 WebSockets: 0 routes, 0 clients, 0 clusters>"


def test_requests_of_a_client_count_until_they_are_over_and_those_of_others_do_not():
    admission = Admission()
    bounded = route(max_requests_per_client=2)
    one = admitted(admission.admit_request(bounded, handshake()))
    admitted(admission.admit_request(route(b"/b", max_requests_per_client=5), handshake()))
    assert admission.admit_request(bounded, handshake()) is problems.TOO_MANY_REQUESTS_OF_CLIENT
    admitted(admission.admit_request(bounded, handshake("192.0.2.2")))
    admitted(admission.admit(route(max_websockets_per_client=1), handshake(), None))  # WebSockets count apart
    one.release()
    one.release()
    admitted(admission.admit_request(bounded, handshake()))
    assert admission.admit_request(bounded, handshake()) is problems.TOO_MANY_REQUESTS_OF_CLIENT


def test_the_addresses_of_one_ipv6_network_are_one_client():
    admission = Admission()
    bounded = route(max_requests_per_client=1, max_websockets_per_client=1)
    admitted(admission.admit_request(bounded, handshake("2001:db8::1")))
    admitted(admission.admit(bounded, handshake("2001:db8::1"), None))
    assert admission.admit_request(bounded, handshake("2001:db8::2")) is problems.TOO_MANY_REQUESTS_OF_CLIENT
    assert admission.admit(bounded, handshake("2001:db8::2"), None) is problems.TOO_MANY_OF_CLIENT
    admitted(admission.admit_request(bounded, handshake("2001:db8:0:1::1")))
    admitted(admission.admit(bounded, handshake("2001:db8:0:1::1"), None))
