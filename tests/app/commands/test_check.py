"""`check --strict`: warnings become errors."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.app.commands.conftest import Run
from tests.fakes.certificates import Authority

ROUTE = '[[routes]]\nhost = "a.test"\ncluster = "c9"\nnamespace = "apps"\nservice = "web"\nport = 80\n'
UNCOVERED = "cluster c9 has routes, but no agent's token covers it; add it to an [[agents]] entry"


def test_what_is_right_is_right_under_strict(tmp_path: Path, ran: Run):
    file = tmp_path / "gateway.toml"
    file.write_text("", encoding="utf-8")
    told = ran("check", "--strict", str(file))
    assert (told.status, told.err) == (0, "")
    assert ": ok: " in told.out


def test_every_warning_is_an_error(tmp_path: Path, ran: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATEWAY_LOG_LEVLE", "debug")
    authority = Authority(tmp_path)
    authority.write(authority.issue(not_after=datetime(2020, 2, 2, tzinfo=UTC)))
    file = tmp_path / "gateway.toml"
    file.write_text(f'tls_certificate = "tls.crt"\ntls_key = "tls.key"\n{ROUTE}', encoding="utf-8")
    expected = [
        f"{file}:1: tls_certificate: the certificate expired on 2020-02-02 00:00:00 UTC; renew it",
        "GATEWAY_LOG_LEVLE is not a variable of the gateway, did you mean GATEWAY_LOG_LEVEL?",
        UNCOVERED,
    ]
    told = ran("check", str(file))
    assert told.status == 0
    assert told.err.splitlines() == [f"tunnel-gateway: warning: {line}" for line in expected]
    told = ran("check", "--strict", str(file))
    assert (told.status, told.out) == (1, "")
    assert told.err.splitlines() == [f"tunnel-gateway: error: {line}" for line in expected]


@pytest.mark.parametrize(("days", "status"), [(13, 1), (15, 0)])
def test_a_certificate_that_ends_soon(tmp_path: Path, ran: Run, days: int, status: int):
    authority = Authority(tmp_path)
    authority.write(authority.issue(not_after=datetime.now(UTC) + timedelta(days=days)))
    file = tmp_path / "gateway.toml"
    file.write_text('tls_certificate = "tls.crt"\ntls_key = "tls.key"\n', encoding="utf-8")
    told = ran("check", "--strict", str(file))
    assert told.status == status
    if status:
        assert told.err.startswith(f"tunnel-gateway: error: {file}:1: tls_certificate: the certificate is valid until ")
        assert told.err.endswith(" UTC, which is in less than 14 days; renew it\n")


def test_the_variable_of_the_clients_is_no_stranger(ran: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:8080")
    assert (ran("check", "--strict").status, ran("check").err) == (0, "")


def test_errors_are_errors_with_and_without_strict(tmp_path: Path, ran: Run):
    file = tmp_path / "gateway.toml"
    file.write_text("log_level = 'loud'\nport = 99999\n", encoding="utf-8")
    for options in ((), ("--strict",)):
        told = ran("check", *options, str(file))
        assert (told.status, told.out, told.err.count("\n")) == (2, "", 2)


def test_a_token_file_that_serve_would_make(tmp_path: Path, ran: Run):
    file = tmp_path / "gateway.toml"
    file.write_text('agent_token_file = "token"\npublish_hosts = ["*.dev.test"]\n', encoding="utf-8")
    for options in ((), ("--strict",)):
        told = ran("check", *options, str(file))
        assert (told.status, told.err) == (0, "")
        assert told.out.splitlines() == [
            f"{file}: ok: 0 routes of 0 hosts, 1 agent token, no admin token",
            f"{tmp_path}/token does not exist; tunnel-gateway serve makes it, with a new token for agents",
        ]
    assert not (tmp_path / "token").exists()
    (tmp_path / "token").write_text("the-token", encoding="utf-8")
    assert "does not exist" not in ran("check", str(file)).out


def test_the_file_may_be_named_as_for_serve(tmp_path: Path, ran: Run):
    file = tmp_path / "gateway.toml"
    file.write_text("colour = 1", encoding="utf-8")
    told = ran("check", "--config", str(file))
    assert (told.status, told.err) == (2, ran("check", str(file)).err)
    told = ran("check", "--config", str(file), str(file))
    assert told.status == 2
    assert told.err == "tunnel-gateway check: the file is given twice, as FILE and with --config\n"
