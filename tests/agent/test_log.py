"""Lines for the operator."""

import json
import logging

from tunnel.agent import log


def test_the_quota_leaves_lines_out_and_says_how_many():
    quota = log.Quota(lines=2, seconds=10)
    assert [quota.take(0), quota.take(1), quota.take(2), quota.take(9.9)] == [0, 0, None, None]
    assert quota.take(10) == 2
    assert quota.take(30) == 0


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
    assert lines[0].endswith("warning loud")
