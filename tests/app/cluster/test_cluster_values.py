"""What the values of the buckets say, those of a made-up next release and of strangers included."""

import logging
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cluster import beats, links
from app.cluster.beats import Beat, Load
from app.cluster.bucket import Entry
from app.cluster.links import NEWEST, OLDEST, Claim, Linked, Stamp
from app.cluster.values import LONGEST_BYTES, Complaints, ValueIgnoredError, decoded

FIRST = "2026-01-01T00:00:01.000000000Z"
LATER = "2026-01-01T00:00:01.100000000Z"


def claims(value: bytes) -> dict[object, Claim]:
    return {(claim.pool, claim.agent_id): claim for claim in links.claims_of(Entry("k", value, 7, LATER), "c1", "n")}


def test_a_beat_and_back():
    beat = Beat(
        name="pod-1", peer_url="http://10.0.0.1:8081", build="1.2", started=1.5, seq=9, draining=True, bye=True,
        load=Load(1, 2, 3), files="ab", routes_revision=17, per_cluster_websockets={"c1": 4},
        per_route_websockets={"a.test/": 3}, per_client_websockets={"192.0.2.1": 2},
    )  # fmt: skip
    assert beats.read(beats.encoded(beat)) == beat
    value = msgspec.json.decode(beats.encoded(beat))
    assert value["v"] == 1
    assert value["load"] == {"links": 1, "exchanges": 2, "websockets": 3}


def test_a_beat_that_says_nothing_new_is_short():
    assert len(beats.encoded(Beat(name="pod-1", peer_url="http://10.0.0.1:8081", seq=9))) < 100


def test_a_beat_of_the_next_release():
    value = b'{"v":1,"name":"x","peer_url":"u","seq":1,"zone":{"a":[1]},"load":{"links":1,"cpu":0.5}}'
    assert beats.read(value) == Beat(name="x", peer_url="u", seq=1, load=Load(links=1))


def test_links_and_back():
    value = links.encoded({
        ("", "a"): Linked(None, "yamux"), ("", "b"): Linked(Stamp(FIRST, 3), "json"),
        ("a", "a"): Linked(Stamp(FIRST, 4)),
    })  # fmt: skip
    assert claims(value) == {
        ("c1", "a"): Claim("n", "a", Stamp(LATER, 7), "yamux", "c1"),
        ("c1", "b"): Claim("n", "b", Stamp(FIRST, 3), "json", "c1"),
        (("c1", "a"), "a"): Claim("n", "a", Stamp(FIRST, 4), "", ("c1", "a")),
    }


def test_links_of_the_next_release():
    value = b'{"v":1,"zone":"x","agents":{"a":{"stamp":null,"dialect":"quic","since":1}}}'
    assert claims(value) == {("c1", "a"): Claim("n", "a", Stamp(LATER, 7), "quic", "c1")}


@pytest.mark.parametrize(
    "value",
    [
        b"", b"nonsense", b"\xff", b"[1]", b"1", b"{}", b'{"v":"1"}', b'{"v":1,"agents":[]}',
        b'{"v":1,"agents":{"a":1}}',
        b'{"v":1,"agents":{"a":{"stamp":["yesterday",1]}}}', b'{"v":1,"agents":{"a":{"stamp":[1,2]}}}',
        b'{"v":1,"agents":{"a":{"stamp":["2026-01-01T00:00:01.000000000Z"]}}}',
        b'{"v":1,"agents":{"a":{"stamp":["2026-01-01T00:00:01Z",1]}}}',
        b'{"v":1,"agents":{"a":{"stamp":["2026-01-01T00:00:01.000000000Z",-1]}}}',
        b'{"v":1,"agents":{"' + b"a" * 256 + b'":{}}}', b'{"v":1,"agents":{"a":{"dialect":"' + b"d" * 33 + b'"}}}',
        b"[" * 100_000, b'{"v":1,"x":"' + b"x" * LONGEST_BYTES + b'"}', b'{"v":2,"agents":{}}', b'{"v":0}',
    ],
)  # fmt: skip
def test_links_that_are_ignored(value: bytes):
    with pytest.raises(ValueIgnoredError):
        claims(value)


@pytest.mark.parametrize(
    "value",
    [
        b"", b'{"v":1}', b'{"v":1,"name":"x","peer_url":"u","seq":-1}', b'{"v":1,"name":1,"peer_url":"u","seq":1}',
        b'{"v":1,"name":"' + b"x" * 256 + b'","peer_url":"u","seq":1}', b'{"v":1,"name":"x","peer_url":"u","seq":1.5}',
        b'{"v":1,"name":"x","peer_url":"u","seq":1,"load":{"links":-1}}',
        b'{"v":1,"name":"x","peer_url":"u","seq":1,"per_cluster_websockets":{"c":"1"}}',
        b'{"v":3,"name":"x","peer_url":"u","seq":1}',
    ],
)  # fmt: skip
def test_beats_that_are_ignored(value: bytes):
    with pytest.raises(ValueIgnoredError):
        beats.read(value)


@given(st.binary(max_size=200))
def test_no_value_raises_anything_else(value: bytes):
    for kind in (Beat, links.Linked):
        try:
            decoded(kind, value)
        except ValueIgnoredError:
            continue


def test_the_order_of_stamps():
    oldest_first = [OLDEST, Stamp(FIRST, 9), Stamp(FIRST, 10), Stamp(LATER, 1), Stamp(LATER, 2), NEWEST]
    assert all(one < other for one, other in pairwise(oldest_first))


def test_each_key_is_told_once_and_a_newer_version_once_in_all(caplog: pytest.LogCaptureFixture):
    complaints = Complaints("links")
    for _ in range(3):
        for key in ("a", "b"):
            complaints.tell(key, ValueIgnoredError("it is not JSON"))
            complaints.tell(key, ValueIgnoredError("it has version 2", 2))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert [record.getMessage()[:50] for record in caplog.records] == [
        "bucket links, key 'a': ignored, because it is not ",
        "bucket links has values of version 2, from a gatew",
        "bucket links, key 'b': ignored, because it is not ",
    ]


def test_what_was_told_does_not_grow():
    complaints = Complaints("links")
    for number in range(2_000):
        complaints.tell(f"k{number}", ValueIgnoredError("it is not JSON"))
    assert repr(complaints) == "<Complaints of links: 1000>"
