"""How many examples a property is tried with: a third of them in `make test`, all of them in `make test-all`.

Each run draws others, so what the quick runs try grows with every run; shrinking, and the `@example`s, are the same.
Where CI is set, Hypothesis would draw the same ones each time, and two thirds would never be tried there.
"""

import os

from hypothesis import settings

ALL = os.environ.get("EXAMPLES") == "all"


def examples(most: int) -> settings:
    """Decorates a property that needs so many to be sure, and takes as long as it takes."""
    return settings(max_examples=most if ALL else most // 3, deadline=None, derandomize=False)
