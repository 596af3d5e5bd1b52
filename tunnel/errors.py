"""What can go wrong between a door and a service.

Each error names its scope and who is to blame. One table maps them to HTTP statuses and close codes
(`app/rules/problems.py`). The text is for the operator's log, never for clients: it may name internal hosts.
"""


class TunnelError(Exception):
    """An exchange did not complete.

    `retryable`: no byte of an answer was seen, and another stream or link may work. The caller decides whether the
    request is safe to repeat.
    """

    retryable = False

    def after_answer_began(self) -> "TunnelError":
        """The same error once bytes of an answer were seen: not retryable."""
        if not self.retryable:
            return self
        error = type(self)(*self.args)
        error.retryable = False
        return error


class NoAgentError(TunnelError):
    """The cluster has no live link (scope: cluster). `waited_seconds`: how long the request waited for one."""

    def __init__(self, text: str, waited_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.waited_seconds = waited_seconds


class LinkLostError(TunnelError):
    """The agent's link ended during the exchange (scope: link)."""

    retryable = True


class StreamRefusedError(TunnelError):
    """The stream ended before any byte of an answer: the connection was just being closed, or the open was refused."""

    retryable = True


class LinkBusyError(TunnelError):
    """The link has no room for another stream (scope: link, blame: local)."""

    retryable = True


class NotPassedOnError(TunnelError):
    """Another node did not take the exchange (scope: node).

    It promises that nothing was passed on, so any method may be tried again, on another node or link.
    """

    retryable = True


class NotHereError(NotPassedOnError):
    """The node has no link for it: what was known about it is out of date."""


class NodeDrainingError(NotPassedOnError):
    """The node is about to stop."""


class NodeBusyError(NotPassedOnError):
    """The node, or its link, has no room for another stream."""


class TooManyWaitingError(TunnelError):
    """Too many requests wait for agents that were just lost (scope: node, blame: local)."""


class NoRoomError(TunnelError):
    """The process already holds too many bytes for others (scope: node, blame: peers that do not read)."""


class EndedForRoomError(TunnelError):
    """Ended midway, because the process holds too many bytes: the service may have carried it out (scope: node)."""


class NotReadError(NoRoomError):
    """The client does not read what the agent sent, and there is no room left to keep it (blame: client)."""


class RequestRefusedError(TunnelError):
    """The agent says that it cannot send this request to its service (blame: client)."""


class MessageTooLargeError(TunnelError):
    """A message of this exchange is larger than the agent accepts on its link (blame: client)."""


class ServiceUnreachableError(TunnelError):
    """The agent could not reach the service, or the service closed without an answer."""


class ServiceRefusedError(ServiceUnreachableError):
    """Nothing listens on the service's port: the agent's dial was refused, and nothing was sent."""


class ServiceNotAllowedError(ServiceUnreachableError):
    """The agent's own rules forbid the service; nothing was sent."""


class NoSuchServiceError(ServiceUnreachableError):
    """The service's name has no address where the agent is; nothing was sent."""


class ServiceSlowError(ServiceUnreachableError):
    """The agent got no connection to the service in time; nothing was sent."""


class ServiceBrokeOffError(TunnelError):
    """The answer ended before it was complete."""


class BadAnswerError(TunnelError):
    """The service's answer breaks HTTP/1.1 or RFC 6455 (blame: service)."""


class ClientTooSlowError(TunnelError):
    """The client stopped sending its request body (blame: client)."""


class EndedByOperatorError(TunnelError):
    """The gateway's operator ended it (scope: exchange)."""


class StoppingError(TunnelError):
    """This process is stopping (scope: node, blame: local)."""


class TlsFailedError(TunnelError):
    """The TLS handshake with the service failed, or its certificate is not the one that the route asks for."""


class TooSlowError(TunnelError):
    """A deadline passed (blame: service or agent)."""
