"""The corpus of requests through both doors: each case has its right verdict, or stands among the known deviations."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.doors.case import WILD
from tests.doors.corpus import CASES, KINDS
from tests.doors.deviations import DEVIATIONS, SOMETIMES
from tests.doors.judge import differences
from tests.doors.player import Door, Observed
from tests.doors.recorder import Recorder
from tests.system.conftest import app_only, not_over, tunnel_only
from tests.system.harness import Service, Stack
from tests.system.process import Processes
from tests.system.servers import SERVERS

pytestmark = [
    tunnel_only,
    app_only("this file serves the gateway in each way itself"),
    not_over("json", "chunk", because="the door is the same, and their wires do not carry every target and trailer"),
]

CUT = (
    "lines: an empty line first",
    "lengths: the next request begins where it says",
    "chunks: one",
    "chunks: the extension ';a=\"b\"'",
    "upgrades: a handshake",
    "names: a line folded with a blank",
)
"""Valid ones and one that is not; all other cases are cut behind every byte in `tests/doors/test_parsers.py`."""

Played = dict[str, tuple[dict[str, Observed], dict[str, list[Observed]]]]


def stack_of(folder: Path, processes: Processes, port: int) -> Stack:
    stack = Stack(folder, processes)
    stack.add(Service("recorder", port))
    stack.add(Service("wild", port, route={"host": "*." + WILD.decode()}))
    return stack


async def play_all(
    door: str, folder: Path, processes: Processes
) -> tuple[dict[str, Observed], dict[str, list[Observed]]]:
    """By case, what came of it; and for those of CUT, what came of it when it was cut behind each byte but the last."""
    recorder = Recorder()
    await recorder.start()
    stack = stack_of(folder, processes, recorder.port)
    await asyncio.to_thread(SERVERS[door], stack)
    await asyncio.to_thread(stack.start_agent)
    gateway = Door(stack.port, recorder)
    try:
        known = DEVIATIONS[door]
        whole = {name: await gateway.play(case, hangs=name in known) for name, case in CASES.items()}
        cut = {
            name: [await gateway.play(CASES[name], cut=place) for place in range(1, len(CASES[name].sent))]
            for name in CUT
        }
        return whole, cut
    finally:
        await gateway.aclose()
        await recorder.stop()


@pytest.fixture(scope="module")
def played(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """By door and case, what came of it: the cases of one door after each other, both doors at once."""

    async def play() -> Played:
        folders = [tmp_path_factory.mktemp("door") for _ in SERVERS]
        played = await asyncio.gather(
            *(play_all(door, folder, module_processes) for door, folder in zip(SERVERS, folders, strict=True))
        )
        return dict(zip(SERVERS, played, strict=True))

    return asyncio.run(play())


@pytest.mark.parametrize(("door", "kind"), list(itertools.product(SERVERS, KINDS)))
def test_the_cases_of_a_kind(played: Played, door: str, kind: str) -> None:
    known = DEVIATIONS[door]
    wrong: list[str] = []
    for name, case in CASES.items():
        if not name.startswith(f"{kind}: "):
            continue
        observed = played[door][0][name]
        found = differences(case, observed)
        if name not in known and found:
            wrong.append(f"{name}: {'; '.join(found)} {observed!r}\n  {case.rule}")
        elif name in known and not found and name not in SOMETIMES:
            wrong.append(f"{name}: it is right now, take it out of the deviations of {door}: {observed!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("door", "name"), list(itertools.product(SERVERS, CUT)))
def test_a_case_that_is_cut_behind_each_byte(played: Played, door: str, name: str) -> None:
    cuts = played[door][1][name]
    assert len(cuts) == len(CASES[name].sent) - 1
    wrong = [
        f"behind byte {place}: {'; '.join(found)} {observed!r}"
        for place, observed in enumerate(cuts, 1)
        if (found := differences(CASES[name], observed))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_deviation_is_of_a_case() -> None:
    for door, known in DEVIATIONS.items():
        assert door in SERVERS
        assert not known.keys() - CASES.keys()
