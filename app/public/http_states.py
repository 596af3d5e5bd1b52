"""The states of an HTTP call (`http_call.py`), and what may follow each.

    state       may become                   because
    CHOOSING    OPEN, REFUSED, LEFT          an upstream opened; none did; the client left
    OPEN        CHOOSING                     the attempt failed and may be repeated: once, or whenever nobody had it
    OPEN        ANSWERING, REFUSED, LEFT     the final head came; it failed; the client left
    ANSWERING   OVER, BROKEN, LEFT           the client took the end; the exchange failed; the client left
    REFUSED     OVER                         the client took our own answer, or left

BROKEN, LEFT and OVER are final.
"""

from enum import Enum


class State(Enum):
    """Where a call is; the module's table says what may follow."""

    CHOOSING = "waiting for a link"
    OPEN = "waiting for the answer"
    ANSWERING = "answering"
    REFUSED = "being refused"
    BROKEN = "broken off"
    LEFT = "left by its client"
    OVER = "over"


CHOOSING, OPEN, ANSWERING, REFUSED, BROKEN, LEFT, OVER = State
"""By names of the module: read on the path of every request."""

TAKING = (CHOOSING, OPEN, ANSWERING)
"""The request's body may come."""
FINAL = (BROKEN, LEFT, OVER)
