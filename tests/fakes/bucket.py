"""Buckets in memory: one `Shelf` is what the engine keeps, each `Bucket` on it is one node's mirror.

    shelf = Shelf()
    one, two = shelf.mirror(), shelf.mirror()
    revision = await one.create("host.a", b"1")   # `two` is told at once

`mirror.hold()` keeps what the others write from one mirror until `mirror.deliver()`; `shelf.away = True` makes writes
raise AwayError; `shelf.lose_answers = 1` makes the next write happen without an answer; `shelf.make_anew()` empties it.
"""

from collections.abc import Callable, Iterator

from app.cluster.bucket import AwayError, ConflictError, Entry, UncertainError, key_problem


class Shelf:
    """One bucket, as the engine keeps it."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        """The last write of each key, deletes included."""
        self.revision = 0
        self.away = False
        self.lose_answers = 0
        self.writes = 0
        self.mirrors: list[Bucket] = []
        self._makings = 1

    @property
    def created(self) -> str:
        return f"2026-01-01T00:00:{self._makings:02}.000000000Z"

    def mirror(self) -> "Bucket":
        mirror = Bucket(self)
        self.mirrors.append(mirror)
        mirror.deliver()
        return mirror

    def make_anew(self, *, later: bool = True) -> None:
        """The bucket is lost and made again, empty; not `later`: with an older `created`, as of a restored backup."""
        self._makings += 1 if later else -1
        self.entries.clear()
        self.revision = 0
        self.tell()

    def tell(self) -> None:
        for mirror in self.mirrors:
            if not mirror.held:
                mirror.deliver()

    def write(self, key: str, value: bytes | None, *, expected: int | None) -> Entry:
        if (problem := key_problem(key)) is not None:
            raise ValueError(problem)
        if self.away:
            raise AwayError("the engine is away")
        last = self.entries.get(key)
        if expected is not None and (last.revision if last else 0) != expected:
            raise ConflictError(f"{key} is not at revision {expected}")
        self.revision += 1
        self.writes += 1
        entry = self.entries[key] = Entry(key, value, self.revision, self.created)
        self.tell()
        if self.lose_answers:
            self.lose_answers -= 1
            raise UncertainError("no answer")
        return entry


class Bucket:
    """One node's mirror of a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.on_change: Callable[[Entry], None] = lambda _: None
        self.on_anew: Callable[[], None] = lambda: None
        self.created: str | None = None
        self.revision = 0
        self.held = False
        self._seen: dict[str, Entry] = {}

    @property
    def synced(self) -> bool:
        return not (self.held or self.shelf.away)

    def hold(self) -> None:
        """From now on the mirror hears nothing of what others write."""
        self.held = True

    def deliver(self) -> None:
        """The mirror hears what it has missed."""
        self.held = False
        listed = self.shelf.entries
        if self.created != self.shelf.created:
            anew = self.created is not None
            self.created, self.revision = self.shelf.created, 0
            if anew:
                self.on_anew()
            for entry in [entry for entry in self._seen.values() if entry.key not in listed]:
                self._take(Entry(entry.key, None, 0, self.created))
        for entry in sorted(listed.values(), key=lambda entry: entry.revision):
            self._take(entry)
        self.revision = self.shelf.revision

    def get(self, key: str) -> Entry | None:
        entry = self._seen.get(key)
        return None if entry is None or entry.value is None else entry

    def items(self) -> Iterator[Entry]:
        return (entry for entry in self._seen.values() if entry.value is not None)

    async def put(self, key: str, value: bytes) -> int:
        return self._write(key, value, None)

    async def create(self, key: str, value: bytes) -> int:
        last = self.shelf.entries.get(key)
        return self._write(key, value, last.revision if last is not None and last.value is None else 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        return self._write(key, value, revision)

    async def delete(self, key: str, revision: int | None = None) -> None:
        self._write(key, None, revision)

    def _write(self, key: str, value: bytes | None, expected: int | None) -> int:
        entry = self.shelf.write(key, value, expected=expected)
        self._take(entry)
        return entry.revision

    def _take(self, entry: Entry) -> None:
        seen = self._seen.get(entry.key)
        if seen is not None and (seen.created, seen.revision) == (entry.created, entry.revision):
            return
        if seen is not None and seen.created == entry.created and seen.revision > entry.revision:
            return
        if entry.revision == 0:
            self._seen.pop(entry.key, None)
        else:
            self._seen[entry.key] = entry
        if entry.value is not None or (seen is not None and seen.value is not None):
            self.on_change(entry)
