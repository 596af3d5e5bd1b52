"""`agent_token_file` and `publish_hosts`: what a gateway without a `[[agents]]` entry grants.

One token, in a file of its own, for agents of the cluster `default` that may publish these hosts. `tunnel-gateway
serve` makes the file if there is none, with a random token and mode 0600. Nothing else writes it, and a file that
exists is never changed.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec import UNSET

from . import hosts
from .errors import Faults, KeyPath, WrongKeyError
from .schema import File
from .tokens import Grant, configured_token, token_hash

CLUSTER = "default"
"""The cluster of its bearers."""

Maker = Callable[[Path], str]
"""Makes the file that does not exist, and gives its token. Raises OSError."""

_TOKEN_BYTES = 32
_FILE: KeyPath = ("agent_token_file",)
_HOSTS: KeyPath = ("publish_hosts",)


def new_token() -> str:
    """A random token, fit for a header."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def make(file: Path) -> str:
    """Write a new token into a file that only its owner reads, and return it. Raises OSError.

    A reader finds the whole file or none. If two processes make it at once, both return the token of the one that was
    first.
    """
    token = new_token()
    descriptor, written = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as opened:  # noqa: PTH123  (a descriptor, no path)
            opened.write(f"{token}\n")
        with suppress(FileExistsError):
            os.link(written, file)  # not a rename: that would replace a file
            return token
    finally:
        Path(written).unlink()
    return configured_token(file, _FILE)


def publish_hosts(keys: File, control_hosts: Collection[str], faults: Faults) -> tuple[str, ...]:
    """The hosts, checked. What is wrong goes to `faults`: one of the two keys without the other, too."""
    named = [] if keys.publish_hosts is UNSET else keys.publish_hosts
    checked = [
        faults.check(partial(_publish_host, control_hosts), value, (*_HOSTS, index))
        for index, value in enumerate(named)
    ]
    if keys.agent_token_file is UNSET and named and _FILE not in faults:
        faults.add(
            WrongKeyError(
                _HOSTS, "needs agent_token_file (--agent-token-file): the token of those who may publish there"
            )
        )
    if keys.agent_token_file is not UNSET and not named and _HOSTS not in faults:
        text = 'needs publish_hosts (--publish-host): hosts to publish, like "*.dev.example.com"'
        faults.add(WrongKeyError(_FILE, text))
    return tuple(dict.fromkeys(host for host in checked if host is not None))


def grant(
    file: Path, published: tuple[str, ...], known: Collection[bytes], maker: Maker | None, faults: Faults
) -> dict[bytes, Grant]:
    """The grant, by SHA-256 of the token. `known`: the tokens of `[[agents]]`. What is wrong goes to `faults`.

    `maker`: makes a file that is missing, but never for a configuration that is wrong. None: it must be there.
    """
    if maker is not None and faults and not os.path.lexists(file):
        return {}
    token = faults.check(partial(_token, maker), file, _FILE)
    if token is None:
        return {}
    digest = token_hash(token)
    if digest in known:
        faults.add(WrongKeyError(_FILE, f"an [[agents]] entry has the token in {file} too; it needs one of its own"))
        return {}
    return {digest: Grant(clusters=(CLUSTER,), hosts=published)}


def _publish_host(control_hosts: Collection[str], value: str, where: KeyPath) -> str:
    host = hosts.route_host(value, where)
    if host in control_hosts:
        raise WrongKeyError(where, f"{host} is a control host and cannot be published; write *.{host}, or another host")
    return host


def _token(maker: Maker | None, file: Path, where: KeyPath) -> str:
    """The token in the file, which is made if it does not exist. Raises WrongKeyError."""
    if os.path.lexists(file):
        return configured_token(file, where)
    if maker is None:
        raise WrongKeyError(
            where,
            f"{file} does not exist; make it with (umask 077; tunnel-gateway token > {file}), or start the gateway "
            "with tunnel-gateway serve, which makes it",
        )
    try:
        return maker(file)
    except OSError as error:
        raise WrongKeyError(where, f"{file} does not exist and cannot be made: {error.strerror}") from None
