"""The command line: its commands, where options may stand, and what is said about one that cannot be read."""

import subprocess
import sys
from pathlib import Path

import pytest

from tunnel.agent import options
from tunnel.agent.options import UsageError, parse

ROOT = Path(__file__).parents[3]
RUN_OPTIONS = {name for param in options.commands.params for name in param.opts} - {"--version"}


def given(line):
    return {name: value for name, value in line.given.items() if value is not None}


@pytest.mark.parametrize(
    ("arguments", "command", "expected"),
    [
        ([], "run", {}),
        (["--cluster", "c1"], "run", {"cluster": "c1"}),
        (["--gateway", "a", "--gateway=b"], "run", {"gateway": ["a", "b"]}),
        (["--insecure-skip-verify"], "run", {"insecure_skip_verify": "true"}),
        (["--token=-x"], "run", {"token": "-x"}),
        (["--token", "-x"], "run", {"token": "-x"}),
        (["--cluster", "c1", "--cluster", "c2"], "run", {"cluster": "c2"}),
        (["check"], "check", {}),
        (["check", "--cluster", "c1", "--json"], "check", {"cluster": "c1", "json": "true"}),
        (["--cluster", "c1", "check"], "check", {"cluster": "c1"}),
        (["--cluster", "c1", "check", "--cluster", "c2"], "check", {"cluster": "c2"}),
        (["--gateway", "a", "check", "--gateway", "b"], "check", {"gateway": ["b"]}),
        (["http", "5173"], "http", {"targets": ["5173"]}),
        (
            ["http", "5173", "--host", "a", ":80", "--host=b", "--json"],
            "http",
            {"targets": ["5173", ":80"], "host": ["a", "b"], "json": "true"},
        ),
        (["http", "80", "--host", ""], "http", {"targets": ["80"], "host": [""]}),
        (
            ["http", "80", "--strip-prefix", "--add-prefix", "/x", "--https-redirect", "--host-header", "keep"],
            "http",
            {
                "targets": ["80"],
                "strip_prefix": "true",
                "add_prefix": "/x",
                "https_redirect": "true",
                "host_header": "keep",
            },
        ),
        (
            ["--gateway", "a", "--token-file", "t", "http", "80", "--gateway", "b"],
            "http",
            {"gateway": ["b"], "token_file": "t", "targets": ["80"]},
        ),
        (["status"], "status", {}),
        (["login", "--gateway", "a", "--no-check"], "login", {"gateway": ["a"], "no_check": "true"}),
        (["--gateway", "a", "--ca-file", "f", "login"], "login", {"gateway": ["a"], "ca_file": "f"}),
        (["login", "--token-file", "f", "--cluster", "c1"], "login", {"token_file": "f", "cluster": "c1"}),
        (["logout"], "logout", {}),
        (["status", "--url", "http://h:1", "--json"], "status", {"url": "http://h:1", "json": "true"}),
    ],
)
def test_commands_and_options(arguments, command, expected):
    line = parse(arguments)
    assert (line.command, given(line)) == (command, expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--what"], "unrecognized arguments: --what"),
        (["-x"], "unrecognized arguments: -x"),
        (["--token-fil", "f"], "unrecognized arguments: --token-fil"),
        (["--tok", "secret"], "unrecognized arguments: --tok"),
        (["--grace"], "argument --grace: expected one argument"),
        (["fly"], "unrecognized arguments: fly (the commands are: http, check, status, login, logout)"),
        (["--insecure-skip-verify=maybe"], "does not take a value"),
        (["http"], "Missing argument 'TARGET...': say what to publish, for example tunnel-agent http 5173"),
        (["http", "80", "--service", "a.b:1=c:2"], "unrecognized arguments: --service"),
        (["http", "80", "--host"], "argument --host: expected one argument"),
        (["check", "--what"], "unrecognized arguments: --what"),
        (["check", "--cluster"], "argument --cluster: expected one argument"),
        (["check", "status"], "unexpected extra argument"),
        (["status", "--cluster", "c1"], "unrecognized arguments: --cluster"),
    ],
)
def test_what_cannot_be_read(arguments, said):
    with pytest.raises(UsageError) as caught:
        parse(arguments)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["check", "--help"]])
def test_help_names_every_option(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        parse(arguments)
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert sorted(name for name in RUN_OPTIONS if name not in shown) == []
    assert "--health-bind" in RUN_OPTIONS


def test_a_check_takes_every_option_of_a_run():
    taken = {name for param in options.check.params for name in param.opts}
    assert taken - {"--json"} == RUN_OPTIONS


def test_the_commands_need_nothing_of_the_gateway():
    """The distribution of the agent alone has none of these."""
    needed = "tunnel.agent.program, tunnel.agent.status, tunnel.agent.check.command, tunnel.agent.publish.command"
    foreign = {"app", "httpx", "prometheus_client", "starlette", "uvicorn"}
    code = f"import sys, {needed}; print(*sorted({foreign} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
