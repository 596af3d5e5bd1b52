"""Lines for the operator."""

import asyncio
import contextlib
import json
import logging
import re
import ssl

import pytest

from tunnel.agent import log


@pytest.fixture(autouse=True)
def as_it_was():
    """The process's logging, as the other tests know it."""
    named = [logging.getLogger(name) for name in ("", "tunnel.agent", "picows")]
    handlers, levels = named[0].handlers[:], [logger.level for logger in named]
    yield
    named[0].handlers[:] = handlers
    for logger, level in zip(named, levels, strict=True):
        logger.setLevel(level)


def test_the_quota_leaves_lines_out_and_says_how_many():
    quota = log.Quota(lines=2, seconds=10)
    assert [quota.take(0), quota.take(1), quota.take(2), quota.take(9.9)] == [0, 0, None, None]
    assert quota.take(10) == 2
    assert quota.take(30) == 0


def test_things_do_not_use_up_each_others_quota():
    quota = log.Quota(lines=1, seconds=10)
    assert [quota.take(0, about) for about in ("a", "a", "b", "b")] == [0, None, 0, None]
    assert quota.take(10, "a") == 1
    for number in range(10 * log.QUOTA_THINGS):
        quota.take(20, f"thing-{number}")
    assert len(quota._used) <= log.QUOTA_THINGS


def test_json_lines(capsys):
    log.configure("json", "debug")
    logging.getLogger("tunnel.agent.test").debug("hello %s", "there")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("debug", "tunnel.agent.test", "hello there")
    assert line["time"].endswith("+00:00")


def test_text_lines_and_levels(capsys):
    log.configure("text", "warning")
    logging.getLogger("tunnel.agent.test").info("quiet")
    logging.getLogger("tunnel.agent.test").warning("loud")
    logging.getLogger("picows.client").info("connection established")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING tunnel\.agent\.test loud", lines[0])


@pytest.mark.parametrize("error", [ConnectionResetError, ConnectionResetError(104, "reset"), ssl.SSLError("no TLS")])
def test_a_broken_connection_is_one_line_at_debug(capsys, error):
    log.configure("text", "debug")
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.set_exception_handler(log.report_fault)
        loop.call_exception_handler({"message": "SSL handshake failed\nprotocol: p", "exception": error})
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if " DEBUG   tunnel.agent    SSL handshake failed: " in line]) == 1
    assert not [line for line in lines if " DEBUG " not in line]


def test_a_bug_keeps_its_traceback(capsys):
    log.configure("text", "info")
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.set_exception_handler(log.report_fault)
        loop.call_soon(lambda: 1 // 0)
        loop.run_until_complete(asyncio.sleep(0))
    assert "ZeroDivisionError" in capsys.readouterr().err
