"""A check ends in its time, whatever does not answer, and says what that was."""

import asyncio
import io
import socket
import threading

import pytest

from tunnel.agent import login
from tunnel.agent.check import command, gateway, lookups
from tunnel.agent.check.findings import failed
from tunnel.agent.options import parse
from tunnel.agent.settings import for_login, read


@pytest.fixture
def silent(monkeypatch):
    """Names below `silent.test` are looked up until the test is over; all others are 192.0.2.1.

    The names that somebody waited for until they were given up.
    """
    over = threading.Event()
    given_up = []

    def getaddrinfo(host, port, *_):
        if str(host).rstrip(".").endswith("silent.test") and not over.wait(20):
            given_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield given_up
    over.set()


async def look_up_beside_many_that_hang():
    loop = asyncio.get_running_loop()
    hanging = [loop.create_task(loop.getaddrinfo(f"{n}.silent.test", 80)) for n in range(100)]
    async with asyncio.timeout(30):
        found = await loop.getaddrinfo("quick.test", 80)
    for each in hanging:
        each.cancel()
    return found


def test_a_name_that_hangs_delays_no_other_and_not_the_end(silent):
    found = lookups.run(look_up_beside_many_that_hang())
    assert found[0][4] == ("192.0.2.1", 80)
    assert silent == []


def test_a_look_up_that_fails(monkeypatch):
    def getaddrinfo(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def look_up():
        await asyncio.get_running_loop().getaddrinfo("a.test", 80)

    with pytest.raises(socket.gaierror):
        lookups.run(look_up())


def test_a_login_does_not_wait_for_one_either(silent, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("token"))
    monkeypatch.setattr(gateway, "STEP_SECONDS", 0.05)
    line = parse(["login", "--gateway", "https://g.silent.test"])
    assert login.log_in(for_login(line, {"HOME": str(tmp_path), "APPDATA": str(tmp_path)}, "host-1")) == login.FAILED
    assert "g.silent.test has no address" in capsys.readouterr().out
    assert silent == []


def test_what_was_unanswered_is_said(silent):
    services = [f"s{n}.apps:80=s{n}.silent.test:80" for n in range(20)]
    named = [f"--service={each}" for each in services]
    settings = read(["--gateway", "ws://g.silent.test/agent", "--cluster", "c1", "--token", "t", *named], {}, "host-1")
    found = lookups.run(command.check(settings, 0.05))
    text = "still unanswered when the 0.05 s of this check were over"
    assert failed(found)
    assert [(f.step, str(f.verdict)) for f in found[:4]] == [
        ("dns", "failed"), ("tcp", "skipped"), ("clock", "skipped"), ("upgrade", "skipped"),
    ]  # fmt: skip
    assert [f.text for f in found if f.verdict == "failed"] == [text] * 21
