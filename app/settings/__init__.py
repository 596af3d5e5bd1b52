"""The gateway's settings: one TOML file and `GATEWAY_...` variables, read and checked as a whole.

On the gateway's side only `environment.py` reads the environment. Wrong keys, types and values raise one
`ConfigurationError` with a line for each. It names the variable, or the file, the line and the key, and says what would
be valid; it never shows a token. Nothing is half applied: the result is a whole `Settings` or an error.

`schema.py` defines what may be written, `reading.py` checks a table against it, `errors.py` gathers what is wrong, and
`places.py` and `lines.py` say where it is written.
`cluster.py`, `hosts.py`, `policies.py`, `targets.py`, `tokens.py`, `agent_token.py` and `routing.py` check one part
each, and `loading.py` puts the parts together. `certificates.py` reads the certificate of the public listener, for
those who serve or check it.
"""

from . import agent_token
from .certificates import Certificate, certificate_of
from .cluster import ClusterSettings
from .environment import admin_token, gateway_url, is_plain_terminal, wants_colours, web_concurrency
from .errors import ConfigurationError
from .loading import load
from .settings import Settings
from .tokens import Grant, fingerprint, token_hash

__all__ = [
    "Certificate",
    "ClusterSettings",
    "ConfigurationError",
    "Grant",
    "Settings",
    "admin_token",
    "agent_token",
    "certificate_of",
    "fingerprint",
    "gateway_url",
    "is_plain_terminal",
    "load",
    "token_hash",
    "wants_colours",
    "web_concurrency",
]
