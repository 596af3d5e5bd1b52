"""What can go wrong between a door and a service, each with whose turn it is.

Every error names its scope and its blame; the doors map them to HTTP statuses and close codes in one table
(`app/rules/problems.py`). The text is for the operator's log, never for clients: it may name internal hosts.
"""


class TunnelError(Exception):
    """An exchange could not be carried to its end.

    `retryable`: no byte of an answer was seen, and the cause may be gone on another stream or link; whether
    the request is safe to repeat is for the caller to say.
    """

    retryable = False

    def after_answer_began(self) -> "TunnelError":
        """The same, where bytes of an answer were seen: never to be tried again."""
        if not self.retryable:
            return self
        error = type(self)(*self.args)
        error.retryable = False
        return error


class NoAgentError(TunnelError):
    """The cluster has no live link (scope: cluster)."""


class LinkLostError(TunnelError):
    """The agent's link ended while the exchange was under way (scope: link)."""

    retryable = True


class StreamRefusedError(TunnelError):
    """The stream ended before a byte of an answer came: a lost race with a closing connection, or a refused open."""

    retryable = True


class LinkBusyError(TunnelError):
    """The link has no room for another stream (scope: link, blame: local)."""

    retryable = True


class TooManyWaitingError(TunnelError):
    """Too many requests wait for agents that were just lost (scope: node, blame: local)."""


class NoRoomError(TunnelError):
    """The process holds too many bytes for others already (scope: node, blame: whoever does not read)."""


class NotReadError(NoRoomError):
    """What the agent sent is not read, and there is no room left to keep it (blame: client)."""


class RequestRefusedError(TunnelError):
    """The agent says that it cannot make this request of its service (blame: client)."""


class ServiceUnreachableError(TunnelError):
    """The agent could not reach the service, or the service closed without an answer."""


class ServiceBrokeOffError(TunnelError):
    """The answer ended before it was complete."""


class BadAnswerError(TunnelError):
    """The service's answer breaks HTTP/1.1 or RFC 6455 (blame: service)."""


class ClientTooSlowError(TunnelError):
    """The client did not go on with its request's body (blame: client)."""


class StoppingError(TunnelError):
    """This process is about to stop (scope: node, blame: local)."""


class TlsFailedError(TunnelError):
    """TLS with the service could not be agreed on, or its certificate is not the one the route wants."""


class TooSlowError(TunnelError):
    """A deadline passed (blame: service or agent)."""
