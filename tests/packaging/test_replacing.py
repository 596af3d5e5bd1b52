"""From one wheel that contained both packages to two: what pip does with the files that change their owner.

pip installs what is required first, and removes the old version of a distribution when it comes to that. The old
tunnel-gateway takes the files of the new tunnel-agent with it, because they have the same names.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import Release, build
from tests.packaging.environment import Environment
from tests.system.process import ROOT
from tunnel.version import VERSION

SINGLE = Path(__file__).with_name("single")
PROGRAMS = ("tunnel-gateway", "tunnel-agent")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Today's sources in one wheel of an older version."""
    folder = tmp_path_factory.mktemp("single")
    shutil.copyfile(SINGLE / "pyproject.toml", folder / "pyproject.toml")
    for package in ("app", "tunnel"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "pyproject.toml")
        )
    (wheel,) = build(folder, folder / "dist", "wheel")
    return wheel


@pytest.fixture
def environment(single: Path, tmp_path: Path) -> Environment:
    """With the single wheel in it, as it was."""
    environment = Environment(tmp_path)
    environment.borrow_locked(ROOT / "requirements.txt")
    environment.install(str(single))
    assert {path.name for path in (environment.folder / "bin").glob("tunnel-*")} == set(PROGRAMS)
    return environment


def versions(environment: Environment) -> list[str]:
    return [environment.run(name, "--version") for name in PROGRAMS]


@pytest.mark.slow
def test_removing_the_old_one_first_leaves_two_that_work(environment: Environment, release: Release) -> None:
    environment.pip("uninstall", "--quiet", "--yes", "tunnel-gateway")
    assert list(environment.site_packages.glob("tunnel*")) == []
    environment.install("tunnel-gateway", "--find-links", str(release.folder))
    assert versions(environment) == [f"{name} {VERSION}" for name in PROGRAMS]
    assert environment.run("tunnel-gateway", "check").startswith("environment: ok: ")


def test_an_upgrade_in_place_says_how_to_complete_it(
    environment: Environment, release: Release, capfd: pytest.CaptureFixture[str]
) -> None:
    environment.install("--upgrade", "tunnel-gateway", "--find-links", str(release.folder))
    with pytest.raises(subprocess.CalledProcessError):
        environment.run("tunnel-gateway", "--version")
    told = capfd.readouterr().err.splitlines()[-1]
    assert told.startswith("ImportError: the files of tunnel-agent are missing")
    options = told.partition(" with pip install ")[2].split()
    environment.install(*options, str(release.agent.wheel))
    assert versions(environment) == [f"{name} {VERSION}" for name in PROGRAMS]
    assert environment.run("tunnel-gateway", "check").startswith("environment: ok: ")


def test_an_agent_of_another_version_is_refused(
    release: Release, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = shutil.copytree(ROOT / "tunnel", tmp_path / "tunnel", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "version.py").write_text('"""Another version."""\n\nVERSION = "99.0.0"\n', encoding="utf-8")
    (other,) = build(source, tmp_path / "dist", "wheel")
    environment = Environment(tmp_path)
    environment.borrow_locked(ROOT / "requirements.txt")
    with pytest.raises(subprocess.CalledProcessError):
        environment.install(str(release.gateway.wheel), str(other))
    said = capfd.readouterr().err
    assert "ERROR: Cannot install tunnel-agent 99.0.0 " in said
    assert " and tunnel-gateway==" in said
    assert "because these package versions have conflicting dependencies" in said
    assert list(environment.site_packages.glob("tunnel*")) == []
