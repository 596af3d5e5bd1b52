"""What the operator may have done to the whole node: read the configuration again, and drain."""

import asyncio
from typing import Final, Literal

import msgspec

from .parameters import Parameter, Seconds
from .resources import Answer, Asked, Node, answer


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """The files were read."""

    changed: bool
    message: str


class ConfigurationRefused(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say is wrong, and nothing has changed."""

    message: str
    errors: list[str]
    status: int = 409
    code: Literal["configuration_refused"] = "configuration_refused"
    parameter: str | None = None


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """How far the drain is."""

    drained: bool
    exchanges: int
    message: str


WAIT: Final = Parameter("wait", Seconds(86_400.0, clamped=True), "Answer when it is drained, or after so long.", 0.0)


async def reload(node: Node, _: Asked) -> Answer:
    """Read the configuration again, and put it in force if it is right."""
    outcome = await node.reloader.ask()
    if outcome.errors:
        return answer(ConfigurationRefused(message=outcome.message, errors=list(outcome.errors)), 409)
    return answer(Reloaded(changed=outcome.changed, message=outcome.message))


async def drain(node: Node, asked: Asked) -> Answer:
    """Start to drain. Answers at once, or when it is drained or the time is over."""
    gateway, seconds = node.gateway, asked.query["wait"]
    task = gateway.begin_drain()
    if seconds:
        await asyncio.wait((task,), timeout=seconds)
    left = len(gateway.exchanges)
    message = "drained" if task.done() else f"draining: {left} exchanges are open"
    return answer(Drained(drained=task.done(), exchanges=left, message=message), 200 if task.done() else 202)
