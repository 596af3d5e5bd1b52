"""The operator's page names every warning and error of the log, every answer of the gateway's own, and real keys.

What the programs log is read from their sources: a new warning needs a row of the page, and nothing here.
"""

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.commands.statuses import Status
from app.rules import problems
from app.settings.schema import AgentEntry, File, RouteEntry, keys_of
from tests.fakes.command_line import parsed

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")

_METHODS = {"warning", "error", "exception"}
_WRAPPED = {"log": 1, "warn_once": 0}
"""Methods of others, too, that log: where they take the text. `log` takes a level before it."""
_IGNORED = {"logging.INFO", "logging.DEBUG"}
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


def logged(source: str) -> Iterator[str]:
    """The texts of all warnings and errors that a file writes."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
            continue
        owner = call.func.value
        is_logger = getattr(owner, "attr", getattr(owner, "id", "")) in ("logger", "log", "_log", "READY")
        at = 0 if is_logger and call.func.attr in _METHODS else _WRAPPED.get(call.func.attr)
        if at is None or ast.unparse(call.args[0]) in _IGNORED:
            continue
        text = text_of(call.args[at]) if len(call.args) > at else None
        if text is not None and re.search("[a-z]", _PLACEHOLDER.sub("", text)):
            yield text


@functools.cache
def sources() -> dict[str, str]:
    """Those of the gateway and of our agent, by file."""
    files = [file for top in ("app", "tunnel") for file in sorted((ROOT / top).rglob("*.py"))]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


@functools.cache
def lines() -> list[tuple[str, str]]:
    """Each with the file that writes it."""
    return [(name, text) for name, source in sources().items() if name not in _ELSEWHERE for text in logged(source)]


@functools.cache
def explained() -> list[tuple[str, re.Pattern[str]]]:
    """What the first column of the log's tables shows: `...`, numbers and words in capitals stand for anything."""
    cells = re.findall(r"^\| (`[^|]*) \|", section("The log"), re.MULTILINE)
    shown = [line for cell in cells for line in re.findall(r"`([^`]+)`", cell)]
    return [(line, re.compile(pattern_of(line))) for line in shown]


def pattern_of(line: str) -> str:
    """What a line of the page stands for."""
    return re.sub(r"\\\.\\\.\\\.|link\\-N|\bHOST/PATH\b|\b[A-Z]+\b|\b\d+\b", ".*", re.escape(line))


def is_explained(text: str) -> bool:
    filled = _PLACEHOLDER.sub("x", text)
    return any(pattern.search(filled) for _, pattern in explained())


def test_how_lines_are_found():
    source = """
logger.warning("plain %s", 1)
self._log.error(f"once for {each} link")
log.exception("with a traceback")
logger.log(level, "with its level first: %d", 2)
changes.log(logging.WARNING, "later %s", 3)
changes.log(logging.INFO, "route learned")
owner.warn_once("thinned out")
logger.info("for nobody's attention")
logger.warning("%s: %s", a, b)
logger.warning(text)
somebody.error("else")
"""
    assert list(logged(source)) == [
        "plain %s", "once for \0 link", "with a traceback", "with its level first: %d", "later %s",
        "thinned out",
    ]  # fmt: skip


def test_both_programs_warn():
    assert {name.partition("/")[0] for name, _ in lines()} == {"app", "tunnel"}
    assert any(name.startswith("tunnel/agent/") for name, _ in lines())
    assert len(lines()) > 40


def test_every_warning_and_error_is_explained():
    assert [(file, text) for file, text in lines() if not is_explained(text)] == [], "docs/operation.md lacks them"


def texts_of_sources() -> str:
    """Every text that stands in them, a line each."""
    nodes = (node for source in sources().values() for node in ast.walk(ast.parse(source)))
    texts = {text_of(node) for node in nodes if isinstance(node, ast.expr)}
    return "\n".join(_PLACEHOLDER.sub("x", text) for text in texts if text is not None)


def unwritten(line: str, texts: str) -> list[str]:
    """The parts of a line, between colons, that no text of the sources can be."""
    return [part for part in line.split(": ") if not re.search(pattern_of(part), texts)]


def test_every_line_that_is_explained_is_written():
    texts = texts_of_sources()
    lines_shown = [line for line, _ in explained()]
    assert [line for line in lines_shown if unwritten(line, texts)] == ["Invalid HTTP request received."]  # uvicorn's


def test_a_line_that_is_not_written_is_found():
    texts = "x: agent x is gone: x\nready: x://x"
    assert unwritten("link-N: agent A is gone: REASON", texts) == []
    assert unwritten("link-N: agent A has left: REASON", texts) == ["agent A has left"]


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
    told = re.findall(r"^(?:GATEWAY_\S+ )?tunnel-gateway (\w.*)$", DOCUMENT, re.MULTILINE)
    shown = [parsed(shlex.split(line, comments=True)) for line in told]
    assert {one.command for one in shown} >= {"check", "serve", "drain", "status", "explain"}
    (serve,) = [one for one in shown if one.command == "serve"]
    assert serve.config == "gateway.toml"


def test_the_exit_statuses_it_lists_are_all_there_are():
    rows = re.findall(r"^\| (\d[\d, ]*) \|", section("From the command line"), re.MULTILINE)
    assert [int(number) for row in rows for number in row.split(",")] == [*Status]
