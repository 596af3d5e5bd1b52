"""Mirrors of one bucket over a real NATS server: order, compare-and-set, restarts, lost data."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cluster.bucket import AwayError, ConflictError, UncertainError
from app.settings import ClusterSettings
from tests.app.cluster import bucket_contract
from tests.system.nats_server import NatsServer
from tests.system.nodes_of_nats import BUCKET, Node, eventually, nodes
from tests.system.process import Processes

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(tmp_path: Path, processes: Processes) -> NatsServer:
    return NatsServer(tmp_path / "nats", processes).start()


@pytest.fixture
def settings(server: NatsServer) -> ClusterSettings:
    return ClusterSettings((server.url,))


async def fill(node: Node, count: int) -> None:
    for begin in range(0, count, 500):
        keys = range(begin, min(begin + 500, count))
        await asyncio.gather(*(node.mirror.put(f"host.{number}.test", b"x" * 60) for number in keys))


@pytest.mark.parametrize("part", bucket_contract.PARTS)
async def test_the_contract_of_a_bucket(part: bucket_contract.Part, settings: ClusterSettings):
    async with nodes(settings, settings) as (one, two):
        await one.synced()
        await two.synced()
        await part(one.mirror, two.mirror, eventually)


async def test_a_mirror_sees_everything_in_order_and_once(settings: ClusterSettings):
    async with nodes(settings, settings) as (one, two):
        await one.synced()
        await two.synced()
        for number in range(300):
            await one.mirror.put(f"k.{number % 7}", b"%d" % number)
        await eventually(lambda: one.mirror.revision == two.mirror.revision == 300)
        assert [entry.value for entry in one.told] == [b"%d" % number for number in range(300)]
        for node in (one, two):
            revisions = [entry.revision for entry in node.told]
            assert revisions == sorted(set(revisions)), "some may be left out: those that were written over at once"
        assert one.held == two.held
        assert one.mirror.lag == two.mirror.lag == 0


async def test_two_that_count_in_one_key_lose_nothing(settings: ClusterSettings):
    async def count(node: Node) -> None:
        for _ in range(50):
            while True:
                seen = node.mirror.get("count")
                try:
                    if seen is None:
                        await node.mirror.create("count", b"1")
                    else:
                        await node.mirror.update("count", b"%d" % (int(seen.value or b"") + 1), seen.revision)
                    break
                except ConflictError:
                    await asyncio.sleep(0)

    async with nodes(settings, settings) as (one, two):
        await one.synced()
        await two.synced()
        await asyncio.gather(count(one), count(two))
        await eventually(lambda: one.held == two.held == {"count": b"100"})


async def test_ten_thousand_entries_are_listed_without_holding_the_loop(settings: ClusterSettings):
    async with nodes(settings) as (one,):
        await one.synced()
        await fill(one, 10_000)
        turns: list[float] = []

        async def measure() -> None:
            loop, last = asyncio.get_running_loop(), 0.0
            while True:
                last = loop.time()
                await asyncio.sleep(0)
                turns.append(loop.time() - last)

        measuring = asyncio.ensure_future(measure())
        async with nodes(settings) as (two,):
            await two.synced()
            watch = two.mirror._watch
            assert watch is not None
            assert len(two.mirror) == 10_000
            assert watch.slices > 5
        measuring.cancel()
        await asyncio.wait([measuring])
        assert max(turns) < 0.05


@pytest.mark.parametrize("restart", [NatsServer.restart, lambda server: (server.stop(), server.start())])
async def test_nobody_is_blind_after_a_restart(
    restart: Callable[[NatsServer], object], server: NatsServer, settings: ClusterSettings
):
    async with nodes(settings, settings) as (one, two):
        await one.synced()
        await two.synced()
        await one.mirror.put("before", b"1")
        await eventually(lambda: two.mirror.get("before"))
        restart(server)
        for node in (one, two):
            await node.synced(after_losses=1)
            assert node.held == {"before": b"1"}
            assert (node.anew, node.mirror.listings) == (0, 1), "it goes on from its revision"
        await one.mirror.put("after", b"1")
        assert await eventually(lambda: two.mirror.get("after")) < 1


async def test_what_was_written_while_a_node_was_away_reaches_it(server: NatsServer, settings: ClusterSettings):
    async with nodes(settings, settings) as (one, two):
        await one.synced()
        await two.synced()
        await one.mirror.put("kept", b"1")
        await one.mirror.put("gone", b"1")
        await eventually(lambda: two.mirror.get("gone"))
        two.mirror.lost()
        assert not two.mirror.synced
        await one.mirror.delete("gone")
        await one.mirror.put("kept", b"2")
        assert two.held == {"kept": b"1", "gone": b"1"}
        connection = two.engine.connection
        assert connection is not None
        two.mirror.connected(connection)
        await two.synced()
        assert two.held == {"kept": b"2"}


async def test_a_bucket_made_anew_is_noticed_and_what_nodes_keep_is_put_again(
    server: NatsServer, settings: ClusterSettings
):
    async with nodes(settings, settings) as (one, two):
        for node in (one, two):
            await node.synced()
        await one.mirror.put("mine", b"1")
        await one.mirror.put("lost", b"1")
        await eventually(lambda: two.held == one.held)
        before = one.mirror.created
        one.mirror.on_anew = lambda: puts.append(asyncio.ensure_future(again()))
        puts: list[asyncio.Future[None]] = []

        async def again() -> None:
            await eventually(lambda: one.mirror.synced)
            await one.mirror.put("mine", b"1")

        server.restart(lose_data=True)
        for node in (one, two):
            await node.synced(after_losses=1)
        await asyncio.gather(*puts)
        await eventually(lambda: one.held == two.held == {"mine": b"1"})
        assert two.anew == len(puts) == 1
        assert two.mirror.created == one.mirror.created
        assert before is not None
        assert one.mirror.created is not None
        assert before < one.mirror.created
        gone = [entry for entry in two.told if entry.value is None]
        assert {(entry.key, entry.revision) for entry in gone} == {("mine", 0), ("lost", 0)}


async def test_a_frozen_mirror_forgets_nothing_of_a_bucket_made_anew(server: NatsServer, settings: ClusterSettings):
    async with nodes(settings, settings) as (one, two):
        for node in (one, two):
            await node.synced()
        await one.mirror.put("old", b"1")
        await eventually(lambda: two.mirror.get("old"))
        two.mirror.on_anew = two.mirror.freeze
        server.restart(lose_data=True)
        for node in (one, two):
            await node.synced(after_losses=1)
        await one.mirror.put("new", b"1")
        await eventually(lambda: two.mirror.get("new"))
        assert two.held == {"old": b"1", "new": b"1"}
        two.mirror.thaw()
        await eventually(lambda: two.held == {"new": b"1"})


@pytest.mark.slow
async def test_a_bucket_made_anew_behind_a_living_connection_is_noticed(settings: ClusterSettings):
    """Only the heartbeats that stop tell it."""
    async with nodes(settings, settings) as (one, two):
        for node in (one, two):
            await node.synced()
        await one.mirror.put("old", b"1")
        await eventually(lambda: two.mirror.get("old"))
        connection = one.engine.connection
        assert connection is not None
        await connection.request(f"$JS.API.STREAM.DELETE.KV_{BUCKET}")
        await eventually(lambda: one.anew and two.anew and one.mirror.synced and two.mirror.synced)
        assert one.held == two.held == {}
        assert one.engine.losses == two.engine.losses == 0
        await one.mirror.put("new", b"1")
        await eventually(lambda: two.held == {"new": b"1"})


async def test_a_write_after_the_bucket_was_made_anew_is_not_taken_for_an_old_one(settings: ClusterSettings):
    async with nodes(settings) as (one,):
        await one.synced()
        for _ in range(3):
            await one.mirror.put("k", b"1")
        connection = one.engine.connection
        stream = one.mirror._stream
        assert connection is not None
        assert stream is not None
        await connection.request(f"$JS.API.STREAM.DELETE.KV_{BUCKET}")
        await stream.bind(1)
        with pytest.raises(UncertainError, match="made anew"):
            await one.mirror.put("k", b"2")
        await eventually(lambda: one.anew and one.mirror.synced)
        assert one.held == {"k": b"2"}


async def test_markers_of_deletes_are_purged_when_they_are_old(settings: ClusterSettings):
    async with nodes(settings, settings) as (one, two):
        for node in (one, two):
            await node.synced()
        for number in range(20):
            await one.mirror.put(f"k.{number}", b"1")
        assert await two.mirror.purge_markers(0) == 0
        for number in range(19):
            await one.mirror.delete(f"k.{number}")
        await one.mirror.put("k.3", b"2")
        await eventually(lambda: two.held == {"k.3": b"2", "k.19": b"1"})
        assert await two.mirror.purge_markers() == 0, "none is 30 minutes old"
        assert await two.mirror.purge_markers(0) == 18
        assert await one.mirror.purge_markers(0) == 0
        assert one.mirror._stream is not None
        assert (await one.mirror._stream.info()).state.messages == 2
        await one.mirror.create("k.0", b"3")
        await eventually(lambda: two.held == {"k.0": b"3", "k.3": b"2", "k.19": b"1"})


@pytest.mark.slow
async def test_writes_while_nats_stands_still_are_uncertain_and_away(server: NatsServer, settings: ClusterSettings):
    async with nodes(settings) as (one,):
        await one.synced()
        server.pause()
        with pytest.raises(UncertainError):
            await one.mirror.put("k", b"1")
        await one.lost()
        with pytest.raises(AwayError, match="NATS is away"):
            await one.mirror.put("k", b"1")
        server.resume()
        await one.synced(after_losses=1)
        await one.mirror.put("k", b"2")
        assert one.held == {"k": b"2"}


async def test_keys_and_values_that_nats_would_choke_on_never_get_there(settings: ClusterSettings):
    async with nodes(settings) as (one,):
        await one.synced()
        for key in ("", "a" * 1_025, "a..b", ".a", "a.", "a b", "a*", ">", "ä"):
            with pytest.raises(ValueError, match="key"):
                await one.mirror.put(key, b"1")
        with pytest.raises(ValueError, match="a value has at most"):
            await one.mirror.put("k", bytes(1_048_576))
        await one.mirror.put("k", bytes(1_000_000))
        await one.mirror.put("a" * 1_024, b"1")
        assert one.engine.losses == 0


async def test_replicas_that_the_servers_cannot_keep_are_named(server: NatsServer, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "gateway.cluster"):
        async with nodes(ClusterSettings((server.url,), replicas=3)) as (one,):
            await eventually(lambda: one.mirror.problem)
            assert "set replicas in [cluster]" in str(one.mirror.problem)
            with pytest.raises(AwayError, match="replicas"):
                await one.mirror.put("k", b"1")
    assert len(caplog.records) == 1


async def test_without_jetstream_it_says_so_and_waits(tmp_path: Path, processes: Processes):
    server = NatsServer(tmp_path / "nats", processes, jetstream=False).start()
    async with nodes(ClusterSettings((server.url,))) as (one,):
        await eventually(lambda: one.mirror.problem)
        assert "JetStream" in str(one.mirror.problem)
        assert one.engine.state.name == "connected"
        server.jetstream = True
        server.restart()
        await one.synced(after_losses=1)
        assert one.mirror.problem is None
