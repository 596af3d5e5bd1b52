"""What a path prefix and a target may be, whoever names them: the file or an agent.

Pure functions. Each says what is wrong in words that may be shown, or says nothing. A target that passes is complete:
two DNS labels, never the Kubernetes API. The port's bounds are its type's, where it is read.
"""

import re

from .reading import shown

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PREFIX = re.compile(r"/|(/(?!\.\.?(/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")
"""Segments without empty ones, dots and escapes: a prefix that reads in one way only."""


def wrong_prefix(path: str) -> str | None:
    """Why this is no prefix to route by; None for a good one."""
    return None if _PREFIX.fullmatch(path) else f"{shown(path)} is not valid; write a prefix like / or /api"


def wrong_target(namespace: str, service: str) -> tuple[str, str] | None:
    """The key that is wrong (`namespace` or `service`), and why; None for a good target."""
    for key, label in (("namespace", namespace), ("service", service)):
        if not _LABEL.fullmatch(label):
            return key, f"{shown(label)} is not a DNS label (a-z, 0-9, -; at most 63)"
    if (namespace, service) == ("default", "kubernetes"):
        return "service", "the Kubernetes API is never a target"
    return None
