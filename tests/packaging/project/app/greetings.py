"""A module of the project that the gateway has no counterpart of."""


def greeting(name: str) -> str:
    """What is said to `name`."""
    return f"hello {name}"
