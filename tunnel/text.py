"""Text files that a person wrote, with whatever editor.

They are UTF-8, with or without a byte-order mark, which Windows writes. UTF-16, which Windows also writes, is named:
`invalid start byte` would help nobody.
"""

import codecs
from pathlib import Path
from typing import Final

_BOM: Final = codecs.BOM_UTF8
_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"), (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
"""Longest first: one begins with another."""


class NotTextError(ValueError):
    """This is not UTF-8. The text follows the name of the file: `is UTF-16; save it as UTF-8`."""


def decoded(content: bytes) -> str:
    """The text without its byte-order mark, its lines ended by line feeds. Raises NotTextError."""
    _refuse_wide(content)
    try:
        text = content.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotTextError(f"is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_pem(content: bytes) -> None:
    """Refuse what OpenSSL misreads: after a byte-order mark it overlooks the first block. Raises NotTextError."""
    _refuse_wide(content)
    if content.startswith(_BOM):
        raise NotTextError("begins with a byte-order mark; save it as UTF-8 without one")


def check_pem_file(file: Path) -> None:
    """The same for a file. A pipe is left alone: it can be read only once. Raises NotTextError, OSError."""
    if file.is_file():
        with file.open("rb") as opened:
            check_pem(opened.read(4))


def _refuse_wide(content: bytes) -> None:
    for mark, name in _WIDE:
        if content.startswith(mark):
            raise NotTextError(f"is {name}; save it as UTF-8")
    if b"\0" in content[:2]:  # of UTF-16 without a mark; DER has one later
        raise NotTextError("has zero bytes, as UTF-16 has; save it as UTF-8")
