"""The states of a splice (`splice.py`), and what may follow each.

    state      may become   because
    OPEN       PARTING      a close passed or was put in, in one direction at least; or one side is gone
    PARTING    OVER         both sides are done, or 10 s have passed

A splice that is dropped becomes OVER from any state. OVER is final. Each direction has states of its own (`way.py`).
"""

from enum import Enum


class State(Enum):
    """Where a splice is; the module's table says what may follow."""

    OPEN = "frames pass both ways"
    PARTING = "one side has closed, or is gone"
    OVER = "over"


OPEN, PARTING, OVER = State
"""A name of a module is read at a tenth of the cost of an enumeration's member."""
