"""Why a stream between nodes got no connection, or ended: an error at the owner is the same error at the asking node.

Before anything was passed on, it crosses as the answer (`preamble.py`): a code, or the kind and text of a refusal.
Later it crosses as the code of the stream's reset. A kind or code that we do not know stands for the least that it can
mean.
"""

from collections.abc import Callable

from tunnel.errors import (
    BadAnswerError,
    EndedByOperatorError,
    EndedForRoomError,
    LinkBusyError,
    LinkLostError,
    MessageTooLargeError,
    NoAgentError,
    NodeBusyError,
    NodeDrainingError,
    NoRoomError,
    NoSuchServiceError,
    NotHereError,
    NotPassedOnError,
    NotReadError,
    RequestRefusedError,
    ServiceBrokeOffError,
    ServiceNotAllowedError,
    ServiceRefusedError,
    ServiceSlowError,
    ServiceUnreachableError,
    StoppingError,
    StreamRefusedError,
    TlsFailedError,
    TooSlowError,
    TunnelError,
)
from tunnel.wire import refusals

from ...observed.metrics import HopEnd
from .preamble import Answer, Code, refused

_KINDS: dict[str, type[TunnelError]] = {
    refusals.REFUSED: ServiceRefusedError,
    refusals.NOT_ALLOWED: ServiceNotAllowedError,
    refusals.NO_SUCH_NAME: NoSuchServiceError,
    refusals.SLOW: ServiceSlowError,
    "tls": TlsFailedError,
    "request": RequestRefusedError,
    "too_large": MessageTooLargeError,
}
"""Of refusals. None of them has passed anything on, at the owner or in the cluster."""
_RESETS: dict[int, Callable[[str], TunnelError]] = {
    1: LinkLostError,
    2: ServiceRefusedError,
    3: ServiceNotAllowedError,
    4: NoSuchServiceError,
    5: ServiceSlowError,
    6: TlsFailedError,
    7: EndedForRoomError,
    8: EndedByOperatorError,
    9: StoppingError,
    10: TooSlowError,
    11: ServiceBrokeOffError,
    12: ServiceUnreachableError,
    13: BadAnswerError,
    14: RequestRefusedError,
    15: MessageTooLargeError,
    16: NotReadError,
}
"""By the code of the reset. 0, and all others: the far end reset the stream."""
_CODES: dict[type[TunnelError], Code] = {
    NotHereError: Code.NOT_HERE,
    LinkLostError: Code.NOT_HERE,
    NoAgentError: Code.NOT_HERE,
    NodeDrainingError: Code.DRAINING,
    StoppingError: Code.DRAINING,
    NodeBusyError: Code.BUSY,
    LinkBusyError: Code.BUSY,
    NoRoomError: Code.BUSY,
}
"""Of errors that are answered before anything was passed on. All others are a refusal."""
_ENDS: dict[int, HopEnd] = {code: HopEnd(code.name.lower()) for code in Code}
_BY_CODE: dict[int, type[NotPassedOnError]] = {
    Code.NOT_HERE: NotHereError,
    Code.DRAINING: NodeDrainingError,
    Code.BUSY: NodeBusyError,
}


def code_of(error: TunnelError) -> Code:
    """The answer's code for an exchange of which nothing was passed on."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Code.REFUSED)


def answer_to(error: TunnelError) -> bytes:
    """The answer itself."""
    code = code_of(error)
    return refused(kind_of(error), str(error)) if code is Code.REFUSED else bytes((code,))


def end_of(code: int) -> HopEnd:
    """How an answer is counted. One of a later version is a refusal."""
    return _ENDS.get(code, HopEnd.REFUSED)


def kind_of(error: TunnelError) -> str:
    """The kind of a refusal; empty: no particular one."""
    return next((kind for kind, known in _KINDS.items() if isinstance(error, known)), refusals.OTHER)


def error_of(answer: Answer, node: str) -> TunnelError:
    """What an answer of this node means, if it is not through."""
    if answer.code == Code.REFUSED:
        return _KINDS.get(answer.kind, ServiceUnreachableError)(f"node {node}: {answer.text}")
    error = _BY_CODE.get(answer.code, NotPassedOnError)
    return error(f"node {node} did not take it (answer {answer.code})")


def was_not_passed_on(error: TunnelError) -> bool:
    """A link's stream was lost for this before a byte came back: the agent says that it never had a connection."""
    return isinstance(error, ServiceUnreachableError | TlsFailedError)


def reset_code_of(error: TunnelError) -> int:
    """The code for a stream that ended like this."""
    return next((code for code, kind in _RESETS.items() if type(error) is kind), 0)


def error_of_reset(code: int, node: str) -> TunnelError:
    """What a reset of this node's means."""
    return _RESETS.get(code, StreamRefusedError)(f"reset by node {node} (code {code})")
