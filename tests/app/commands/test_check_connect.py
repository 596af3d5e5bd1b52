"""`check --connect`: what is printed where, and the exit status. The tries themselves: `tests/system`."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from app.cluster import trying
from app.cluster.engine import INSTALL, ExtraMissingError
from app.cluster.trying import Finding
from app.settings import ClusterSettings
from tests.app.commands.conftest import Run

OK = Finding("ok", "NATS nats://a: connected")
WARNING = Finding("warning", "bucket b: odd; change it")
ERROR = Finding("error", "node n: no answer\x1b[2J; look at it")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("a-secret-of-all-nodes")
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[cluster]\nservers = ["nats://127.0.0.1:1"]\npeer_bind = "127.0.0.1:8082"\npeer_secret_file = "secret"\n'
    )
    return file


def finds(monkeypatch: pytest.MonkeyPatch, *found: Finding) -> None:
    async def findings(settings: ClusterSettings) -> AsyncGenerator[Finding]:
        assert settings.servers == ("nats://127.0.0.1:1",)
        for one in found:
            yield one

    monkeypatch.setattr(trying, "findings", findings)


def test_all_is_well(file: Path, ran: Run, monkeypatch: pytest.MonkeyPatch):
    finds(monkeypatch, OK, OK)
    told = ran("check", "--connect", str(file))
    assert (told.status, told.err) == (0, "")
    assert told.out.splitlines()[1:] == [OK.text, OK.text]


def test_a_warning_is_an_error_with_strict(file: Path, ran: Run, monkeypatch: pytest.MonkeyPatch):
    finds(monkeypatch, OK, WARNING)
    told = ran("check", "--connect", str(file))
    assert (told.status, told.err) == (0, f"tunnel-gateway: warning: {WARNING.text}\n")
    told = ran("check", "--connect", "--strict", str(file))
    assert (told.status, told.err) == (1, f"tunnel-gateway: error: {WARNING.text}\n")


def test_what_failed_is_told_at_the_end(file: Path, ran: Run, monkeypatch: pytest.MonkeyPatch):
    finds(monkeypatch, ERROR, OK)
    told = ran("check", "--connect", str(file))
    assert (told.status, told.err) == (1, "tunnel-gateway: error: node n: no answer\\x1b[2J; look at it\n")
    assert told.out.splitlines()[1:] == [OK.text]


def test_without_a_cluster_there_is_nothing_to_try(tmp_path: Path, ran: Run):
    file = tmp_path / "gateway.toml"
    file.write_text("")
    told = ran("check", "--connect", str(file))
    assert (told.status, told.err) == (0, "")
    assert told.out.endswith("there is no [cluster]: nothing to connect to\n")


def test_without_the_extra(file: Path, ran: Run, monkeypatch: pytest.MonkeyPatch):
    async def findings(_: ClusterSettings) -> AsyncGenerator[Finding]:
        raise ExtraMissingError(INSTALL)
        yield OK

    monkeypatch.setattr(trying, "findings", findings)
    told = ran("check", "--connect", str(file))
    assert (told.status, told.err) == (1, f"tunnel-gateway: {INSTALL}\n")


def test_a_wrong_configuration_is_not_tried(file: Path, ran: Run):
    file.write_text("port = 99999\n")
    assert ran("check", "--connect", str(file)).status == 2
