"""The Date of answers: the service's, or else ours (RFC 9110 section 6.6.1)."""

from email.utils import parsedate_to_datetime

import pytest

from app.public import dates
from app.public.dates import date_now, with_date
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue, quiet

THEIRS = b"Sun, 06 Nov 1994 08:49:37 GMT"


@dialogue
async def test_a_service_without_date_gets_ours_whether_its_answer_comes_whole_or_in_parts():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.whole(b"hello")
        await request.over()
        assert parsedate_to_datetime(request.header(b"date").decode()).utcoffset() is not None
        request = Request(s.app).start()
        await quiet()
        later = s.link.exchanges[1]
        later.answer(200)
        later.finish()
        await request.over()
        assert parsedate_to_datetime(request.header(b"date").decode()).utcoffset() is not None


@pytest.mark.parametrize("name", [b"Date", b"date", b"DATE"])
@dialogue
async def test_the_services_own_date_stays(name: bytes):
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200, [(name, THEIRS)])
        s.exchange.finish()
        await request.over()
        assert [value for field, value in request.headers if field == b"date"] == [THEIRS]


@pytest.mark.parametrize(
    ("block", "dated"),
    [
        (b"Date: %b\r\nA: b\r\n" % THEIRS, True),
        (b"A: b\r\nDate: %b\r\n" % THEIRS, True),
        (b"a: b\r\ndate:%b\r\n" % THEIRS, True),
        (b"A: b\r\nDATE: %b\r\n" % THEIRS, True),
        (b"A: Date: now\r\n", False),
        (b"X-Date: %b\r\n" % THEIRS, False),
        (b"", False),
    ],
)
def test_a_date_is_found_among_lines(block: bytes, dated: bool):
    fields = [line.split(b":", 1) for line in block.split(b"\r\n") if line]
    headers = [(name.lower(), value.strip()) for name, value in fields]
    lines = with_date(headers, block)
    assert (lines == block) is dated
    if not dated:
        assert lines == b"%bdate: %b\r\n" % (block, headers[-1][1])


def test_the_text_is_made_once_a_second(monkeypatch: pytest.MonkeyPatch):
    now = 784_111_777.1
    monkeypatch.setattr(dates.time, "time", lambda: now)
    first = date_now()
    assert first == THEIRS
    now += 0.5
    assert date_now() is first
    now += 0.5
    assert date_now() == THEIRS.replace(b":37", b":38")
