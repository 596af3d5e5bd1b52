"""Which path prefixes and targets are valid, in the file and in what agents register.

Pure functions. Each returns what is wrong, in words that agents may see, or None. A valid target has two DNS labels
and is never the Kubernetes API. The port is checked where it is read.
"""

import re

from ..rules.paths import is_prefix
from ..rules.shown import shown

_LABEL_CHARACTERS = 63
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def wrong_prefix(path: str) -> str | None:
    """What is wrong with this path prefix. None when it is valid."""
    return None if is_prefix(path) else f"{shown(path)} is not valid; write a prefix like / or /api"


def wrong_label(label: str) -> str | None:
    """What is wrong with this namespace or service. None when it is valid."""
    if len(label) <= _LABEL_CHARACTERS and _LABEL.fullmatch(label):
        return None
    return f"{shown(label)} is not valid; write a DNS label (a-z, 0-9 and -, at most 63 characters)"


def wrong_target(namespace: str, service: str) -> tuple[str, str] | None:
    """The key that is wrong (`namespace` or `service`), and why. None when the target is valid."""
    for key, label in (("namespace", namespace), ("service", service)):
        if (fault := wrong_label(label)) is not None:
            return key, fault
    if (namespace, service) == ("default", "kubernetes"):
        return "service", "kubernetes in namespace default is the Kubernetes API, which cannot be a target"
    return None
