"""The configuration read again: whole or not at all, once it stands still, and what becomes of constants."""

import asyncio
import dataclasses
import ipaddress
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from app.node.gateway import Gateway
from app.operator.reload import NEEDS_RESTART, POLL_SECONDS, Reloader
from app.rules.proxies import Proxies
from app.settings import ClusterSettings, Settings, load, token_hash
from tests.app.operator.world import GOOD, AtOnce, World
from tests.fakes.loop import dialogue, left_behind, quiet


async def polls(number: int) -> None:
    await asyncio.sleep(number * POLL_SECONDS + 0.01)


def test_a_reload_replaces_all(tmp_path: Path):
    world = World(tmp_path)
    world.write('max_websockets = 3\npublic_url = "https://gw.test"\n' + world.good(host="b", token="u"))
    text = world.reloader.reload()
    assert text == (f"configuration reloaded from {world.file}: 1 route of 1 host, 1 agent token, no admin token")
    settings = world.gateway.settings
    assert settings.routes.hosts == {"b.example.test"}
    assert set(settings.grants) == {token_hash("u")}
    assert settings.policy.max_websockets == settings.routes.routes[0].policy.max_websockets == 3
    assert settings.control_hosts == {"localhost", "gw.test"}
    assert (world.reloader.applied, world.reloader.refused) == (1, 0)
    assert events(world) == [("configuration_reloaded", "info", text)]


def events(world: World) -> list[tuple[str, str, str]]:
    return [(event.kind, event.level, event.message) for event in world.gateway.events.since()]


