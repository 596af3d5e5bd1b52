"""Moments as the API writes them: RFC 3339 in UTC, to the millisecond."""

from datetime import UTC, datetime


def moment(seconds: float) -> str:
    """A moment of the wall clock, in seconds since the epoch.

    >>> moment(1_800_000_000.25)
    '2027-01-15T08:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
