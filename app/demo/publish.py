"""How the demonstration publishes its applications: with the command that users have, `tunnel-agent http`.

The gateway needs one entry for that: a token that may publish below `.localhost`. The agents get a settings folder of
the demonstration's own, so that they neither read nor write what the user keeps for other gateways.
"""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

CLUSTER = "demo"
HINT = (
    "While the demo runs, you can publish a port of your own beside it (here 5173, as me.localhost); "
    "run this in the folder of the demo:"
)
_CONFIGURATION = """\
log_level = "warning"
drain_delay = 0
shutdown_grace = 0.5

[[agents]]
token = "{token}"
clusters = ["{cluster}"]
hosts = ["*.localhost"]
"""


def configuration(token: str) -> str:
    """The gateway.toml of a gateway that takes these agents, and stops at once. The agents show the traffic."""
    return _CONFIGURATION.format(token=token, cluster=CLUSTER)


def command(gateway_port: int, token_file: Path, published: Mapping[str, int]) -> list[str]:
    """What a user would type to publish ports of this machine: host -> port."""
    program = ["/usr/bin/env", f"XDG_CONFIG_HOME={token_file.parent}", sys.executable, "-m", "tunnel.agent"]
    targets = [word for host, port in published.items() for word in (str(port), "--host", host)]
    gateway = ["--gateway", f"http://127.0.0.1:{gateway_port}", "--token-file", str(token_file), "--cluster", CLUSTER]
    return [*program, "http", *targets, *gateway]


def of_users_own(gateway_port: int, token_file: Path) -> str:
    """A line to paste into a shell: publishes a port of the user's own through this gateway, while it runs."""
    gateway = ["--gateway", f"http://127.0.0.1:{gateway_port}", "--token-file", str(token_file)]
    return shlex.join([sys.executable, "-m", "tunnel.agent", "http", "5173", "--host", "me.localhost", *gateway])
