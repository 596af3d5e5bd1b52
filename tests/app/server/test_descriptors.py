"""How many connections a limit of open files leaves room for, and what the process does with that limit."""

import resource
import sys
from unittest import mock

import pytest

from app.server.descriptors import KEPT_ASIDE, Room, raise_limit, room_for


@pytest.mark.parametrize(
    ("limit", "asked", "room"),
    [
        (160, None, Room(60, 16)),
        (1_024, None, Room(780, 48)),
        (20_000, None, Room(17_180, 256)),
        (1_024, 780, Room(780, 48)),
        (1_024, 781, Room(780, 48)),  # more than fits
        (20_000, 400, Room(400, 25)),
        (20_000, 1, Room(1, 16)),
        (10, None, Room(1, 16)),
    ],
)
def test_the_room_that_a_limit_leaves(limit: int, asked: int | None, room: Room):
    assert room_for(limit, asked) == room


@pytest.mark.parametrize("limit", [128, 160, 256, 1_000, 4_096, 65_536, 1_048_576])
@pytest.mark.parametrize("asked", [None, 1, 100, 10**9])
def test_all_that_is_promised_fits_under_the_limit(limit: int, asked: int | None):
    room = room_for(limit, asked)
    assert room.most >= 1
    assert room.most + room.reserve + KEPT_ASIDE + limit // 8 <= limit
    assert room.reserve >= 16


@pytest.mark.parametrize(
    ("soft", "hard", "limit"),
    [
        (100, 100, 100),
        (100, 2_000, 2_000),
        (100, resource.RLIM_INFINITY, sys.maxsize),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, sys.maxsize),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may(soft: int, hard: int, limit: int):
    with (
        mock.patch.object(resource, "getrlimit", return_value=(soft, hard)),
        mock.patch.object(resource, "setrlimit") as setting,
    ):
        assert raise_limit() == limit
    assert setting.call_args_list == ([] if soft == hard else [mock.call(resource.RLIMIT_NOFILE, (hard, hard))])


@pytest.mark.parametrize("error", [OSError(), ValueError()])
def test_a_limit_that_cannot_be_raised_stays(error: Exception):
    with (
        mock.patch.object(resource, "getrlimit", return_value=(256, 2_000)),
        mock.patch.object(resource, "setrlimit", side_effect=error),
    ):
        assert raise_limit() == 256


def test_a_system_without_such_limits_has_one_all_the_same():
    with mock.patch.object(sys, "platform", "win32"):
        assert raise_limit() == 8_192
