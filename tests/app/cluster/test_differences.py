"""Whether nodes differ in the routes of their files: told once it lasts, once for each change, and when it is over."""

import dataclasses

import msgspec
import pytest

from app.cluster.differences import LASTING_SECONDS, files_hash
from app.rules.policy import Policy
from app.rules.routes import Route
from tests.app.cluster.seen import Seen
from tests.fakes.link import TARGET


def look(s: Seen, seconds: float) -> list[str]:
    """Every second; the kinds of the events."""
    for _ in range(int(seconds)):
        s.run(1)
        s.differences.look(s.own, s.now)
    return [kind for kind in s.kinds() if kind.startswith("files")]


def test_it_is_told_once_it_has_lasted(caplog: pytest.LogCaptureFixture):
    s = Seen()
    s.nodes("aa", build="1.0", files="f1")
    s.nodes("bb", build="1.0", files="f2")
    assert look(s, LASTING_SECONDS - 1) == []
    assert s.differences.nodes == {"bb": "bb"}
    assert look(s, 60) == ["files_differ"]
    assert [line for line in caplog.messages if "file" in line] == [
        "the routes in this node's file are not those of other nodes: bb (bb); give all nodes the same gateway.toml"
    ]
    s.nodes("bb", build="1.0", files="f3")
    assert look(s, 60) == ["files_differ"]
    s.nodes("bb", build="1.0", files="f1")
    assert look(s, 60) == ["files_agree"]
    assert repr(s.differences) == "<Differences, 0 nodes>"


def test_a_rollout_of_a_file_is_not_told():
    s = Seen()
    s.nodes("aa", build="1.0", files="f1")
    s.own = msgspec.structs.replace(s.own, files="f2")
    assert look(s, 5) == []
    s.nodes("aa", build="1.0", files="f2")
    assert look(s, 60) == []


@pytest.mark.parametrize("said", [{"build": "1.1", "files": "f2"}, {"build": "1.0"}])
def test_what_is_not_compared(said: dict[str, str]):
    s = Seen()
    s.nodes("aa", **said)
    assert look(s, 60) == []


def test_a_node_that_is_gone_does_not_differ():
    s = Seen()
    s.nodes("aa", build="1.0", files="f2")
    assert look(s, 20) == ["files_differ"]
    s.nodes("aa", build="1.0", files="f2", bye=True)
    assert look(s, 20) == ["files_agree"]


A, B = (Route(host, b"/", TARGET) for host in ("a.test", "b.test"))


def test_the_order_of_routes_does_not_matter():
    assert files_hash([A, B]) == files_hash([B, A])
    assert len(files_hash([])) == 16


@pytest.mark.parametrize(
    "other",
    [
        [A],
        [A, dataclasses.replace(B, host="c.test")],
        [A, dataclasses.replace(B, path=b"/x")],
        [A, dataclasses.replace(B, target=dataclasses.replace(TARGET, port=81))],
        [A, dataclasses.replace(B, policy=Policy(max_websockets=1))],
    ],
)
def test_whatever_a_route_says_does(other: list[Route]):
    assert files_hash([A, B]) != files_hash(other)
