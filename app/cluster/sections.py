"""Two parts of one bucket, told apart by how their keys begin. For those who use them each is a bucket of its own.

The keys of no known section belong to the rest, which tells the operator of those that it cannot read.
"""

from collections.abc import Callable, Iterator

from .bucket import Bucket, Entry


class Section:
    """The keys that begin so; or those that do not, for the rest."""

    def __init__(self, bucket: Bucket, begins: str, *, is_rest: bool) -> None:
        self.on_change: Callable[[Entry], None] = _nobody
        self.on_anew: Callable[[], None] = _nobody
        self._bucket = bucket
        self._begins = begins
        self._is_rest = is_rest

    def has(self, key: str) -> bool:
        """Whether a key is one of these."""
        return key.startswith(self._begins) is not self._is_rest

    @property
    def created(self) -> str | None:
        """See `Bucket`."""
        return self._bucket.created

    @property
    def revision(self) -> int:
        """See `Bucket`: of the whole bucket."""
        return self._bucket.revision

    @property
    def synced(self) -> bool:
        """See `Bucket`."""
        return self._bucket.synced

    def get(self, key: str) -> Entry | None:
        """See `Bucket`."""
        return self._bucket.get(key)

    def items(self) -> Iterator[Entry]:
        """See `Bucket`."""
        return (entry for entry in self._bucket.items() if self.has(entry.key))

    async def put(self, key: str, value: bytes) -> int:
        """See `Bucket`."""
        return await self._bucket.put(key, value)

    async def create(self, key: str, value: bytes) -> int:
        """See `Bucket`."""
        return await self._bucket.create(key, value)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """See `Bucket`."""
        return await self._bucket.update(key, value, revision)

    async def delete(self, key: str, revision: int | None = None) -> None:
        """See `Bucket`."""
        await self._bucket.delete(key, revision)

    def __repr__(self) -> str:
        return f"<Section {'not ' if self._is_rest else ''}{self._begins}*>"


def sections(bucket: Bucket, begins: str) -> tuple[Section, Section]:
    """The keys that begin so, and the rest. What the bucket tells goes to them from now on."""
    part, rest = (Section(bucket, begins, is_rest=is_rest) for is_rest in (False, True))

    def changed(entry: Entry) -> None:
        (part if part.has(entry.key) else rest).on_change(entry)

    def anew() -> None:
        part.on_anew()
        rest.on_anew()

    bucket.on_change, bucket.on_anew = changed, anew
    return part, rest


def _nobody(*_: object) -> None: ...
