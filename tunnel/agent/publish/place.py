"""Where a target is to be published: the `--host` of the command line, `HOST[/PATH]`.

Pure. Finds only what a person mistypes; the gateway says whether the token covers the host, and whatever else is wrong.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

FORMS: Final = "me.dev.example.com, me.dev.example.com/api or *.dev.example.com"

_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
_HOST: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_PATH: Final = re.compile(r"/[\x21-\x7e]*")


class PlaceError(ValueError):
    """A text that names no place. It says what would."""


@dataclass(slots=True, frozen=True)
class Place:
    """A host and a path prefix; without a host, or with a wildcard, the gateway gives a name."""

    host: str = ""
    path: str = "/"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises PlaceError. The empty text asks for a name from the gateway."""
        host, slash, path = _SCHEME.sub("", text, count=1).partition("/")
        host = host.lower().rstrip(".")
        if ":" in host:
            raise PlaceError(
                f"{text!r} has a port, but clients use the gateway's: write {host.partition(':')[0]}{slash}{path}"
            )
        if host and not (_HOST.fullmatch(host) and len(host) <= 253):
            raise PlaceError(f"{text!r} is not one of the forms {FORMS}")
        if slash and not _PATH.fullmatch(f"/{path}"):
            raise PlaceError(f"{text!r} is not one of the forms {FORMS}")
        return cls(host, f"/{path}")

    @property
    def strips(self) -> bool:
        """Whether it has a path that could be stripped."""
        return bool(self.path.strip("/"))

    @property
    def asks_for_name(self) -> bool:
        """Whether the gateway decides on the host."""
        return not self.host or self.host.startswith("*")

    def __str__(self) -> str:
        return f"{self.host}{self.path if self.strips else ''}"
