"""README.md and the pages of docs/ name files, sections and metrics that exist."""

import re
from pathlib import Path

import pytest

from app.observed.metrics import Metrics

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
REMOVED = {"k8s/requirements-build.txt"}
"""What `docs/upgrading.md` says is gone."""


def text_of(page: str) -> str:
    """A page in one line, so that nothing in it is broken."""
    return " ".join((ROOT / page).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("page", PAGES)
def test_files_exist(page: str):
    named = set(re.findall(r"`((?:app|tunnel|tests|docs|k8s)/[\w./-]*)(?:::\w+)?`", text_of(page)))
    assert named
    assert sorted(name for name in named - REMOVED if not (ROOT / name).exists()) == []


def sections_of(page: str) -> set[str]:
    """Headings, and what a paragraph begins with in bold type."""
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {*headings, *re.findall(r"^\*\*([^*]+?)\.?\*\*", text, re.MULTILINE)}


def sections_named() -> set[tuple[str, str]]:
    """Page and title, wherever a page leads to a section."""
    found: set[tuple[str, str]] = set()
    for page in PAGES:
        text = text_of(page)
        found |= {(where, title) for title, where in re.findall(r'"([A-Z][^"]+?),?" in `(docs/\w+\.md)`', text)}
        found |= set(re.findall(r'`(docs/\w+\.md)`, "([A-Z][^"]+?),?"', text))
        found |= {(page, title) for title in re.findall(r'[Ss]ee "([A-Z][^"]+)"(?! in `docs/)', text)}
    return found


def test_sections_exist():
    named = sections_named()
    assert len(named) >= 8
    assert sorted((page, title) for page, title in named if title not in sections_of(page)) == []


def test_metrics_exist():
    exported = set(re.findall(r"^# TYPE (\S+)", Metrics().render(None)[0].decode(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`((?:gateway|process)_\w+)", text_of(page))}
    assert len(named) >= 30
    assert named - exported == set()
