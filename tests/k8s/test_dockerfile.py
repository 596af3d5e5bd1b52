"""The image's recipe, read line by line: what is pinned and who runs can be seen without a container engine.

The step that makes the two programs is run, in a folder of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from tunnel.version import VERSION

K8S = Path(__file__).parents[2] / "k8s"
ROOT = K8S.parent
IGNORE = (K8S / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), with continued lines joined and comments left out."""
    lines = [line for line in (K8S / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for item in instructions():
        if item[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(item)
    return found


def commands() -> list[str]:
    return [part.strip() for name, text in instructions() if name == "RUN" for part in text.split("&&")]


def test_the_base_is_pinned_to_a_patch_release() -> None:
    (default,) = (text.partition("=")[2] for name, text in instructions() if name == "ARG")
    assert re.fullmatch(r"python:3\.1[1-9]\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", default)
    assert [stage[0][1] for stage in stages()] == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_it_runs_as_a_number_that_is_not_root() -> None:
    last = [text for name, text in stages()[-1] if name == "USER"]
    assert last == ["65532:65532"]
    assert [name for name, _ in stages()[-1]].index("USER") < [name for name, _ in stages()[-1]].index("CMD")


def test_only_known_instructions_are_used() -> None:
    names = {name for name, _ in instructions()}
    assert names <= {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "CMD"}  # ADD fetches and unpacks


def test_everything_installed_is_pinned_by_hash() -> None:
    (install,) = (command for command in commands() if re.search(r"(^|\s)(pip|uv|hatch|easy_install)\s", command))
    assert {"install", "--require-hashes", "--only-binary", ":all:", "-r"} <= set(install.split())
    assert not [command for command in commands() if re.search(r"\b(curl|wget|apt|apt-get|git)\b", command)]


def test_the_locks_have_a_hash_for_every_line() -> None:
    for name in ("requirements.txt", "requirements-demo.txt", "requirements-dev.txt"):
        entries = re.sub(r"\\\n\s*", "", (ROOT / name).read_text(encoding="utf-8")).strip().splitlines()
        assert entries
        assert [
            entry for entry in entries if not re.match(r"[a-z0-9._\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)
        ] == []


def test_the_build_tool_is_the_one_that_the_tests_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (requirement,) = project["build-system"]["requires"]
    assert requirement in project["project"]["optional-dependencies"]["dev"]
    assert f"\n{requirement} " in (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")


def test_both_programs_are_in_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["scripts"]) == {"tunnel-gateway", "tunnel-agent"}
    (command,) = (text for name, text in stages()[-1] if name == "CMD")
    assert json.loads(command)[:2] == ["tunnel-gateway", "serve"]
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


def test_the_programs_are_made_from_what_is_copied(tmp_path: Path) -> None:
    (step,) = (text for name, text in instructions() if name == "RUN" and "cp -R" in text)
    source, image, elsewhere = tmp_path / "src", tmp_path / "image", tmp_path / "elsewhere"
    assert {"app/demo", "**/__pycache__"} <= set(IGNORE)
    for folder in ("app", "tunnel"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("demo", "__pycache__"))
    elsewhere.mkdir()
    venv.create(image, symlinks=True)
    # What requirements.txt would bring is borrowed from the environment of the tests.
    (site_packages,) = image.glob("lib/python*/site-packages")
    borrowed = [entry for entry in sys.path if entry.endswith("site-packages")]
    (site_packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    subprocess.run(["/bin/sh", "-ec", step.replace("/opt/tunnel", str(image))], cwd=source, check=True)
    shutil.rmtree(source)

    def said(*command: str) -> str:
        ran = subprocess.run(
            [image / "bin" / command[0], *command[1:]],
            cwd=elsewhere,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    assert (
        said("tunnel-gateway", "--version") == said("python", "-m", "app", "--version") == f"tunnel-gateway {VERSION}"
    )
    assert said("tunnel-agent", "--version") == f"tunnel-agent {VERSION}"
    assert said("tunnel-gateway", "check").startswith("environment: ok: ")
    assert said("python", "-c", "from app.main import app; print(type(app).__name__)") == "GatewayApplication"
    assert list(site_packages.glob("app/__pycache__/main.*.pyc"))
    assert not (site_packages / "app" / "demo").exists()


def test_the_version_in_the_commands_is_the_products() -> None:
    for file in (K8S / "Dockerfile", ROOT / "docs" / "deployment.md"):
        assert set(re.findall(r"tunnel-gateway:(\d[\w.]*)", file.read_text(encoding="utf-8"))) == {VERSION}


def test_no_secret_is_built_in() -> None:
    text = (K8S / "Dockerfile").read_text(encoding="utf-8").lower()
    assert not re.search(r"token|password|secret|index-url", text)