def test_a_refused_file_is_one_line_with_all_its_errors(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    world = World(tmp_path)
    wrong = "".join(f"x{number} = 1\n" for number in range(12))
    world.write(wrong)
    text = world.reloader.reload()
    assert text.startswith(f"configuration not changed: {world.file}:1: x0: unknown key; valid keys: ")
    assert f"; {world.file}:10: x9: unknown key; " in text
    assert text.endswith("; and 2 more errors")
    (record,) = [record for record in caplog.records if record.name == "gateway.reload"]
    assert record.getMessage() == text
    assert "\n" not in text
    assert len(record.fields["errors"]) == 12  # type: ignore[attr-defined]
    assert world.reloader.refused == 1


def test_a_reload_warns_of_what_is_new(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    world = World(tmp_path)
    route = '[[routes]]\nhost = "b.test"\ncluster = "c2"\nnamespace = "apps"\nservice = "web"\nport = 80\n'
    world.write(world.good() + route)
    for _ in range(2):
        world.reloader.reload()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["cluster c2 has routes, but no agent's token covers it; add it to an [[agents]] entry"]


def test_what_says_the_same_changes_nothing(tmp_path: Path):
    world = World(tmp_path)
    world.write("# the same in other words\n" + world.good())
    assert world.reloader.reload() == "configuration read again: nothing changed"
    assert (world.reloader.applied, world.reloader.refused) == (0, 0)


def test_reloads_are_counted_and_the_last_good_one_has_its_time(tmp_path: Path):
    world = World(tmp_path)
    reloads = world.gateway.metrics.reloads
    started = reloads.succeeded_at
    assert started is not None
    for text in (world.good(host="b"), world.good(host="b"), "routes = wrong"):
        world.write(text)
        world.reloader.reload()
    assert (reloads.applied, reloads.unchanged, reloads.refused, reloads.successful) == (1, 1, 1, False)
    assert reloads.succeeded_at >= started
    world.write(world.good(host="c"))
    world.reloader.reload()
    assert (reloads.applied, reloads.successful) == (2, True)


def test_what_the_command_line_gave_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    world = World(tmp_path)
    gateway = Gateway(load(str(world.file), {}, arguments={"tls_certificate": "/a.crt", "tls_key": "/a.key"}))
    world.write(world.good(host="b"))
    assert Reloader(gateway).reload().startswith("configuration reloaded from ")
    assert (gateway.settings.tls_certificate, gateway.settings.tls_key) == ("/a.crt", "/a.key")
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_sighup_tells_the_others_that_watch_files(tmp_path: Path):
    @dialogue
    async def run() -> None:
        world = World(tmp_path)
        told: list[str] = []
        world.reloader.hung_up.append(lambda: told.append("told"))
        world.reloader.start()
        world.reloader._hang_up()
        await quiet()
        assert (told, world.reads) == (["told"], 1)
        world.reloader.stop()

    run()


@pytest.mark.parametrize("wrong", ["[[routes]", "colour = 1", '[[agents]]\ntoken = "t"\n', None])
def test_a_wrong_file_changes_nothing(tmp_path: Path, wrong: str | None, caplog: pytest.LogCaptureFixture):
    world = World(tmp_path)
    link = world.link("t")
    if wrong is None:
        world.file.unlink()
    else:
        world.write(wrong)
    text = world.reloader.reload()
    assert text.startswith(f"configuration not changed: {world.file}")
    assert [(kind, level) for kind, level, _ in events(world)] == [("configuration_refused", "error")]
    assert world.gateway.settings is world.first
    assert link.closes == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", text)]
    assert (world.reloader.applied, world.reloader.refused) == (0, 1)


@pytest.mark.parametrize("emptied", ["", "\n", "# all is gone\n", "max_websockets = 3\n"])
def test_an_emptied_file_changes_nothing(tmp_path: Path, emptied: str, caplog: pytest.LogCaptureFixture):
    """A file cut short reads like one that means it."""
    world = World(tmp_path)
    link = world.link("t")
    world.write(emptied)
    text = world.reloader.reload()
    assert text.startswith("configuration not changed: the file has no routes and no agents any more")
    assert world.gateway.settings is world.first
    assert link.closes == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", text)]
    assert (world.reloader.applied, world.reloader.refused) == (0, 1)
    world.write(world.good(host="b"))
    world.reloader.reload()
    assert world.hosts == {"b.example.test"}


def test_either_routes_or_agents_may_go(tmp_path: Path):
    world = World(tmp_path)
    agents, routes = world.good().split("[[routes]]")
    world.write(agents)
    world.reloader.reload()
    assert world.hosts == frozenset()
    world.write(f"[[routes]]{routes}")
    world.reloader.reload()
    assert (world.hosts, world.gateway.settings.grants) == ({"a.example.test"}, {})
    assert (world.reloader.applied, world.reloader.refused) == (2, 0)


def test_what_was_empty_may_stay_so(tmp_path: Path):
    world = World(tmp_path, "")
    world.write("max_websockets = 3\n")
    world.reloader.reload()
    assert world.gateway.settings.policy.max_websockets == 3


def test_each_wrong_content_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    world = World(tmp_path)
    for text in ("colour = 1", "colour = 1", "size = 1", "size = 1"):
        world.write(text)
        world.reloader.reload()
    assert ["colour" in record.getMessage() for record in caplog.records] == [True, False]
    world.write(world.good())
    world.reloader.reload()
    caplog.clear()
    world.write("size = 1")
    world.reloader.reload()
    assert len(caplog.records) == 1


OTHER: dict[str, Any] = {
    "admin_bind": ("127.0.0.1", 9090),
    "client_ping_interval": 1.0,
    "client_ping_timeout": 2.0,
    "cluster": ClusterSettings(("nats://192.0.2.7:4222",)),
    "held_bytes_hard_limit": 3_000_000_000,
    "held_bytes_limit": 2_000_000_000,
    "host": "192.0.2.7",
    "log_format": "json",
    "log_level": "debug",
    "max_connections": 7,
    "port": 9,
    "proxy_protocol": True,
    "reconnect_grace": 4.0,
    "spool_bytes_limit": 5,
    "state_dir": "/var/lib/elsewhere",
    "tls_certificate": "other.crt",
    "tls_key": "other.key",
}


@pytest.mark.parametrize("name", NEEDS_RESTART)
def test_what_needs_a_restart_keeps_its_value_and_is_named(name: str, caplog: pytest.LogCaptureFixture):
    gateway = Gateway(Settings())
    before = getattr(gateway.settings, name)
    new = dataclasses.replace(Settings(shutdown_grace=99.0), **{name: OTHER[name]})
    Reloader(gateway).apply(new)
    assert getattr(gateway.settings, name) == before
    assert gateway.settings.shutdown_grace == 99.0
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{name} changed: ")


def test_other_proxies_are_trusted_from_now_on():
    gateway = Gateway(Settings())
    assert gateway.proxies is None
    networks = (ipaddress.ip_network("10.0.0.0/8"),)
    Reloader(gateway).apply(Settings(trusted_proxies=networks, proxy_fields="forwarded"))
    assert gateway.proxies == Proxies(networks, "forwarded")


def test_a_longer_message_than_the_server_takes_is_named(caplog: pytest.LogCaptureFixture):
    """In base64, as an agent without yamux sends it: three bytes more are more in any case."""
    gateway = Gateway(Settings())
    longer = dataclasses.replace(Settings().policy, max_message_bytes=Settings().policy.max_message_bytes + 3)
    Reloader(gateway).apply(Settings(policy=longer))
    assert gateway.settings.policy == longer
    assert "max_message_bytes was raised: the server accepts at most 10485760 until" in caplog.text


def test_a_listener_never_comes_to_stand_open():
    token = token_hash("0123456789abcdef")
    gateway = Gateway(Settings(admin_bind=("0.0.0.0", 9090), admin_token_hash=token))
    Reloader(gateway).apply(Settings())
    assert (gateway.settings.admin_bind, gateway.settings.admin_token_hash) == (("0.0.0.0", 9090), token)
    closed = Gateway(Settings(admin_token_hash=token))
    Reloader(closed).apply(Settings())
    assert closed.settings.admin_token_hash is None


@dialogue
async def test_a_change_is_taken_once_it_stands_still(tmp_path: Path):
    world = World(tmp_path)
    world.reloader.start()
    await polls(3)
    assert world.gateway.settings is world.first
    world.write("")  # its writer emptied it first
    await polls(1)
    assert world.hosts == {"a.example.test"}
    world.write(world.good(host="b"))
    await polls(1)
    assert world.hosts == {"a.example.test"}
    await polls(1)
    assert world.hosts == {"b.example.test"}
    await polls(3)
    assert world.reloader.applied == 1
    world.reloader.stop()


@dialogue
async def test_a_wrong_change_is_read_once_and_mended_by_the_next(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    world = World(tmp_path)
    world.reloader.start()
    world.write("colour = 1")
    await polls(5)
    assert (world.reloader.refused, len(caplog.records)) == (1, 1)
    world.file.unlink()
    await polls(3)
    assert (world.reloader.refused, len(caplog.records)) == (2, 2)
    assert world.gateway.settings is world.first
    world.write(world.good(host="b"))
    await polls(2)
    assert world.hosts == {"b.example.test"}
    world.reloader.stop()


@dialogue
async def test_a_change_while_it_is_read_is_not_missed(tmp_path: Path):
    world = World(tmp_path)
    world.reloader.start()
    world.meanwhile = world.good(host="c")
    world.write(world.good(host="b"))
    await polls(2)
    assert (world.hosts, world.reads) == ({"b.example.test"}, 1)
    await polls(2)
    assert (world.hosts, world.reads) == ({"c.example.test"}, 2)
    world.reloader.stop()


@dialogue
async def test_a_switched_symlink_is_a_change(tmp_path: Path):
    """A ConfigMap's volume: gateway.toml -> ..data/gateway.toml, ..data -> ..first, and the latter is replaced."""
    for name, host in (("..first", "a"), ("..second", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.toml").write_text(
            GOOD.format(host=host, token="t", revoked="false"), encoding="utf-8"
        )
        os.utime(tmp_path / name / "gateway.toml", ns=(1, 1))
    (tmp_path / "..data").symlink_to("..first")
    file = tmp_path / "gateway.toml"
    file.symlink_to("..data/gateway.toml")
    gateway = Gateway(load(str(file), {}))
    reloader = Reloader(gateway, str(file), worker=AtOnce())
    reloader.start()
    (tmp_path / "..next").symlink_to("..second")
    (tmp_path / "..next").replace(tmp_path / "..data")
    await polls(2)
    assert gateway.settings.routes.hosts == {"b.example.test"}
    reloader.stop()


@dialogue
async def test_files_that_the_file_names_are_watched_too(tmp_path: Path):
    (tmp_path / "token").write_text("first", encoding="utf-8")
    world = World(tmp_path, '[[agents]]\ntoken_file = "token"\nclusters = ["c1"]\n')
    world.reloader.start()
    world.write("second", "token")
    await polls(2)
    assert set(world.gateway.settings.grants) == {token_hash("second")}
    world.write('[[agents]]\ntoken_file = "other"\nclusters = ["c1"]\n')
    world.write("third", "other")
    await polls(2)
    assert set(world.gateway.settings.grants) == {token_hash("third")}
    await polls(3)
    assert world.reads == 2
    world.write("fourth", "other")
    await polls(2)
    assert set(world.gateway.settings.grants) == {token_hash("fourth")}
    world.reloader.stop()


@dialogue
async def test_stop_leaves_nothing_and_both_are_idempotent(tmp_path: Path):
    world = World(tmp_path)
    world.reloader.stop()
    world.reloader.start()
    world.reloader.start()
    assert len(left_behind()) == 1
    world.reloader.stop()
    world.reloader.stop()
    world.write(world.good(host="b"))
    await polls(3)
    assert world.gateway.settings is world.first


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN], ids=["plain", "nohup"])
def test_sighup_reads_at_once_and_says_again_what_is_wrong(
    before: signal.Handlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    ours = signal.signal(signal.SIGHUP, before)

    async def run() -> None:
        world = World(tmp_path)
        world.reloader.start(sighup=True)
        world.write("colour = 1")
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: "colour: unknown key" in caplog.text)
            assert "SIGHUP" in caplog.text
            caplog.clear()
        world.write(world.good(host="b"))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: world.reloader.applied == 1)
        assert world.hosts == {"b.example.test"}
        world.reloader.stop()

    try:
        asyncio.run(run())
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, ours)


async def until(condition: Any) -> None:
    """The signal arrives by a socket of the loop's: let it turn until it did."""
    async with asyncio.timeout(10):
        while not condition():
            await quiet()
