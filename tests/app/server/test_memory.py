"""How many connections fit into the memory that a process may have."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import pytest

from app.server.memory import connections_in, memory_limit

GIB = 1024**3
MACHINE = 64 * GIB


@pytest.mark.parametrize(
    ("memory", "tls", "connections"),
    [(GIB, False, 32_768), (GIB, True, 4_096), (GIB // 4, False, 8_192), (16 * GIB, True, 65_536), (1, True, 1)],
)
def test_three_eighths_of_the_memory_are_for_connections(memory: int, tls: bool, connections: int):
    assert connections_in(memory, tls=tls) == connections


@pytest.fixture
def machine() -> AbstractContextManager[object]:
    """While it is entered, the system says that it has so much memory."""
    return mock.patch.object(os, "sysconf", {"SC_PHYS_PAGES": MACHINE // 4096, "SC_PAGE_SIZE": 4096}.__getitem__)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, MACHINE),
        ({"sys/fs/cgroup/memory.max": "max\n"}, MACHINE),
        ({"sys/fs/cgroup/memory.max": "garbage"}, MACHINE),
        ({"sys/fs/cgroup/memory.max": "-1"}, MACHINE),
        ({"sys/fs/cgroup/memory.max": f"{GIB}\n"}, GIB),
        ({"sys/fs/cgroup/memory.max": f"{GIB}\n", "proc/self/cgroup": "0::/\n"}, GIB),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n", "proc/self/cgroup": "4:memory:/x\n"}, GIB),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, MACHINE),
        (
            {
                "proc/self/cgroup": "0::/system.slice/gateway.service\n",
                "sys/fs/cgroup/system.slice/gateway.service/memory.max": "max\n",
                "sys/fs/cgroup/system.slice/memory.max": f"{2 * GIB}\n",
            },
            2 * GIB,
        ),
    ],
)
def test_the_least_limit_counts(
    tmp_path: Path, machine: AbstractContextManager[object], files: dict[str, str], limit: int
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with machine:
        assert memory_limit(tmp_path) == limit


def test_where_nobody_says_there_is_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sysconf", raising=False)  # as on Windows
    assert memory_limit(tmp_path) is None


def test_a_name_that_the_system_does_not_know_is_no_limit(tmp_path: Path):
    with mock.patch.object(os, "sysconf", side_effect=ValueError("unrecognized configuration name")):
        assert memory_limit(tmp_path) is None
