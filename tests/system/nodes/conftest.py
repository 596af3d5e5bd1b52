"""Stacks and worlds of several nodes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.system.nodes.nodes import Nodes
from tests.system.process import Processes

MakeNodes = Callable[..., Nodes]


@pytest.fixture
def make_nodes(processes: Processes, tmp_path: Path) -> Iterator[MakeNodes]:
    """Makes several nodes with every way between them; not yet started."""
    with ExitStack() as closing:
        yield partial(Nodes, tmp_path, processes, closing)


@pytest.fixture
def nodes(make_nodes: MakeNodes) -> Nodes:
    """Three, started, without agents."""
    return make_nodes().start()
