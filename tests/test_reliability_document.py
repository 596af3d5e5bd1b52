"""`docs/reliability.md` names tests that exist, keys that there are, and every fault of the chaos run."""

import re
from pathlib import Path

import pytest

from app.settings.schema import File, keys_of
from tests.chaos.schedule import Kind

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
HEADS = ("| what ", "| fault ")
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", DOCUMENT)))


def rows(section: str) -> list[list[str]]:
    """The cells of the rows of this section's tables."""
    text = DOCUMENT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(HEADS)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("path", "test"), TESTS)
def test_a_test_that_is_named_exists(path: str, test: str):
    assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")
    assert (ROOT / path).is_file()


def test_every_promise_has_a_test():
    promises = rows("What is promised")
    assert len(promises) > 20
    for cells in promises:
        assert len(cells) == 3, cells
        assert re.fullmatch(r"`tests/[\w/]+\.py::\w+`(, `tests/[\w/]+\.py::\w+`)*", cells[2]), cells


def test_what_is_not_promised_has_a_reason():
    for cells in rows("What is not promised"):
        assert len(cells) == 2, cells
        assert cells[1], cells


def test_every_fault_is_described():
    named = {name for cells in rows("A run of your own") for name in cells[0].split(", ")}
    assert named == set(Kind)


def test_the_keys_it_names_are_keys():
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", DOCUMENT))
    assert len(named) > 4
    assert named <= set(keys_of(File))


def test_other_pages_lead_to_it():
    for page in ("README.md", "docs/operation.md", "docs/architecture.md"):
        assert "docs/reliability.md" in (ROOT / page).read_text(encoding="utf-8")
