"""The error for an agent's words about a service that it could not reach, in every dialect.

Our agent says a `kind` (`tunnel.wire.refusals`) over yamux. Over `json` and `chunk`, and from older agents of ours,
there is only a text, which is searched for words that Go's and our own agent use. The text goes into the error, cut,
for the access log; clients never see it. An agent that says something wrong costs its own exchange. Go's errors quote
the URL of the request with its query, which may hold secrets of the client: queries are left out.
"""

import re

from tunnel.errors import (
    NoSuchServiceError,
    ServiceNotAllowedError,
    ServiceRefusedError,
    ServiceSlowError,
    ServiceUnreachableError,
    TlsFailedError,
    TunnelError,
)
from tunnel.wire import refusals

TEXT_CHARS = 300
"""Of an agent's text in a log line."""

_BY_KIND: dict[str, type[TunnelError]] = {
    refusals.REFUSED: ServiceRefusedError,
    refusals.NOT_ALLOWED: ServiceNotAllowedError,
    refusals.NO_SUCH_NAME: NoSuchServiceError,
    refusals.SLOW: ServiceSlowError,
}
_BY_WORDS: tuple[tuple[tuple[str, ...], type[TunnelError]], ...] = (
    (("--allow",), ServiceNotAllowedError),
    (("kubernetes api server",), ServiceNotAllowedError),
    (("connection refused",), ServiceRefusedError),
    (("no such host",), NoSuchServiceError),
    (("name or service not known",), NoSuchServiceError),
    (("tls:",), TlsFailedError),
    (("x509:",), TlsFailedError),
    (("tls with ",), TlsFailedError),
    (("no connection within",), ServiceSlowError),
    (("dial ", "i/o timeout"), ServiceSlowError),  # without "dial" the request may have been sent
)  # fmt: skip
"""The first of which all words are found counts."""
_URL_ENDS = '": '
"""Go puts the method and the quoted URL before its reason: a client's own words, which must not count."""


_QUERY = re.compile(r"\?[^\s\"'<>]+")


def shown(text: str) -> str:
    """An agent's text for a log line: cut, without queries, and on one line whatever is in it.

    >>> shown("GET /a?key=1 failed")
    "'GET /a?*** failed'"
    """
    return repr(_QUERY.sub("?***", text[:TEXT_CHARS]))


def quoted(text: str) -> str:
    """The same, as what the agent says."""
    return f"the agent says {shown(text)}"


def unreachable(text: str, kind: str = refusals.OTHER) -> TunnelError:
    """The error for a service that an agent could not reach, as it says in `text`."""
    found = _BY_KIND.get(kind)
    if found is None:
        reason = text.rpartition(_URL_ENDS)[2][:TEXT_CHARS].lower()
        matching = (error for words, error in _BY_WORDS if all(word in reason for word in words))
        found = next(matching, ServiceUnreachableError)
    return found(quoted(text))
