"""Bytecodes by room: where a file belongs, and that the product's rooms are there."""

import pytest

from tests.bench import opcodes
from tests.bench.opcodes import ROOT, room_of


@pytest.mark.parametrize(
    ("file", "room"),
    [
        (f"{ROOT}/app/server/http.py", "app/server"),
        (f"{ROOT}/app/observed/metrics/labels.py", "app/observed"),
        (f"{ROOT}/app/serve.py", "app"),
        (f"{ROOT}/tunnel/yamux/session.py", "tunnel/yamux"),
        (f"{ROOT}/tunnel/account.py", "tunnel"),
        (f"{ROOT}/.venv/lib/python3.11/site-packages/uvicorn/main.py", "uvicorn"),
        ("/usr/lib/python3.11/asyncio/events.py", "the standard library"),
        ("<string>", "the standard library"),
    ],
)
def test_rooms(file: str, room: str):
    assert room_of(file) == room


@pytest.mark.system
@pytest.mark.parametrize("row", opcodes.COUNTED)
def test_the_same_each_time(row: str):
    first, second = opcodes.counted(row, 3), opcodes.counted(row, 3)
    assert first["tunnel/yamux"] == second["tunnel/yamux"]
    opcodes_there, calls = first["tunnel/yamux"]
    assert opcodes_there > calls > 0


@pytest.mark.system
def test_a_run_that_fails_is_no_count():
    with pytest.raises(AssertionError, match="ended with 1"):
        opcodes.counted("no such row", 3)
