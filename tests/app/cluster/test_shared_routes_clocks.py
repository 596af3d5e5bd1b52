"""Learned routes of all nodes on one whose clock is wrong: what it costs the others."""

import pytest

from app.cluster.keys import host_key
from tests.app.cluster.sharing import Nodes
from tests.app.learned.claims import DAY, claim
from tests.fakes.loop import dialogue


@pytest.mark.parametrize("ahead", [DAY, -DAY, None])
@dialogue
async def test_a_node_whose_clock_is_wrong_deletes_nothing(ahead: float | None, caplog: pytest.LogCaptureFixture):
    """Or does not know whether it is right. What it reads it takes for expired, and once its clock is set it is not."""
    n = Nodes(2)
    await n.catch_up()
    await n[0].register(claim("x.a.test"))
    n.now, n.ahead = n.now + DAY + 100, ahead
    await n.catch_up()
    n.now, n.ahead = n.now - DAY, 0.0
    await n.catch_up()
    assert n.shelf.entries[host_key("x.a.test")].value is not None
    assert [record.levelname for record in caplog.records] == ([] if ahead is None else ["WARNING"] * 2)


@dialogue
async def test_a_clock_that_was_set_back_does_not_keep_what_expires():
    n = Nodes(2)
    await n.catch_up()
    n.now += 7 * DAY
    await n.catch_up()
    n.now -= 7 * DAY
    await n[0].register(claim("x.a.test"))
    n.now += DAY + 100
    await n.catch_up()
    assert n.shelf.entries[host_key("x.a.test")].value is None
