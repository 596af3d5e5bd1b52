"""The figures of a link without yamux, for the operator."""

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Stage, asked, conversation, opened
from tunnel.gateway.proxied.upload_window import WINDOW_BYTES


@conversation
async def test_what_runs_and_what_waits(stage: Stage):
    agent = stage.agent()
    figures = agent.carrier.figures()
    assert (figures.streams, figures.stalled_streams, figures.bytes_waiting) == (0, 0, 0)
    assert figures.window_bytes == WINDOW_BYTES
    _, request, _ = await asked(agent)
    agent.reads = False
    upload, _ = opened(agent, b"PUT", length=10**7)
    while upload.send_data(b"x" * 65_536):
        pass
    figures = agent.carrier.figures()
    assert (figures.streams, figures.stalled_streams) == (2, 1)
    assert figures.bytes_waiting > 256 * 1024
    request.reset()
    upload.reset()
    agent.reads = True
    agent.hear()
    await quiet()


@conversation
async def test_a_pong_measures_the_round_trip(stage: Stage):
    agent = stage.agent()
    carrier = agent.carrier
    assert carrier.figures().round_trip_seconds is None
    carrier.probe(carrier.clock())
    await quiet()
    agent.say("pong", None)
    measured = carrier.figures().round_trip_seconds
    assert measured is not None
    agent.say("pong", None)  # that nobody asked for
    assert carrier.figures().round_trip_seconds == measured
