"""Why a request failed: the client is told a kind and whether to try again, the access log the agent's own words."""

import itertools
import json
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import pytest

from tests.system.clients import Answer, RawClient
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, Service, Stack, free_port

pytestmark = [tunnel_only]

Make = Callable[..., Stack]
MAYBE = "may have been carried out"


def told(answer: Answer) -> tuple[int, str]:
    """Status and code of an answer of the gateway's own, which must not ask for another try."""
    assert answer.all("retry-after") == []
    return answer.status, json.loads(answer.body)["code"]


def detail_of(stack: Stack, answer: Answer) -> str:
    """What the access log says about the request that got this answer, found by its id."""
    return stack.gateway.wait_line(f", id {answer.one('x-request-id')}")


CASES = {
    "closed": (502, "service_refused", "connection refused"),
    "forbidden": (502, "not_allowed", "no --service entry and no --allow pattern names it"),
}


def test_the_agents_reason_reaches_the_request_that_it_belongs_to(own_stack: Make) -> None:
    stack = own_stack()
    for name in CASES:
        stack.add(Service(name, free_port()))
    stack.start(agent=False)
    forbidden = stack.services.pop("forbidden")  # routed, and the agent is not told of it
    stack.start_agent()
    stack.add(forbidden)
    with RawClient((LOOPBACK, stack.port)) as client:
        for method, name in itertools.product(("GET", "POST"), CASES):
            status, code, words = CASES[name]
            client.request(f"{method} / HTTP/1.1", name, "Content-Length: 0")
            answer = client.answer()
            assert told(answer) == (status, code)
            assert words.encode() not in answer.body
            line = detail_of(stack, answer)
            assert code in line
            assert words in line


def waiting(stack: Stack, method: str, client: RawClient) -> None:
    """A request that its service has, and will never answer."""
    client.request(f"{method} /never?id={method} HTTP/1.1", "plain", "Content-Length: 0")
    with urlopen(stack.control("plain", f"/arrived?id={method}")) as answer:
        assert answer.status == 200


def test_requests_that_the_service_has_when_the_agent_is_killed(own_stack: Make) -> None:
    """A GET may be sent again: it is repeatable, so the gateway tried, and found no agent."""
    stack = own_stack(reconnect_grace=0).start()
    with RawClient(stack.address("plain")) as post, RawClient(stack.address("plain")) as get:
        waiting(stack, "POST", post)
        waiting(stack, "GET", get)
        stack.agent.kill()
        posted, got = post.answer(), get.answer()
    assert told(posted) == (502, "agent_lost")
    assert MAYBE in json.loads(posted.body)["message"]
    assert (got.status, json.loads(got.body)["code"], got.one("retry-after")) == (503, "no_agent", "5")


@app_only("it stops at the first signal, in its own way")
def test_requests_that_the_service_has_when_the_grace_ends(own_stack: Make) -> None:
    stack = own_stack(shutdown_grace=0.5, drain_delay=0.0).start()
    with RawClient(stack.address("plain")) as post, RawClient(stack.address("plain")) as get:
        waiting(stack, "POST", post)
        waiting(stack, "GET", get)
        stack.gateway.signal(signal.SIGTERM)
        for answer in (post.answer(), get.answer()):
            assert told(answer) == (502, "stopping_unanswered")
            assert MAYBE in json.loads(answer.body)["message"]
    assert stack.gateway.wait_end() == 0


def test_a_service_that_does_not_answer_in_time(own_stack: Make) -> None:
    stack = own_stack(response_head_timeout=0.5).start()
    with RawClient(stack.address("plain")) as client:
        waiting(stack, "POST", client)
        answer = client.answer()
    assert told(answer) == (504, "service_too_slow")
    assert MAYBE in json.loads(answer.body)["message"]


@pytest.mark.parametrize("name", ["misnamed", "unknown-ca"])
def test_tls_that_fails_says_how_in_the_access_log(stack: Stack, name: str) -> None:
    with RawClient((LOOPBACK, stack.port)) as client:
        client.request("POST / HTTP/1.1", name, "Content-Length: 0")
        answer = client.answer()
    assert told(answer) == (502, "tls_failed")
    assert "certificate" in detail_of(stack, answer).lower()


def test_one_target_that_fails_a_lot_does_not_hide_another(own_stack: Make) -> None:
    stack = own_stack()
    for name in ("noisy", "quiet"):
        stack.add(Service(name, free_port()))
    stack.start()

    def ask(name: str) -> int:
        with RawClient((LOOPBACK, stack.port)) as client:
            client.request("GET / HTTP/1.1", name)
            return client.answer().status

    with ThreadPoolExecutor(60) as pool:  # each is dialled for a second
        assert set(pool.map(ask, ["noisy"] * 60)) == {502}
    assert ask("quiet") == 502
    if stack.dialect == "yamux":  # the others say it in the answer, so only the access log has it
        stack.gateway.wait_line(f"to c1/apps/quiet:80: '{LOOPBACK}:")
        stack.agent.wait_line("to apps/quiet:80: ")
