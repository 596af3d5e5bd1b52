"""Routes that agents register, over a kill: real processes, a real disk, nobody who syncs again."""

import asyncio
import contextlib
import json
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import aiohttp
import pytest

from tests.system.clients import Answer, RawClient
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, NAMESPACE, TOKEN, Stack
from tests.system.test_drain import ADMIN

pytestmark = [tunnel_only, pytest.mark.anyio]

ROUTES = 1_000
CALLS_AT_ONCE = 8


def learning(stack: Stack) -> Stack:
    """The stack's token may register hosts from now on."""
    written = stack.write_config

    def write_config() -> Path:
        path = written()
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('clusters = ["c1", "c2"]', 'clusters = ["c1", "c2"]\nhosts = ["*.learned.test"]'))
        return path

    stack.write_config = write_config  # type: ignore[method-assign]
    return stack


def body(host: str, service: str = "plain") -> dict[str, object]:
    target = {"namespace": NAMESPACE, "service_name": service, "service_port": 80}
    return {"hostname": host, "cluster_uuid": "c1", "path": "/", "path_type": "Prefix", "tls": True, **target}


async def register(stack: Stack, hosts: list[str]) -> None:
    """As the existing agent does, but several at once."""
    waiting = list(reversed(hosts))
    url = f"http://{LOOPBACK}:{stack.port}/api/v1/gateway/routes/register"

    async def work(session: aiohttp.ClientSession) -> None:
        while waiting:
            async with session.post(url, json=body(waiting.pop())) as answer:
                assert answer.status == 200, await answer.text()

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        await asyncio.gather(*(work(session) for _ in range(CALLS_AT_ONCE)))


def scraped(stack: Stack) -> set[str]:
    """The lines of the metrics."""
    request = Request(f"http://{LOOPBACK}:{stack.port}/metrics", headers={"Authorization": f"Bearer {ADMIN}"})
    with urlopen(request, timeout=10) as answer:
        return set(answer.read().decode().splitlines())


def ask(stack: Stack, hosts: list[str]) -> list[Answer]:
    answers = []
    with RawClient((LOOPBACK, stack.port)) as client:
        for host in hosts:
            client.send(f"GET /small?n=1 HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode())
            answers.append(client.answer())
    return answers


@app_only("it ends with the signal, not with 0")
async def test_a_thousand_routes_survive_a_kill_right_after_the_last_answer(own_stack: Callable[..., Stack]):
    hosts = [f"h{number}.learned.test" for number in range(ROUTES)]
    stack = learning(own_stack(state_dir="state", reconnect_grace=0.0)).start(agent=False)
    await register(stack, hosts)
    stack.gateway.signal(signal.SIGKILL)
    stack.gateway.wait_end()

    stack.start_gateway()
    stack.gateway.wait_line(f"{ROUTES} learned routes of {ROUTES} hosts are served again")
    answers = await asyncio.to_thread(ask, stack, [*hosts, "never.learned.test"])
    told = [(answer.status, json.loads(answer.body)["code"]) for answer in answers]
    assert told == [(503, "no_agent")] * ROUTES + [(404, "no_route")]

    agent = stack.start_agent()  # it registers no route
    answers = await asyncio.to_thread(ask, stack, [hosts[0], hosts[-1]])
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"small 1")] * 2
    agent.stop()
    assert stack.gateway.stop() == 0
    assert [file.name for file in (stack.folder / "state").iterdir()] == ["learned-routes.sqlite3"]


@pytest.mark.parametrize("fault", ["damaged", "newer", "unwritable"])
async def test_a_file_that_cannot_be_used_stops_nothing(own_stack: Callable[..., Stack], fault: str):
    """The file's routes are served, and agents register theirs; the file is kept, and the metrics tell."""
    stack = learning(own_stack(state_dir="state", admin_token_file="admin-token", reconnect_grace=0.0))
    (stack.folder / "admin-token").write_text(ADMIN)
    file = stack.folder / "state" / "learned-routes.sqlite3"
    aside = {"damaged": "learned-routes.damaged.sqlite3", "newer": "learned-routes.schema-99.sqlite3"}
    file.parent.mkdir()
    if fault == "unwritable":
        file.mkdir()
    elif fault == "newer":
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        file.write_bytes(b"no database " * 1000)

    stack.start()
    words = {
        "damaged": " is damaged ",
        "newer": " was written by a newer gateway ",
        "unwritable": " cannot be written, ",
    }
    line = next(line for line in stack.gateway.output() if "learned-routes.sqlite3" in line)
    assert words[fault] in line
    assert ("ERROR" in line) == (fault != "newer")
    await register(stack, ["x.learned.test"])
    answers = await asyncio.to_thread(ask, stack, [f"plain.{DOMAIN}", "x.learned.test"])
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"small 1")] * 2

    told = await asyncio.to_thread(scraped, stack)
    counts = [f'gateway_state_files_set_aside_total{{reason="{reason}"}} {float(reason == fault)}' for reason in aside]
    assert {f"gateway_state_kept {float(fault != 'unwritable')}", *counts} <= told
    assert stack.gateway.stop() in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it got
    names = {one.name for one in file.parent.iterdir()}
    assert names == {file.name, *([aside[fault]] if fault in aside else [])}
    assert file.is_dir() == (fault == "unwritable")


async def test_without_a_state_dir_they_are_gone_with_the_process_and_the_log_says_so(own_stack: Callable[..., Stack]):
    stack = learning(own_stack(reconnect_grace=0.0)).start(agent=False)
    await register(stack, ["x.learned.test"])
    stack.gateway.wait_line("learned routes are kept in memory only")
    assert [answer.status for answer in await asyncio.to_thread(ask, stack, ["x.learned.test"])] == [503]
    stack.gateway.signal(signal.SIGKILL)
    stack.gateway.wait_end()
    stack.start_gateway()
    assert [answer.status for answer in await asyncio.to_thread(ask, stack, ["x.learned.test"])] == [404]
