"""Which items a row may be answered with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer]


@dataclass(frozen=True)
class Csr:
    """A set of positions a row: row ``r`` holds ``indices[indptr[r]:indptr[r + 1]]``.

    indptr: (n + 1,) int64, indices: (nnz,) int32, in any order within a row, repetitions allowed.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def rows(self) -> NDArray[np.int64]:
        """(nnz,) the row of each entry."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.indptr))

    def take(self, rows: IntArray) -> Csr:
        """The given rows, in that order; a negative row is an empty set."""
        if _whole(rows, len(self)):
            return Csr(self.indptr, self.indices[: self.indptr[-1]])
        if not len(self):
            return Csr(np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int32))
        lengths = np.where(rows >= 0, np.diff(self.indptr)[rows], 0)
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        offsets = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - self.indptr[:-1][rows], lengths)
        return Csr(indptr, self.indices[offsets])

    def holds(self, rows: IntArray, items: IntArray) -> NDArray[np.bool_]:
        """(pairs,) whether each row's set holds the item beside it."""
        asked = distinct(rows.astype(np.int64))
        taken = self.take(asked)
        return among(paired(rows, items), np.sort(paired(asked[taken.rows()], taken.indices)))

    def ascending(self) -> Csr:
        """The same sets, each in the order of positions."""
        indices = self.indices[: self.indptr[-1]]
        starts = np.zeros(len(indices) + 1, np.bool_)
        starts[self.indptr] = True
        if starts[np.flatnonzero(indices[1:] < indices[:-1]) + 1].all():
            return self
        return Csr(self.indptr, indices[np.lexsort((indices, self.rows()))])

    @classmethod
    def from_keys(cls, keys: NDArray[np.int64], rows: int, columns: int) -> Csr:
        """From sorted keys ``row * columns + position``."""
        indptr = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * columns)
        return cls(indptr.astype(np.int64), (keys % max(columns, 1)).astype(np.int32))


def bit_of(items: IntArray) -> NDArray[np.uint8]:
    """(k,) the bit of each item in its byte of a mask."""
    return np.uint8(1) << (items & 7).astype(np.uint8)


