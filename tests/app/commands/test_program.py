"""The program: every command by itself, its help, what it loads, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.commands import run
from app.commands.program import SECTIONS
from tests.app.commands.answers import LINK, page
from tests.app.commands.conftest import Run
from tests.app.commands.scripted import Said, Script

ROOT = Path(__file__).parents[3]
COMMANDS = [name for names in SECTIONS.values() for name in names]
LOCAL = {"serve", "check", "token"}
CLIENTS = [name for name in COMMANDS if name not in LOCAL]
LOADED = """
import sys
from app.commands import run
status = run(sys.argv[1:])
found = {name.split(".")[0] for name in sys.modules} & {"starlette", "uvicorn", "prometheus_client"}
ours = {name.split(".")[1] for name in sys.modules if name.startswith("app.")}
print(status, *sorted(found), *sorted(ours - {'commands', 'settings', 'rules'}), file=sys.stderr)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_documents_itself_and_the_exit_statuses(name: str, ran: Run):
    told = ran(name, "--help")
    assert (told.status, told.err) == (0, "")
    assert f"Usage: tunnel-gateway {name} " in told.out
    words = " ".join(told.out.split())
    for status in ("0 done", "1 it failed", "2 wrong usage", "3 the gateway cannot be reached", "4 the admin token"):
        assert status in words


def test_the_help_lists_them_in_their_sections(ran: Run):
    told = ran("--help").out
    for heading, names in SECTIONS.items():
        listed = told.partition(f"{heading}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in listed.splitlines() if line.startswith("    ") and line[4] != " "] == [
            *names
        ]
    assert "..." not in told


ARGUMENTS = {
    "explain": ("explain", "https://a.test/"),
    "drain": ("drain", "--link", "link-1"),
    "diag": ("diag", "x.tar.gz"),
}


@pytest.mark.system
@pytest.mark.parametrize("name", [*CLIENTS, "check", "token"])
def test_no_command_but_serve_loads_the_server(name: str):
    environment = {**os.environ, "GATEWAY_URL": "http://127.0.0.1:1"}
    command = [sys.executable, "-c", LOADED, *ARGUMENTS.get(name, (name,))]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    *_, last = ended.stderr.splitlines()
    assert last.split() == ["3" if name in CLIENTS else "0"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("links", "--admin-token", "a-secret-of-somebody"),
        ("links", "--admin-token=a-secret-of-somebody"),
        ("exchanges", "--foll"),
        ("serve", "--conf", "x"),
        ("--strict",),
    ],
)
def test_options_are_not_abbreviated_and_unknown_values_not_shown(arguments: tuple[str, ...], ran: Run):
    told = ran(*arguments)
    assert (told.status, told.out) == (2, "")
    assert "unrecognized arguments: --" in told.err
    assert "a-secret" not in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("explain",), "tunnel-gateway explain: URL is missing"),
        (("links", "more"), "unrecognized arguments: more"),
        (("links", "--limit", "0"), "--limit: write a number from 1 to 100000"),
        (("links", "--limit", "9" * 5000), "--limit: write a number from 1 to 100000"),
        (("links", "--url", "ftp://a"), "--url: write http://host[:port][/prefix] or https://..."),
        (("links", "--url", "http://a/?x"), "--url: write http"),
        (("links", "--url", "http://a b"), "--url: write http"),
        (("links", "--url", "http://a..b"), "--url: write http"),
        (("links", "--url", "http://" + "a" * 64), "--url: write http"),
        (("links", "--url", "http://a:s3cret@a.test"), "--url: write http"),
        (("exchanges", "--end", "exchange-1", "--follow"), "--end and --follow exclude each other"),
        (("events", "--limit", "1", "--follow"), "--limit and --follow exclude each other"),
        (("drain", "--link", "link-1", "--wait", "3"), "with --link use --grace"),
        (("drain", "--grace", "3"), "--grace needs --link"),
        (("routes", "--admin-token-file", "/nowhere"), "--admin-token-file: /nowhere cannot be read"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: tuple[str, ...], told: str, ran: Run):
    ended = ran(*arguments)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1


def test_a_wrong_variable_is_named(ran: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GATEWAY_URL", "127.0.0.1:8080")
    told = ran("links")
    assert told.status == 2
    assert told.err == "tunnel-gateway links: GATEWAY_URL: write http://host[:port][/prefix] or https://...\n"


@pytest.mark.parametrize("host", ["xn--zzzzzz9999", "[v1.x]"])
def test_a_host_that_cannot_be_is_no_traceback(ran: Run, host: str):
    told = ran("links", "--url", f"http://{host}")
    assert (told.status, told.out, told.err.count("\n")) == (3, "", 1)


@pytest.mark.system
def test_a_reader_that_leaves_is_no_traceback(script: Script):
    script.say("/-/links", Said(page("links", *[{**LINK, "agent": "a" * 1000}] * 500)))
    command = [sys.executable, "-m", "app", "links"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.system
@pytest.mark.parametrize("words", ["check", "token", "--help"])
def test_an_output_that_takes_nothing_is_no_traceback(words: str):
    shell = f'"{sys.executable}" -m app {words}'
    full = subprocess.run(f"{shell} > /dev/full", shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert full.returncode == 1
    assert full.stderr == "tunnel-gateway: the output cannot be written: No space left on device\n"
    closed = subprocess.run(f"{shell} >&-", shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert closed.returncode == 0
    assert "Traceback" not in closed.stderr


@pytest.mark.parametrize(
    ("words", "found"), [("tunnel-gateway st", "status"), ("tunnel-gateway routes --or", "--origin")]
)  # fmt: skip
def test_a_shell_completes_commands_and_options(
    words: str, found: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("_TUNNEL_GATEWAY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    with pytest.raises(SystemExit) as left:
        run([])
    assert (left.value.code, capsys.readouterr().out) == (0, f"plain,{found}\n")
