"""The pings to clients: who gets one and when, who is given up, and that nobody else is visited."""

import asyncio
import itertools

import pytest

from app.server.pings import VISITS_PER_TURN, Pings, pings_of
from tests.fakes.growth import FACTOR, calls_of, grows_linearly
from tests.fakes.loop import VirtualLoop, dialogue, left_behind, quiet

TICK = 0.5


class Client:
    """Counts its pings, and answers while it is alive."""

    def __init__(self, pings: Pings, interval: float | None = 30.0, timeout: float | None = 60.0) -> None:
        self.ping_interval = interval
        self.ping_timeout = timeout
        self.heard = self.asked = self.pings_only_silence = False
        self.pinged_at = 0.0
        self.answers = True
        self.is_ending = False
        self.pinged: list[float] = []
        self.given_up: list[float] = []
        self.aborted = False
        self.pings = pings
        pings.add(self)

    def send_ping(self) -> None:
        self.pinged.append(now())
        self.heard = self.answers

    def keepalive_timeout(self) -> None:
        self.given_up.append(now())
        self.leave()

    def abort(self) -> None:
        self.aborted = True
        self.leave()

    def leave(self) -> None:
        self.is_ending = True
        self.pings.remove(self)


def now() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time() - 1_000.0


@dialogue
async def test_of_those_that_are_spared_while_they_talk_only_a_silent_one_is_pinged():
    client = Client(Pings())
    client.pings_only_silence = True
    for _ in range(4):  # something comes in each of the first intervals
        await asyncio.sleep(30.0)
        client.heard = True
    assert client.pinged == []
    await asyncio.sleep(150.0)
    # The answer to a ping is a sign of life: it spares the client the next one.
    assert client.pinged == [pytest.approx(180.0), pytest.approx(240.0)]
    client.answers = False
    await asyncio.sleep(90.0)
    assert client.pinged[2:] == [pytest.approx(300.0)]
    assert client.given_up == [pytest.approx(360.0)]


@dialogue
async def test_a_client_that_answers_is_pinged_once_in_each_interval():
    client = Client(Pings())
    await asyncio.sleep(301)
    assert client.pinged == [pytest.approx(30.0 * number) for number in range(1, 11)]
    assert client.given_up == []
    client.leave()


@dialogue
async def test_a_timeout_that_is_shorter_than_the_interval_does_not_hurry_the_next_ping():
    client = Client(Pings(), 20.0, 5.0)
    await asyncio.sleep(61)
    assert client.pinged == [pytest.approx(20.0 * number) for number in range(1, 4)]
    client.answers = False
    await asyncio.sleep(61)
    assert (client.pinged[3:], client.given_up) == ([pytest.approx(80.0)], [pytest.approx(85.0)])


@dialogue
async def test_times_of_less_than_a_tick_are_lengthened_never_shortened():
    pings = Pings()
    client = Client(pings, 0.7, 0.1)
    await asyncio.sleep(3.1)
    assert client.pinged == [pytest.approx(at) for at in (1.0, 2.0, 3.0)]
    client.answers = False
    await asyncio.sleep(2.0)
    assert (client.pinged[3:], client.given_up) == ([pytest.approx(4.0)], [pytest.approx(4.5)])


@pytest.mark.parametrize(
    ("interval", "timeout"), [(30.0, 60.0), (20.0, 20.0), (20.0, 5.0), (10.0, 60.0), (7.0, 2.5)], ids=str
)
@pytest.mark.parametrize("silent_after", [0.0, 19.9, 20.1, 29.9, 31.0, 44.0, 59.9, 61.0, 89.9])
def test_a_client_that_falls_silent_is_given_up_within_interval_and_timeout(
    interval: float, timeout: float, silent_after: float
) -> None:
    """As by uvicorn's own timers, and a tick at most. Until then it answers nothing, but brings bytes."""

    @dialogue
    async def run() -> None:
        client = Client(Pings(), interval, timeout)
        client.answers = False
        for _ in range(int(silent_after / 0.1)):
            await asyncio.sleep(0.1)
            client.heard = True
        fell_silent = now()
        await asyncio.sleep(200)
        (at,) = client.given_up
        assert at <= fell_silent + interval + timeout + TICK
        assert at == pytest.approx(client.pinged[-1] + timeout, abs=1e-6)
        assert client.pinged[-1] >= fell_silent

    run()


@dialogue
async def test_a_late_sign_of_life_is_followed_by_the_next_ping_within_an_interval():
    client = Client(Pings(), 10.0, 60.0)
    client.answers = False
    await asyncio.sleep(25.0)
    assert client.pinged == [pytest.approx(10.0)]
    client.heard = True
    await asyncio.sleep(100.0)
    assert client.pinged[1:] == [pytest.approx(30.0)]
    assert client.given_up == [pytest.approx(90.0)]


@dialogue
async def test_without_a_timeout_nobody_is_given_up_and_without_an_interval_nobody_pinged():
    pings = Pings()
    patient, left_alone, also = Client(pings, 10.0, None), Client(pings, None, 5.0), Client(pings, 0.0, 5.0)
    patient.answers = False
    await asyncio.sleep(51)
    assert (len(patient.pinged), patient.given_up) == (5, [])
    assert (left_alone.pinged, also.pinged) == ([], [])
    patient.leave()


