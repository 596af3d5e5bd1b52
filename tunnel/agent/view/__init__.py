"""What a person at a terminal sees of `tunnel-agent http`; nothing of it touches the link."""

from dataclasses import dataclass
from typing import TextIO

from tunnel.agent.view.output import Output
from tunnel.agent.view.plain import PlainView
from tunnel.agent.view.view import Address, Row, View

__all__ = ["Address", "Look", "Row", "View", "of"]


@dataclass(slots=True, frozen=True)
class Look:
    """What the environment says of the terminal."""

    moves: bool = True
    """It has a cursor that can be moved: TERM is not `dumb`."""
    colours: bool = True
    """NO_COLOR is not set."""


def of(stream: TextIO | None, look: Look = Look()) -> View:  # noqa: ARG001 (frozen)
    """The view for this stream. None: nothing is shown."""
    return PlainView(Output(stream))
