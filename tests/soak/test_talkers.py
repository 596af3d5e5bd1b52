"""A talker finds every message that is lost, doubled, out of order or somebody else's."""

import pytest

from tests.soak.talkers import Conversation


@pytest.mark.parametrize(
    ("came", "received", "ending"),
    [
        (["t:0", "t:1", "t:2"], 3, "open"),
        (["t:1"], 0, "wrong: 't:1' instead of 't:0'"),
        (["t:0", "t:2"], 1, "wrong: 't:2' instead of 't:1'"),
        (["t:0", "t:0"], 1, "wrong: 't:0' instead of 't:1'"),
        (["other:0"], 0, "wrong: 'other:0' instead of 't:0'"),
        ([b"t:0"], 0, "wrong: b't:0' instead of 't:0'"),
        (["t:0", ""], 1, "wrong: '' instead of 't:1'"),
    ],
    ids=["in order", "first lost", "middle lost", "doubled", "another's", "another kind", "empty"],
)
def test_only_the_next_message_is_right(came: list[object], received: int, ending: str):
    conversation = Conversation("t", {}, 0.0)
    sent = [conversation.next_message() for _ in range(3)]
    assert sent == ["t:0", "t:1", "t:2"]
    taken = [conversation.take(message) for message in came]
    assert taken.count(True) == received == conversation.received
    assert conversation.ending == ending
