import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cluster.bucket import key_problem
from app.cluster.keys import (
    NotAKeyError,
    announcements,
    cluster_and_node,
    host_key,
    host_of,
    is_node,
    link_key,
    new_node_id,
)

NODE = "abcdefgh2345"

LINKS = [
    ("c1", f"c1.{NODE}"),
    ("Shop 1", f"=53hop=201.{NODE}"),
    ("a.b", f"a=2Eb.{NODE}"),
    ("..", f"=2E=2E.{NODE}"),
    ("=41", f"=3D41.{NODE}"),
    ("münchen", f"m=C3=BCnchen.{NODE}"),
    ("*>", f"=2A=3E.{NODE}"),
]
HOSTS = [
    ("kuma.example.test", "host.kuma.example.test"),
    ("*.a.b", "host.=2A.a.b"),
    ("xn--mnchen-3ya.test", "host.xn--mnchen-3ya.test"),
    ("a_b.test", "host.a_b.test"),
]


@pytest.mark.parametrize(("cluster", "key"), LINKS)
def test_a_cluster_and_back(cluster: str, key: str):
    assert link_key(cluster, NODE) == key
    assert cluster_and_node(key) == (cluster, NODE)
    assert key_problem(key) is None


@pytest.mark.parametrize(("host", "key"), HOSTS)
def test_a_host_and_back(host: str, key: str):
    assert host_key(host) == key
    assert host_of(key) == host
    assert key_problem(key) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_any_name_of_a_cluster(cluster: str):
    key = link_key(cluster, NODE)
    assert cluster_and_node(key) == (cluster, NODE)
    assert key_problem(key) is None


@pytest.mark.parametrize(
    "key",
    ["c1", f".{NODE}", f"C1.{NODE}", "c1.", "c1.N", "c1.a.b", f"=4.{NODE}", f"=c3=bc.{NODE}", f"=FF.{NODE}",
     f"=61.{NODE}", f"a/b.{NODE}", f"c1.{'a' * 64}", "c1.-a", ""],
)  # fmt: skip
def test_a_key_of_a_stranger(key: str):
    with pytest.raises(NotAKeyError):
        cluster_and_node(key)


@pytest.mark.parametrize(
    "key", ["a.test", "host.", "host.A.test", "host.a..b", "host.=61.test", "host.=2E.a", "hosts.a"]
)
def test_a_key_that_is_no_hosts(key: str):
    with pytest.raises(NotAKeyError):
        host_of(key)


def test_each_start_has_another_id():
    ids = {new_node_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(re.fullmatch("[a-z2-7]{12}", one) and is_node(one) for one in ids)


def test_the_ids_of_nodes():
    assert all(is_node(text) for text in (NODE, "a", "node-1", "a" * 63))
    assert not any(is_node(text) for text in ("", "A", "a.b", "-a", "a-", "a" * 64, "a b"))


def test_the_subject_of_announcements():
    assert announcements("tunnel") == "tunnel.links"
