"""No source in app/ names its own package: a wheel ships it as `tunnel_gateway`, beside an `app` of somebody else's.

Imports inside it are relative, and what names a module by a text (`python -m`, `import_module`) starts from
`__package__`. The last test turns the check on made-up sources.
"""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "app").rglob("*.py"))


def documentation(tree: ast.AST) -> set[ast.AST]:
    """The texts that stand alone: docstrings, of attributes too."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def named(source: str) -> Iterator[str]:
    """Where a source calls its package by name."""
    tree = ast.parse(source)
    told = documentation(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names if is_package(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            found = [node.module] if not node.level and node.module and is_package(node.module) else []
        elif isinstance(node, ast.List | ast.Tuple):
            texts = [part.value if isinstance(part, ast.Constant) else None for part in node.elts]
            found = ["-m app" for pair in pairwise(texts) if pair == ("-m", "app")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in told:
            found = [node.value] if is_module(node.value) else []
        else:
            continue
        yield from (f"line {node.lineno}: {name}" for name in found)


def is_package(name: str) -> bool:
    """Whether an import of this name is one of `app` or of something below it."""
    return name.split(".", maxsplit=1)[0] == "app"


def is_module(text: str) -> bool:
    """Whether a text is the name of a module below `app`, with an attribute of it too."""
    name = text.partition(":")[0]
    below = ROOT.joinpath(*name.split("."))
    return is_package(name) and "." in name and (below.is_dir() or below.with_suffix(".py").is_file())


def test_no_source_names_its_own_package() -> None:
    found = {file.relative_to(ROOT).as_posix(): list(named(file.read_text(encoding="utf-8"))) for file in SOURCES}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import app",
        "import app.main",
        "from app import main",
        "from app.settings import load",
        "def late():\n    import app.serve as serve",
        "command = [python, '-m', 'app.demo.chat']",
        "command = [python, '-m', 'app', '--port', '1']",
        "uvicorn.run('app.main:app')",
        "import_module('app.commands')",
    ],
)
def test_the_check_sees_it(source: str) -> None:
    assert list(named(source))


@pytest.mark.parametrize(
    "source",
    [
        "from . import app",
        "from .settings import load",
        '"""app.main"""',
        "x = 1\n'app.main'",
        "host = 'app.example.com'",
        "provide(module, 'app')",
    ],
)
def test_the_check_lets_pass(source: str) -> None:
    assert list(named(source)) == []
