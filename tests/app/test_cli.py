"""The console: what each command prints, on which stream, and its exit status."""

import http.server
import re
import socket
import sys
import threading
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from app.__main__ import main
from app.settings import load, token_hash
from tests.fakes.certificates import Authority
from tunnel.version import VERSION

ROUTE = '[[routes]]\nhost = "a.test"\ncluster = "{}"\nnamespace = "apps"\nservice = "web"\nport = 80\n'
AGENT = '[[agents]]\ntoken = "x"\nclusters = ["c1"]\n'


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "ADMIN_TOKEN", "ADMIN_TOKEN_FILE"):
        monkeypatch.delenv(f"GATEWAY_{name}", raising=False)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls of `serve`, which does not serve."""
    calls: list[tuple[Any, ...]] = []
    module = ModuleType("app.serve")

    def serve(*arguments: Any, made: list[Path]) -> int:
        calls.append((*arguments, *made))
        return 7

    module.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app.serve", module)
    monkeypatch.setattr("app.serve", module, raising=False)
    return calls


@pytest.mark.parametrize("command", [(), ("serve",)])
def test_serve_is_what_it_does_by_default(tmp_path: Path, served: list[tuple[Any, ...]], command: tuple[str, ...]):
    file = tmp_path / "gateway.toml"
    file.write_text("shutdown_grace = 3", encoding="utf-8")
    assert run(*command) == 7
    assert run(*command, "--config", str(file), "--host", "0.0.0.0", "--port", "9") == 7
    (settings, *address), (configured, *other) = served
    assert (settings.shutdown_grace, settings.file, address) == (10.0, None, ["127.0.0.1", 8080])
    assert (configured.shutdown_grace, configured.file, other) == (3.0, str(file), ["0.0.0.0", 9])


@pytest.mark.parametrize("port", ["-1", "65536", "http", "8080.0", "\N{SUPERSCRIPT TWO}"])
def test_a_port_that_is_none(port: str, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]):
    assert run("--port", port) == 2
    assert "--port: write a number from 0 to 65535" in capsys.readouterr().err
    assert served == []


@pytest.mark.parametrize("command", [("serve", "--config"), ("--config",), ("check",)])
def test_a_wrong_configuration_is_one_line_and_status_2(
    tmp_path: Path, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
):
    file = tmp_path / "gateway.toml"
    file.write_text("\nlog_level = 'loud'", encoding="utf-8")
    assert run(*command, str(file)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"tunnel-gateway: {file}:2: log_level: 'loud' is not valid; "
        'valid: "debug" or "info" or "warning" or "error"\n'
    )
    assert served == []


@pytest.mark.parametrize("command", ["serve", "check"])
def test_all_that_is_wrong_is_printed_at_once(
    tmp_path: Path, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], command: str
):
    file = tmp_path / "gateway.toml"
    file.write_text("port = 0\nlog_level = 'loud'\n" + ROUTE.format("c1").replace('"a.test"', '"a.test:80"'))
    assert run(command, *(["--config"] if command == "serve" else []), str(file)) == 2
    assert capsys.readouterr().err.splitlines() == [
        f'tunnel-gateway: {file}:2: log_level: \'loud\' is not valid; valid: "debug" or "info" or "warning" or "error"',
        f"tunnel-gateway: {file}:4: routes[0].host: 'a.test:80' is not valid; routes ignore ports, write a.test",
    ]
    assert served == []


def test_the_address_is_that_of_the_configuration(
    tmp_path: Path, served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "gateway.toml"
    file.write_text("host = '::'\nport = 81", encoding="utf-8")
    monkeypatch.setenv("GATEWAY_PORT", "82")
    assert run("--config", str(file)) == 7
    assert run("--config", str(file), "--port", "83") == 7
    assert [address for _, *address in served] == [["::", 82], ["::", 83]]
    assert served[1][0].arguments == {"port": 83}


def test_the_certificate_may_be_named_on_the_command_line(
    tmp_path: Path, served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "gateway.toml"
    file.write_text('tls_certificate = "a.crt"\ntls_key = "a.key"\n', encoding="utf-8")
    assert run("--config", "etc/gateway.toml") == 7
    assert run("--config", "etc/gateway.toml", "--tls-certificate", "b.crt", "--tls-key", "/b.key") == 7
    (first, *_), (second, *_) = served
    assert (first.tls_certificate, first.tls_key) == ("etc/a.crt", "etc/a.key")
    assert (second.tls_certificate, second.tls_key) == (str(tmp_path / "b.crt"), "/b.key")
    assert second.arguments == {"tls_certificate": str(tmp_path / "b.crt"), "tls_key": "/b.key"}
    assert first.arguments == {}
    assert run("--tls-key", "") == 2
    assert capsys.readouterr().err.startswith("tunnel-gateway: --tls-key: '' is not valid; valid: ")


def test_check_reads_the_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    authority = Authority(tmp_path)
    authority.write(authority.issue())
    file = tmp_path / "gateway.toml"
    file.write_text('tls_certificate = "tls.crt"\ntls_key = "tls.key"\n', encoding="utf-8")
    assert run("check", str(file)) == 0
    assert capsys.readouterr().err == ""
    authority.write(authority.issue(not_after=datetime(2020, 2, 2, tzinfo=UTC)))
    assert run("check", str(file)) == 0
    out, err = capsys.readouterr()
    assert ": ok: " in out
    assert err == (
        f"tunnel-gateway: warning: {file}:1: tls_certificate: the certificate expired on 2020-02-02 00:00:00 UTC; "
        "renew it\n"
    )
    authority.put(authority.key, authority.issue().private_key_pem.bytes())
    assert run("check", str(file)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"tunnel-gateway: {file}:2: tls_key: {authority.key} is not the key of the certificate in "
        f"{authority.certificate}\n"
    )


def test_version(capsys: pytest.CaptureFixture[str]):
    assert run("--version") == 0
    assert capsys.readouterr() == (f"tunnel-gateway {VERSION}\n", "")


def test_check_says_what_is_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "gateway.toml"
    file.write_text(AGENT + ROUTE.format("c1"), encoding="utf-8")
    assert run("check", str(file)) == 0
    assert capsys.readouterr() == (f"{file}: ok: 1 route of 1 host, 1 agent token, no admin token\n", "")
    monkeypatch.setenv("GATEWAY_CONFIG", str(file))
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "0123456789abcdef")
    assert run("check") == 0
    assert capsys.readouterr() == (f"{file}: ok: 1 route of 1 host, 1 agent token, admin token set\n", "")
    monkeypatch.delenv("GATEWAY_CONFIG")
    assert run("check") == 0
    assert capsys.readouterr().out == "environment: ok: 0 routes of 0 hosts, 0 agent tokens, admin token set\n"


def test_check_warns_of_what_nobody_may_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "gateway.toml"
    file.write_text(AGENT + ROUTE.format("c9"), encoding="utf-8")
    assert run("check", str(file)) == 0
    out, err = capsys.readouterr()
    assert ": ok: " in out
    assert err == (
        "tunnel-gateway: warning: cluster c9 has routes, but no agent's token covers it; "
        "add it to an [[agents]] entry\n"
    )


def test_check_warns_where_the_extra_for_several_nodes_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "secret").write_text("0123456789abcdef", encoding="utf-8")
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[cluster]\nservers = ["nats://nats"]\npeer_bind = "127.0.0.1:9000"\npeer_secret_file = "secret"\n', "utf-8"
    )
    assert run("check", "--strict", str(file)) == 0
    capsys.readouterr()
    monkeypatch.setattr("app.commands.check.find_spec", lambda _: None)
    assert run("check", str(file)) == 0
    assert "pip install 'tunnel-gateway[cluster]'; without it, `serve` refuses this file" in capsys.readouterr().err
    assert run("check", "--strict", str(file)) == 1


@pytest.mark.parametrize(
    ("options", "clusters"),
    [((), ("CLUSTER",)), (("--clusters", "c1, c2,"), ("c1", "c2")), (("--clusters", 'q"'), ('q"',))],
)
def test_token_prints_the_token_alone_and_its_entry_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], clusters: tuple[str, ...]
):
    assert run("token", *options) == 0
    out, err = capsys.readouterr()
    token = out.removesuffix("\n")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert token not in err
    assert tomllib.loads(err) == {"agents": [{"token_sha256": token_hash(token).hex(), "clusters": list(clusters)}]}
    file = tmp_path / "gateway.toml"
    file.write_text(err, encoding="utf-8")
    assert load(str(file), {}).grants[token_hash(token)].clusters == clusters
    assert run("token") == 0
    assert capsys.readouterr().out != out


@pytest.mark.parametrize("clusters", ["", ",", "a\nb"])
def test_clusters_that_are_none(clusters: str, capsys: pytest.CaptureFixture[str]):
    assert run("token", "--clusters", clusters) == 2
    assert "write names of clusters, separated by commas" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert [command for command in ("serve", "check", "token", "drain") if f"    {command} " not in out] == []


def test_an_unknown_command_is_wrong_usage(served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]):
    assert run("stop") == 2
    assert "unrecognized arguments: stop" in capsys.readouterr().err
    assert served == []


class Told(http.server.BaseHTTPRequestHandler):
    """Writes down what it is asked, and answers what the test wants."""

    server: "Gateway"

    def do_POST(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002  (the base class's name)
        pass


class Gateway(http.server.HTTPServer):
    asked: list[tuple[str, str | None]]
    answer: tuple[int, bytes]


@pytest.fixture
def gateway() -> Iterator[SimpleNamespace]:
    server = Gateway(("127.0.0.1", 0), Told)
    server.asked, server.answer = [], (200, b'{"message": "drained", "exchanges": 0}')
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield SimpleNamespace(server=server, url=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.system
def test_drain_presents_the_token_and_prints_what_it_was_told(
    tmp_path: Path, gateway: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "token-of-the-variable")
    assert run("drain", "--url", gateway.url) == 0
    assert capsys.readouterr() == ("drained\n", "")
    (tmp_path / "token").write_text("token-of-the-file\n", encoding="utf-8")
    gateway.server.answer = (202, b"")
    options = ("--wait", "2.5", "--admin-token-file", str(tmp_path / "token"))
    assert run("drain", "--url", f"{gateway.url}/", *options) == 0
    assert capsys.readouterr() == ("draining\n", "")
    assert gateway.server.asked == [
        ("/-/drain", "Bearer token-of-the-variable"),
        ("/-/drain?wait=2.5", "Bearer token-of-the-file"),
    ]


@pytest.mark.system
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, b'{"message": "Not for everyone"}'), "401: Not for everyone; set GATEWAY_ADMIN_TOKEN or"),
        ((404, b"[1,\n 2]"), "404: [1, 2]\n"),
        ((503, b"line one\r\nline two"), "503: line one line two\n"),
        ((500, b""), "500: Internal Server Error\n"),
    ],
)
def test_drain_that_was_refused_is_status_1_with_the_reason(
    gateway: SimpleNamespace, capsys: pytest.CaptureFixture[str], answer: tuple[int, bytes], told: str
):
    gateway.server.answer = answer
    assert run("drain", "--url", gateway.url) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"tunnel-gateway: drain: {gateway.url} answered {told}")
    assert err.count("\n") == 1
    assert gateway.server.asked == [("/-/drain", None)]


@pytest.mark.system
def test_drain_without_a_gateway_is_status_1(capsys: pytest.CaptureFixture[str]):
    with socket.socket() as nobody:  # bound, but nobody listens
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert run("drain", "--url", url) == 1
    assert capsys.readouterr().err.startswith(f"tunnel-gateway: drain: {url}: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--url", "127.0.0.1:8080"), "http://host[:port][/prefix]"),
        (("--url", "http://a:99999"), "http://host[:port][/prefix]"),
        (("--url", "http://u:p@a"), "http://host[:port][/prefix]"),
        (("--wait", "-1"), "seconds, from 0 to 86400"),
        (("--wait", "nan"), "seconds, from 0 to 86400"),
        (("--wait", "soon"), "seconds, from 0 to 86400"),
        (("--admin-token-file", "/nowhere/token"), "--admin-token-file: /nowhere/token cannot be read"),
        (("--admin-token", "secret"), "unrecognized arguments"),
    ],
)
def test_drain_used_wrongly_is_status_2(options: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]):
    assert run("drain", *options) == 2
    assert told in capsys.readouterr().err


def test_drain_with_a_token_that_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "short")
    assert run("drain") == 2
    assert "GATEWAY_ADMIN_TOKEN: the admin token is too short" in capsys.readouterr().err


def test_the_token_of_publishers_is_made_when_it_is_missing(
    tmp_path: Path, served: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    publishing = ("--agent-token-file", "token", "--publish-host", "*.localhost", "--publish-host", "a.test")
    assert run(*publishing, "--publish-host", "localhost") == 2
    assert capsys.readouterr().err == (
        "tunnel-gateway: --publish-host: localhost is a control host and cannot be published; write *.localhost, or "
        "another host\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert run(*publishing) == run(*publishing) == 7
    (first, _, _, *made), (second, _, _, *made_again) = served
    assert (made, made_again) == ([tmp_path / "token"], [])
    assert first.grants == second.grants
    ((token, grant),) = first.grants.items()
    assert token == token_hash((tmp_path / "token").read_text(encoding="utf-8").strip())
    assert grant.hosts == first.publish_hosts == ("*.localhost", "a.test")
