"""What one tenant's service answers does not reach another: requests of another link go on between its pieces."""

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.exchanges import OK, opened
from tests.tunnel.gateway.peer import Line
from tests.tunnel.gateway.proxied.agent import Stage, asked, conversation
from tunnel.port import Target

HEAD = b"HTTP/1.1 200 OK\r\n"
COMMAS = HEAD + b"Connection: " + b"," * 31_000 + b"\r\nContent-Length: 2\r\n\r\nok"
FIELDS = HEAD + b"Connection: ,,,,\r\n" * 2_400 + b"Content-Length: 2\r\n\r\nok"
PIECE_BYTES = 4_096


@pytest.mark.parametrize(("answer", "outcome"), [(COMMAS, "end"), (FIELDS, "BadAnswerError")])
def test_a_head_that_would_cost_much_while_others_are_answered(answer: bytes, outcome: str):
    hostile, other = Line(ready=True), Line(ready=True, cluster="c2")
    _, sink = opened(hostile)
    hostile.run()
    stream_id, _ = hostile.stream()
    answered = 0
    for begin in range(0, len(answer), PIECE_BYTES):
        hostile.peer.session.send_data(stream_id, answer[begin : begin + PIECE_BYTES])
        hostile.run()
        _, others = opened(other, fresh=True)
        other.run()
        other.answer(OK)
        assert (others.statuses, others.outcome) == ([200], "end")
        answered += 1
    assert answered > 5
    assert sink.outcome == outcome
    for line in (hostile, other):
        line.link.lost("end of the test")


@pytest.mark.parametrize("late", [b"", b"late!", OK])
def test_a_late_body_after_head_while_others_are_answered(late: bytes):
    hostile, other = Line(ready=True), Line(ready=True, cluster="c2")
    for _ in range(4):
        _, sink = opened(hostile, b"HEAD")
        hostile.run()
        hostile.answer(HEAD + b"Content-Length: 5\r\n\r\n" + late)
        assert (sink.statuses, sink.body, sink.outcome) == ([200], b"", "end")
        assert hostile.stream()[1].was_reset
        for line in (other, hostile):
            _, following = opened(line)
            line.run()
            line.answer(OK)
            assert (following.statuses, following.body, following.outcome) == ([200], b"ok", "end")
    for line in (hostile, other):
        line.link.lost("end of the test")


@conversation
@pytest.mark.parametrize("values", [["," * 31_000], [",,,,"] * 2_400])
async def test_a_head_that_would_cost_much_over_json_while_others_are_answered(stage: Stage, values: list[str]):
    hostile, other = stage.agent(), stage.agent(cluster="c2")
    hostile_id, _, sink = await asked(hostile)
    other_id, _, others = await asked(other, to=Target("c2", "apps", "web", 8080))
    hostile.header(hostile_id, Connection=values)
    other.header(other_id)
    other.end(other_id)
    hostile.end(hostile_id)
    await quiet()
    assert (others.statuses, others.calls[-1]) == ([200], "end")
    assert sink.outcome == ("end" if len(values) == 1 else "BadAnswerError")
