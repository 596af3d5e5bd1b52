"""Runs the stand-in: `python -m tests.existing --gateway ws://127.0.0.1:PORT --token T --cluster C`.

Prints `ready` on standard output when its first heartbeat was sent. Exit status 1 where the original gives up, 2 where
it panics, 3 when yamux was agreed.
"""

import asyncio
import sys

from tests.existing.agent import Agent, FatalError
from tests.existing.options import parse


def main() -> int:
    """The process."""
    try:
        asyncio.run(Agent(parse()).run())
    except FatalError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
