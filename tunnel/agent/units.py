"""Durations and sizes as people read them. Pure."""

_MIB = 1024 * 1024


def duration(seconds: float) -> str:
    """Of the two largest units, as in `3 h 5 min`; below a minute in seconds."""
    whole = int(seconds)
    for name, size, smaller, smaller_size in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"


def milliseconds(seconds: float) -> str:
    """Whole ones: the event loop's clock knows no others everywhere."""
    return "below 1 ms" if seconds < 0.001 else f"{1000 * seconds:.0f} ms"


def size(number: int) -> str:
    """In bytes, KiB or MiB."""
    if number < 1024:
        return f"{number} bytes"
    return f"{number / 1024:.1f} KiB" if number < _MIB else f"{number / _MIB:,.1f} MiB"
