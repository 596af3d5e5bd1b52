"""What is wrong with a configuration, and where: a key's path, which its loader turns into file and line."""

KeyPath = tuple[str | int, ...]
"""Keys and indexes from the top of the file: `("routes", 0, "port")`."""


class ConfigurationError(Exception):
    """The configuration is wrong; one line that names the key and what is valid."""


class WrongKeyError(ConfigurationError):
    """One key is wrong. Never leaves this package: `load` adds the file and the line, or the variable."""

    def __init__(self, path: KeyPath, text: str) -> None:
        super().__init__(f"{dotted(path)}: {text}" if path else text)
        self.path = path
        self.text = text


def dotted(path: KeyPath) -> str:
    """The path as people write it.

    >>> dotted(("routes", 0, "request_headers", "set"))
    'routes[0].request_headers.set'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text
