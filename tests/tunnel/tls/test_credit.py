"""Credit: what goes back to the sender, and when."""

import os

import pytest

MEGABYTE = os.urandom(1024 * 1024)
RECORD = 16384
"""The most plaintext one record holds."""


def test_a_handshake_is_credited_as_it_comes(talk):
    t = talk()
    t.service.receive(t.inner.take())
    flight = t.service.outgoing.read()
    for at in range(len(flight)):
        t.bring(flight[at : at + 1])
        assert t.inner.acknowledged == t.sent_bytes == at + 1


def test_an_owner_that_holds_stops_the_credit(talk):
    t = talk(piece_bytes=4000)
    t.run()
    t.owner.hold = True
    before = t.inner.acknowledged
    assert before == t.sent_bytes
    t.bring(t.service.say(MEGABYTE))
    # At most the first record's pieces came while no plaintext was outstanding.
    assert t.inner.acknowledged - before <= RECORD
    assert t.owner.heard == MEGABYTE
    held_back = t.inner.acknowledged
    t.stream.acknowledge(RECORD - 1)
    assert t.inner.acknowledged == held_back
    t.stream.acknowledge(1)
    assert held_back < t.inner.acknowledged <= held_back + 4000
    t.stream.acknowledge(len(MEGABYTE) - RECORD)
    assert t.inner.acknowledged == t.sent_bytes


def test_credit_follows_the_owner_delivery_by_delivery(talk):
    t = talk()
    t.run()
    t.owner.hold = True
    start = t.inner.acknowledged
    first, second = t.service.say(b"a" * 100), t.service.say(b"b" * 200)
    t.bring(first)
    t.bring(second)
    returned = []
    for size in (99, 1, 150, 50):
        t.stream.acknowledge(size)
        returned.append(t.inner.acknowledged - start)
    assert returned == [0, len(first), len(first), len(first) + len(second)]
    with pytest.raises(ValueError, match="more bytes"):
        t.stream.acknowledge(1)


def test_one_acknowledgement_may_cover_many_deliveries_and_frees_the_unfinished_record(talk):
    t = talk()
    t.run()
    t.owner.hold = True
    start = t.inner.acknowledged
    for letter in (b"a", b"b"):
        t.bring(t.service.say(letter * 100))
    records = t.service.say(b"c" * 100)
    t.bring(records[:50])
    assert t.inner.acknowledged == start
    t.stream.acknowledge(200)
    assert t.inner.acknowledged == t.sent_bytes
    t.bring(records[50:])
    assert t.inner.acknowledged == t.sent_bytes - len(records[50:])
    t.stream.acknowledge(100)
    assert t.inner.acknowledged == t.sent_bytes


def test_a_record_larger_than_the_credit_still_arrives(talk):
    t = talk(piece_bytes=100)
    t.run()
    records = t.service.say(bytes(RECORD))
    for at in range(0, len(records), 100):
        # The sender has no credit but what came back: each piece must be credited for the next to come.
        assert t.inner.acknowledged == t.sent_bytes
        t.bring(records[at : at + 100])
    assert t.owner.heard == bytes(RECORD)
    assert t.inner.acknowledged == t.sent_bytes
