"""What holds for every bucket: run against the one in memory, and against real mirrors with a real server.

Each part gets two nodes' mirrors of the same, empty bucket, and what waits for the far one to hear.
"""

from collections.abc import Awaitable, Callable

import pytest

from app.cluster.bucket import Bucket, ConflictError, Entry

Eventually = Callable[[Callable[[], object]], Awaitable[object]]
Part = Callable[[Bucket, Bucket, Eventually], Awaitable[None]]


async def put_is_seen_at_once_here_and_soon_there(one: Bucket, two: Bucket, eventually: Eventually) -> None:
    told: list[Entry] = []
    one.on_change = told.append
    first = await one.put("a.b", b"1")
    assert one.get("a.b") == told[-1] == Entry("a.b", b"1", first, one.created or "")
    second = await one.put("a.b", b"2")
    assert second > first
    await eventually(lambda: two.get("a.b") == one.get("a.b"))
    assert [entry.value for entry in told] == [b"1", b"2"]
    assert (one.created, one.synced) == (two.created, True)


async def create_is_for_one(one: Bucket, two: Bucket, eventually: Eventually) -> None:
    await one.create("a", b"1")
    with pytest.raises(ConflictError):
        await two.create("a", b"2")
    await eventually(lambda: two.get("a"))
    assert [entry.value for entry in two.items()] == [b"1"]


async def create_after_a_delete(one: Bucket, two: Bucket, eventually: Eventually) -> None:
    await one.create("a", b"1")
    await one.delete("a")
    await two.create("a", b"2")
    await eventually(lambda: one.get("a"))
    with pytest.raises(ConflictError):
        await one.create("a", b"3")


async def update_needs_the_last_revision(one: Bucket, two: Bucket, eventually: Eventually) -> None:
    first = await one.put("a", b"1")
    second = await two.update("a", b"2", first)
    with pytest.raises(ConflictError):
        await one.update("a", b"3", first)
    await one.update("a", b"3", second)
    with pytest.raises(ConflictError):
        await one.update("missing", b"1", 7)


async def delete_with_and_without_a_revision(one: Bucket, two: Bucket, eventually: Eventually) -> None:
    told: list[Entry] = []
    two.on_change = told.append
    first = await one.put("a", b"1")
    with pytest.raises(ConflictError):
        await two.delete("a", first + 1)
    await two.delete("a", first)
    assert two.get("a") is None
    assert list(two.items()) == []
    await eventually(lambda: one.get("a") is None)
    await one.put("b", b"1")
    await eventually(lambda: two.get("b"))
    await one.delete("b")
    await one.delete("never.there")
    await eventually(lambda: [entry.key for entry in told if entry.value is None] == ["a", "b"])


async def what_was_deleted_stays_so_over_late_news(one: Bucket, two: Bucket, eventually: Eventually) -> None:
    for number in range(20):
        await one.put("a", b"%d" % number)
        await two.delete("a")
        assert two.get("a") is None
    await eventually(lambda: one.get("a") is None)
    assert two.get("a") is None


async def keys_are_checked(one: Bucket, two: Bucket, eventually: Eventually) -> None:
    for key in ("", "a..b", "a*", "a" * 1_025):
        with pytest.raises(ValueError, match="key"):
            await one.put(key, b"1")
    assert list(one.items()) == []


PARTS: list[Part] = [
    put_is_seen_at_once_here_and_soon_there,
    create_is_for_one,
    create_after_a_delete,
    update_needs_the_last_revision,
    delete_with_and_without_a_revision,
    what_was_deleted_stays_so_over_late_news,
    keys_are_checked,
]
