"""Files that changed: told once they stand still, until they are taken."""

import os
from pathlib import Path

import pytest

from app.operator.watch import Watch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_text("one", encoding="utf-8")
    return made


def write(file: Path, moment: int) -> None:
    file.write_text(f"{moment}", encoding="utf-8")
    os.utime(file, ns=(moment, moment))


def test_a_change_is_told_when_it_stands_still_and_until_it_is_taken(file: Path):
    files = [str(file)]
    watch = Watch(files)
    assert not watch.has_settled(files)
    write(file, 1)
    assert not watch.has_settled(files)
    write(file, 2)
    assert not watch.has_settled(files)
    assert watch.has_settled(files)
    assert watch.has_settled(files)
    watch.take(files)
    assert not watch.has_settled(files)


def test_what_changed_while_it_was_read_is_told(file: Path):
    files = [str(file)]
    watch = Watch(files)
    before = watch.take(files)
    write(file, 1)
    watch.take(files, before)
    assert not watch.has_settled(files)
    assert watch.has_settled(files)


def test_a_file_that_is_missing_comes_and_goes(tmp_path: Path):
    files = [str(tmp_path / "later")]
    watch = Watch(files)
    assert [watch.has_settled(files), watch.has_settled(files)] == [False, False]
    write(tmp_path / "later", 1)
    assert [watch.has_settled(files), watch.has_settled(files)] == [False, True]
    watch.take(files)
    (tmp_path / "later").unlink()
    assert [watch.has_settled(files), watch.has_settled(files)] == [False, True]


def test_a_file_that_is_named_later_counts_as_a_change(file: Path, tmp_path: Path):
    write(tmp_path / "other", 1)
    files = [str(file)]
    watch = Watch(files)
    files.append(str(tmp_path / "other"))
    assert [watch.has_settled(files), watch.has_settled(files)] == [False, True]


def test_its_status_line(file: Path):
    watch = Watch([str(file)])
    assert repr(watch) == "<Watch 1 files, as taken>"
    write(file, 1)
    watch.has_settled([str(file)])
    assert repr(watch) == "<Watch 1 files, changed>"
