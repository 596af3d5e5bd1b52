"""What `diag` gathers of a running gateway, as the files of one archive, without secrets.

The gateway shows no secret in any of these answers. What they quote of others (a request's path, an agent's error) is
masked once more here: query strings, bearer tokens, and the values of fields that carry them.
"""

import io
import json
import platform
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from tunnel.version import VERSION

from .gateway import RunningGateway
from .statuses import CommandError, Status

FOLDER: Final = "tunnel-gateway-diag"
MISSING: Final = "missing.txt"
ROWS: Final = 10_000
"""Of each list."""
_LISTS: Final = ("links", "clusters", "routes", "exchanges", "events")
_OBJECTS: Final = ("status", "account", "configuration")
_HOPELESS: Final = (Status.UNREACHABLE, Status.UNAUTHORISED)

_QUERY: Final = re.compile(r"\?[^\s\"'<>]*=[^\s\"'<>]*")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+")
_FIELD: Final = re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(\"?\s*[:=]\s*)[^\r\n]+")
MASK: Final = "***"


def files(gateway: RunningGateway) -> Iterator[tuple[str, str]]:
    """Name and text of each file, `missing.txt` last if there is something to say in it.

    Raises CommandError where nobody answers, or the admin token is wrong: there is nothing to gather then.
    """
    yield "about.json", _pretty({"version": VERSION, "python": platform.python_version(), "system": _system()})
    missing: list[str] = []
    calls: list[tuple[str, Callable[[], str]]] = [
        *((f"{name}.json", _object(gateway, name)) for name in _OBJECTS),
        *((f"{name}.json", _list(gateway, name)) for name in _LISTS),
        ("metrics.txt", lambda: _metrics(gateway)),
    ]
    for name, call in calls:
        try:
            yield name, call()
        except CommandError as error:
            if error.status in _HOPELESS:
                raise
            missing.append(f"{name}: {'; '.join(error.lines)}")
    if missing:
        yield MISSING, "".join(f"{masked(line)}\n" for line in missing)


def archive(found: Iterator[tuple[str, str]]) -> bytes:
    """The files as a compressed tar archive. Raises whatever gathering them raises."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in found:
            data = text.encode(errors="backslashreplace")
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def masked(text: str) -> str:
    """A text without what may be a secret.

    >>> masked("GET /a?token=x failed: Authorization: Bearer y")
    'GET /a?*** failed: Authorization: ***'
    """
    text = _FIELD.sub(rf"\g<1>\g<2>{MASK}", text)
    return _QUERY.sub(f"?{MASK}", _BEARER.sub(rf"\g<1> {MASK}", text))


def _object(gateway: RunningGateway, name: str) -> Callable[[], str]:
    return lambda: _pretty(gateway.ask("GET", f"/-/{name}"))


def _list(gateway: RunningGateway, name: str) -> Callable[[], str]:
    return lambda: _pretty(gateway.pages(name, {}, ROWS))


def _metrics(gateway: RunningGateway) -> str:
    answer = gateway.answer("GET", "/metrics")
    if not answer.is_success:
        gateway.refuse(answer)
    return answer.text


def _pretty(value: Any) -> str:  # noqa: ANN401  (whatever JSON holds)
    return json.dumps(_without_secrets(value), indent=1, ensure_ascii=False) + "\n"


def _without_secrets(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list):
        return [_without_secrets(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_secrets(one) for name, one in value.items()}
    return value


def _system() -> str:
    """Kernel and processor; never the machine's name."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"