def paired(rows: IntArray, items: IntArray) -> NDArray[np.int64]:
    """One number for each row and the item beside it, in the order of both."""
    pairs: NDArray[np.int64] = (rows.astype(np.int64) << 32) | items
    return pairs


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers, ascending and each once: by sorting, which takes a thirtieth of np.unique's time."""
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def among(numbers: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each number is one of some that ascend: in a tenth of np.isin's time."""
    if not len(ascending):
        return np.zeros(numbers.shape, np.bool_)
    found: NDArray[np.bool_] = ascending[np.searchsorted(ascending, numbers).clip(max=len(ascending) - 1)] == numbers
    return found


def _whole(rows: IntArray, n: int) -> bool:
    """Whether these are the n rows that there are, in order."""
    return len(rows) == n and bool((rows == np.arange(n)).all())


def grouped(numbers: IntArray) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each number, with the positions where it stands."""
    order = np.argsort(numbers, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if len(part):
            yield int(numbers[part[0]]), part


@dataclass(frozen=True)
class Masks:
    """Which items each row may have, a bit an item; rows may share a mask.

    bits: a mask each, (ceil(m / 8),) uint8; bit ``i % 8`` of byte ``i // 8`` is 1 where item i may be selected. They
        may lie anywhere: to put the masks of a block side by side costs more than to make them.
    of_row: (n,) the mask of each row.
    """

    bits: Sequence[NDArray[np.uint8]]
    of_row: IntArray

    def __len__(self) -> int:
        return len(self.of_row)

    @property
    def alike(self) -> bool:
        """Whether every row has the same mask."""
        return len(self.of_row) == 0 or bool((self.of_row == self.of_row[0]).all())

    def holds(self, rows: IntArray, items: IntArray) -> NDArray[np.bool_]:
        """(pairs,) whether each row may have the item beside it."""
        held = np.zeros(len(rows), np.bool_)
        if self.alike and len(self):
            held[:] = self.bits[self.of_row[0]][items >> 3] & bit_of(items) != 0
            return held
        for mask, pairs in grouped(self.of_row[rows]):
            held[pairs] = self.bits[mask][items[pairs] >> 3] & bit_of(items[pairs]) != 0
        return held

    def check(self, rows: int, items: int) -> None:
        """Raise ValueError unless there is a mask of that many items for each of that many rows."""
        if getattr(self.bits, "ndim", 1) == 0:  # np.ndim would put all masks into one array
            raise ValueError("masks must be a sequence of masks")
        for mask in self.bits:
            if mask.dtype != np.uint8 or mask.shape != ((items + 7) // 8,):
                raise ValueError(f"masks of {mask.shape} {mask.dtype} do not fit {items} items: a bit each, as uint8")
        _check_positions("rows of masks", self.of_row)
        if len(self) != rows:
            raise ValueError(f"masks must have a row for each query: {len(self)} for {rows}")
        if rows and not 0 <= self.of_row.min() <= self.of_row.max() < len(self.bits):
            raise ValueError(f"masks: a row has one that is not among the {len(self.bits)}")

    @classmethod
    def shared(cls, allowed: NDArray[np.bool_], rows: int) -> Masks:
        """One mask, (m,), for so many rows."""
        return cls([np.packbits(allowed, bitorder="little")], np.zeros(rows, np.int64))

    def take(self, rows: IntArray) -> Masks:
        """The masks of the given rows, in that order."""
        return Masks(self.bits, self.of_row[rows])


@dataclass(frozen=True)
class Selection:
    """What a filter leaves of a catalogue of m items for n rows. The default leaves everything.

    excluded: items that a row may not have.
    candidates: the only items that a row may have.
    masks: the only items that a row may have, where those are many.
    """

    excluded: Csr | None = None
    candidates: Csr | None = None
    masks: Masks | None = None

    @property
    def alike(self) -> bool:
        """Whether every row has the same items to choose from."""
        own = (self.excluded is None or not len(self.excluded.indices)) and self.candidates is None
        return own and (self.masks is None or self.masks.alike)

    def allows(self, rows: IntArray, items: IntArray) -> NDArray[np.bool_]:
        """(pairs,) whether each row may be answered with the item beside it."""
        allowed = np.ones(len(rows), np.bool_)
        for csr, wanted in ((self.excluded, False), (self.candidates, True)):
            if csr is not None:
                allowed &= csr.holds(rows, items) == wanted
        if self.masks is not None:
            allowed &= self.masks.holds(rows, items)
        return allowed

    def take(self, rows: IntArray) -> Selection:
        """The selection of the given rows."""
        return Selection(
            self.excluded and self.excluded.take(rows),
            self.candidates and self.candidates.take(rows),
            self.masks and self.masks.take(rows),
        )

    def check(self, rows: int, items: int) -> None:
        """Raise ValueError unless this is a selection for that many rows of that many items."""
        for name, csr in (("excluded", self.excluded), ("candidates", self.candidates)):
            if csr is None:
                continue
            _check_positions(f"starts of {name}", csr.indptr)
            _check_positions(name, csr.indices)
            if len(csr) != rows:
                raise ValueError(f"{name} must have a row for each query: {len(csr)} for {rows}")
            if csr.indptr[0] != 0 or (csr.indptr[1:] < csr.indptr[:-1]).any() or csr.indptr[-1] > len(csr.indices):
                raise ValueError(f"{name}: starts of rows must rise from 0 to at most {len(csr.indices)}")
            if len(csr.indices) and not 0 <= csr.indices.min() <= csr.indices.max() < items:
                raise ValueError(f"{name}: there is one that is not the position of an item")
        if self.masks is not None:
            self.masks.check(rows, items)


EVERYTHING = Selection()


def _check_positions(name: str, array: IntArray) -> None:
    if array.ndim != 1 or array.dtype.kind != "i":
        raise ValueError(f"{name} must be (n,) of signed integers: {array.shape} {array.dtype}")
