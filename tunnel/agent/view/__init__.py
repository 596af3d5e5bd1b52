"""What a person at a terminal sees of `tunnel-agent http`; nothing of it touches the link."""

import sys
from dataclasses import dataclass
from typing import TextIO

from tunnel.agent.view.output import Output
from tunnel.agent.view.plain import PlainView
from tunnel.agent.view.terminal import TerminalView
from tunnel.agent.view.view import Address, View

__all__ = ["Address", "Look", "View", "of"]


@dataclass(slots=True, frozen=True)
class Look:
    """What the environment says of the terminal."""

    moves: bool = True
    """It has a cursor that can be moved: TERM is not `dumb`."""
    colours: bool = True
    """NO_COLOR is not set."""


def of(stream: TextIO | None, look: Look = Look()) -> View:
    """The view for this stream, in a running event loop. Without a stream nothing is shown."""
    if stream is not None and look.moves and stream.isatty() and sys.platform != "win32":
        return TerminalView(Output(stream), stream.fileno(), colours=look.colours)
    return PlainView(Output(stream))
