"""Which items a row may be answered with."""

from __future__ import annotations

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
        if not len(self):
            return Csr(np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int32))
        lengths = np.where(rows >= 0, np.diff(self.indptr)[rows], 0)
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        offsets = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - self.indptr[:-1][rows], lengths)
        return Csr(indptr, self.indices[offsets])

    @classmethod
    def from_keys(cls, keys: NDArray[np.int64], rows: int, columns: int) -> Csr:
        """From sorted keys ``row * columns + position``."""
        indptr = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * columns)
        return cls(indptr.astype(np.int64), (keys % max(columns, 1)).astype(np.int32))


@dataclass(frozen=True)
class Selection:
    """What a filter leaves of a catalogue of m items for n rows. The default leaves everything.

    bias: (m,) float32, 0 where an item may be selected and -inf where not, for every row.
    excluded: items that a row may not have.
    candidates: the only items that a row may have.
    also: a second selection; a row may have what either one leaves.
    """

    bias: NDArray[np.float32] | None = None
    excluded: Csr | None = None
    candidates: Csr | None = None
    also: Selection | None = None

    @property
    def alike(self) -> bool:
        """Whether every row has the same items to choose from."""
        own = (self.excluded is None or not len(self.excluded.indices)) and self.candidates is None
        return own and (self.also is None or self.also.alike)

    def take(self, rows: IntArray) -> Selection:
        """The selection of the given rows."""
        return Selection(
            self.bias,
            self.excluded and self.excluded.take(rows),
            self.candidates and self.candidates.take(rows),
            self.also and self.also.take(rows),
        )


EVERYTHING = Selection()
