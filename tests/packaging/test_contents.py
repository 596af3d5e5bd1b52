"""What is in the wheels: all of app/ as `tunnel_gateway` in one, all of tunnel/ in the other, and nothing else."""

import shutil
import tarfile
import tomllib
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import Distribution, Release, build, built
from tests.system.process import ROOT
from tunnel.version import VERSION

NAMES = ["gateway", "agent"]
LEFT_OUT = {"tunnel/pyproject.toml", "tunnel/README.md"}
"""What lies in tunnel/ for the distribution's sake, and is not part of the package."""


def shipped(folder: str, name: str) -> dict[str, bytes]:
    """The files of a folder of the checkout, by the path that they have in the wheel."""
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    found = {f"{name}/{path.relative_to(ROOT / folder).as_posix()}": path.read_bytes() for path in files}
    return {path: data for path, data in found.items() if path not in LEFT_OUT}


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def own(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel, without those about it."""
    return {name: data for name, data in contents(wheel).items() if ".dist-info/" not in name}


def told(wheel: Path, name: str) -> bytes:
    (data,) = (data for path, data in contents(wheel).items() if path.endswith(f".dist-info/{name}"))
    return data


def test_every_file_is_in_one_of_them_byte_for_byte(release: Release) -> None:
    gateway, agent = own(release.gateway.wheel), own(release.agent.wheel)
    assert gateway == shipped("app", "tunnel_gateway")
    assert agent == shipped("tunnel", "tunnel")
    resources = {"demo/chat.html", "demo/kuma/package.json", "demo/kuma/package-lock.json", "py.typed"}
    assert {f"tunnel_gateway/{name}" for name in resources} <= gateway.keys()
    assert {"tunnel/py.typed", "tunnel/PROTOCOL.md", "tunnel/gateway/registry.py"} <= agent.keys()


@pytest.mark.parametrize(
    ("name", "program"),
    [("gateway", "tunnel_gateway.__main__:main"), ("agent", "tunnel.agent.__main__:main")],
)
def test_its_metadata(release: Release, name: str, program: str) -> None:
    wheel = getattr(release, name).wheel
    metadata = message_from_string(told(wheel, "METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == (f"tunnel-{name}", VERSION)
    assert told(wheel, "entry_points.txt").decode().split() == ["[console_scripts]", f"tunnel-{name}", "=", program]
    described = ROOT / "tunnel" / "README.md" if name == "agent" else ROOT / "README.md"
    assert metadata.get_payload() == described.read_text(encoding="utf-8")


def test_the_gateway_requires_the_agent_of_its_own_version() -> None:
    """Written in pyproject.toml, not computed: whatever reads requirements there needs no build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = f"tunnel-agent=={VERSION}"
    assert wanted in project["dependencies"], f"after a change of tunnel/version.py, write {wanted} in pyproject.toml"


@pytest.mark.parametrize("name", NAMES)
def test_the_sdist_builds_the_same_wheel(release: Release, name: str, tmp_path: Path) -> None:
    distribution: Distribution = getattr(release, name)
    with tarfile.open(distribution.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (wheel,) = build(tmp_path / f"tunnel_{name}-{VERSION}", tmp_path / "dist", "wheel")
    assert wheel.read_bytes() == distribution.wheel.read_bytes()


def test_an_sdist_has_its_own_sources_and_no_others(release: Release) -> None:
    assert tops(release.gateway.sdist) == {
        *(".build", ".gitignore", "PKG-INFO", "README.md", "app", "docs", "pyproject.toml", "tunnel"),
    }
    assert names(release.gateway.sdist, "tunnel/") == {"tunnel/version.py"}
    lying_there = {path.name for path in (ROOT / "tunnel").iterdir()} - {"__pycache__"}
    assert tops(release.agent.sdist) == {".gitignore", "PKG-INFO"} | lying_there


def names(sdist: Path, start: str = "") -> set[str]:
    """The files of an sdist below the one folder in it."""
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    return {name for name in found if name.startswith(start)}


def tops(sdist: Path) -> set[str]:
    return {name.partition("/")[0] for name in names(sdist)}


def test_a_second_build_gives_the_same_bytes(release: Release, tmp_path: Path) -> None:
    """Also elsewhere, from files of another time and another order on the disk."""
    copy = tmp_path / "checkout"
    for path in ("docs", "app", "tunnel", ".build"):
        shutil.copytree(ROOT / path, copy / path, copy_function=shutil.copyfile)
    for path in ("pyproject.toml", "README.md", ".gitignore"):
        shutil.copyfile(ROOT / path, copy / path)
    again = built(tmp_path, copy)
    for name in NAMES:
        one, other = getattr(release, name), getattr(again, name)
        assert one.wheel.read_bytes() == other.wheel.read_bytes()
        assert one.sdist.read_bytes() == other.sdist.read_bytes()
