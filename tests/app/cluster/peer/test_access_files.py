"""The files of the links between nodes: read again when they change, and never worse than before."""

import logging
from pathlib import Path

import pytest

from app.cluster.peer.access_files import AccessFiles
from app.settings.cluster import ClusterSettings
from tests.fakes.certificates import Authority

OLD, NEW = "an-old-secret-of-nodes", "a-new-secret-of-nodes"


def settings(folder: Path, **files: str) -> ClusterSettings:
    return ClusterSettings(("nats://nats.test:4222",), **{name: str(folder / file) for name, file in files.items()})


def write(file: Path, text: str) -> None:
    """Another file each time, as a mounted Secret has it."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_nothing():
    files = AccessFiles(ClusterSettings(("nats://nats.test:4222",)))
    files.look()
    assert (files.secret, files.client, files.server, files.access.secrets) == (None, None, None, ())


def test_a_secret_is_changed_in_two_steps(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(OLD + "\n")
    files = AccessFiles(settings(tmp_path, peer_secret_file="secret"))
    assert (files.secret, files.access.secrets) == (OLD.encode(), (OLD.encode(),))
    write(file, f"{OLD}\n{NEW}\n")
    assert files.access.secrets == (OLD.encode(),)
    files.look()
    assert (files.secret, files.access.secrets) == (OLD.encode(), (OLD.encode(), NEW.encode()))
    write(file, f"{NEW}\n{OLD}\n")
    files.look()
    assert files.secret == NEW.encode()


@pytest.mark.parametrize("wrong", ["", "short\n", f"{OLD}\n{NEW}\n{OLD}x\n", None], ids=repr)
def test_a_file_that_cannot_be_used_changes_nothing(
    tmp_path: Path, wrong: str | None, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "secret"
    file.write_text(OLD + "\n")
    files = AccessFiles(settings(tmp_path, peer_secret_file="secret"))
    if wrong is None:
        file.unlink()
    else:
        write(file, wrong)
    for _ in range(3):
        files.look()
    assert files.secret == OLD.encode()
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "secret cannot be used, what it had goes on" in line.getMessage()
    assert OLD not in line.getMessage()
    write(file, NEW + "\n")
    files.look()
    assert files.secret == NEW.encode()


def test_a_file_that_cannot_be_used_at_the_start(tmp_path: Path):
    with pytest.raises(OSError, match="secret"):
        AccessFiles(settings(tmp_path, peer_secret_file="secret"))


def test_certificates_are_renewed_in_place(tmp_path: Path):
    authority = Authority(tmp_path)
    authority.write(authority.issue())
    names = {
        "peer_ca_file": authority.file.name, "peer_certificate": authority.certificate.name,
        "peer_key": authority.key.name,
    }  # fmt: skip
    files = AccessFiles(settings(tmp_path, **names))
    client, server = files.client, files.server
    assert files.access.certificates
    authority.write(authority.issue())
    files.look()
    assert files.client is not client
    assert files.server is server  # the listener has it
