"""Exact top-k and softmax normaliser of ``queries @ items.T + bias``, in bounded memory.

Personalize's scores are a softmax over the whole catalogue, so every product is needed, while only k a row are
returned. kernel.c makes the products, the exponentials and the choice in one pass; twin.py does the same in numpy,
where the kernel was not built and for rows whose scores float32 does not hold. Both answer

* the same items in the same order with the same scores, bit for bit: those of float64 in one fixed order of sums;
* log-normalisers good to 1e-5 (the twin's to 1e-9).

What a row gets does not depend on the rows beside it, on blocks or on threads.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.scoring import twin
from airflow_provider_personalize.local.scoring.items import ACCURATE, Items, as_float32, norms
from airflow_provider_personalize.local.scoring.pairs import score_pairs
from airflow_provider_personalize.local.scoring.selection import EVERYTHING, Csr, Selection, distinct

_UNIT = 2.0**-24
_SMALLEST = 2.0**-149
_HELD = 1e30  # well within what float32 holds

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
_Number = TypeVar("_Number", bound=np.generic)

_threads: ContextVar[int | None] = ContextVar("threads of a call", default=None)


def have_threads(count: int) -> None:
    """Let calls from this thread on use so many threads, where they are not told: 1 for one of a pool of its own."""
    _threads.set(count)


@dataclass(frozen=True)
class TopK:
    """The k best items of n rows.

    indices: (n, k) int32 item positions, best first, -1 where a row has fewer.
    logits: (n, k) float64 scores ``query . item + bias``, -inf where indices is -1. Order: score, then item position.
    log_normalizer: (n,) float64 log of the sum of exponentials over all items, selectable or not; None unless asked.
    """

    indices: Int32
    logits: Float64
    log_normalizer: Float64 | None = None


def top_k(
    queries: Float32,
    items: Items,
    k: int,
    *,
    selection: Selection = EVERYTHING,
    normalize: bool = False,
    threads: int | None = None,
) -> TopK:
    """Score ``items`` for each query and return the best k of those that the selection leaves.

    Args:
        queries: (n, d) float32. Divide queries and bias by a softmax temperature beforehand.
        items: m of d factors.
        selection: of n rows.
        normalize: compute ``log_normalizer``, which no selection changes.
        threads: at most so many; unless given, as :func:`have_threads` says, else as many as this process has cores.

    Raises:
        ValueError: shapes do not fit, k is negative, or a factor is no real number, NaN or infinite.
    """
    if queries.ndim != 2 or queries.shape[1] != items.factors.shape[1]:
        raise ValueError(f"queries {queries.shape} and items {items.factors.shape} must be (n, d) and (m, d)")
    if k < 0:
        raise ValueError(f"k must not be negative: {k}")
    n, m = len(queries), len(items)
    selection.check(n, m)
    queries = as_float32("queries", queries)
    lengths = norms(queries)
    if not np.isfinite(lengths).all():
        raise ValueError("factors and biases must be finite; these queries hold NaN or infinite ones")
    if not n or not m:
        return _nothing(n, k, normalize)
    scanned = min(k, m) if selection.candidates is None else 0
    fits = _fits(lengths, items, normalize) if items.kernel is not None else np.zeros(n, np.bool_)
    scans = bool(scanned or normalize)
    # The kernel fills in whole rows.
    result = _unset(n, k, normalize) if scans and fits.all() else _nothing(n, k, normalize)
    if scans:
        _scan(queries, lengths, items, scanned, selection, result, fits, threads or _threads.get() or available_cores())
    if selection.candidates is not None:
        _rank(queries, items, min(k, m), selection, selection.candidates, result)
    return result


def _unset(n: int, k: int, normalize: bool) -> TopK:
    return TopK(np.empty((n, k), np.int32), np.empty((n, k)), np.empty(n) if normalize else None)


def _nothing(n: int, k: int, normalize: bool) -> TopK:
    result = _unset(n, k, normalize)
    result.indices.fill(-1)
    result.logits.fill(-np.inf)
    if result.log_normalizer is not None:
        result.log_normalizer.fill(-np.inf)
    return result


def _fits(lengths: Float64, items: Items, normalize: bool) -> NDArray[np.bool_]:
    """(n,) the rows whose scores float32 holds well enough."""
    fits: NDArray[np.bool_] = lengths * items.largest_norm + items.largest_bias + items.largest_shift <= _HELD
    if normalize:
        fits &= lengths * items.largest_norm + items.weighty_bias <= ACCURATE
    return fits


def _scan(
    queries: Float32,
    lengths: Float64,
    items: Items,
    k: int,
    selection: Selection,
    result: TopK,
    fits: NDArray[np.bool_],
    threads: int,
) -> None:
    """Rows that fit by the kernel and the others by its twin."""
    for chosen, compiled in ((fits, True), (~fits, False)):
        if not chosen.any():
            continue
        rows = np.flatnonzero(chosen)
        whole = len(rows) == len(queries)
        part = result if whole else _nothing(len(rows), result.indices.shape[1], result.log_normalizer is not None)
        own, asked = (selection, queries) if whole else (selection.take(rows), queries[rows])
        if compiled:
            _scan_compiled(asked, lengths[rows], items, k, own, part, threads)
        else:
            twin.scan(asked, items, k, own, part)
        if not whole:
            result.indices[rows], result.logits[rows] = part.indices, part.logits
            if result.log_normalizer is not None and part.log_normalizer is not None:
                result.log_normalizer[rows] = part.log_normalizer


def _scan_compiled(
    queries: Float32, lengths: Float64, items: Items, k: int, selection: Selection, result: TopK, threads: int
) -> None:
    assert items.kernel
    assert items.packed
    size = lengths * items.largest_norm + items.largest_bias + items.largest_shift
    # d products, d sums and two biases round once each; what is too small for float32 is rounded to its smallest.
    errors = (queries.shape[1] + 4) * (1.01 * _UNIT * size + _SMALLEST)
    excluded, masks = selection.excluded and selection.excluded.ascending(), selection.masks
    items.kernel.scan(
        items.factors,
        items.packed,
        queries,
        k,
        errors,
        result.indices,
        result.logits,
        result.log_normalizer,
        None if excluded is None else (_as_in_c(excluded.indptr, np.int64), _as_in_c(excluded.indices, np.int32)),
        None if masks is None else ([_as_in_c(m, np.uint8) for m in masks.bits], _as_in_c(masks.of_row, np.int64)),
        threads,
    )


def _as_in_c(array: NDArray[Any], dtype: type[_Number]) -> NDArray[_Number]:
    required: NDArray[_Number] = np.require(array, dtype, ("C", "A"))
    return required


def _rank(queries: Float32, items: Items, k: int, selection: Selection, candidates: Csr, result: TopK) -> None:
    """The best k of each row's own candidates, of which some may stand twice or be forbidden."""
    taken = candidates.indices[: candidates.indptr[-1]]
    pairs = distinct(candidates.rows() * len(items) + taken)
    rows, indices = np.divmod(pairs, len(items))
    others = Selection(selection.excluded, None, selection.masks)
    allowed = others.allows(rows, indices)
    if items.selection_bias is not None:
        allowed &= items.selection_bias[indices] > -np.inf
    rows, indices = rows[allowed], indices[allowed]
    scores = score_pairs(queries, items.factors, rows, indices)
    if items.bias is not None:
        scores += items.bias[indices]
    keys = scores if items.selection_bias is None else scores + items.selection_bias[indices]
    twin.write_ranked(rows, indices, scores, keys, k, result)
