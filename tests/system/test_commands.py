"""The command line as an operator uses it, against a gateway and an agent that run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.clients import RawClient
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, Service, Stack, free_port
from tests.system.process import ROOT, Process, Processes, wait_until
from tests.system.test_drain import ADMIN, ask

pytestmark = [tunnel_only, app_only("it does not read its file again by itself")]

ENDS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Town(Stack):
    """A stack, and the command line for it."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "GATEWAY_URL": f"http://{LOOPBACK}:{self.port}", "GATEWAY_ADMIN_TOKEN": ADMIN, "PYTHONDEVMODE": "1"
        }  # fmt: skip

    def run(self, *arguments: str) -> Ran:
        command = [sys.executable, "-m", "app", *arguments]
        environment = {**os.environ, **self.environment}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=ENDS_SECONDS, check=False
        )
        assert "Traceback" not in ended.stderr
        assert ADMIN not in ended.stdout + ended.stderr
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    def follow(self, *arguments: str) -> Process:
        return self.processes.python(arguments[0], "app", *arguments, "--follow", **self.environment)

    def links(self) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = self.run("links", "--json", "--state", "ready").json["links"]
        return links


@pytest.fixture(scope="module")
def town(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("town")
    (folder / "admin-token").write_text(ADMIN)
    stack = Town(folder, module_processes, {"admin_token_file": "admin-token", "shutdown_grace": 1.0})
    stack.add_program("plain", "tests.services.plain")
    stack.add(Service("closed", free_port()))
    return stack.start()


@contextmanager
def waiting(town: Town) -> Iterator[RawClient]:
    """A client whose request never gets an answer."""
    with RawClient((LOOPBACK, town.port)) as client:
        client.request("GET /never?id=end-me HTTP/1.1", "plain")
        yield client


def test_the_node_at_a_glance(town: Town) -> None:
    told = town.run("status")
    assert (told.status, told.err) == (0, "")
    for words in ("state          ready", f"{town.folder / 'gateway.toml'}, read ", "1 of 2 connected (links: 1)"):
        assert words in told.out
    assert town.run("status", "--json").json["counts"]["links"] == 1


def test_its_links(town: Town) -> None:
    (link,) = town.links()
    told = town.run("links")
    titles, row = told.out.splitlines()
    assert titles.startswith("link")
    assert row.startswith(link["link"])
    assert (link["cluster"], link["dialect"], link["token"].startswith("sha256:")) == ("c1", town.dialect, True)
    assert town.run("links", "--cluster", "c2").out == "none of 1 links\n"


def test_its_clusters(town: Town) -> None:
    titles, here, away = town.run("clusters").out.splitlines()
    assert titles.split()[:3] == ["cluster", "connected", "links"]
    assert here.split()[:3] == ["c1", "yes", "1"]
    assert away.split()[1:3] == ["no", "0"]
    _, only = town.run("clusters", "--not-connected").out.splitlines()
    assert only.split() == away.split()


def test_its_routes_page_by_page(town: Town) -> None:
    told = town.run("routes", "--limit", "1", "--json").json
    assert ([one["host"] for one in told["routes"]], told["total"], told["next"] is None) == (
        [f"plain.{DOMAIN}"], 2, False
    )  # fmt: skip
    told = town.run("routes")
    assert [line.split()[0] for line in told.out.splitlines()] == ["host", f"plain.{DOMAIN}", f"closed.{DOMAIN}"]


def test_an_exchange_is_shown_and_ended(town: Town) -> None:
    follower = town.follow("exchanges", "--json")
    follower.wait_line('"exchanges": []')
    with waiting(town) as client:
        follower.wait_line('"path": "/never"')
        (row,) = town.run("exchanges", "--json", "--host", f"plain.{DOMAIN}").json["exchanges"]
        assert (row["method"], row["cluster"], row["path"]) == ("GET", "c1", "/never")
        assert row["id"] in town.run("exchanges").out
        told = town.run("exchanges", "--end", row["id"])
        assert (told.status, told.out) == (0, f"{row['id']}: the request was ended\n")
        assert client.answer().status == 502
        wait_until(lambda: town.run("exchanges").out == "no exchanges\n", 20, "it has ended")
        again = town.run("exchanges", "--end", row["id"])
        assert (again.status, "answered 410" in again.err) == (1, True)
    follower.signal(signal.SIGINT)
    assert follower.wait_end() == 130
    assert [line for line in follower.output() if not line.startswith("{")] == []


def test_events_are_followed(town: Town) -> None:
    follower = town.follow("events", "--json")
    first = json.loads(follower.wait_line('"kind": "link_ready"'))
    assert first["cluster"] == "c1"
    people = town.follow("events", "--kind", "link_gone")
    (link,) = town.links()
    assert town.run("drain", "--link", link["link"]).status == 0
    assert json.loads(follower.wait_line('"kind": "link_drained_by_operator"'))["link"] == link["link"]
    assert "  link_gone  " in people.wait_line(f"{link['link']}: ")
    for process in (follower, people):
        process.signal(signal.SIGINT)
        assert process.wait_end() == 130
    numbers = [json.loads(line)["number"] for line in follower.output()]
    assert numbers == list(range(1, len(numbers) + 1)), "each once"
    told = town.run("events", "--kind", "link_ready")
    assert (told.status, " link_ready  " in told.out.splitlines()[0]) == (0, True)


def test_one_link_is_drained_and_its_agent_dials_again(town: Town) -> None:
    wait_until(lambda: len(town.links()) == 1, 20, "the agent is here")
    (link,) = town.links()
    told = town.run("drain", "--link", link["link"], "--grace", "5")
    assert (told.status, link["link"] in told.out, told.out.count("\n")) == (0, True, 1)
    wait_until(lambda: [one["link"] != link["link"] for one in town.links()] == [True], 20, "it dials again")
    again = town.run("drain", "--link", link["link"])
    assert (again.status, "answered 410" in again.err) == (1, True)


def test_a_url_that_works(town: Town) -> None:
    wait_until(lambda: ask(town.port, "GET /readyz?cluster=c1 HTTP/1.1").status == 200, 20, "the agent is here")
    told = town.run("explain", f"http://plain.{DOMAIN}/small?n=1")
    assert (told.status, told.err) == (0, "")
    title, outcome, *_ = told.out.splitlines()
    assert title == f"GET http://plain.{DOMAIN}/small"
    assert outcome.startswith("200 ok")
    for hop in ("choose", "link", "service", "answer"):
        assert f"\n{hop} " in told.out
    assert "\nhop " not in town.run("explain", f"http://plain.{DOMAIN}/", "--no-probe").out


def test_a_url_whose_service_is_down(town: Town) -> None:
    told = town.run("explain", f"http://closed.{DOMAIN}/")
    assert (told.status, told.err) == (1, "")
    assert told.out.splitlines()[1].startswith("502 service_refused: nothing accepts connections")
    assert "\nnext: Check that the service runs" in told.out
    told = town.run("explain", f"http://closed.{DOMAIN}/", "--json")
    assert (told.status, told.json["code"]) == (1, "service_refused")


def test_a_url_that_is_none(town: Town) -> None:
    told = town.run("explain", "a.test")
    assert (told.status, told.out, "write url=https://host/path" in told.err) == (2, "", True)


def test_the_configuration_is_read_again(town: Town) -> None:
    file = town.folder / "gateway.toml"
    good = file.read_text()
    try:
        assert "nothing changed" in town.run("reload").out
        file.write_text("log_level = 'loud'\nmax_waiting_requests = -1\n" + good)
        told = town.run("reload")
        assert (told.status, told.out) == (2, "")
        assert f"tunnel-gateway: {file}:1: log_level: 'loud' is not valid" in told.err
        assert f"tunnel-gateway: {file}:2: max_waiting_requests: " in told.err
        assert "warning: the configuration on disk is not in force" in town.run("status").out
        file.write_text(good.replace(f"closed.{DOMAIN}", "other.test"))
        assert town.run("reload").status == 0
        state = town.run("status", "--json").json["configuration"]
        assert (state["error"], state["reloads"]) == (None, 1), "by us, or by the gateway that watches its file"
        assert "\nother.test" in town.run("routes").out
    finally:
        file.write_text(good)
        assert town.run("reload").status == 0


def test_the_address_of_the_command_line_stays(town: Town) -> None:
    file = town.folder / "gateway.toml"
    good = file.read_text()
    try:
        file.write_text("port = 1\n" + good)
        assert "nothing changed" in town.run("reload").out
    finally:
        file.write_text(good)


def test_a_token_that_is_wrong_and_none(town: Town, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("not-the-admin-token-of-it\n")
    told = town.run("links", "--admin-token-file", str(tmp_path / "token"))
    assert (told.status, told.out, "answered 401" in told.err) == (4, "", True)
