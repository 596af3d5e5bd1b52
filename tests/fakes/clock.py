"""A clock that only the test moves."""


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now
