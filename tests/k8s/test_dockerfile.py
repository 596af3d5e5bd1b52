"""The image's recipe, read line by line: what is pinned and who runs can be seen without a container engine."""

import json
import re
import tomllib
from pathlib import Path

K8S = Path(__file__).parents[2] / "k8s"
ROOT = K8S.parent


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


def test_everything_installed_is_pinned_by_hash_or_our_own() -> None:
    installs = [command for command in commands() if " install " in f" {command} " and "pip" in command]
    assert len(installs) == 3
    for command in installs:
        from_index = "--require-hashes" in command and "--only-binary :all:" in command and " -r " in command
        own = "--no-index" in command and "--no-deps" in command and command.endswith("/dist/*.whl")
        assert from_index or own, command
    wheel = next(command for command in commands() if "pip wheel" in command)
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(wheel.split())
    assert not [command for command in commands() if re.search(r"\b(curl|wget|apt|apt-get|git)\b", command)]


def test_the_locks_have_a_hash_for_every_line() -> None:
    for name in (ROOT / "requirements.txt", K8S / "requirements-build.txt"):
        entries = re.sub(r"\\\n\s*", "", name.read_text(encoding="utf-8")).strip().splitlines()
        assert entries
        assert [
            entry for entry in entries if not re.match(r"[a-z0-9._\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)
        ] == []


def test_the_build_tool_is_the_projects_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (requirement,) = project["build-system"]["requires"]
    assert f"{requirement} " in (K8S / "requirements-build.txt").read_text(encoding="utf-8")


def test_both_programs_are_in_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["scripts"]) == {"tunnel-gateway", "tunnel-agent"}
    (command,) = (text for name, text in stages()[-1] if name == "CMD")
    assert json.loads(command)[:2] == ["tunnel-gateway", "serve"]
    assert not [name for name, _ in instructions() if name == "ENTRYPOINT"]  # the agent's chart names its own program


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignore = (K8S / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    copied = {
        source
        for name, text in instructions()
        if name == "COPY" and "--from=" not in text
        for source in text.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_no_secret_is_built_in() -> None:
    text = (K8S / "Dockerfile").read_text(encoding="utf-8").lower()
    assert not re.search(r"token|password|secret|index-url", text)
