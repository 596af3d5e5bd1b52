"""The settings file of the user: a gateway, its token, and the seed of the names that gateways give to this machine.

`tunnel-agent login` writes it, and so may a person. It holds a secret: it is written with mode 0600, and no error and
no repr shows its values. Invariants: a reader sees the old file or the new one, never a part; writers wait for each
other; keys that are not changed keep their values.
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tunnel.agent.source import SettingsError
from tunnel.text import NotTextError, decoded

with contextlib.suppress(ImportError):
    import fcntl

KEYS = ("gateway", "token", "name_seed")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,4096}")
_SEED = re.compile(r"[\x20-\x7e]{1,128}")
_VALID = {
    "gateway": 'the URL of one gateway in quotes, such as "https://tunnel.example.com"',
    "token": "a text in quotes, of printable characters without blanks",
    "name_seed": "a text in quotes, of 1 to 128 printable ASCII characters",
}
_HEAD = "# Settings of tunnel-agent for this user. The token is a secret: keep this file to yourself.\n"


class UnreadableError(SettingsError):
    """There may be a file, but the system does not let us read it."""


@dataclass(slots=True, frozen=True)
class UserSettings:
    """What the file says; a key that it does not have is empty."""

    gateway: str = ""
    token: str = field(default="", repr=False)
    name_seed: str = ""


@dataclass(slots=True, frozen=True)
class NameSeed:
    """The seed of the names given to this machine. `warning`: why it may be another one the next time."""

    seed: str
    warning: str = ""


def place(environment: Mapping[str, str]) -> Path | None:
    """Where the file is, or would be. None for a process without a home."""
    if sys.platform == "win32":
        folder = environment.get("APPDATA", "")
    else:
        folder = environment.get("XDG_CONFIG_HOME", "")
        if not folder.startswith("/"):  # the specification: others are to be ignored
            home = environment.get("HOME", "")
            folder = f"{home}/.config" if home.startswith("/") else ""
    return Path(folder) / "tunnel-agent" / "settings.toml" if folder else None


def load(file: Path | None) -> UserSettings:
    """What the file says; nothing if there is none. Raises SettingsError."""
    if file is None:
        return UserSettings()
    try:
        content = tomllib.loads(decoded(file.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return UserSettings()
    except OSError as error:
        raise UnreadableError(f"{file} cannot be read: {error.strerror or type(error).__name__}") from None
    except NotTextError as error:
        raise SettingsError(f"{file} {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not valid TOML{_position(error)}") from None
    for key, value in content.items():
        if key not in KEYS:
            raise SettingsError(f"{file}: {key[:40]!r} is not a known key; the keys are {', '.join(KEYS)}")
        if not isinstance(value, str) or not (_SEED if key == "name_seed" else _PRINTABLE).fullmatch(value):
            raise SettingsError(f"{file}: {key}: must be {_VALID[key]}")
    return UserSettings(**content)


def exposed(file: Path) -> str:
    """A warning if others may read the file with the token, or change it; else empty."""
    if sys.platform == "win32":  # the folder is the user's own
        return ""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return ""
    if not mode & 0o066:
        return ""
    return f"others can {'read the token in' if mode & 0o044 else 'change'} {file}: run chmod 600 {file}"


def change(file: Path, **values: str) -> UserSettings:
    """Write these keys, and keep the others; an empty value removes its key. Returns what the file says now.

    Raises SettingsError, and OSError where it cannot be written.
    """
    with _alone_in(_folder_of(file)):
        changed = replace(load(file), **values)
        _write(file, changed)
    return changed


def name_seed(file: Path | None, hostname: str, user: str, *, gives_names: bool = True) -> NameSeed:
    """The file's seed, which the first call makes. Where it cannot be kept: one of `hostname` and `user`.

    `gives_names` False: no name depends on it, so no file is made for it. Raises SettingsError.
    """
    why = "this user has no home directory"
    if file is not None:
        try:
            known = load(file).name_seed
            if known or gives_names:
                return NameSeed(known or _kept_seed(file))
        except UnreadableError as error:
            why = str(error)
        except OSError as error:
            why = f"{file} cannot be written: {error.strerror or type(error).__name__}"
    seed = hashlib.sha256(f"{hostname}\0{user}".encode(errors="replace")).hexdigest()[:32]
    warning = f"{why}; given addresses change when the name of this machine does"
    return NameSeed(seed, warning if gives_names else "")


def _kept_seed(file: Path) -> str:
    """A new one, unless another process was faster."""
    with _alone_in(_folder_of(file)):
        now = load(file)
        if not now.name_seed:
            now = replace(now, name_seed=secrets.token_hex(16))
            _write(file, now)
    return now.name_seed


def _folder_of(file: Path) -> Path:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return file.parent


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Other agents of this user wait meanwhile. Without locks (Windows, some network file systems) they do not."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(file: Path, settings: UserSettings) -> None:
    """Through a new file, which replaces the old one. A symbolic link stays: its target is replaced."""
    file = file.resolve()
    text = _HEAD + "".join(f"{key} = {_quoted(value)}\n" for key, value in asdict(settings).items() if value)
    new = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        with open(new, "xb", opener=_private) as opened:
            opened.write(text.encode())
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    """A new file that only its user can read. On Windows its folder in %APPDATA% sees to that."""
    return os.open(path, flags, 0o600)


def _quoted(value: str) -> str:
    """As a basic string of TOML; the values are printable ASCII."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _position(error: tomllib.TOMLDecodeError) -> str:
    """Without what stands there, which may be the token."""
    found = re.search(r" \(at [a-z0-9 ,]+\)", str(error))
    return found.group() if found else ""
