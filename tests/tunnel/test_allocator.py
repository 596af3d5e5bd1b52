"""The C library's settings: asked for where there are any, and nothing where there are none."""

import ctypes
from typing import Any

import pytest

from tunnel import allocator


class Library:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def mallopt(self, parameter: int, value: int) -> int:
        self.asked.append((parameter, value))
        return 1


def test_freed_pieces_stay_in_the_process(monkeypatch: pytest.MonkeyPatch):
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert allocator.keep_freed_memory()
    assert library.asked == [(-3, 16 * 1024 * 1024), (-1, 32 * 1024 * 1024)]


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_a_system_without_such_a_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, error: type[Exception]):
    def absent(_: Any) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert not allocator.keep_freed_memory()


def test_a_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not allocator.keep_freed_memory()
