"""docs/cli.md is what the programs say now."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_reference_is_current():
    made = runpy.run_path(str(ROOT / ".build" / "reference.py"))["reference"]()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == made, "run `make docs`"
    for command in ("tunnel-gateway explain", "tunnel-gateway diag", "tunnel-agent check", "tunnel-agent status"):
        assert f"### {command}\n" in made
