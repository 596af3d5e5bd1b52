"""The certificate renewed under a running listener: once its files stand still, and never by a pair that is no good."""

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.observed.events import Events
from app.observed.metrics import Tls
from app.operator.renewal import Renewal, files_of
from app.operator.watch import POLL_SECONDS, Watch
from app.settings import Settings, certificate_of
from tests.app.operator.world import AtOnce, Later
from tests.fakes.certificates import Authority
from tests.fakes.loop import dialogue, quiet


class Served:
    """What a listener would serve, and the files that it comes from."""

    def __init__(self, folder: Path, worker: Executor | None = None) -> None:
        self.authority = Authority(folder)
        self._moment = 1_000_000_000
        self.renew()
        self.settings = Settings(
            tls_certificate=str(self.authority.certificate), tls_key=str(self.authority.key),
            tls_places=("gateway.toml:1: tls_certificate", "gateway.toml:2: tls_key"),
        )  # fmt: skip
        certificate = certificate_of(self.settings)
        assert certificate is not None
        self.used: list[ssl.SSLContext] = []
        self.counts = Tls()
        self.events = Events()
        self.renewal = Renewal(
            self.settings, certificate, self.used.append, self.counts, self.events, worker or AtOnce()
        )

    def renew(self, not_after: datetime | None = None) -> None:
        self.authority.write(self.authority.issue(not_after=not_after))
        self.touch()

    def touch(self) -> None:
        """Each write has a time of change of its own, however coarse the file system's clock is."""
        self._moment += 1_000_000_000
        for file in (self.authority.certificate, self.authority.key):
            os.utime(file, ns=(self._moment, self._moment))

    @property
    def counted(self) -> tuple[int, int]:
        return self.counts.renewals, self.counts.renewals_failed


async def polls(number: int) -> None:
    await asyncio.sleep(number * POLL_SECONDS + 0.01)


Lines = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The level and the text of what was logged since the last time."""
    caplog.set_level(logging.INFO)

    def take() -> list[tuple[str, str]]:
        taken = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return taken

    return take


@dialogue
async def test_it_is_taken_once_it_stands_still(tmp_path: Path):
    served = Served(tmp_path)
    served.renewal.start()
    await polls(5)
    assert (served.used, served.counted) == ([], (0, 0))
    served.renew()
    await polls(1)
    served.renew()  # still being written
    await polls(1)
    assert served.used == []
    await polls(1)
    assert len(served.used) == 1
    assert served.counted == (1, 0)
    assert [event.kind for event in served.events.since()] == ["certificate_renewed"]
    await polls(5)
    assert len(served.used) == 1
    served.renewal.stop()


def test_the_log_and_the_metrics_say_how_long_it_is_valid(tmp_path: Path, lines: Lines):
    @dialogue
    async def run() -> None:
        served = Served(tmp_path)
        file = served.authority.certificate
        first = served.counts.not_after
        assert first is not None
        assert (
            repr(served.renewal) == f"<Renewal of {file}, valid until {datetime.fromtimestamp(first, UTC):%F %T} UTC>"
        )
        served.renewal.start()
        served.renewal.start()
        assert lines() == [
            ("INFO", f"certificate of {file}: valid until {datetime.fromtimestamp(first, UTC):%F %T} UTC")
        ]
        served.renew(datetime(2051, 1, 1, tzinfo=UTC))
        await polls(2)
        assert lines() == [("INFO", f"certificate renewed from {file}: valid until 2051-01-01 00:00:00 UTC")]
        assert served.counts.not_after == datetime(2051, 1, 1, tzinfo=UTC).timestamp()
        served.renewal.stop()

    run()


def test_a_pair_that_cannot_be_used_keeps_the_old_one(tmp_path: Path, lines: Lines):
    @dialogue
    async def run() -> None:
        served = Served(tmp_path)
        before = served.counts.not_after
        served.renewal.start()
        lines()
        served.authority.put(served.authority.key, served.authority.issue().private_key_pem.bytes())
        served.touch()
        await polls(4)
        assert (served.used, served.counted, served.counts.not_after) == ([], (0, 1), before)
        ((level, text),) = lines()
        assert level == "ERROR"
        assert text == (
            f"certificate not changed: gateway.toml:2: tls_key: {served.authority.key} is not the key of the "
            f"certificate in {served.authority.certificate}"
        )
        served.authority.key.unlink()
        await polls(3)
        assert [level for level, _ in lines()] == ["ERROR"]
        assert served.counted == (0, 2)
        assert [event.kind for event in served.events.since()] == ["certificate_refused"] * 2
        served.renew()
        await polls(3)
        assert (len(served.used), served.counted) == (1, (1, 2))
        served.renewal.stop()

    run()


def test_one_that_clients_refuse_is_served_with_a_warning(tmp_path: Path, lines: Lines):
    @dialogue
    async def run() -> None:
        served = Served(tmp_path)
        served.renewal.start()
        lines()
        served.renew(datetime.now(UTC) - timedelta(days=1))
        await polls(2)
        assert len(served.used) == 1
        told, warned = lines()
        assert told[0] == "INFO"
        assert warned[0] == "WARNING"
        assert warned[1].startswith(f"{served.authority.certificate}: the certificate expired on ")
        served.renewal.stop()

    run()


@dialogue
async def test_the_same_contents_change_nothing(tmp_path: Path):
    served = Served(tmp_path)
    served.renewal.start()
    served.touch()
    await polls(3)
    served.renewal.read()
    await quiet()
    assert (served.used, served.counted) == ([], (0, 0))
    served.renewal.stop()


@dialogue
async def test_a_secret_whose_link_is_switched_is_taken(tmp_path: Path):
    """The volume's layout: tls.crt -> ..data/tls.crt, and ..data is switched to another folder."""
    served = Served(tmp_path)
    for name in ("..first", "..second"):
        (tmp_path / name).mkdir()
        for file in (served.authority.certificate, served.authority.key):
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
        served.renew()
    (tmp_path / "..data").symlink_to("..first")
    for file in (served.authority.certificate, served.authority.key):
        file.unlink()
        file.symlink_to(f"..data/{file.name}")
    served.renewal.start()
    served.renewal.read()
    await quiet()
    used = len(served.used)
    (tmp_path / "..next").symlink_to("..second")
    (tmp_path / "..next").replace(tmp_path / "..data")
    await polls(2)
    assert len(served.used) == used + 1
    served.renewal.stop()


