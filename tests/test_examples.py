"""How many examples properties are tried with, and which, in each kind of run."""

import os
import subprocess
import sys

import pytest

SAID = "from tests.fakes.examples import examples; it = examples(300); print(it.max_examples, it.derandomize)"


@pytest.mark.parametrize("ci", [{}, {"CI": "true"}], ids=["by hand", "CI"])
@pytest.mark.parametrize(
    ("given", "count"), [({}, 100), ({"EXAMPLES": "all"}, 300)], ids=["make test", "make test-all"]
)
def test_a_third_or_all_and_others_each_time(ci: dict[str, str], given: dict[str, str], count: int):
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "EXAMPLES"}}
    done = subprocess.run(
        [sys.executable, "-c", SAID], env={**kept, **ci, **given}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{count} False\n"
