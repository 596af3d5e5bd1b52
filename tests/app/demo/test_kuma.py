"""Uptime Kuma in words: which Node it takes, and what each failure of npm and the disk means."""

import errno
from pathlib import Path

import pytest

from app.demo import kuma
from app.demo.kuma.npm_errors import is_offline, reason_of


@pytest.mark.parametrize(
    ("version", "runs"),
    [((12, 22), False), ((14, 0), True), ((16, 3), True), ((17, 9), False), ((18, 0), True), ((19, 1), False),
     ((20, 3), False), ((20, 4), True), ((22, 0), True)],
)  # fmt: skip
def test_versions_of_node(version: tuple[int, int], runs: bool):
    assert kuma.runs_on(*version) is runs


OLD = "npm ERR! code {0}\nnpm ERR! the last words\n\nnpm ERR! A complete log of this run can be found in:\n"
NEW = "npm error code {0}\nnpm error the last words\nnpm error A complete log of this run can be found in: /x\n"


@pytest.mark.parametrize("form", [OLD, NEW])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ENOTFOUND", "npm does not reach its registry (ENOTFOUND): check the network"),
        ("EAI_AGAIN", "npm does not reach its registry (EAI_AGAIN): check the network"),
        ("ETIMEDOUT", "npm does not reach its registry (ETIMEDOUT): check the network"),
        ("ENOSPC", "npm finds no space on the disk (ENOSPC): make room"),
        ("EACCES", "npm may not write its files (EACCES): the last words"),
        ("EINTEGRITY", "npm downloaded something else than what is pinned (EINTEGRITY): the last words"),
        ("EBADENGINE", "npm does not take the package (EBADENGINE): the last words"),
        ("E500", "npm failed with E500: "),
    ],
)
def test_failures_of_npm(form: str, code: str, words: str):
    assert reason_of(7, form.format(code)).startswith(words)


BUILD = """\
npm error code 1
npm error path /home/me/.cache/tunnel-gateway/uptime-kuma-1/node_modules/@louislam/sqlite3
npm error command failed
npm error command sh -c node-pre-gyp install --fallback-to-build
npm error Failed to execute '/usr/bin/node node-gyp.js configure' (1)
{0}
npm error node-pre-gyp ERR! not ok
npm error A complete log of this run can be found in: /home/me/.npm/_logs/debug-0.log
"""


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            "npm error node-pre-gyp ERR! request to https://a.test/x.gz failed, reason: getaddrinfo ENOTFOUND a.test",
            "getaddrinfo ENOTFOUND a.test",
        ),
        ("npm error gyp ERR! stack Error: not found: make", "gyp ERR! stack Error: not found: make"),
        ("npm error nothing to the point", "node-pre-gyp ERR! not ok"),
    ],
)
def test_a_package_that_cannot_be_built_is_no_registry_that_is_away(told: str, why: str):
    errors = BUILD.format(told)
    assert reason_of(1, errors) == f"npm cannot install @louislam/sqlite3: {why}"
    assert not is_offline(errors)


def test_offline():
    assert is_offline("npm error code ENOTFOUND\nnpm error network\n")
    assert not is_offline("npm error code E404\nnpm error 404 Not Found - GET https://a.test/ENOTFOUND\n")


def test_failures_of_npm_without_a_code():
    assert reason_of(1, "") == "npm failed with status 1: it printed nothing"
    assert reason_of(1, "a\nb\n\nc\nd\n") == "npm failed with status 1: b | c | d"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "there is no space left for"),
        (errno.EDQUOT, "there is no space left for"),
        (errno.EACCES, "Permission denied; make"),
        (errno.EROFS, "Read-only file system; make"),
    ],
)
def test_a_disk_that_takes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, words: str):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "Permission denied" if number == errno.EACCES else "Read-only file system", "/some/file")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(kuma, "missing", lambda: None)
    monkeypatch.setattr(kuma.shutil, "copy", refuse)
    with pytest.raises(kuma.KumaError) as raised:
        kuma.install()
    assert words in str(raised.value)
    assert str(tmp_path / ".cache" / "tunnel-gateway") in str(raised.value)
