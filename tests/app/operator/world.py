"""A configuration file, a gateway that read it, and its reloader; threads that work when a test wants it."""

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from app.node.gateway import Gateway
from app.operator.reload import Reloader
from app.settings import ConfigurationError, Settings, load, token_hash
from tests.fakes.link import FakeLink

GOOD = """
[[agents]]
token = "{token}"
clusters = ["c1"]
revoked = {revoked}

[[routes]]
host = "{host}.example.test"
cluster = "c1"
namespace = "apps"
service = "web"
port = 80
"""


class AtOnce(Executor):
    """Does at once what it is given: no time passes while the files are read."""

    def submit(self, work: Callable[..., Any], /, *values: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*values, **named))
        except ConfigurationError as error:
            future.set_exception(error)
        return future


class Later(Executor):
    """Does what it is given when the test says so."""

    def __init__(self) -> None:
        self.works: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, work: Callable[..., Any], /, *values: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.works.append((future, lambda: work(*values, **named)))
        return future

    def do(self) -> None:
        future, work = self.works.pop(0)
        future.set_result(work())


class World:
    """A file, a gateway that read it, and its reloader."""

    def __init__(self, folder: Path, text: str | None = None) -> None:
        self.folder = folder
        self.file = folder / "gateway.toml"
        self._moment = 1_000_000_000
        self.write(GOOD.format(host="a", token="t", revoked="false") if text is None else text)
        self.gateway = Gateway(load(str(self.file), {}))
        self.first = self.gateway.settings
        self.reads = 0
        self.meanwhile = ""  # written while the file is being read
        self.reloader = Reloader(self.gateway, reader=self._read, worker=AtOnce())

    def _read(self) -> Settings:
        self.reads += 1
        settings = load(str(self.file), {})
        if self.meanwhile:
            self.write(self.meanwhile)
            self.meanwhile = ""
        return settings

    def write(self, text: str, name: str = "gateway.toml") -> None:
        """Each write has a time of change of its own, however coarse the file system's clock is."""
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        self._moment += 1_000_000_000
        os.utime(file, ns=(self._moment, self._moment))

    def good(self, **changes: str) -> str:
        return GOOD.format(**{"host": "a", "token": "t", "revoked": "false", **changes})

    @property
    def hosts(self) -> frozenset[str]:
        return self.gateway.settings.routes.hosts

    def link(self, token: str) -> FakeLink:
        link = FakeLink(agent_id=None)
        link.token_hash = token_hash(token)
        self.gateway.registry.add(link)  # type: ignore[arg-type]
        return link
