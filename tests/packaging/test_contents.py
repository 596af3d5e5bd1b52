"""What is in the wheel: all of app/ as `tunnel_gateway`, all of tunnel/, and nothing else."""

import tarfile
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

from tests.packaging.conftest import Distributions, build
from tests.system.process import ROOT
from tunnel.version import VERSION

DIST_INFO = f"tunnel_gateway-{VERSION}.dist-info"


def shipped(folder: str, name: str) -> dict[str, bytes]:
    """The files of a folder of the checkout, by the path that they have in the wheel."""
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {f"{name}/{path.relative_to(ROOT / folder).as_posix()}": path.read_bytes() for path in files}


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_every_file_is_in_it_byte_for_byte(distributions: Distributions) -> None:
    found = contents(distributions.wheel)
    own = {name: data for name, data in found.items() if not name.startswith(f"{DIST_INFO}/")}
    assert own == shipped("app", "tunnel_gateway") | shipped("tunnel", "tunnel")
    resources = {"demo/chat.html", "demo/kuma/package.json", "demo/kuma/package-lock.json"}
    assert {f"tunnel_gateway/{name}" for name in resources} <= own.keys()
    assert {"tunnel_gateway/py.typed", "tunnel/py.typed", "tunnel/PROTOCOL.md"} <= own.keys()


def test_its_metadata(distributions: Distributions) -> None:
    found = contents(distributions.wheel)
    told = message_from_bytes(found[f"{DIST_INFO}/METADATA"])
    assert (told["Name"], told["Version"]) == ("tunnel-gateway", VERSION)
    assert found[f"{DIST_INFO}/entry_points.txt"].decode().split() == [
        *("[console_scripts]", "tunnel-agent", "=", "tunnel.agent.__main__:main"),
        *("tunnel-gateway", "=", "tunnel_gateway.__main__:main"),
    ]


def test_the_sdist_builds_the_same_wheel(distributions: Distributions, tmp_path: Path) -> None:
    with tarfile.open(distributions.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (wheel,) = build(tmp_path / f"tunnel_gateway-{VERSION}", tmp_path, "wheel")
    assert contents(wheel) == contents(distributions.wheel)
