"""What is wrong with a configuration, and at which key. The loader adds the file and the line."""

KeyPath = tuple[str | int, ...]
"""Keys and indexes from the top of the file: `("routes", 0, "port")`."""


class ConfigurationError(Exception):
    """The configuration is wrong. The text is one line that names the key and says what is valid."""


class WrongKeyError(ConfigurationError):
    """One key is wrong. `load` turns it into a ConfigurationError with the file and the line, or the variable."""

    def __init__(self, path: KeyPath, text: str) -> None:
        super().__init__(f"{dotted(path)}: {text}" if path else text)
        self.path = path
        self.text = text


def dotted(path: KeyPath) -> str:
    """The path as a person writes it.

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
