"""The numpy twin of the kernel: what the kernel must answer, and what answers where it was not built.

The products are made tile by tile (rows x items), small enough to stay in cache, and each tile is used up
before the next: added into the sum of exponentials, and searched for scores above the row's threshold, which is the
least of the best found so far. So nearly every score costs one comparison, and memory does not know how many rows or
items there are.

Everything is float64. The result is the same bits whatever rows stand beside a row, however BLAS orders its sums, and
on any machine with the same exponential function. BLAS makes no such promise (its AVX2 kernels treat the rows of one
product differently), so nothing that is returned comes from it directly:

* Scores are computed again, term by term in a fixed order, for a few items more than k. A row in which an item beyond
  those may, within the rounding error, belong among the best k is ranked as a whole in that way (ties, copies).
* The log-normaliser is rounded to a grid of 1e-9. Where the rounding error may reach the next step of the grid, it is
  computed again in the fixed order.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.scoring.items import Items, norms
from airflow_provider_personalize.local.scoring.pairs import score_pairs_in_numpy
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection

ROW_TILE, ITEM_TILE = 128, 2048  # an item tile begins at a whole byte of a mask
MARGIN = 8
_LARGEST_SELECTED_K = 1000  # beyond, sorting a whole row is as good
_GRID = 2.0**-30
_UNIT = 2.0**-53
# For each byte of a mask what it adds to the scores of its eight items.
_SHIFTS = np.where(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), 0, -np.inf)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


class Result(Protocol):
    """Arrays to fill in: see `TopK`."""

    @property
    def indices(self) -> Int32: ...
    @property
    def logits(self) -> Float64: ...
    @property
    def log_normalizer(self) -> Float64 | None: ...


def scan(queries: Float32, items: Items, k: int, selection: Selection, result: Result) -> None:
    """Fill in the best k of each row and, where wanted, the normalisers; all but ``candidates`` of the selection."""
    problem = _Problem(queries, items, selection.excluded, selection.masks)
    best = 0 < k <= _LARGEST_SELECTED_K and k + MARGIN < len(items)
    for start in range(0, len(queries), ROW_TILE):
        rows = np.arange(start, min(start + ROW_TILE, len(queries)))
        thin = np.ones(len(rows), np.bool_)
        if best or result.log_normalizer is not None:
            thin = _scan_tile(problem, rows, k if best else 0, result)
        if k:
            for row in rows[thin]:
                _rank_row(problem, int(row), k, result)


class _Problem:
    """The checked arrays, and for each row how far a product of BLAS may be from the exact pass."""

    def __init__(self, queries: Float32, items: Items, excluded: Csr | None, masks: Masks | None) -> None:
        self.queries = queries.astype(np.float64)
        self.factors = items.factors
        self.bias = np.zeros(len(items)) if items.bias is None else items.bias.astype(np.float64)
        self.selection_bias = None if items.selection_bias is None else items.selection_bias.astype(np.float64)
        self.excluded = excluded
        self.masks = masks
        self._exact_queries = queries
        # d products, d sums and the two biases round once each, whatever their order; twice, for two ways to compute.
        size = norms(queries) * items.largest_norm + items.largest_bias + items.largest_shift
        self.error: Float64 = 2.02 * (self.factors.shape[1] + 4) * _UNIT * size

    def tile(self, rows: Int64, start: int) -> Float64:
        """(len(rows), at most ITEM_TILE) scores of the items from ``start``."""
        scores: Float64 = self.queries[rows] @ self.factors[start : start + ITEM_TILE].astype(np.float64).T
        scores += self.bias[start : start + ITEM_TILE]
        return scores

    def exact(self, rows: Int64, indices: Int64) -> Float64:
        """(len(rows),) the score of each (row, item) pair, the same for a pair wherever it stands."""
        return score_pairs_in_numpy(self._exact_queries, self.factors, rows, indices) + self.bias[indices]

    def row(self, row: int) -> Float64:
        """(m,) the exact scores of one query."""
        items = np.arange(len(self.factors), dtype=np.int64)
        return self.exact(np.full(len(items), row, dtype=np.int64), items)

    def allowed(self, rows: Int64, indices: Int64) -> Bool:
        """(len(rows),) whether each (row, item) pair may be returned."""
        allowed = np.ones(len(rows), np.bool_)
        if self.selection_bias is not None:
            allowed &= self.selection_bias[indices] > -np.inf
        if self.masks is not None:
            allowed &= self.masks.holds(rows, indices)
        if self.excluded is not None:
            allowed &= ~self.excluded.holds(rows, indices)
        return allowed


def _scan_tile(problem: _Problem, rows: Int64, k: int, result: Result) -> Bool:
    """Fill in the normalisers and, for k > 0, the best k of one tile of rows; True for rows left to ``_rank_row``."""
    normalizers = _RunningLogSumExp(len(rows)) if result.log_normalizer is not None else None
    best = _RunningBest(len(rows), k + MARGIN) if k else None
    shifts = _MaskShifts(problem.masks, rows) if problem.masks is not None else None
    out_rows, out_items = _entries(problem.excluded, rows)
    for start in range(0, len(problem.factors), ITEM_TILE):
        scores = problem.tile(rows, start)
        if normalizers is not None:
            normalizers.add(scores)
        if best is not None:
            if problem.selection_bias is not None:
                scores += problem.selection_bias[start : start + ITEM_TILE]
            if shifts is not None:
                shifts.add_to(scores, start)
            here = (out_items >= start) & (out_items < start + ITEM_TILE)
            scores[out_rows[here], out_items[here] - start] = -np.inf
            best.add(scores, start)
    if normalizers is not None and result.log_normalizer is not None:
        result.log_normalizer[rows] = _on_grid(problem, rows, normalizers.value())
    if best is None:
        return np.ones(len(rows), np.bool_)
    best.shrink()
    thin = best.thin(k, problem.error[rows])
    local, indices = best.pairs()
    kept = ~thin[local]
    _rank(problem, rows[local[kept]], indices[kept], k, result)
    return thin


def _entries(csr: Csr | None, rows: Int64) -> tuple[Int64, Int64]:
    if csr is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    taken = csr.take(rows)
    return taken.rows(), taken.indices.astype(np.int64)


class _MaskShifts:
    """The masks of one tile of rows, as numbers to add to scores: much quicker than to write where a mask is."""

    def __init__(self, masks: Masks, rows: Int64) -> None:
        own = masks.take(rows)
        self._bits = masks.bits
        self._masks = own.of_row[:1] if own.alike else own.of_row
        self._buffer = np.empty((len(self._masks), ITEM_TILE // 8, 8))

    def add_to(self, scores: Float64, start: int) -> None:
        width = scores.shape[1]
        packed = np.stack([self._bits[mask][start // 8 : (start + width + 7) // 8] for mask in self._masks])
        shifts = self._buffer[:, : packed.shape[1]]
        np.take(_SHIFTS, packed, axis=0, out=shifts, mode="clip")  # without a mode it makes a copy of ``out``
        scores += shifts.reshape(len(shifts), -1)[:, :width]


class _RunningLogSumExp:
    """log(sum(exp(scores))) a row, tile by tile; shifted by the largest score so far, so that nothing overflows."""

    def __init__(self, rows: int) -> None:
        self._largest = np.full(rows, -np.inf)
        self._sum = np.zeros(rows)
        self._buffer = np.empty((rows, ITEM_TILE))

    def add(self, scores: Float64) -> None:
        largest = np.maximum(self._largest, scores.max(axis=1))
        exponentials = np.subtract(scores, largest[:, None], out=self._buffer[:, : scores.shape[1]])
        np.exp(exponentials, out=exponentials)
        self._sum = self._sum * np.exp(self._largest - largest) + exponentials.sum(axis=1)
        self._largest = largest

    def value(self) -> Float64:
        return self._largest + np.log(self._sum)


def _on_grid(problem: _Problem, rows: Int64, normalizers: Float64) -> Float64:
    """Round log-normalisers so that the order of sums does not show."""
    steps = normalizers / _GRID
    # The error of a log-normaliser is at most that of the largest score, and a few roundings of its own.
    error = (problem.error[rows] + 64 * _UNIT * (1 + np.abs(normalizers))) / _GRID
    doubtful = ~(np.abs(steps - np.floor(steps) - 0.5) > error)
    for position in np.flatnonzero(doubtful):
        scores = problem.row(int(rows[position]))
        largest = scores.max()
        steps[position] = (largest + np.log(np.exp(scores - largest).sum())) / _GRID
    return np.rint(steps) * _GRID


class _RunningBest:
    """The ``keep`` best scores a row, tile by tile."""

    def __init__(self, rows: int, keep: int) -> None:
        self._keep = keep
        self._rows, self._items = np.empty(0, np.int64), np.empty(0, np.int64)
        self._scores = np.empty(0)
        self._threshold = np.full(rows, -np.inf)

    def add(self, scores: Float64, start: int) -> None:
        # An equal score may be dropped: then the margin is thin, and the row is ranked exactly.
        bound = np.nextafter(self._threshold, np.inf)
        plenty = 4 * self._keep * len(bound)
        if start == 0:
            bound = np.maximum(bound, _lower_bound(scores, self._keep))
        flat = np.flatnonzero(scores >= bound[:, None])
        if start and len(flat) > plenty:  # items in ascending order of score
            bound = np.maximum(bound, _lower_bound(scores, self._keep))
            flat = np.flatnonzero(scores >= bound[:, None])
        rows, columns = np.divmod(flat, scores.shape[1])
        self._rows = np.concatenate((self._rows, rows))
        self._items = np.concatenate((self._items, columns + start))
        self._scores = np.concatenate((self._scores, scores.ravel()[flat]))
        if len(self._rows) > plenty // 2:
            self.shrink()

    def shrink(self) -> None:
        """Drop what is not among a row's best; sorts the entries by row, then score."""
        order = np.argsort(-self._scores)
        order = order[np.argsort(self._rows[order].astype(np.uint16), kind="stable")]  # a radix sort
        rows = self._rows[order]
        counts = np.bincount(rows, minlength=len(self._threshold))
        first = np.cumsum(counts) - counts
        kept = np.arange(len(rows)) - first[rows] < self._keep
        order = order[kept]
        self._rows, self._items, self._scores = rows[kept], self._items[order], self._scores[order]
        full = np.flatnonzero(counts >= self._keep)
        self._threshold[full] = self._at(full, self._keep - 1)

    def _at(self, rows: Int64, rank: int) -> Float64:
        return self._scores[np.searchsorted(self._rows, rows) + rank]

    def thin(self, k: int, error: Float64) -> Bool:
        """Rows where an item that was dropped may, computed exactly, be among the best k."""
        thin = np.zeros(len(self._threshold), np.bool_)
        full = np.flatnonzero(self._threshold > -np.inf)  # the others dropped nothing
        thin[full] = self._at(full, k - 1) - self._threshold[full] <= 2 * error[full]
        return thin

    def pairs(self) -> tuple[Int64, Int64]:
        """Rows and items, sorted by both."""
        order = np.argsort((self._rows << 32) + self._items)
        return self._rows[order], self._items[order]


