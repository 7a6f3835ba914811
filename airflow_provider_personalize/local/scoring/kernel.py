"""The compiled kernel, kernel.c, at the levels that the processor has; twin.py does the work where it was not built."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.compiled import library

PANEL = 32
ENVIRONMENT = "PERSONALIZE_KERNEL"  # numpy, or the name of a level
CHUNK = 96  # rows of one call: few enough for threads to end together, enough for a tile of items to be used up
_ALIGNMENT = 64
_LEVELS = {"x86-64-v4": (4, "v4"), "x86-64-v3": (3, "v3"), "baseline": (0, "baseline")}

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Array = NDArray[Any]


class _Problem(ctypes.Structure):
    """``struct problem`` of kernel.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("items", "factors", "rows", "k", "width")),
        *((name, ctypes.c_void_p) for name in ("panels", "bias", "selection_bias", "by_item", "queries", "errors")),
        *((name, ctypes.c_void_p) for name in ("excluded_starts", "excluded", "masks", "mask_of_row")),
        ("mask_bytes", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("indices", "logits", "log_normalizer")),
    )


@dataclass(frozen=True)
class Packed:
    """Items as the kernel reads them. biases: (panels * PANEL,), with the lowest float beyond the last item."""

    panels: Float32
    bias: Float32
    selection_bias: Float32 | None


@dataclass(frozen=True)
class Kernel:
    """The functions of one level. The arrays given are of the right types, contiguous and checked: C trusts them."""

    name: str
    _library: ctypes.CDLL
    _suffix: str

    def pack(self, factors: Float32, bias: Float32 | None, selection_bias: Float32 | None) -> Packed:
        """(m, d) factors and (m,) biases, once for all calls."""
        m, d = factors.shape
        padded = -(-m // PANEL) * PANEL
        panels = _aligned(padded * d)
        pack = self._library[f"pack_{self._suffix}"]
        pack.restype = None
        pack(_pointer(factors), ctypes.c_int64(m), ctypes.c_int64(d), _pointer(panels))
        own = _padded(np.zeros(m, np.float32) if bias is None else bias, padded)
        return Packed(panels, own, None if selection_bias is None else _padded(selection_bias, padded))

    def scan(
        self,
        factors: Float32,
        packed: Packed,
        queries: Float32,
        k: int,
        errors: Float64,
        indices: NDArray[np.int32],
        logits: Float64,
        log_normalizer: Float64 | None,
        excluded: tuple[Int64, NDArray[np.int32]] | None,
        masks: tuple[Sequence[NDArray[np.uint8]], Int64] | None,
        threads: int,
    ) -> None:
        """Fill in each row of ``indices`` and ``logits``, at most the first k with results, and ``log_normalizer``.

        Args:
            errors: (n,) how far a score in float32 may be from the exact one.
            excluded: starts and positions, ascending within a row.
            masks: the bits of each, and the mask of each row.

        Raises:
            MemoryError: there was no room for the best items of one group of rows.
        """
        n, d = queries.shape
        starts, positions = excluded or (None, None)
        bits, of_row = masks or (None, None)
        mask_bytes = len(bits[0]) if bits else 0
        problem = _Problem(len(factors), d, n, k, indices.shape[1], mask_bytes=mask_bytes)
        arrays = {
            "panels": packed.panels,
            "bias": packed.bias,
            "selection_bias": packed.selection_bias,
            "by_item": factors,
            "queries": queries,
            "errors": errors,
            "excluded_starts": starts,
            "excluded": positions,
            "masks": None if bits is None else np.array([mask.ctypes.data for mask in bits], np.uintp),
            "mask_of_row": of_row,
            "indices": indices,
            "logits": logits,
            "log_normalizer": log_normalizer,
        }
        for name, array in arrays.items():
            setattr(problem, name, _pointer(array))
        scan = self._library[f"scan_{self._suffix}"]

        def done(start: int) -> bool:
            end = min(start + CHUNK, n)
            return bool(scan(ctypes.byref(problem), ctypes.c_int64(start), ctypes.c_int64(end)))

        chunks = range(0, n, CHUNK)
        if min(threads, len(chunks)) <= 1:
            # In one call: between two, this thread would wait for Python's lock.
            finished = bool(scan(ctypes.byref(problem), ctypes.c_int64(0), ctypes.c_int64(n)))
        else:
            # Of its own for each call: a pool that is kept would not live through a fork.
            with ThreadPoolExecutor(min(threads, len(chunks)), "personalize-scoring") as pool:
                finished = all(pool.map(done, chunks))
        if not finished:
            raise MemoryError(f"{n} rows of {k} results of {len(factors)} items")

    def pairs(self, queries: Float32, items: Float32, rows: Int64, indices: Int64) -> Float64:
        """(pairs,) the exact score of each (row, item) pair."""
        scores = np.empty(len(rows))
        d, n = ctypes.c_int64(items.shape[1]), ctypes.c_int64(len(rows))
        score = self._library[f"pairs_{self._suffix}"]
        if not score(_pointer(queries), _pointer(items), d, _pointer(rows), _pointer(indices), n, _pointer(scores)):
            raise MemoryError(f"{len(rows)} pairs")
        return scores


def _pointer(array: Array | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def in_whole_lines(rows: Float32) -> Float32:
    """From the start of a line of the cache on: a row of 64 factors would else lie in five lines instead of four.

    Copied only where that is so. A mapped file begins there, and rows that do not fill lines lie across them anyway.
    """
    if rows.ctypes.data % _ALIGNMENT == 0 or rows.shape[1] * rows.itemsize % _ALIGNMENT:
        return rows
    copy = _aligned(rows.size).reshape(rows.shape)
    copy[:] = rows
    return copy


def _aligned(size: int) -> Float32:
    memory = np.empty(size * 4 + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size * 4].view(np.float32)


def _padded(values: Float32, size: int) -> Float32:
    padded = _aligned(size)
    padded[: len(values)] = np.maximum(values, np.finfo(np.float32).min)  # -inf would be NaN times 0
    padded[len(values) :] = np.finfo(np.float32).min
    return padded


@cache
def available() -> dict[str, Kernel]:
    """The levels that are built and that the processor has, the best first."""
    return levels(library(Path(__file__).with_name("kernel.c")))


def levels(built: ctypes.CDLL | None) -> dict[str, Kernel]:
    """The levels of one library that the processor has."""
    if built is None:
        return {}
    return {
        name: Kernel(name, built, suffix)
        for name, (level, suffix) in _LEVELS.items()
        if level <= built.level() and hasattr(built, f"scan_{suffix}")
    }


@cache
def implementation(name: str | None = None) -> Kernel | None:
    """The level of that name, or else the one that PERSONALIZE_KERNEL names, or else the best; None is the numpy twin.

    Raises:
        ValueError: it is not built, or the processor does not have it.
    """
    wanted = name or os.environ.get(ENVIRONMENT)
    if wanted == "numpy":
        return None
    if wanted and wanted not in available():
        raise ValueError(f"There is no kernel {wanted!r}; there are {', '.join((*available(), 'numpy'))}.")
    return available()[wanted] if wanted else next(iter(available().values()), None)
