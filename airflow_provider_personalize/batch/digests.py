"""Which values occur how often, and where, in memory that does not grow with their number.

A value is known by 128 bits of it. The digests lie in 256 buckets by their first byte, held in memory up to a limit and
in temporary files beyond it; whoever asks reads one bucket after another, each 1/256 of all. 50 million values take
1.2 GB of temporary disk.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from heapq import nsmallest
from pathlib import Path
from types import TracebackType

import orjson

BUCKETS = 256
LINE_BITS = 40
"""Of a place in one of several files: the file's number above them, the line below."""
_DIGEST_BYTES = 16
_PLACE_BYTES = 8
_RECORD_BYTES = _DIGEST_BYTES + _PLACE_BYTES
_HELD_BYTES = 64 * 1024 * 1024


def canonical(value: object) -> bytes:
    """Bytes that are equal exactly where two parsed JSON values are, whatever their spacing or order of keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def place_in(names: Sequence[str], place: int) -> str:
    """A place in one of the files of these names, for people."""
    return f"{names[place >> LINE_BITS]}, line {place & (1 << LINE_BITS) - 1}"


class Digests:
    """Values with their places; a context, which ends with the temporary files.

    A place is any integer below 2**64 that tells where the value stood; smaller means earlier.
    """

    def __init__(self, *, held_bytes: int = _HELD_BYTES) -> None:
        self._held_bytes = held_bytes
        self._buckets = [bytearray() for _ in range(BUCKETS)]
        self._size = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Digests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, values: Sequence[bytes], places: Iterable[int]) -> None:
        """Take ``values``, as `canonical` makes them, and the place of each."""
        buckets = self._buckets
        for value, place in zip(values, places, strict=True):
            digest = blake2b(value, digest_size=_DIGEST_BYTES).digest()
            buckets[digest[0]] += digest + place.to_bytes(_PLACE_BYTES, "big")
        self._size += len(values) * _RECORD_BYTES
        if self._size > self._held_bytes:
            self._spill()

    def repeated(self, most: int) -> tuple[int, list[tuple[int, int]]]:
        """How many values equal an earlier one, and the first ``most`` of them: (place, place of the earliest)."""
        count = 0
        found: list[tuple[int, int]] = []
        for number in range(BUCKETS):
            digests = self._digests(number)
            if len(set(digests)) == len(digests):
                continue
            earliest: dict[bytes, int] = {}
            repeats = []
            for digest, place in sorted(self._records(number)):
                first = earliest.setdefault(digest, place)
                if first != place:
                    repeats.append((place, first))
            count += len(repeats)
            found = nsmallest(most, found + repeats)
        return count, found

    def beyond(self, other: Digests, most: int) -> tuple[int, list[int]]:
        """How many values are here more often than in ``other``, and the first ``most`` places of such.

        Of equal values, the later ones count as too many.
        """
        count = 0
        found: list[int] = []
        for number in range(BUCKETS):
            digests, there = self._digests(number), Counter(other._digests(number))
            if Counter(digests) <= there:
                continue
            extra = []
            for digest, place in sorted(self._records(number)):
                if there[digest]:
                    there[digest] -= 1
                else:
                    extra.append(place)
            count += len(extra)
            found = nsmallest(most, found + extra)
        return count, found

    def _digests(self, number: int) -> list[bytes]:
        data = self._data(number)
        return [data[start : start + _DIGEST_BYTES] for start in range(0, len(data), _RECORD_BYTES)]

    def _records(self, number: int) -> Iterator[tuple[bytes, int]]:
        data = self._data(number)
        for start in range(0, len(data), _RECORD_BYTES):
            middle = start + _DIGEST_BYTES
            yield data[start:middle], int.from_bytes(data[middle : middle + _PLACE_BYTES], "big")

    def _data(self, number: int) -> bytes:
        spilled = self._spilled(number)
        return (spilled.read_bytes() if spilled and spilled.exists() else b"") + self._buckets[number]

    def _spilled(self, number: int) -> Path | None:
        return Path(self._folder.name, f"{number:02x}") if self._folder else None

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="personalize-rows-")
        for number, bucket in enumerate(self._buckets):
            with Path(self._folder.name, f"{number:02x}").open("ab") as file:
                file.write(bucket)
            bucket.clear()
        self._size = 0
