"""The configuration changed under a running gateway, with a real agent on it: routes, tokens, and what is wrong."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.clients import Answer, RawClient
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import TOKEN, UNDER_UVICORN, Stack
from tests.system.process import wait_until

pytestmark = [tunnel_only]

JSON = "Accept: application/json"
RELOADED = "configuration reloaded from"
REFUSED = "configuration not changed"


def ask(stack: Stack, name: str) -> Answer:
    with RawClient(("127.0.0.1", stack.port)) as client:
        client.request("GET /small?n=1 HTTP/1.1", name, JSON)
        return client.answer()


class Gateway:
    """A running stack whose file is changed."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack.start()
        self.file = stack.folder / "gateway.toml"
        self.text = self.file.read_text(encoding="utf-8")

    def lines(self, needle: str) -> list[str]:
        return [line for line in self.stack.gateway.output() if needle in line]

    def change(self, text: str, needle: str, *, asks: bool = False) -> str:
        """Replace the file, as editors and Kubernetes do; the log's line about it. `asks`: not left to the watch."""
        before = len(self.lines(needle))
        other = self.file.with_name("next.toml")
        other.write_text(text, encoding="utf-8")
        other.replace(self.file)
        if asks and not UNDER_UVICORN:  # the signal is not ours there
            self.stack.gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(self.lines(needle)) > before, 30, needle)
        return self.lines(needle)[-1]


@pytest.fixture
def gateway(own_stack: Callable[..., Stack]) -> Gateway:
    return Gateway(own_stack())


def test_a_new_route_is_served_and_a_wrong_file_changes_nothing(gateway: Gateway) -> None:
    stack = gateway.stack
    assert ask(stack, "second").status == 404
    plain = stack.services["plain"]
    route = (
        f'\n[[routes]]\nhost = "second.example.test"\ncluster = "c1"\nnamespace = "apps"\nservice = "{plain.name}"\n'
        f"port = {plain.public_port}\n"
    )
    line = gateway.change(gateway.text + route, RELOADED)
    assert "3 routes of 3 hosts" in line
    assert ask(stack, "second").body == b"small 1"
    number = (gateway.text + route).count("\n") + 1
    line = gateway.change(gateway.text + route + "port = 0\n", REFUSED)
    assert "not TOML" in line
    line = gateway.change(gateway.text + route + "colour = 0\n", REFUSED)
    assert f"gateway.toml:{number}: routes[2].colour: unknown key" in line
    assert ask(stack, "second").body == b"small 1"
    assert ask(stack, "plain").body == b"small 1"


@app_only("it is not asked to leave the signal to us")
def test_sighup_reads_at_once(gateway: Gateway) -> None:
    gateway.file.write_text("log_level = 'loud'\n", encoding="utf-8")
    gateway.stack.gateway.signal(signal.SIGHUP)
    line = gateway.stack.gateway.wait_line(REFUSED)
    assert "log_level" in line
    assert ask(gateway.stack, "plain").body == b"small 1"


def test_a_dropped_token_keeps_its_link_and_is_answered_503_when_it_dials_again(gateway: Gateway) -> None:
    stack = gateway.stack
    gateway.change(gateway.text.replace(TOKEN, "another-token"), RELOADED, asks=True)
    assert gateway.lines("1 links stay open, but their tokens are not in the configuration any more")
    assert ask(stack, "plain").body == b"small 1"
    stack.agent.kill()
    late = stack.start_agent_only("a1")
    stack.gateway.wait_line("refused with 503")
    late.wait_line("503")
    answer = ask(stack, "plain")
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "no_agent")
    gateway.change(gateway.text, RELOADED, asks=True)
    late.wait_line("ready:")
    assert ask(stack, "plain").body == b"small 1"


def test_a_revoked_token_ends_its_link_and_is_answered_401(gateway: Gateway) -> None:
    stack = gateway.stack
    revoked = gateway.text.replace(f'token = "{TOKEN}"', f'token = "{TOKEN}"\nrevoked = true')
    gateway.change(revoked, "token revoked", asks=True)
    stack.gateway.wait_line("is gone: token revoked")
    answer = ask(stack, "plain")
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "no_agent")
    stack.gateway.wait_line("refused with 401")


def test_a_configmap_whose_link_is_switched_is_read(own_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """The volume's layout: gateway.toml -> ..data/gateway.toml, and ..data is switched to another folder."""
    stack = own_stack()
    file = stack.write_config()
    text = file.read_text(encoding="utf-8")
    file.unlink()
    for name, content in (("..first", text), ("..second", "max_websockets = 9\n" + text)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.toml").write_text(content, encoding="utf-8")
    (tmp_path / "..data").symlink_to("..first")
    file.symlink_to("..data/gateway.toml")
    stack.start()
    (tmp_path / "..next").symlink_to("..second")
    (tmp_path / "..next").replace(tmp_path / "..data")
    stack.gateway.wait_line(RELOADED)
    assert ask(stack, "plain").body == b"small 1"
