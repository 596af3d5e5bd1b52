"""What `diag` gathers of a running gateway, as the files of one archive, without secrets.

The gateway shows no secret in any of these answers; `masks.py` is a second line of defence.
"""

import io
import json
import platform
import tarfile
from collections.abc import Callable, Iterator
from typing import Final

from tunnel.version import VERSION

from .gateway import RunningGateway
from .masks import masked, masked_text
from .statuses import CommandError, Status

FOLDER: Final = "tunnel-gateway-diag"
MISSING: Final = "missing.txt"
ROWS: Final = 10_000
"""Of each list."""
_LISTS: Final = ("nodes", "links", "clusters", "routes", "exchanges", "events")
_OBJECTS: Final = ("status", "account", "configuration")
_MADE_AT: Final = 0
"""The time of each file in it: what they hold says when it was so."""


def files(gateway: RunningGateway) -> Iterator[tuple[str, str]]:
    """Name and text of each file, `missing.txt` last if there is something to say in it.

    Raises CommandError where nobody answers at first, or the admin token is wrong: there is nothing to gather then. A
    gateway that answers some of it and then no more is one that somebody wants to look into.
    """
    about = {"version": VERSION, "python": platform.python_version(), "system": _system()}
    yield "about.json", _pretty(gateway, about)
    has_answered = False
    missing: list[str] = []
    calls: list[tuple[str, Callable[[], str]]] = [
        *((f"{name}.json", _object(gateway, name)) for name in _OBJECTS),
        *((f"{name}.json", _list(gateway, name)) for name in _LISTS),
        ("metrics.txt", lambda: _metrics(gateway)),
    ]
    for name, call in calls:
        try:
            text = call()
        except CommandError as error:
            if error.status is Status.UNAUTHORISED or (error.status is Status.UNREACHABLE and not has_answered):
                raise
            missing.append(f"{name}: {'; '.join(error.lines)}")
        else:
            has_answered = True
            yield name, text
    if missing:
        yield MISSING, "".join(f"{masked_text(line, gateway.secrets)}\n" for line in missing)


def archive(found: Iterator[tuple[str, str]]) -> bytes:
    """The files as a compressed tar archive. Raises whatever gathering them raises."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in found:
            data = text.encode(errors="backslashreplace")
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, _MADE_AT
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _object(gateway: RunningGateway, name: str) -> Callable[[], str]:
    return lambda: _pretty(gateway, gateway.ask("GET", f"/-/{name}"))


def _list(gateway: RunningGateway, name: str) -> Callable[[], str]:
    return lambda: _pretty(gateway, gateway.pages(name, {}, ROWS))


def _metrics(gateway: RunningGateway) -> str:
    answer = gateway.answer("GET", "/metrics")
    if not answer.is_success:
        gateway.refuse(answer)
    return masked_text(answer.text, gateway.secrets)


def _pretty(gateway: RunningGateway, value: object) -> str:
    return json.dumps(masked(value, gateway.secrets), indent=1, ensure_ascii=False) + "\n"


def _system() -> str:
    """Kernel and processor; never the machine's name."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"
