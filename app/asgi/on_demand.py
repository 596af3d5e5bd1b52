"""Makes an application when a server asks for `module:name`, not when the module is imported.

Servers look the name up in two ways. uvicorn and most others call `getattr`. hypercorn evaluates the name in the
module's namespace and finds a stand-in there. Either way the application is made before the server listens, and an
exception or SystemExit ends the start. A module's `__getattr__` cannot do both, because Python calls it only for a name
that is not in the namespace.
"""

from collections.abc import Awaitable, Callable
from types import ModuleType

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send


def provide(module: ModuleType, name: str, make: Callable[[], Starlette]) -> None:
    """Make `module.name` what `make` returns. `make` runs on first use, and again if it has raised."""
    namespace = vars(module)

    def get(_: object = None) -> Starlette:
        found = namespace.get(name)
        if isinstance(found, Starlette):
            return found
        made = namespace[name] = make()
        return made

    # getattr looks for a property of the module's class first, then in the namespace.
    module.__class__ = type("ModuleOnDemand", (ModuleType,), {name: property(get)})
    namespace[name] = _StandIn(get)


class _StandIn:
    """The object in the namespace. A server that checks whether it is an ASGI application looks up `__call__`."""

    def __init__(self, get: Callable[[], Starlette]) -> None:
        self._get = get

    @property
    def __call__(self) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        return self._get().__call__
