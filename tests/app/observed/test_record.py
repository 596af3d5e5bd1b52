"""The record of an exchange that goes on without the call that began it."""

from dataclasses import fields

from app.observed.record import Record
from tunnel.port import Target


def test_a_record_apart_says_the_same_and_changes_by_itself():
    record = Record(
        "websocket", "id", "GET", b"a.test", b"/", Target("c1", "apps", "web", 80), 1.5, client="192.0.2.1",
        link_at=3.0 / 2, head_at=2.0, status=101, opened=True,
    )  # fmt: skip
    apart = record.apart()
    assert apart == record
    assert {field.name for field in fields(Record)} == set(Record.__slots__)
    apart.messages_up += 1
    assert (record.messages_up, type(apart)) == (0, Record)


def test_times_that_are_the_same_are_one_object():
    record = Record("websocket", "id", "GET", b"a.test", b"/", None, float("1.5"), link_at=float("1.5"))
    assert record.link_at is not record.began
    apart = record.apart()
    assert apart.link_at is apart.began
