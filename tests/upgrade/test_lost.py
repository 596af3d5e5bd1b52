"""The comparison that the other tests trust: it sees what is gone, and lets pass what is new."""

from typing import Any

import pytest

from tests.upgrade.lost import lost


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {}, "/a is gone"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "/a/b was 1 and is 2"),
        ({"a": 1}, {"a": None}, "/a was 1 and is None"),
        ({"a": True}, {"a": 1}, "/a was True and is 1"),
        ({"a": {}}, {"a": []}, "/a was {} and is []"),
        (["x", "y"], ["y", "x"], " lacks 'y', or has it out of order"),
        (["--port", "80"], ["--port"], " lacks '80', or has it out of order"),
        ([{"name": "http", "port": 80}], [{"name": "web", "port": 80}], "/http is gone"),
        ([{"name": "http", "port": 80}], [{"name": "http", "port": 81}], "/http/port was 80 and is 81"),
        ([{"path": "/"}], [{"path": "/a"}, {"other": "/"}], " lacks {'path': '/'}"),
    ],
)
def test_what_is_gone_is_said(old: Any, new: Any, said: str):
    assert lost(old, new) == [said]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}),
        (["x", "y"], ["w", "x", "z", "y"]),
        ([{"name": "http"}], [{"name": "admin"}, {"name": "http", "port": 80}]),
        ([{"path": "/"}], [{"path": "/a"}, {"path": "/", "more": 1}]),
        ([], ["x"]),
    ],
)
def test_what_is_new_passes(old: Any, new: Any):
    assert lost(old, new) == []
