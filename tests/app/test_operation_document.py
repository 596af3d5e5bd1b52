"""The operator's page knows every line of the log, every answer of the gateway's own, and every key that it names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import cli
from app.rules import problems
from app.settings.schema import AgentEntry, File, RouteEntry, keys_of

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")

_LEVELS = {"info", "warning", "error", "exception"}
_PLACEHOLDER = re.compile(r"%[-0-9.]*[a-z]|\0")
_ELSEWHERE = {"app/observed/access.py", "app/demo/__main__.py"}
"""The access log is in docs/observability.md; the demonstration is no operator's."""


def section(heading: str) -> str:
    return DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def text_of(node: ast.expr) -> str | None:
    """A text as it stands in the source, with NUL for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "\0" for part in node.values)
    return None


def logged(file: Path) -> Iterator[str]:
    """The texts of all lines, from info up, that this file writes."""
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
            continue
        owner = ast.unparse(call.func.value).rpartition(".")[2]
        is_line = owner in ("logger", "log", "_log", "READY") and call.func.attr in _LEVELS
        at = 0 if is_line or call.func.attr == "warn_once" else 1 if call.func.attr == "log" else None
        text = text_of(call.args[at]) if at is not None and len(call.args) > at else None
        if text is not None:
            yield text


def lines() -> list[tuple[str, str]]:
    """Each with the file that writes it, of the gateway and of our agent."""
    files = [file for top in ("app", "tunnel") for file in sorted((ROOT / top).rglob("*.py"))]
    named = [(str(file.relative_to(ROOT)), file) for file in files]
    return [(name, text) for name, file in named if name not in _ELSEWHERE for text in logged(file)]


def explained() -> list[tuple[str, re.Pattern[str]]]:
    """What the first column of the log's tables shows: `...`, numbers and words in capitals stand for anything."""
    cells = re.findall(r"^\| (`[^|]*) \|", section("The log"), re.MULTILINE)
    shown = [line for cell in cells for line in re.findall(r"`([^`]+)`", cell)]
    patterns = [
        re.sub(r"\\\.\\\.\\\.|link\\-N|\bHOST/PATH\b|\b[A-Z]+\b|\b\d+\b", ".*", re.escape(line)) for line in shown
    ]
    return [(line, re.compile(pattern)) for line, pattern in zip(shown, patterns, strict=True)]


def is_explained(text: str) -> bool:
    filled = _PLACEHOLDER.sub("x", text)
    return any(pattern.search(filled) for _, pattern in explained())


def test_the_lines_are_found():
    found = [text for _, text in lines()]
    assert "%s: agent %s serves cluster %s" in found  # a plain call
    assert "ready: http://%s:%d" in found  # of another logger
    assert "route %s%s learned from %s: %s" in found  # with its level first
    assert "proxy_stream_chunk of direction \0 ignored" in found  # once for each link
    assert "refused stream %d to %s: %s%s" in found  # the agent's
    assert len(found) > 60


@pytest.mark.parametrize(
    ("file", "text"), [(file, text) for file, text in lines() if re.search("[a-z]", _PLACEHOLDER.sub("", text))]
)
def test_every_line_of_the_log_is_explained(file: str, text: str):
    assert is_explained(text), f"{file} writes {text!r}: docs/operation.md says nothing of it"


@pytest.mark.parametrize("text", ["something else", "link-1: something else", "agent x left", "ready", ""])
def test_a_line_that_nobody_knows_is_not_explained(text: str):
    assert not is_explained(text)


def test_every_answer_of_ours_is_explained():
    codes = {value.code: value.status for value in vars(problems).values() if isinstance(value, problems.Problem)}
    rows = re.findall(r"^\| (`[^|]*`) \| (\d+) \|", section("What clients are told"), re.MULTILINE)
    assert {code: int(status) for names, status in rows for code in re.findall(r"`(\w+)`", names)} == codes


def test_the_keys_it_names_are_keys():
    keys = {*keys_of(File), *keys_of(RouteEntry), *keys_of(AgentEntry)}
    limits = re.findall(r"^\|[^|]*\|[^|]*\|([^|]*)\|", section("Limits and timeouts"), re.MULTILINE)
    named = {key for cell in limits for key in re.findall(r"`(\w+)`", cell)} - {"_per_client", "_per_cluster"}
    assert len(named) > 15
    assert named <= keys


def test_the_commands_it_shows_are_commands():
    shown = set(re.findall(r"^(?:GATEWAY_\S+ )?tunnel-gateway (\w+)", DOCUMENT, re.MULTILINE))
    assert shown == {"check", "serve", "drain"}
    told = re.findall(r"^tunnel-gateway serve (.*)$", DOCUMENT, re.MULTILINE)
    (options,) = told
    assert cli.parser().parse_args(["serve", *options.split()]).config == "gateway.toml"
