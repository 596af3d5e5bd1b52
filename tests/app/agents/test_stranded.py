"""Agents that register routes and have no link: how soon the log says so, and how often."""

import pytest

from app.agents.stranded import Stranded
from tests.app.agents.calls import REGISTER, register_body, stage, told
from tests.fakes.loop import dialogue


@pytest.mark.parametrize(
    ("calls", "warned"),
    [
        ([(0, False)], [False]),
        ([(0, False), (1, True), (300, False)], [False, False, False]),  # its link came a moment later
        ([(0, False), (59, False), (60, False), (360, False)], [False, False, True, False]),
        ([(0, False), (300, False), (3899, False), (3900, False)], [False, True, False, True]),
        ([(0, False), (300, False), (301, True), (302, False), (600, False)], [False, True, False, False, True]),
    ],
)
def test_when_to_warn(calls: list[tuple[int, bool]], warned: list[bool]):
    stranded = Stranded()
    assert [stranded.called("c1", now, is_linked=linked) for now, linked in calls] == warned
    assert not stranded.called("c2", 9999, is_linked=False)


@dialogue
async def test_a_cluster_that_registers_without_a_link_is_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.agents.stranded.SETTLED_SECONDS", 0.0)
    async with stage() as s:
        for _ in range(3):
            await told(s, REGISTER, register_body())
    lines = [record for record in caplog.records if "has no link" in record.getMessage()]
    assert [record.levelname for record in lines] == ["WARNING"]
    assert "Restart the agent's pod" in lines[0].getMessage()