def _lower_bound(scores: Float64, keep: int) -> Float64:
    """A bound that at least ``keep`` scores of each row reach: the keep-th largest of the maxima of groups."""
    rows, width = scores.shape
    size = width // (2 * keep)
    if size < 2:
        if width <= keep:
            return np.full(rows, -np.inf)
        return np.partition(scores, width - keep, axis=1)[:, width - keep]
    groups = width // size
    maxima = scores[:, : groups * size].reshape(rows, groups, size).max(axis=2)
    bound: Float64 = np.partition(maxima, groups - keep, axis=1)[:, groups - keep]
    return bound


def _rank_row(problem: _Problem, row: int, k: int, result: Result) -> None:
    """Rank every item of one row."""
    indices = np.arange(len(problem.factors), dtype=np.int64)
    rows = np.full(len(indices), row, dtype=np.int64)
    allowed = problem.allowed(rows, indices)
    _rank(problem, rows[allowed], indices[allowed], k, result)


def _rank(problem: _Problem, rows: Int64, indices: Int64, k: int, result: Result) -> None:
    scores = problem.exact(rows, indices)
    keys = scores if problem.selection_bias is None else scores + problem.selection_bias[indices]
    write_ranked(rows, indices, scores, keys, k, result)


def write_ranked(rows: Int64, indices: Int64, scores: Float64, keys: Float64, k: int, result: Result) -> None:
    """Write the best k of each row by key: pairs are distinct, allowed, and sorted by row, then item."""
    if not len(rows):
        return
    order = np.lexsort((-keys, rows))  # stable, so equal scores stay in the order of items
    indices, scores = indices[order], scores[order]
    starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    ranks = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    kept = ranks < k
    result.indices[rows[kept], ranks[kept]] = indices[kept]
    result.logits[rows[kept], ranks[kept]] = scores[kept]
