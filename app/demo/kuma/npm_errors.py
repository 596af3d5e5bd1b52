"""What npm's errors mean to the person at the terminal: what happened, and what to do.

npm prints `npm error code CODE` (older releases `npm ERR! code CODE`) and details after it. A code that is a number is
the status of a package's own installation, and the details are what that printed. Pure.
"""

import re

_LINE_CHARACTERS = 150
_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH",
            "ERR_SOCKET_TIMEOUT")  # fmt: skip
_KNOWN = (
    (_NETWORK, "npm does not reach its registry ({code}): check the network and npm's proxy settings and start again"),
    (("ENOSPC", "EDQUOT"), "npm finds no space on the disk ({code}): make room, or set HOME to a folder elsewhere"),
    (("EACCES", "EPERM", "EROFS"), "npm may not write its files ({code}): {last}"),
    (("EBADENGINE", "EUSAGE"), "npm does not take the package ({code}): {last}"),
    (("EINTEGRITY",), "npm downloaded something else than what is pinned ({code}): {last}"),
)
"""npm's codes, and what to say. `last`: the last line that it printed."""
_PREFIX = re.compile(r"npm (?:error|ERR!) ?")
_CODE = re.compile(r"code (\S+)")
_PACKAGE = re.compile(r"path \S*node_modules/((?:@[^/\s]+/)?[^/\s]+)")
_REASON = (re.compile(rf"\b(?:{'|'.join(_NETWORK)})\b"), re.compile(r"\bENOSPC\b|\bE[Rr][Rr][Oo][Rr]:"))
"""Lines that tell why an installation failed, the best first."""


def is_offline(errors: str) -> bool:
    """Whether npm failed because it does not reach its registry."""
    return _first(_CODE, _lines(errors)) in _NETWORK


def reason_of(status: int, errors: str) -> str:
    """Why npm failed, from its status and what it wrote to standard error."""
    lines = _lines(errors)
    last = _cut(lines[-1]) if lines else "it printed nothing"
    code = _first(_CODE, lines)
    for codes, words in _KNOWN:
        if code in codes:
            return words.format(code=code, last=last)
    if code.isdigit() and (package := _first(_PACKAGE, lines)):
        return f"npm cannot install {package}: {_told(lines) or last}"
    what = code if code and not code.isdigit() else f"status {status}"
    return f"npm failed with {what}: {' | '.join(map(_cut, lines[-3:])) or last}"


def _lines(errors: str) -> list[str]:
    lines = [_PREFIX.sub("", line, count=1).strip() for line in errors.splitlines()]
    return [line for line in lines if line and not line.startswith("A complete log of this run")]


def _first(pattern: re.Pattern[str], lines: list[str]) -> str:
    return next((found[1] for line in lines if (found := pattern.match(line))), "")


def _told(lines: list[str]) -> str:
    """The line that tells most, from the word `reason` on where it has one."""
    line = next((line for pattern in _REASON for line in lines if pattern.search(line)), "")
    return _cut(line.rpartition("reason: ")[2])


def _cut(line: str) -> str:
    return line[:_LINE_CHARACTERS]
