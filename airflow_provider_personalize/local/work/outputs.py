"""The ``output`` objects of recommendations as JSON, a block of rows at a time.

Formatting number by number and joining id by id costs more than the scoring of a small catalogue. Here each text is an
entry of a table: ids quoted once a job, scores in two parts of four and three digits. A row is then a fixed number of
entries of fixed width, put together by numpy, and the zero bytes that pad them are dropped at the end: JSON text holds
none. The bytes are those of :func:`airflow_provider_personalize.batch.writer.write_recommendations`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.batch.scores import UNITS_PER_ONE, format_score
from airflow_provider_personalize.local.recipes.model import Labels

_LONGEST_LABEL = 64
_LARGEST_TABLE = 64 << 20
_HELD_BYTES = 4 << 20  # of padded rows
_QUOTED_AT_ONCE = 1 << 16

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Texts = NDArray[np.bytes_]


class OutputTexts:
    """Writes outputs that point into ``labels``."""

    def __init__(self, labels: Labels) -> None:
        self._ids = _id_table(labels)

    def write(self, ids: Int32, scores: Int64 | None) -> list[bytes] | None:
        """(n,) output objects; None where tables do not serve: very long ids, scores beyond [0, 1], strangers.

        Args:
            ids: (n, k) positions in the labels, best first, -1 where a row has fewer.
            scores: (n, k) units of 1e-7; None for a recipe without scores.
        """
        if self._ids is None or ids.max(initial=-1) >= len(self._ids) - 1:
            return None
        if scores is not None and not 0 <= scores.min(initial=0) <= scores.max(initial=0) <= UNITS_PER_ONE:
            return None
        width = ids.shape[1] * (
            self._ids.itemsize + (0 if scores is None else sum(t.itemsize for t in _score_tables()))
        )
        step = max(1, _HELD_BYTES // max(1, width))
        parts = (slice(start, start + step) for start in range(0, len(ids), step))
        return [
            text for part in parts for text in _joined(self._ids, ids[part], None if scores is None else scores[part])
        ]


def _joined(table: Texts, ids: Int32, scores: Int64 | None) -> list[bytes]:
    n, k = ids.shape
    fields: list[tuple[str, NDArray[Any]]] = [("ids", table[ids])]  # -1 is the last entry, which is empty
    if scores is not None:
        high, low = _score_tables()
        first, rest = _score_entries(scores, ids < 0)
        pairs = np.empty((n, k), [("high", high.dtype), ("low", low.dtype)])
        pairs["high"], pairs["low"] = high[first], low[rest]
        fields.append(("scores", pairs))
    opening, between, end = b'{"recommendedItems":[', b'],"scores":[', b"]}\n"
    literals = [opening, between][: len(fields)]
    layout = [
        entry
        for literal, (name, values) in zip(literals, fields, strict=True)
        for entry in ((f"before {name}", f"S{len(literal)}"), (name, values.dtype, k))
    ]
    rows = np.empty(n, [*layout, ("end", f"S{len(end)}")])
    for literal, (name, values) in zip(literals, fields, strict=True):
        rows[f"before {name}"] = literal
        if k:
            values.view(np.uint8).reshape(n, -1)[:, 0] = 0  # the comma before the first
            rows[name] = values
    rows["end"] = end
    texts = rows.tobytes().translate(None, b"\0").split(b"\n")
    texts.pop()
    return texts


def _id_table(labels: Labels) -> Texts | None:
    """(m + 1,) the quoted ids, each after a comma, and an empty text at the end; None where they are long."""
    parts = []
    for start in range(0, len(labels), _QUOTED_AT_ONCE):
        parts.append(np.array([b"," + label for label in labels[start : start + _QUOTED_AT_ONCE]]))
        if (longest := parts[-1].itemsize) > _LONGEST_LABEL or longest * len(labels) > _LARGEST_TABLE:
            return None
    return np.concatenate([*parts, np.array([b""])])


_WHOLE, _STRIPPED, _ONE, _EMPTY = 10_000, 20_000, 30_000, 30_001


@lru_cache(maxsize=1)
def _score_tables() -> tuple[Texts, Texts]:
    """The texts of scores, each after a comma, in two parts: the second has the last three of seven decimals.

    The first part holds every score below 1e-3, then the first four decimals with and without their final zeros.
    """
    small = [format_score(units) for units in range(_WHOLE)]
    whole = [f"0.{digits:04d}" for digits in range(10_000)]
    texts = [*small, *whole, *(text.rstrip("0") for text in whole), format_score(UNITS_PER_ONE)]
    low = [f"{digits:03d}".rstrip("0").encode() for digits in range(1000)]
    return np.array([*(f",{text}".encode() for text in texts), b""]), np.array(low)


def _score_entries(scores: Int64, empty: NDArray[np.bool_]) -> tuple[Int32, Int32]:
    """Positions of each score's two parts in the tables."""
    units = scores.astype(np.int32)
    first, rest = np.divmod(units, np.int32(1000))
    first += np.where(rest > 0, np.int32(_WHOLE), np.int32(_STRIPPED))
    whole = (units < _WHOLE) | (units == UNITS_PER_ONE) | empty
    rest[whole] = 0
    first[whole] = np.where(empty, _EMPTY, np.where(units < _WHOLE, units, _ONE))[whole]
    return first, rest
