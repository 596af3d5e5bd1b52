"""`docs/security.md` names tests that exist, bounds as they are in the code, and keys that there are."""

import importlib
import re
from pathlib import Path

import pytest

from app.settings.schema import AgentEntry, File, RouteEntry, keys_of

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

_UNITS = {"KiB": 1024, "MiB": 1024 * 1024}
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and not line.startswith("| threat ")]
BOUNDS = re.findall(r"([\d,]+) (\w+) \(`([\w/]+)\.py:(\w+)`\)", DOCUMENT)
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", DOCUMENT)))


def constant(file: str, name: str) -> object:
    half = next(half for half in ("app", "tunnel") if (ROOT / half / f"{file}.py").exists())
    return getattr(importlib.import_module(f"{half}.{file.replace('/', '.')}"), name)


@pytest.mark.parametrize(("number", "unit", "file", "name"), BOUNDS)
def test_a_bound_is_the_codes(number: str, unit: str, file: str, name: str):
    assert constant(file, name) == int(number.replace(",", "")) * _UNITS.get(unit, 1)


def test_all_bounds_are_read():
    assert len(BOUNDS) == len(re.findall(r"\.py:\w+`", DOCUMENT)) > 25


@pytest.mark.parametrize(("path", "test"), TESTS)
def test_a_test_that_is_named_exists(path: str, test: str):
    source = (ROOT / path).read_text(encoding="utf-8")
    assert (f"def {test}(" if test else "def test_") in source


def test_every_row_has_a_test():
    assert len(ROWS) > 35
    for row in ROWS:
        cells = row.strip("|").split("|")
        assert len(cells) == 4, row
        assert "`tests/" in cells[3], row


def test_the_keys_it_names_are_keys():
    keys = {*keys_of(File), *keys_of(RouteEntry), *keys_of(AgentEntry), "--service", "--allow"}
    named = {key for row in ROWS for key in re.findall(r"`([\w-]+)`", row.strip("|").split("|")[2])}
    assert len(named) > 15
    assert named <= keys


def test_other_pages_lead_to_it():
    for page in ("README.md", "docs/operation.md", "docs/architecture.md"):
        assert "docs/security.md" in (ROOT / page).read_text(encoding="utf-8")
