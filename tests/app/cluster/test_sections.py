"""Two parts of one bucket: what each has, and what each is told."""

import pytest

from app.cluster.bucket import ConflictError
from app.cluster.sections import sections
from tests.fakes.bucket import Shelf
from tests.fakes.loop import dialogue


@dialogue
async def test_each_has_its_keys_and_is_told_of_them():
    shelf = Shelf()
    part, rest = sections(shelf.mirror(), "published.")
    told: list[str] = []
    part.on_change = lambda entry: told.append(f"part {entry.key}")
    rest.on_change = lambda entry: told.append(f"rest {entry.key}")
    await part.create("published.a", b"1")
    await rest.put("host.a", b"2")
    await shelf.mirror().put("strange", b"3")
    assert told == ["part published.a", "rest host.a", "rest strange"]
    assert [entry.key for entry in part.items()] == ["published.a"]
    assert [entry.key for entry in rest.items()] == ["host.a", "strange"]
    assert (part.revision, part.created, part.synced) == (3, shelf.created, True)
    await part.update("published.a", b"4", 1)
    with pytest.raises(ConflictError):
        await part.delete("published.a", 1)
    entry = part.get("published.a")
    assert entry is not None
    assert entry.value == b"4"
    assert (repr(part), repr(rest)) == ("<Section published.*>", "<Section not published.*>")


@dialogue
async def test_both_are_told_that_the_bucket_was_made_anew():
    shelf = Shelf()
    part, rest = sections(shelf.mirror(), "published.")
    told: list[str] = []
    part.on_anew = lambda: told.append("part")
    rest.on_anew = lambda: told.append("rest")
    shelf.make_anew()
    assert told == ["part", "rest"]
