"""What becomes of links when the configuration read again withdraws their tokens."""

from pathlib import Path

import pytest

from tests.app.operator.world import World


def test_links_of_a_revoked_token_end_and_those_of_a_dropped_one_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    world = World(tmp_path)
    revoked, dropped = world.link("t"), world.link("u")
    world.write(world.good(revoked="true"))
    world.reloader.reload()
    assert revoked.closes == [(1008, "token revoked")]
    assert dropped.closes == []
    assert "1 links stay open, but their tokens are not in the configuration any more" in caplog.text
    world.write(world.good(token="v"))
    world.reloader.reload()
    assert len(revoked.closes) == 1
    assert dropped.closes == []


def test_a_publisher_whose_token_is_dropped_ends_as_it_serves_nothing_and_may_have_a_new_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    world = World(tmp_path)
    stays, dropped, moved = world.link("t"), world.link("u"), world.link("t")
    for link in (stays, dropped, moved):
        link.publisher = "laptop"
    moved.cluster = "another"
    world.write(world.good(host="b"))
    world.reloader.reload()
    assert stays.closes == []
    assert dropped.closes == moved.closes == [(1008, "token withdrawn")]
    assert caplog.text.count("of cluster c1: token withdrawn") == 1
    assert "links stay open" not in caplog.text
