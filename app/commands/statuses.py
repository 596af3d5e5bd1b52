"""The exit statuses of all commands, and the failures that lead to them."""

from enum import IntEnum


class Status(IntEnum):
    """What a command line ends with. Others script against these numbers."""

    DONE = 0
    FAILED = 1
    """It failed. `explain`: the URL does not work. `check --strict`: there are warnings. `check --connect`: one
    of the tries failed."""
    WRONG = 2
    """Wrong usage or configuration."""
    UNREACHABLE = 3
    """No gateway answers at the URL."""
    UNAUTHORISED = 4
    """The admin token is missing or wrong."""
    INTERRUPTED = 130
    """Ended by Ctrl-C, the usual end of `--follow`."""
    NO_READER = 141
    """Whoever read our output left, as in `| head`. The same as for a program that SIGPIPE ends."""


EXIT_STATUSES = (
    "Exit status: 0 done; 1 it failed (explain: the URL does not work; check --strict: there are warnings; check "
    "--connect: a try failed); 2 wrong usage or configuration; 3 the gateway cannot be reached; 4 the admin token is "
    "missing or wrong; 130 ended by Ctrl-C; 141 the reader of the output left. Without --link, drain has 1 for 3 and 4."
)


class CommandError(Exception):
    """The command failed. The lines say what happened, to what, and what to do next."""

    def __init__(self, *lines: str, status: Status = Status.FAILED) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
        self.status = status
