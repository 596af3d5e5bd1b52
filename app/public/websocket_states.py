"""The states of a WebSocket call (`websocket_call.py`), and what may follow each.

    state       may become                            because
    NEW         CHOOSING, REFUSED, LEFT               it was admitted; it was not; the client left
    CHOOSING    OPEN, REFUSED, LEFT                   an upstream opened; none did; the client left
    OPEN        CHOOSING                              the attempt failed and may be repeated, once
    OPEN        ACCEPTING, DECLINED, REFUSED, LEFT    a 101 came; another status; it failed; the client left
    DECLINED    RELAYING, REFUSED, LEFT               the refusal is whole; it failed; the client left
    ACCEPTING   TALKING, SPLICED, LEFT                the client was sent the 101, and its bytes pass or not; it left
    RELAYING    OVER, LEFT                            the client was sent the service's refusal; it left
    REFUSED     OVER, LEFT                            the client was sent our refusal; it left
    TALKING     OVER                                  the conversation is over

A call that its server gives up, or that breaks through a fault of ours, becomes LEFT from any state. LEFT, OVER and
SPLICED are final: the WebSocket of a call that is SPLICED goes on as a `SplicedCall`.
"""

from enum import Enum


class State(Enum):
    """Where a call is; the module's table says what may follow."""

    NEW = "waiting for its client's handshake"
    CHOOSING = "waiting for a link"
    OPEN = "waiting for the service's answer"
    DECLINED = "declined by its service"
    ACCEPTING = "being accepted"
    RELAYING = "being refused as its service refused"
    REFUSED = "being refused"
    TALKING = "talking"
    SPLICED = "spliced"
    LEFT = "left by its client"
    OVER = "over"


NEW, CHOOSING, OPEN, DECLINED, ACCEPTING, RELAYING, REFUSED, TALKING, SPLICED, LEFT, OVER = State

FINAL = (SPLICED, LEFT, OVER)
