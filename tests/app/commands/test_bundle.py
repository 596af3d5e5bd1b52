"""What the archive of `diag` holds: masked, bounded, and whole where an answer is missing."""

import io
import tarfile

import pytest

from app.commands import bundle
from app.commands.statuses import CommandError, Status


class Asked:
    """A gateway that has everything but what `lacks` names."""

    secrets = ("+known+",)

    def __init__(self, lacks: dict[str, Status]) -> None:
        self._lacks = lacks
        self.limits: list[int | None] = []

    def ask(self, method: str, path: str) -> dict[str, object]:
        return self._answer(path.removeprefix("/-/"))

    def pages(self, name: str, query: object, limit: int | None) -> dict[str, object]:
        self.limits.append(limit)
        return self._answer(name)

    def answer(self, method: str, path: str) -> object:
        raise CommandError("no metrics: Authorization: Bearer x")

    def _answer(self, name: str) -> dict[str, object]:
        if name in self._lacks:
            raise CommandError(f"{name} is missing", "and why", status=self._lacks[name])
        return {"name": name, "deep": [{"text": "/a?b=c +known+"}], "number": 1, "nothing": None}


def test_what_could_not_be_had_is_named() -> None:
    asked = Asked({"links": Status.FAILED})
    found = dict(bundle.files(asked))  # type: ignore[arg-type]
    assert (
        found["missing.txt"] == "links.json: links is missing; and why\nmetrics.txt: no metrics: Authorization: ***\n"
    )
    assert "links.json" not in found
    assert '"text": "/a?*** ***"' in found["routes.json"]
    assert set(asked.limits) == {bundle.ROWS}


@pytest.mark.parametrize("status", [Status.UNREACHABLE, Status.UNAUTHORISED])
def test_without_a_gateway_or_its_token_there_is_nothing_to_gather(status: Status) -> None:
    with pytest.raises(CommandError):
        list(bundle.files(Asked({"status": status})))  # type: ignore[arg-type]


def test_a_gateway_that_stops_answering_is_looked_into_all_the_same() -> None:
    found = dict(bundle.files(Asked({"links": Status.UNREACHABLE, "events": Status.UNREACHABLE})))  # type: ignore[arg-type]
    assert {"status.json", "routes.json"} <= found.keys()
    assert [line.split(":")[0] for line in found["missing.txt"].splitlines()] == [
        "links.json", "events.json", "metrics.txt"
    ]  # fmt: skip


def test_the_archive_has_a_folder_and_only_its_owner_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(bundle.archive(iter([("a.txt", "\ud800 text")])))) as tar:
        (entry,) = tar.getmembers()
        assert (entry.name, entry.mode, entry.uname) == ("tunnel-gateway-diag/a.txt", 0o600, "")
