"""The ASCII form of a host with other letters, as clients send it: `xn--` labels (RFC 5890 section 2.3.2.1).

Only errors name it. The configuration takes ASCII alone, so that a Host field is compared with what was written. The
mapping is that of today's browsers (UTS 46, non-transitional) for what a person writes: `ß` stays a letter of its own,
where Python's codec `idna` makes `ss` of it.
"""

import unicodedata


def ascii_form(host: str) -> str:
    """Of a host, with or without `*.`. Empty: it has none, or is ASCII already."""
    if host.isascii():
        return ""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", host).lower()).replace("\u3002", ".")
    if not all(character.isalnum() or character in "-.*_" or unicodedata.combining(character) for character in plain):
        return ""
    return ".".join(
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in plain.split(".")
    )
