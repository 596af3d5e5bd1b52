"""What is probably not meant is said once, at the start."""

import logging
from pathlib import Path

import pytest

from app.main import create_app
from app.settings import load
from tests.fakes.loop import dialogue

ROUTE = '[[routes]]\nhost = "a.test"\ncluster = "c9"\nnamespace = "apps"\nservice = "web"\nport = 80\n'


@dialogue
async def test_each_warning_is_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "gateway.toml"
    file.write_text(ROUTE, encoding="utf-8")
    app = create_app(load(str(file), {"GATEWAY_LOG_LEVLE": "debug"}))
    for _ in range(2):
        app.state.gateway.open()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "GATEWAY_LOG_LEVLE is not a variable of the gateway, did you mean GATEWAY_LOG_LEVEL?",
        "cluster c9 has routes, but no agent's token covers it; add it to an [[agents]] entry",
    ]
    await app.state.gateway.aclose()