@dialogue
async def test_it_is_read_in_a_thread_one_reader_at_a_time(tmp_path: Path):
    later = Later()
    served = Served(tmp_path, later)
    served.renewal.start()
    for _ in range(3):
        served.renewal.read()
    assert len(later.works) == 1
    served.renew()
    later.do()
    await quiet()
    assert (len(served.used), len(later.works)) == (1, 1)
    later.do()
    await quiet()
    assert (len(served.used), later.works) == (1, [])
    served.renewal.stop()


@dialogue
async def test_what_was_read_after_the_stop_is_dropped(tmp_path: Path):
    later = Later()
    served = Served(tmp_path, later)
    served.renewal.read()
    assert later.works == []  # not started
    served.renewal.start()
    served.renew()
    served.renewal.read()
    served.renewal.stop()
    served.renewal.stop()
    later.do()
    await quiet()
    assert (served.used, served.counted) == ([], (0, 0))


def test_a_fault_of_ours_keeps_the_old_one_and_the_watch(tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch):
    def broken(_: Settings) -> None:
        raise RuntimeError("broken")

    @dialogue
    async def run() -> None:
        served = Served(tmp_path, Now())
        served.renewal.start()
        lines()
        with monkeypatch.context() as patched:
            patched.setattr("app.operator.renewal.certificate_of", broken)
            served.renewal.read()
            await quiet()
        assert lines() == [("ERROR", "the renewal of the certificate failed")]
        assert (served.used, served.counted) == ([], (0, 1))
        served.renew()
        await polls(2)
        assert served.counted == (1, 1)
        served.renewal.stop()

    run()


class Now(Later):
    """Does at once what it is given, whatever comes of it."""

    def submit(self, work, /, *values, **named):  # type: ignore[no-untyped-def]
        future = super().submit(work, *values, **named)
        self.works.clear()
        try:
            future.set_result(work(*values, **named))
        except RuntimeError as error:
            future.set_exception(error)
        return future


@dialogue
async def test_a_pair_that_is_replaced_while_it_is_read_at_the_start_is_taken_up(tmp_path: Path):
    served = Served(tmp_path)
    watch = Watch(files_of(served.settings))
    first = certificate_of(served.settings)
    assert first is not None
    served.renew()
    renewal = Renewal(served.settings, first, served.used.append, served.counts, served.events, AtOnce(), watch)
    renewal.start()
    await polls(2)
    await quiet()
    renewal.stop()
    assert served.counted == (1, 0)
