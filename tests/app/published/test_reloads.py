"""Published routes after a reload: what no token covers is not served, and comes back when it is covered again."""

import asyncio
from dataclasses import replace

import pytest

from app.published import Holder
from app.settings import Grant
from tests.app.published.world import GRANTS, World, lines, wanted


@pytest.mark.parametrize(
    "grants",
    [
        pytest.param({}, id="the token is removed"),
        pytest.param({b"a": replace(GRANTS[b"a"], revoked=True)}, id="the token is revoked"),
        pytest.param({b"a": replace(GRANTS[b"a"], hosts=("*.other.test",))}, id="the token lost the host"),
        pytest.param({b"a": replace(GRANTS[b"a"], clusters=("c",))}, id="the token lost the cluster"),
    ],
)
def test_a_route_that_no_token_covers_is_not_served(grants: dict[bytes, Grant], caplog: pytest.LogCaptureFixture):
    world = World()
    world.publish("alice", wanted("x.both.test"))
    world.apply(grants={b"b": GRANTS[b"b"], **grants})
    assert world.set.of_host("x.both.test") is None
    assert world.set.holder_of("x.both.test") is None
    assert world.known == ["x.both.test/ alice"]
    assert lines(caplog, "not served") == [
        "1 published hosts are not served: no token covers them any more; x.both.test is one of them"
    ]
    world.apply()
    assert world.serves("x.both.test") == ["/ alice"]


def test_a_host_that_its_holders_token_lost_is_free():
    world = World()
    world.publish("alice", wanted("x.both.test"), wanted("y.a.test"))
    world.apply(grants={**GRANTS, b"a": replace(GRANTS[b"a"], hosts=("*.a.test",))})
    assert world.refused("bob", wanted("x.both.test")) == [""]
    assert world.known == ["x.both.test/ bob", "y.a.test/ alice"]
    world.apply()
    assert world.refused("alice", wanted("x.both.test"), wanted("y.a.test")) == ["host_taken", ""]


def test_a_request_never_meets_what_the_settings_do_not_cover():
    """However many routes there are: they are looked at again a few in each turn of the loop."""

    async def run() -> None:
        world = World()
        grants = {b"a": replace(GRANTS[b"a"], max_published=10_000)}
        world.apply(grants=grants)
        for number in range(10):
            world.links["alice"] = Holder("a", f"alice-{number}", b"a", f"link-{number}", "")
            world.publish("alice", *(wanted(f"x{number}-{one}.a.test") for one in range(100)))
        world.apply(grants={b"a": replace(GRANTS[b"a"], hosts=("x0-0.a.test",))})
        assert world.set.of_host("x9-99.a.test") is None
        assert world.serves("x0-0.a.test") == ["/ alice-0"]
        world.apply(grants=grants)
        assert world.serves("x9-99.a.test") == ["/ alice-9"]
        for _ in range(20):
            await asyncio.sleep(0)
        assert not world.set._stale
        assert world.serves("x5-50.a.test") == ["/ alice-5"]

    asyncio.run(run())
