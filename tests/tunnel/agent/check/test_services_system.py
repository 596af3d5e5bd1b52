"""A check of services: names and connections, by the agent's own rules."""

import asyncio

import pytest

from tests.tunnel.agent.world import Service, echo
from tunnel.agent.check.services import check_services
from tunnel.agent.settings import read

pytestmark = [pytest.mark.system, pytest.mark.anyio]


async def checked(*more, environment=None):
    options = ["--gateway", "ws://g/agent", "--cluster", "c1", "--token", "t", *more]
    settings = read(options, environment or {}, "host-1")
    return [(f.subject, f.step, str(f.verdict), f.text, f.next) for f in await check_services(settings)]


async def test_services_that_are_there():
    async with Service(echo) as service:
        literal, named = f"web.apps:80=127.0.0.1:{service.port}", f"api.apps:81=localhost:{service.port}"
        found = await checked("--service", literal, "--service", named)
        assert [entry[:3] for entry in found] == [
            ("service apps/web:80", "tcp", "ok"),
            ("service apps/api:81", "dns", "ok"),
            ("service apps/api:81", "tcp", "ok"),
        ]
        for _ in range(2):
            assert await service.failure() is None


async def test_services_that_are_not():
    found = await checked("--service", "web.apps:80=127.0.0.1:9", "--service", "api.apps:81=nobody.invalid:80")
    assert [entry[:3] for entry in found] == [
        ("service apps/web:80", "tcp", "failed"),
        ("service apps/api:81", "dns", "failed"),
        ("service apps/api:81", "tcp", "skipped"),
    ]
    assert "127.0.0.1:9: connection refused" in found[0][3]
    assert found[0][4] == "check that the service runs and listens on this port"
    assert "nobody.invalid has no address" in found[1][3]


async def test_what_agents_never_reach():
    found = await checked(
        "--service", "web.apps:80=10.96.0.1:443", environment={"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    )
    assert found[0][:3] == ("service apps/web:80", "tcp", "failed")
    assert "Kubernetes API server" in found[0][3]


async def test_a_pattern_without_a_star_is_a_service():
    async with Service(echo) as service:
        more = ["--allow", f"apps/web:{service.port}", "--allow", "apps/*:80", "--allow", "apps/web:*"]
        found = await checked("--cluster-domain", "invalid", *more)
    assert [entry[:3] for entry in found] == [
        (f"service apps/web:{service.port}", "dns", "failed"),
        (f"service apps/web:{service.port}", "tcp", "skipped"),
        ("services apps/*:80", "tcp", "skipped"),
        ("services apps/web:*", "tcp", "skipped"),
    ]


async def test_many_are_tried_a_few_at_a_time(monkeypatch):
    running, most = 0, 0

    async def connect(*_arguments):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    monkeypatch.setattr("tunnel.agent.service.dial.connect", connect)
    found = await checked(*(f"--service=s{n}.apps:80=127.0.0.1:9" for n in range(100)))
    assert [entry[0] for entry in found] == [f"service apps/s{n}:80" for n in range(100)]
    assert {entry[2] for entry in found} == {"ok"}
    assert most == 16
