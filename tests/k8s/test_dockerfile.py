"""The recipe of the two images, read line by line: what is pinned and who runs needs no container engine to be seen.

The steps that make the programs are run, in a folder of their own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tunnel.version import VERSION

K8S = Path(__file__).parents[2] / "k8s"
ROOT = K8S.parent
LOCKS = {name: ROOT / f"requirements{name}.txt" for name in ("", "-agent", "-build", "-demo", "-dev")}
PROJECTS = (ROOT, ROOT / "tunnel")
IGNORE = (K8S / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), with continued lines joined and comments left out."""
    lines = [line for line in (K8S / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, by its name, from its FROM on."""
    found: dict[str, list[tuple[str, str]]] = {}
    stage: list[tuple[str, str]] = []
    for item in instructions():
        if item[0] == "FROM":
            stage = found[item[1].partition(" AS ")[2]] = []
        stage.append(item)
    return found


def commands() -> list[str]:
    return [part.strip() for name, text in instructions() if name == "RUN" for part in text.split("&&")]


def test_the_base_is_pinned_to_a_patch_release() -> None:
    (default,) = (text.partition("=")[2] for name, text in instructions() if name == "ARG")
    assert re.fullmatch(r"python:3\.1[1-9]\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", default)
    assert {name: stage[0][1].partition(" AS ")[0] for name, stage in stages().items()} == {
        "agent-files": "${PYTHON_IMAGE}",
        "gateway-files": "agent-files",
        "agent": "${PYTHON_IMAGE}",
        "gateway": "${PYTHON_IMAGE}",
    }
    assert list(stages())[-1] == "gateway"  # what is built without --target


@pytest.mark.parametrize("image", ["agent", "gateway"])
def test_it_runs_as_a_number_that_is_not_root(image: str) -> None:
    stage = stages()[image]
    assert [text for name, text in stage if name == "USER"] == ["65532:65532"]
    assert [name for name, _ in stage].index("USER") < [name for name, _ in stage].index("CMD")


def test_the_agents_image_is_made_of_the_agents_distribution_alone() -> None:
    files = [text for name, text in stages()["agent-files"] if name == "COPY"]
    assert files == ["requirements-agent.txt requirements-build.txt ./", "tunnel tunnel"]
    assert [text for name, text in stages()["agent"] if name in {"COPY", "RUN"}] == [
        "--from=agent-files /opt/tunnel /opt/tunnel"
    ]


def test_only_known_instructions_are_used() -> None:
    names = {name for name, _ in instructions()}
    assert names <= {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "CMD"}  # ADD fetches and unpacks


def test_everything_installed_is_pinned_by_hash() -> None:
    installs = [command for command in commands() if re.search(r"(^|\s)(pip|uv|hatch|easy_install)\s", command)]
    (own,) = (command for command in installs if "--no-index" in command)
    assert "--no-deps /opt/build/dist/*.whl" in own
    pinned = [set(command.split()) for command in installs if command != own]
    assert len(pinned) == 3
    assert all({"install", "--require-hashes", "--only-binary", ":all:", "-r"} <= words for words in pinned)
    assert not [command for command in commands() if re.search(r"\b(curl|wget|apt|apt-get|git)\b", command)]


def entries(lock: str) -> list[str]:
    """A line for each package of a lock, with all its hashes."""
    return re.sub(r"\\\n\s*", "", LOCKS[lock].read_text(encoding="utf-8")).strip().splitlines()


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_have_a_hash_for_every_line(lock: str) -> None:
    assert entries(lock)
    hashed = re.compile(r"[a-z0-9._\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}")
    assert [entry for entry in entries(lock) if not hashed.match(entry)] == []


@pytest.mark.parametrize(("lock", "within"), [("-agent", ""), ("-build", "-dev"), ("", "-demo"), ("-demo", "-dev")])
def test_the_locks_agree(lock: str, within: str) -> None:
    """The gateway's image installs both; what the tests run is what the images have."""
    assert {entry.split()[0] for entry in entries(lock)} <= {entry.split()[0] for entry in entries(within)}


def test_no_lock_names_what_is_built_here() -> None:
    assert [entry for lock in LOCKS for entry in entries(lock) if entry.startswith("tunnel")] == []


def test_the_build_tool_is_the_one_that_the_tests_use() -> None:
    projects = [tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in PROJECTS]
    ((one,), (other,)) = (project["build-system"]["requires"] for project in projects)
    assert one == other
    assert one in projects[0]["project"]["optional-dependencies"]["dev"]
    for lock in ("-build", "-dev"):
        assert [entry for entry in entries(lock) if entry.startswith(f"{one} ")]


def test_both_programs_are_in_the_images() -> None:
    projects = [tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in PROJECTS]
    assert [list(project["project"]["scripts"]) for project in projects] == [["tunnel-gateway"], ["tunnel-agent"]]
    started = {image: json.loads(text) for image in stages() for name, text in stages()[image] if name == "CMD"}
    assert started["gateway"][:2] == ["tunnel-gateway", "serve"]
    assert started["agent"] == ["tunnel-agent"]
    assert not [name for name, _ in instructions() if name == "ENTRYPOINT"]  # the agent's chart names its own program


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    allowed = {line[1:] for line in IGNORE if line.startswith("!")}
    assert "*" in IGNORE
    copied = {
        source
        for name, text in instructions()
        if name == "COPY" and "--from=" not in text
        for source in text.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


PIP = """\
#!/bin/sh
# What a lock would bring is borrowed from the environment of the tests.
case "$*" in
    *--require-hashes*) echo "{borrowed}" >"$(echo "$2"/lib/python*/site-packages)/borrowed.pth" ;;
    *) exec "{python}" -m pip --isolated "$@" ;;
esac
"""


class Images:
    """The steps of the recipe, run in a folder in place of a container."""

    def __init__(self, folder: Path) -> None:
        self._source, self._opt, self._elsewhere = (folder / name for name in ("src", "opt", "elsewhere"))
        for made in (self._source, self._opt, self._elsewhere, folder / "bin"):
            made.mkdir()
        borrowed = "\n".join(entry for entry in sys.path if entry.endswith("site-packages"))
        for name, text in (("pip", PIP), ("python", '#!/bin/sh\nexec "{python}" "$@"\n')):
            program = folder / "bin" / name
            program.write_text(text.format(borrowed=borrowed, python=sys.executable), encoding="utf-8")
            program.chmod(0o755)
        outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._variables = outside | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}

    @property
    def site_packages(self) -> Path:
        (found,) = self._opt.glob("tunnel/lib/python*/site-packages")
        return found

    def run_steps(self, stage: str) -> None:
        for name, text in stages()[stage]:
            if name == "COPY":
                *sources, _ = text.split()
                for source in sources:
                    self._copy(source)
            elif name == "RUN" and "/state" not in text:
                step = text.replace("/opt", str(self._opt))
                subprocess.run(["/bin/sh", "-ec", step], cwd=self._source, env=self._variables, check=True)

    def _copy(self, source: str) -> None:
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("demo", "__pycache__")
            shutil.copytree(ROOT / source, self._source / source, ignore=ignored)
        else:
            shutil.copyfile(ROOT / source, self._source / source)

    def said(self, *command: str) -> str:
        """What a program of the images prints, where the sources are not."""
        program = [self._opt / "tunnel" / "bin" / command[0], *command[1:]]
        variables = self._variables | {"PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            program, cwd=self._elsewhere, env=variables, capture_output=True, text=True, check=True
        ).stdout.strip()


@pytest.mark.system
def test_the_programs_are_made_from_what_is_copied(tmp_path: Path) -> None:
    assert {"app/demo", "**/__pycache__"} <= set(IGNORE)
    images = Images(tmp_path)
    images.run_steps("agent-files")
    assert images.said("tunnel-agent", "--version") == f"tunnel-agent {VERSION}"
    version = "from importlib.metadata import version; print(version('tunnel-agent'))"
    assert images.said("python", "-c", version) == VERSION
    assert list(images.site_packages.glob("tunnel/agent/__pycache__/runner.*.pyc"))
    assert not (images.site_packages / "app").exists()

    images.run_steps("gateway-files")
    said = images.said("tunnel-gateway", "--version")
    assert said == images.said("python", "-m", "app", "--version") == f"tunnel-gateway {VERSION}"
    assert images.said("tunnel-agent", "--version") == f"tunnel-agent {VERSION}"
    assert images.said("tunnel-gateway", "check").startswith("environment: ok: ")
    of_main = "from app.main import app; print(type(app).__name__)"
    assert images.said("python", "-c", of_main) == "GatewayApplication"
    assert list(images.site_packages.glob("app/__pycache__/main.*.pyc"))
    assert not (images.site_packages / "app" / "demo").exists()


def test_the_version_in_the_commands_is_the_products() -> None:
    for file in (K8S / "Dockerfile", ROOT / "docs" / "deployment.md"):
        assert set(re.findall(r"tunnel-(?:gateway|agent):(\d[\w.]*)", file.read_text(encoding="utf-8"))) == {VERSION}


def test_no_secret_is_built_in() -> None:
    text = (K8S / "Dockerfile").read_text(encoding="utf-8").lower()
    assert not re.search(r"token|password|secret|index-url", text)
