"""Which keys a bucket takes, and that the bucket in memory is one."""

from collections.abc import Callable

import pytest

from app.cluster.bucket import KEY_LENGTH, AwayError, Entry, UncertainError, key_problem
from tests.app.cluster import bucket_contract
from tests.fakes.bucket import Shelf
from tests.fakes.loop import dialogue


@pytest.mark.parametrize(
    "key", ["a", "host.kuma.example.test", "host.=2A.a.b", "c1.node-2", "A_b/c=", "a" * KEY_LENGTH]
)
def test_a_key(key: str):
    assert key_problem(key) is None


@pytest.mark.parametrize("key", ["", "a" * (KEY_LENGTH + 1), "a b", "a\r\nPUB", "a*", "a.>", "ä", ".a", "a.", "a..b"])
def test_no_key(key: str):
    assert key_problem(key)


async def at_once(condition: Callable[[], object]) -> None:
    assert condition()


@pytest.mark.parametrize("part", bucket_contract.PARTS)
@dialogue
async def test_the_bucket_in_memory_keeps_the_contract(part: bucket_contract.Part):
    shelf = Shelf()
    await part(shelf.mirror(), shelf.mirror(), at_once)


@dialogue
async def test_what_the_bucket_in_memory_can_be_told_to_do():
    shelf = Shelf()
    one, two = shelf.mirror(), shelf.mirror()
    told: list[Entry] = []
    two.on_change = told.append
    two.hold()
    await one.put("a", b"1")
    assert (two.get("a"), two.synced) == (None, False)
    two.deliver()
    assert two.get("a") == one.get("a")
    shelf.away = True
    with pytest.raises(AwayError):
        await one.put("a", b"2")
    shelf.away = False
    shelf.lose_answers = 1
    with pytest.raises(UncertainError):
        await one.put("a", b"3")
    assert one.get("a") == two.get("a") == Entry("a", b"3", 2, shelf.created)
    before = shelf.created
    anew: list[Entry | None] = []
    two.on_anew = lambda: anew.append(two.get("a"))
    shelf.make_anew()
    assert anew == [Entry("a", b"3", 2, before)], "what was there is still there then"
    assert told[-1] == Entry("a", None, 0, shelf.created)
    assert two.get("a") is None
    assert before < shelf.created
