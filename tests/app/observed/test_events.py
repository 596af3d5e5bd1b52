"""The ring of events: what it keeps, whom it tells, and what it lets nobody write into it."""

import logging

import msgspec
import pytest

from app.observed.events import KEPT, Event, EventKind, Events, moment
from app.observed.record import TEXT_LIMIT
from app.settings import fingerprint, token_hash


def numbers(events: list[Event]) -> list[int]:
    return [event.number for event in events]


def test_an_event_says_what_is_known_and_null_for_the_rest():
    events = Events(clock=lambda: 1_800_000_000.25)
    event = events.emit(EventKind.LINK_READY, "agent a1 serves cluster c1", cluster="c1", agent="a1", link="link-7")
    assert events.since() == [event]
    assert msgspec.json.decode(msgspec.json.encode(event)) == {
        "number": 1, "at": "2027-01-15T08:00:00.250Z", "kind": "link_ready", "level": "info",
        "message": "agent a1 serves cluster c1", "cluster": "c1", "agent": "a1", "link": "link-7", "address": None,
        "code": None, "token": None,
    }  # fmt: skip


def test_numbers_rise_and_since_gives_those_that_are_higher():
    events = Events()
    assert (events.since(), events.last_number) == ([], 0)
    for _ in range(3):
        events.emit("link_gone", "gone")
    assert numbers(events.since()) == numbers(events.since(0)) == [1, 2, 3]
    assert numbers(events.since(2)) == [3]
    assert events.since(3) == events.since(99) == []
    assert (events.last_number, len(events)) == (3, 3)


def test_the_last_thousand_are_kept():
    events = Events()
    for _ in range(KEPT + 5):
        events.emit("link_gone", "gone")
    assert numbers(events.since()) == list(range(6, KEPT + 6))


def test_one_kind_does_not_push_out_all_others():
    """A stranger who is refused ten thousand times leaves half of the ring to the others."""
    events = Events()
    for _ in range(KEPT // 2):
        events.emit("configuration_reloaded", "reloaded")
    for _ in range(10 * KEPT):
        events.emit("link_refused", "refused")
    kinds = [event.kind for event in events.since()]
    assert kinds.count("configuration_reloaded") == kinds.count("link_refused") == KEPT // 2
    assert numbers(events.since()) == sorted(numbers(events.since()))
    for _ in range(KEPT):
        events.emit("link_gone", "gone")
    assert [event.kind for event in events.since()].count("link_gone") >= KEPT // 2
    assert len(events) == KEPT


def test_what_others_sent_is_bounded_and_forges_no_line():
    event = Events().emit(
        "link_refused", "a\nb" + "\ud800" * 10_000, cluster="c" * 10_000, agent="\n\x1b[31m" * 100, address="\u202e1"
    )
    assert event.message.startswith("a\\nb\\ud800")
    assert len(event.message) <= TEXT_LIMIT
    assert event.cluster == "c" * 128
    assert event.agent is not None
    assert len(event.agent) <= 128
    assert all(text.isprintable() for text in (event.message, event.agent, event.address or ""))
    msgspec.json.encode(event)


@pytest.mark.parametrize("text", ["secret", "sha256:", "sha256:0123456", "sha256:0123456789abcdef", "Bearer x", ""])
def test_a_token_appears_by_its_fingerprint_only(text: str):
    assert Events().emit("link_refused", "refused", token=text).token is None


def test_a_fingerprint_is_never_that_of_no_token():
    digest = token_hash("a secret token")
    assert Events().emit("link_refused", "refused", token=fingerprint(digest)).token == f"sha256:{digest.hex()[:8]}"
    assert fingerprint(token_hash("")) == fingerprint(token_hash(b"")) == fingerprint(b"") == ""


def test_subscribers_are_told_and_one_that_fails_is_told_no_more(caplog: pytest.LogCaptureFixture):
    events = Events()
    first: list[int] = []
    calls: list[int] = []

    def fails(event: Event) -> None:
        calls.append(event.number)
        raise ValueError("a fault of this one")

    end = events.subscribe(lambda event: first.append(event.number))
    events.subscribe(fails)
    with caplog.at_level(logging.ERROR):
        events.emit("link_gone", "gone")
        events.emit("link_gone", "gone")
    assert (first, calls) == ([1, 2], [1])
    assert [record.getMessage() for record in caplog.records] == ["a subscriber to events failed, and is told no more"]
    end()
    end()
    events.emit("link_gone", "gone")
    assert first == [1, 2]


def test_a_subscriber_may_end_or_begin_within_the_call():
    events = Events()
    told: list[str] = []

    def once(event: Event) -> None:
        end()
        told.append(f"once {event.number}")
        events.subscribe(lambda event: told.append(f"later {event.number}"))

    end = events.subscribe(once)
    events.emit("link_gone", "gone")
    events.emit("link_gone", "gone")
    assert told == ["once 1", "later 2"]


def test_the_end_of_one_subscription_is_not_that_of_another_with_its_key():
    events = Events()
    told: list[int] = []
    end = events.subscribe(lambda _: None)
    end()
    events.subscribe(lambda event: told.append(event.number))
    end()
    events.emit("link_gone", "gone")
    assert told == [1]


def test_every_moment_has_its_milliseconds():
    assert moment(1.0) == "1970-01-01T00:00:01.000Z"
    assert moment(1.9999) == "1970-01-01T00:00:01.999Z"
    assert repr(Events()) == "<Events 0, the last is 0, 0 subscribers>"
