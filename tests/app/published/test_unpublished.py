"""Hosts that were published until lately: a bounded number, the latest, for the operator."""

import pytest

from app.published import unpublished
from app.published.unpublished import Unpublished, UnpublishedHosts
from tests.app.published.world import HOLDERS

GONE = Unpublished(HOLDERS["alice"], 1.0, "its agent took it back")


def test_the_latest_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unpublished, "MOST_HOSTS", 2)
    hosts = UnpublishedHosts()
    for host in ("x", "y", "x", "z"):
        hosts.put(host, GONE)
    assert [hosts.of(host) for host in ("x", "y", "z")] == [GONE, None, GONE]
    assert repr(hosts) == "<UnpublishedHosts 2>"


def test_what_is_published_again_is_forgotten():
    hosts = UnpublishedHosts()
    hosts.put("x", GONE)
    hosts.forget("x")
    hosts.forget("x")
    assert (hosts.of("x"), len(hosts)) == (None, 0)
