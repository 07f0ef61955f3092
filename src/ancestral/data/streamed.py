"""Sources that are read in the order in which they lie, and how training walks through them.

The order is a function of (seed, item number g), so a restart goes on with exactly the next item, and any number of
processes sees the same batches. Shards are spread over lanes, a power of two of them and at most 16; item g is number
g // lanes of lane g % lanes, so a process that has every Nth item opens only the lanes it needs. A lane reads one shard
after the other: the visits of all lanes, in turn, are endless permutations of all shards. It is shuffled in blocks.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice, pairwise

from torch import Tensor

from ancestral import randomness
from ancestral.data.convert import Conversion
from ancestral.data.form import SAMPLE, Formed, survey
from ancestral.data.indexed import Indexed
from ancestral.data.reading import Unreadable
from ancestral.errors import InputError
from ancestral.randomness import Stream

LANES = 16
BUFFER = 4096
"""Items (as bytes of their files) that are held for shuffling, in the blocks of all lanes."""

Sample = tuple[bytes, int]
"""The bytes of an item, as a file would hold them, and its label, -1 without."""

Visited = tuple[Sample, int, int]
"""A sample, its shard, and its number in the shard."""


class Streamed(Formed, ABC):
    """Shards of items that are read from their beginning, again and again alike."""

    def __init__(
        self,
        name: str,
        shards: int,
        labelled: bool,
        classes: tuple[str, ...],
        conversion: Conversion,
        dims: int | None = None,
        skipped: tuple[str, ...] = (),
    ) -> None:
        """Survey the first SAMPLE items; whatever `samples` needs has to be there. Raises InputError like `survey`.

        A stream cannot be searched for an item that differs, so channels and bits are those of its first items too,
        unless `conversion` says otherwise.
        """
        self.name, self.shards, self.labelled, self.classes, self.skipped = name, shards, labelled, classes, skipped
        first = [raw for raw, _ in islice(self.samples(0), SAMPLE)]
        if not first:
            raise InputError(f"the first shard of {name} holds no items")
        self.form = survey(name, len(first), first.__getitem__, first.__getitem__, "item {}".format, conversion, dims)

    @abstractmethod
    def samples(self, shard: int, start: int = 0) -> Iterator[Sample]:
        """The samples of a shard from number `start`, in order. Raises SourceLost where they cannot be got."""

    @abstractmethod
    def count(self, shard: int) -> int:
        """How many samples a shard has. Asked only when training goes on in the middle. Raises SourceLost."""

    def shard(self, k: int) -> Iterator[tuple[Tensor, int]]:
        """The items and labels of a shard from its beginning, without those that cannot be decoded."""
        for raw, label in self.samples(k):
            try:
                item = self.form.decode(raw)
            except Unreadable:
                continue
            yield item, label

    @property
    def lanes(self) -> int:
        """The largest power of two of at most LANES and the number of shards."""
        return min(LANES, 1 << (self.shards.bit_length() - 1))


class InOrder(Streamed):
    """An indexed source read front to back: for disks and network file systems that are slow to seek."""

    def __init__(self, data: Indexed, bounds: list[int]) -> None:
        """Shard k holds the items from bounds[k] to bounds[k + 1]; empty ones are left out."""
        self._data = data
        self._spans = [(low, high) for low, high in pairwise(bounds) if low < high]
        form = data.form
        super().__init__(
            data.name, len(self._spans), data.labelled, data.classes, form.conversion, form.dims, data.skipped
        )
        self.form = form  # by all headers, and evenly spaced items of all shards

    def samples(self, shard: int, start: int = 0) -> Iterator[Sample]:
        """An item that cannot be read has no bytes."""
        low, high = self._spans[shard]
        for index in range(low + start, high):
            try:
                raw = self._data.encoded(index)
            except Unreadable:
                raw = b""
            yield raw, self._data.label(index)

    def count(self, shard: int) -> int:
        """Known from the index."""
        low, high = self._spans[shard]
        return high - low


class Lane:
    """The endless sequence of one lane, shuffled in blocks. It holds one block, and where it goes on."""

    def __init__(self, data: Streamed, seed: int, number: int) -> None:
        self._data, self._seed, self._number = data, seed, number
        self._size = BUFFER // data.lanes
        self._shift = number * self._size // data.lanes  # so that not all lanes read their next blocks at once
        self._block, self._held, self._order = -1, list[Visited](), list[int]()
        self._source: Iterator[Visited] | None = None

    def sample(self, position: int, other: int = 0) -> Visited:
        """The sample at a position; `other` > 0 is the one so many after it in its block.

        Raises SourceLost, after which the same can be asked again.
        """
        block = (position + self._shift) // self._size
        begin = max(0, block * self._size - self._shift)
        count = (block + 1) * self._size - self._shift - begin
        if block != self._block:
            self._fetch(block, begin, count)
        return self._held[self._order[(position - begin + other) % count]]

    def _fetch(self, block: int, begin: int, count: int) -> None:
        source = self._source if block == self._block + 1 and self._source else self._from(begin)
        self._block, self._source = -1, None  # until all is there, nothing is
        self._held = list(islice(source, count))
        self._order = randomness.permutation(count, self._seed, Stream.BLOCK, block, self._number).tolist()
        self._block, self._source = block, source

    def _from(self, position: int) -> Iterator[Visited]:
        """All samples of the lane from a position."""
        visit = self._number
        while position:
            count = self._data.count(self._shard(visit))
            if position < count:
                break
            position, visit = position - count, visit + self._data.lanes
        return self._walk(visit, position)

    def _walk(self, visit: int, start: int) -> Iterator[Visited]:
        while True:
            shard = self._shard(visit)
            for number, sample in enumerate(self._data.samples(shard, start), start):
                yield sample, shard, number
            visit, start = visit + self._data.lanes, 0

    def _shard(self, visit: int) -> int:
        round_, place = divmod(visit, self._data.shards)
        return int(randomness.permutation(self._data.shards, self._seed, Stream.SHARDS, round_)[place])
