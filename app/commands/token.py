"""`token`: a new token on standard output, and its `[[agents]]` entry on standard error."""

import json
import sys

import click

from ..settings import agent_token, token_hash
from .command import Command
from .values import NAMES


@click.command("token", cls=Command)
@click.option(
    "--clusters", metavar="C1,C2", type=NAMES, default=["CLUSTER"], show_default=False,
    help="the clusters that the agent may serve",
)  # fmt: skip
def command(clusters: list[str]) -> None:
    """Create a token for an agent, and its [[agents]] entry."""
    made = agent_token.new_token()
    names = ", ".join(json.dumps(name) for name in clusters)
    sys.stdout.write(f"{made}\n")
    sys.stdout.flush()
    sys.stderr.write(
        "# Give the token above to the agent; it is stored nowhere else. Add this entry to the gateway's file:\n"
        f'[[agents]]\ntoken_sha256 = "{token_hash(made).hex()}"\nclusters = [{names}]\n'
    )
