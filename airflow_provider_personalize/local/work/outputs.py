"""Output rows of recommendations, a block of them by one call of outputs.c.

Formatting number by number and joining id by id costs Python more than the scoring of a small catalogue, and it holds
its lock meanwhile. The bytes are those of :func:`airflow_provider_personalize.batch.writer.write_recommendations`,
which does the same where outputs.c was not built.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.batch.scores import UNITS_PER_ONE
from airflow_provider_personalize.batch.writer import join_rows
from airflow_provider_personalize.local.compiled import library
from airflow_provider_personalize.local.recipes.model import Labels

_LONGEST_TEXT = 128 << 20
_ROW_BYTES = len('{"input":,"output":{"recommendedItems":[],"scores":[]},"error":null}\n')
_SCORE_BYTES = len(",0.0000001")

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


class Outputs:
    """Writes output rows that point into ``labels``."""

    def __init__(self, labels: Labels) -> None:
        self._library = _library()
        self._labels = labels.in_one_text(at_most=_LONGEST_TEXT) if self._library else None

    def write(
        self, inputs: Sequence[bytes], ids: Int32, scores: Int64 | None, errors: Mapping[int, str]
    ) -> bytes | None:
        """A block of n rows; None where it cannot be: no compiler, a huge catalogue, strangers, a score beyond [0, 1].

        Args:
            inputs: of each row what stands after ``"input":``.
            ids: (n, k) positions in the labels, best first, -1 where a row has fewer.
            scores: (n, k) units of 1e-7; None for a recipe without scores.
            errors: row -> why it has no output.

        Raises:
            ValueError: the numbers of rows differ.
        """
        n, k = ids.shape
        if len(inputs) != n or (scores is not None and scores.shape != ids.shape):
            of_scores = "" if scores is None else f" and scores {scores.shape}"
            raise ValueError(f"{len(inputs)} inputs, ids {ids.shape}{of_scores} differ in rows")
        if self._library is None or self._labels is None or ids.max(initial=-1) >= len(self._labels):
            return None
        if scores is not None:
            if not 0 <= scores.min(initial=0) <= scores.max(initial=0) <= UNITS_PER_ONE:
                return None
            scores = np.ascontiguousarray(scores, np.int64)
        ids = np.ascontiguousarray(ids, np.int32)
        echoes = b"".join(inputs)
        echo_ends = np.cumsum(np.fromiter(map(len, inputs), np.int64, n))
        id_bytes = int(self._labels.lengths[ids].sum()) + ids.size  # and a comma
        score_bytes = 0 if scores is None else _SCORE_BYTES * scores.size
        out = np.empty(n * _ROW_BYTES + len(echoes) + id_bytes + score_bytes, np.uint8)
        ends = np.zeros(n + 1, np.int64)
        self._library.write_rows(
            n,
            k,
            echoes,
            echo_ends.ctypes.data,
            self._labels.text,
            self._labels.starts.ctypes.data,
            self._labels.lengths.ctypes.data,
            ids.ctypes.data,
            None if scores is None else scores.ctypes.data,
            out.ctypes.data,
            ends[1:].ctypes.data,
        )
        text = out[: ends[-1]].tobytes()
        if not errors:
            return text
        bounds = ends.tolist()
        return join_rows([text[start:end] for start, end in pairwise(bounds)], inputs, errors)


@cache
def _library() -> ctypes.CDLL | None:
    if built := library(Path(__file__).with_name("outputs.c")):
        sizes, text, array = ctypes.c_int64, ctypes.c_char_p, ctypes.c_void_p
        built.write_rows.argtypes = [sizes, sizes, text, array, text, *[array] * 6]
        built.write_rows.restype = None
    return built
