"""What a client is told when the gateway itself answers: a status, a stable code, whose turn it is."""

import json

import pytest

from tests.system.clients import Answer, RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import DOMAIN, Stack

pytestmark = [pytest.mark.anyio, tunnel_only]

JSON = "Accept: application/json"
BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def ask(stack: Stack, name: str, accept: str, target: str = "/") -> Answer:
    with RawClient(("127.0.0.1", stack.port)) as client:
        client.request(f"GET {target} HTTP/1.1", name, accept)
        return client.answer()


CASES = [
    pytest.param("nobody", "/", 404, id="no route"),
    pytest.param("agentless", "/", 503, id="no agent"),
    pytest.param("closed", "/", 502, id="service refuses connections"),
    pytest.param("plain", "/close", 502, id="service closes without answering"),
    pytest.param("plain", "/garbage", 502, id="service speaks no HTTP"),
    pytest.param("plain", "/break-off?how=head", 502, id="service breaks off in the head"),
    pytest.param("misnamed", "/", 502, id="certificate of another name"),
    pytest.param("unknown-ca", "/", 502, id="certificate of an unknown authority"),
]


@pytest.mark.parametrize(("name", "target", "status"), CASES)
def test_a_program_gets_json_with_a_stable_code(stack: Stack, name: str, target: str, status: int) -> None:
    first, second = ask(stack, name, JSON, target), ask(stack, name, JSON, target)
    assert first.status == second.status == status
    assert first.one("content-type").startswith("application/json")
    code = json.loads(first.body)["code"]
    assert isinstance(code, str)
    assert code.replace("_", "").isalnum()
    assert code == json.loads(second.body)["code"]


@pytest.mark.parametrize(("name", "target", "status"), CASES)
def test_a_browser_gets_a_page(stack: Stack, name: str, target: str, status: int) -> None:
    answer = ask(stack, name, BROWSER, target)
    assert answer.status == status
    assert answer.one("content-type").startswith("text/html")
    assert b"<html" in answer.body.lower()


@pytest.mark.parametrize(("name", "target", "status"), CASES)
def test_no_answer_of_the_gateway_names_what_is_inside(stack: Stack, name: str, target: str, status: int) -> None:
    for accept in (JSON, BROWSER):
        whole = ask(stack, name, accept, target)
        text = (whole.head + whole.body).decode().lower()
        assert not [word for word in ("traceback", "127.0.0.1", ".svc", "errno", "apps") if word in text], text


def test_codes_differ_where_causes_do(stack: Stack) -> None:
    codes = {json.loads(ask(stack, name, JSON).body)["code"] for name in ("nobody", "agentless", "closed")}
    assert len(codes) == 3, codes


def test_a_cluster_without_agent_says_when_to_come_back(stack: Stack) -> None:
    assert int(ask(stack, "agentless", JSON).one("retry-after")) >= 1


def test_a_head_request_gets_an_error_without_body(stack: Stack) -> None:
    with RawClient(("127.0.0.1", stack.port)) as client:
        client.request("HEAD / HTTP/1.1", "nobody")
        assert client.answer(head_only=True).status == 404
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.answer().body == b"small 1"


@pytest.mark.parametrize(
    ("name", "path", "status"), [("nobody", "/", 404), ("agentless", "/", 503), ("closed", "/", 502)]
)
async def test_a_websocket_without_service_is_refused_with_the_same_status(
    stack: Stack, name: str, path: str, status: int
) -> None:
    from websockets.exceptions import InvalidStatus

    url = f"ws://{name}.{DOMAIN}:{stack.port}{path}"
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(url):
            pass
    assert refused.value.response.status_code == status


def test_readiness_and_health_answer_on_a_host_without_route(stack: Stack) -> None:
    for target in ("/healthz", "/readyz"):
        assert ask(stack, "nobody", JSON, target).status == 200


def test_health_of_a_routed_host_belongs_to_its_service(stack: Stack) -> None:
    answer = ask(stack, "plain", JSON, "/healthz")
    assert (answer.status, answer.one("x-service")) == (404, "plain")


@pytest.mark.parametrize("target", ["/a/../b", "/a/%2e%2e/b", "/./a", "/a/%2E/b"])
def test_a_path_with_dot_segments_is_never_resolved_for_the_service(stack: Stack, target: str) -> None:
    answer = ask(stack, "plain", JSON, "/echo" + target)
    if answer.status == 200:
        assert json.loads(answer.body)["line"] == f"GET /echo{target} HTTP/1.1"
    else:
        assert answer.status == 400
