"""What a node puts into the buckets, and when: beats each second, links when they change, both until they are there."""

import asyncio

import pytest

from app.cluster import beats, links
from app.cluster.beats import Beat
from app.cluster.bucket import Entry
from app.cluster.keys import link_key
from app.cluster.own_links import OwnLinks
from app.cluster.presence import BEAT_SECONDS, OwnState, Presence
from app.cluster.telling import AGAIN_SECONDS, BEAT_AGAIN_SECONDS, WRITES_AT_ONCE, Beating, Putting
from tests.fakes.bucket import Shelf
from tests.fakes.loop import dialogue, quiet


def beat(seq: int, **said: object) -> Beat:
    return Beat(name="one", peer_url="http://one", seq=seq, **said)  # type: ignore[arg-type]


class Beats:
    """One node that beats."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.presence = Presence("me", 0.0)
        self.mirror = self.shelf.mirror()
        self.mirror.on_change = self.came
        self.seen: list[int] = []
        self.beating = Beating(self.mirror, self.presence, beat)

    def came(self, entry: Entry) -> None:
        if entry.value is not None:
            self.seen.append(beats.read(entry.value).seq)
        self.presence.changed(entry, asyncio.get_running_loop().time(), is_listed=False)


@dialogue
async def test_a_beat_each_second_which_the_node_hears_itself():
    b = Beats()
    b.beating.start()
    b.beating.start()
    await quiet()
    assert (b.seen, b.presence.own) == ([1], OwnState.CONNECTED)
    await asyncio.sleep(3 * BEAT_SECONDS)
    assert b.seen == [1, 2, 3, 4]
    await b.beating.aclose()
    await b.beating.aclose()
    await asyncio.sleep(2 * BEAT_SECONDS)
    assert b.seen == [1, 2, 3, 4]


@dialogue
async def test_a_change_is_told_at_once():
    b = Beats()
    b.beating.start()
    await quiet()
    b.beating.soon()
    await quiet()
    assert b.seen == [1, 2]
    await b.beating.aclose()


@dialogue
async def test_a_beat_that_could_not_be_put_is_followed_by_the_next():
    b = Beats()
    b.shelf.away = True
    b.beating.start()
    await quiet()
    b.shelf.away = False
    await asyncio.sleep(BEAT_AGAIN_SECONDS)
    assert b.seen == [2]
    await b.beating.aclose()


@dialogue
async def test_goodbye():
    b = Beats()
    other = b.shelf.mirror()
    said: list[Entry] = []
    other.on_change = said.append
    await b.beating.goodbye(beat(1, bye=True))
    assert [entry.value is None or beats.read(entry.value).bye for entry in said] == [True, True]
    assert b.mirror.get("me") is None
    b.shelf.away = True
    await b.beating.goodbye(beat(2, bye=True))  # only logged


class Links:
    """One node whose links are put."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.own = OwnLinks("me")
        self.mirror = self.shelf.mirror()
        self.mirror.on_change = self.own.seen
        self.putting = Putting(self.mirror, self.own)

    def came(self, number: int) -> None:
        self.own.came(f"link-{number}", f"c{number}", f"a{number}", "yamux")
        self.putting.due()

    def agents(self, number: int) -> list[str]:
        entry = self.shelf.entries.get(link_key(f"c{number}", "me"))
        if entry is None or entry.value is None:
            return []
        return [claim.agent_id for claim in links.claims_of(entry, f"c{number}", "me")]


@dialogue
async def test_links_are_put_as_they_come_and_go():
    w = Links()
    w.putting.start()
    w.putting.start()
    for number in range(2 * WRITES_AT_ONCE):
        w.came(number)
    await w.putting.put_all(1.0)
    assert all(w.agents(number) == [f"a{number}"] for number in range(2 * WRITES_AT_ONCE))
    w.own.went("link-3")
    await w.putting.put_all(1.0)
    assert w.agents(3) == []
    assert w.own.is_told
    await w.putting.aclose()


@dialogue
async def test_what_was_not_put_is_put_again():
    w = Links()
    w.shelf.away = True
    w.putting.start()
    w.came(1)
    await quiet()
    assert w.putting.failed == 1
    w.shelf.away = False
    await asyncio.sleep(AGAIN_SECONDS + 0.01)
    assert w.agents(1) == ["a1"]
    await w.putting.aclose()


@dialogue
async def test_waiting_for_all_of_it_has_an_end():
    w = Links()
    w.shelf.away = True
    w.putting.start()
    w.came(1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await w.putting.put_all(1.0)
    assert loop.time() - began < 1.1
    assert not w.own.is_told
    await w.putting.aclose()
    await w.putting.aclose()


@dialogue
async def test_a_fault_of_ours_is_told_and_not_tried_again_at_once(caplog: pytest.LogCaptureFixture):
    w = Links()
    puts: list[str] = []

    async def put(key: str, _value: bytes) -> int:
        puts.append(key)
        raise RuntimeError("a bug")

    w.mirror.put = put  # type: ignore[method-assign]
    w.putting.start()
    w.came(1)
    await quiet()
    assert len(puts) == 1
    assert "could not be put" in caplog.text
    await asyncio.sleep(AGAIN_SECONDS + 0.01)
    assert len(puts) == 2
    await w.putting.aclose()


@dialogue
async def test_a_cluster_with_many_agents_is_not_put_for_each_of_them():
    w = Links()
    w.putting.start()
    for number in range(1_000):
        w.own.came(f"link-{number}", "c1", f"a{number}", "yamux")
        w.putting.due()
        await asyncio.sleep(0.001)
    await w.putting.put_all(1.0)
    assert len(w.agents(1)) == 1_000
    assert 60 < w.shelf.writes < 250
    await w.putting.aclose()


@dialogue
async def test_a_large_value_that_was_put_is_not_put_again_when_the_node_ends():
    w = Links()
    w.putting.start()
    for number in range(1_000):
        w.own.came(f"link-{number}", "c1", f"a{number}", "yamux")
    w.putting.due()
    await quiet()
    await w.putting.aclose()
    assert w.shelf.writes == 1
    assert w.own.is_told
