"""Every case by its name: what the file is about, and what the row is about."""

from importlib import import_module

from tests.doors.case import Case

KINDS = (
    "lines", "versions", "methods", "targets", "hosts", "names", "values", "lengths", "codings", "chunks", "trailers",
    "pipelines", "upgrades", "expectations", "limits",
)  # fmt: skip


def _read() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for kind in KINDS:
        rows: list[Case] = import_module(f"tests.doors.corpus.{kind}").CASES
        for row in rows:
            name = f"{kind}: {row.name}"
            assert name not in cases, f"two rows are called {name}"
            cases[name] = row
    return cases


CASES = _read()
