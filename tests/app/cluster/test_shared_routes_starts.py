"""What a node starts from, and what becomes of its copy when the bucket was made anew."""

from app.cluster.bucket import Entry
from app.cluster.keys import host_key
from app.learned import Claim, LearnedRoutes
from tests.app.cluster.sharing import Node, Nodes
from tests.app.learned.claims import claim
from tests.fakes.loop import dialogue

BOTH = "x.both.test"


async def joined(count: int = 2) -> Nodes:
    nodes = Nodes(count)
    await nodes.catch_up()
    return nodes


def stored(n: Nodes, *claims: Claim) -> LearnedRoutes:
    """What a node has in its file."""
    copy = Node(n).copy
    for one in claims:
        copy.take(one.host, [*copy.registered(one.host), copy.check(one)], "the file")
    return copy


@dialogue
async def test_the_first_start_puts_what_each_node_had():
    n = Nodes(0)
    n.nodes = [
        Node(n, stored(n, claim("x.a.test"), claim(BOTH))),
        Node(n, stored(n, claim("x.a.test", "/api"), claim(BOTH, cluster="b"))),
    ]
    await n.catch_up()
    await n.catch_up()
    assert n[0].has == n[1].has == ["x.a.test/ a/traefik", "x.a.test/api a/traefik", f"{BOTH}/ a/traefik"]
    assert n[0].copied == n[1].copied == [n.shelf.created]


@dialogue
async def test_a_later_start_takes_what_the_bucket_has():
    n = await joined(1)
    await n[0].register(claim("x.a.test"), claim("new.a.test"))
    late = Node(n, stored(n, claim("x.a.test", "/old"), claim("gone.a.test")), n.shelf.created)
    assert late.has == ["gone.a.test/ a/traefik", "x.a.test/old a/traefik"]
    await late.shared.catch_up()
    assert late.has == n[0].has == ["new.a.test/ a/traefik", "x.a.test/ a/traefik"]
    assert late.copied == []


@dialogue
async def test_a_bucket_made_anew_gets_everything_and_nobody_forgets_anything():
    n = await joined()
    await n[0].register(claim("x.a.test"), claim("y.a.test"))
    before = n[0].has
    n.shelf.make_anew()
    assert n[0].has == n[1].has == before
    await n[1].register(claim("x.a.test", "/api"))
    await n.catch_up()
    assert n[0].has == n[1].has == ["x.a.test/ a/traefik", "x.a.test/api a/traefik", "y.a.test/ a/traefik"]
    assert n[0].copied == ["2026-01-01T00:00:01.000000000Z", "2026-01-01T00:00:02.000000000Z"]
    assert len(n.shelf.entries) == 2


@dialogue
async def test_a_bucket_that_lost_writes_gets_them_again():
    n = await joined()
    await n[0].register(claim("x.a.test"), claim("y.a.test"))
    before = n[0].has
    lost = n.shelf.entries.pop(host_key("y.a.test"))
    for node in n.nodes:
        node.bucket._seen.pop(lost.key)
        node.bucket.on_anew()
        node.bucket.on_change(Entry(lost.key, None, 0, lost.created))
    await n.catch_up()
    assert n[0].has == n[1].has == before
    assert set(n.shelf.entries) == {"host.x.a.test", "host.y.a.test"}


@dialogue
async def test_it_is_a_copy_only_once_everything_was_put():
    n = Nodes(0)
    n.nodes = [Node(n, stored(n, claim("x.a.test"), claim("y.a.test")))]
    n.shelf.lose_answers = 1
    await n.catch_up()
    assert n[0].copied == []
    await n.catch_up()
    assert n[0].copied == [n.shelf.created]
