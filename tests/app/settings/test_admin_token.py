"""The admin token: the gateway's, and that of the programs which present it."""

import os
from pathlib import Path

import pytest

from app.settings import admin_token, load


def test_the_admin_token(tmp_path: Path):
    (tmp_path / "token").write_text("token-of-the-file", encoding="utf-8")
    (tmp_path / "gateway.toml").write_text('admin_token_file = "token"', encoding="utf-8")
    file = str(tmp_path / "gateway.toml")
    from_file = load(file, {})
    assert from_file.is_admin_token("token-of-the-file")
    assert from_file.is_admin_token(b"token-of-the-file")
    assert not from_file.is_admin_token("token-of-the-fil")
    assert not from_file.is_admin_token("")
    variable = load(file, {"GATEWAY_ADMIN_TOKEN": "token-of-the-variable"})
    assert variable.is_admin_token("token-of-the-variable")
    assert not variable.is_admin_token("token-of-the-file")
    nobody = load(None, {})
    assert not nobody.is_admin_token("")
    assert "token-of" not in repr(variable)
    assert admin_token(None, {"GATEWAY_ADMIN_TOKEN_FILE": str(tmp_path / "token")}) == "token-of-the-file"
    assert admin_token(str(tmp_path / "token"), {"GATEWAY_ADMIN_TOKEN": "x"}) == "token-of-the-file"
    assert admin_token(None, {"GATEWAY_ADMIN_TOKEN": "token-of-the-variable"}) == "token-of-the-variable"
    assert admin_token(None, {}) is None


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no names for open pipes")
def test_a_program_that_presents_the_token_may_read_it_from_a_pipe():
    """As in `--admin-token-file <(...)`; the gateway reads its own file again and again, so there it is refused."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"token-of-the-pipe\n")
        os.close(writing)
        assert Path(f"/dev/fd/{reading}").is_fifo()
        assert admin_token(f"/dev/fd/{reading}", {}) == "token-of-the-pipe"
    finally:
        os.close(reading)
