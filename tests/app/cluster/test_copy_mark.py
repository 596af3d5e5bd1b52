"""The file that says which bucket the learned routes are a copy of."""

from pathlib import Path

import pytest

from app.cluster.copy_mark import FILE_NAME, CopyMark

CREATED = "2026-01-01T00:00:01.000000000Z"


def test_what_is_written_is_read(tmp_path: Path):
    mark = CopyMark(tmp_path, "tunnel_routes")
    assert mark.read() is None
    mark.write(CREATED)
    assert mark.read() == CREATED
    assert CopyMark(tmp_path, "other_routes").read() is None
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("text", ["", "tunnel_routes\n", f"tunnel_routes {CREATED}", "\xff\n", f"x y {CREATED}\n"])
def test_what_is_not_ours_does_not_count(tmp_path: Path, text: str):
    (tmp_path / FILE_NAME).write_text(text, "latin-1")
    assert CopyMark(tmp_path, "tunnel_routes").read() is None


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / FILE_NAME).mkdir()
    mark = CopyMark(tmp_path, "tunnel_routes")
    assert mark.read() is None
    mark.write(CREATED)
    assert [line.split(": ")[0].rpartition("/")[2] for line in caplog.messages] == [
        f"{FILE_NAME} cannot be used", f"{FILE_NAME} cannot be used",
    ]  # fmt: skip
