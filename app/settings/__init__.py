"""The gateway's configuration: one TOML file and `GATEWAY_...` variables, read and checked as a whole.

Nothing else on the gateway's side reads the environment, and within this package only `environment.py` does. A wrong
key, type or value raises `ConfigurationError`, whose one line names the file, the line, the key and what would be
valid, or the variable; it never shows a token. Nothing is half applied: there is a whole `Settings` or an error.

`schema.py` says what may be written, `reading.py` compares a table with it, `lines.py` finds a key's line, `hosts.py`,
`policies.py`, `tokens.py` and `routing.py` each check what one part means, `loading.py` puts it together.
"""

from .environment import admin_token, web_concurrency
from .errors import ConfigurationError
from .loading import load
from .settings import Settings
from .tokens import Grant, token_hash

__all__ = ["ConfigurationError", "Grant", "Settings", "admin_token", "load", "token_hash", "web_concurrency"]