@dialogue
async def test_a_timer_runs_only_while_somebody_is_to_be_pinged():
    pings = Pings()
    assert left_behind() == []
    one, other = Client(pings), Client(pings)
    assert (len(left_behind()), repr(pings)) == (1, "<Pings to 2>")
    one.leave()
    one.leave()
    assert len(left_behind()) == 1
    other.leave()
    assert (left_behind(), repr(pings)) == ([], "<Pings to 0>")
    again = Client(pings)
    await asyncio.sleep(30.1)
    assert len(again.pinged) == 1
    again.leave()


@dialogue
async def test_a_client_that_is_closing_is_forgotten():
    pings = Pings()
    client = Client(pings)
    client.is_ending = True
    await asyncio.sleep(31)
    assert (client.pinged, client.given_up, left_behind()) == ([], [], [])


@dialogue
async def test_a_process_that_was_stopped_does_not_give_all_its_clients_up():
    pings = Pings()
    client = Client(pings)
    client.answers = False
    await asyncio.sleep(31)
    assert len(client.pinged) == 1
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._virtual.now += 600.0
    await quiet()
    assert client.given_up == []
    client.heard = client.answers = True  # its pong was waiting in the socket
    await asyncio.sleep(300)
    assert client.given_up == []
    client.leave()


@dialogue
async def test_ticks_that_come_late_do_not_lengthen_the_times():
    client = Client(Pings())
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    for _ in range(60):
        await asyncio.sleep(0.3)
        loop._virtual.now += 0.4  # a turn of the loop took so long
    await quiet()
    assert client.pinged == [pytest.approx(30.0, abs=TICK)]
    client.leave()


@dialogue
async def test_a_visit_that_fails_ends_one_connection(caplog: pytest.LogCaptureFixture):
    pings = Pings()
    broken, other = Client(pings), Client(pings)

    def send_ping() -> None:
        raise RuntimeError("broken")

    broken.send_ping = send_ping  # type: ignore[method-assign]
    await asyncio.sleep(61)
    assert (broken.aborted, len(other.pinged)) == (True, 2)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["a ping failed"]
    other.leave()


@dialogue
async def test_connections_of_a_loop_share_one():
    loop = asyncio.get_running_loop()
    assert pings_of(loop) is pings_of(loop)


# --- what it costs


@dialogue
async def test_many_that_are_due_together_are_divided_among_turns_and_others_go_on():
    pings = Pings()
    clients = [Client(pings) for _ in range(10 * VISITS_PER_TURN)]
    gone = clients[-1]
    seen = [0]
    await asyncio.sleep(29.9)
    loop = asyncio.get_running_loop()

    def another() -> None:
        """Another's work, once in each turn of the loop."""
        seen.append(sum(len(client.pinged) for client in clients))
        if len(seen) == 3:
            gone.leave()
        if seen[-1] < len(clients) - 1:
            loop.call_soon(another)

    loop.call_at(1_030.0, another)
    await asyncio.sleep(1.0)
    assert max(b - a for a, b in itertools.pairwise(seen)) <= VISITS_PER_TURN
    assert len(seen) > 10
    assert [len(client.pinged) for client in clients] == [1] * (len(clients) - 1) + [0]
    for client in clients:
        client.leave()


@dialogue
async def test_who_is_due_while_a_round_goes_on_waits_for_its_turn():
    pings = Pings()
    clients = [Client(pings, number) for number in (10.0, 10.5) for _ in range(4 * VISITS_PER_TURN)]
    for _ in range(21):  # all of them are due before the loop has a turn
        assert pings._timer is not None
        pings._timer.cancel()
        pings._tick()
    seen = [0]
    while seen[-1] < len(clients):
        seen.append(sum(len(client.pinged) for client in clients))
        await asyncio.sleep(0)
    assert max(b - a for a, b in itertools.pairwise(seen)) <= VISITS_PER_TURN
    for client in clients:
        client.leave()


def cost_of(number: int, seconds: float, pings_each: int) -> int:
    """Calls while so many clients are connected for so long."""

    @dialogue
    async def run() -> None:
        pings = Pings()
        clients = [Client(pings) for _ in range(number)]
        await asyncio.sleep(seconds)
        assert [len(client.pinged) for client in clients] == [pings_each] * number
        for client in clients:
            client.leave()

    return calls_of(run)


def test_ten_thousand_that_are_not_due_cost_as_much_as_ten():
    def cost_of_waiting(number: int) -> int:
        return cost_of(number, 29.4, 0) - cost_of(number, 0.4, 0)

    assert cost_of_waiting(10_000) == cost_of_waiting(10)


def test_a_ping_costs_the_same_however_many_there_are():
    few, many = cost_of(100, 121.0, 4), cost_of(100 * FACTOR, 121.0, 4)
    assert grows_linearly(few, many)
    assert (many - few) / (100 * (FACTOR - 1) * 4) < 25
