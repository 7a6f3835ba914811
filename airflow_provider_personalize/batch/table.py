"""Output rows as rows of a table: one for each result, in blocks of columns.

=======================================  ============================================================================
recipes                                  columns after ``run_key``
=======================================  ============================================================================
for users, and rankings                  ``user_id``, ``rank``, ``item_id``, ``score``
for items                                ``item_id``, ``rank``, ``similar_item_id``, ``score``
the same with themes                     ``item_id``, ``rank``, ``similar_item_id``, ``score``, ``theme``
``aws-item-affinity``                    ``item_id``, ``rank``, ``user_id``
``aws-item-attribute-affinity``          ``item_attributes``, ``rank``, ``user_id``
=======================================  ============================================================================

``filter_values`` follows for a job with a filter: the row's ``filterValues`` as JSON text, without which two rows of
one user could not be told apart. ``rank`` counts from 1. ``score`` is null for recipes without scores; with a theme it
is the relevance to the theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_personalize.batch.digests import canonical
from airflow_provider_personalize.batch.output import OutputRow
from airflow_provider_personalize.batch.recipes import ROW_FORMATS, JobKind
from airflow_provider_personalize.batch.rows import ATTRIBUTE_ROWS, ITEM_ROWS

RUN_KEY = "run_key"
_BLOCK_ROWS = 20_000


class ColumnType(Enum):
    TEXT = "text"
    LONG_TEXT = "long text"
    INTEGER = "integer"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class TableShape:
    """The columns of one kind of job. ``member``: the member of a row's input that stands in ``key``."""

    member: str
    key: str
    result: str
    has_score: bool = True
    has_theme: bool = False
    has_filter_values: bool = False

    @property
    def columns(self) -> dict[str, ColumnType]:
        """Name -> type, in order; `RUN_KEY` first."""
        wide = self.member == "itemAttributes"
        columns = {
            RUN_KEY: ColumnType.TEXT,
            self.key: ColumnType.LONG_TEXT if wide else ColumnType.TEXT,
            "rank": ColumnType.INTEGER,
            self.result: ColumnType.TEXT,
        }
        if self.has_score:
            columns["score"] = ColumnType.NUMBER
        if self.has_theme:
            columns["theme"] = ColumnType.TEXT
        if self.has_filter_values:
            columns["filter_values"] = ColumnType.LONG_TEXT
        return columns


def table_shape(recipe: str, kind: JobKind, *, filtered: bool = False) -> TableShape:
    """``recipe`` is one of ``ROW_FORMATS``; ``filtered``: the job has a filter."""
    rows = ROW_FORMATS[recipe]
    if rows is ATTRIBUTE_ROWS:
        return TableShape("itemAttributes", "item_attributes", "user_id", False, False, filtered)
    if rows is ITEM_ROWS:
        if kind is JobKind.SEGMENT:
            return TableShape("itemId", "item_id", "user_id", False, False, filtered)
        return TableShape("itemId", "item_id", "similar_item_id", True, kind is JobKind.THEMES, filtered)
    return TableShape("userId", "user_id", "item_id", True, False, filtered)


@dataclass(slots=True)
class Exploded:
    """What `explode` has read so far."""

    rows: int = 0
    """Output rows that gave at least one table row."""
    table_rows: int = 0
    failed_rows: int = 0
    """Output rows with an ``error``; they give none."""
    empty_rows: int = 0
    """Answered with no result at all."""


def explode(
    rows: Iterable[OutputRow], shape: TableShape, run_key: str, counts: Exploded, *, block_rows: int = _BLOCK_ROWS
) -> Iterator[list[list[Any]]]:
    """Blocks of columns, in the shape's order, each of fewer than twice ``block_rows`` rows; fills ``counts``."""
    block: list[list[Any]] = [[] for _ in shape.columns]
    for row in rows:
        if row.error is not None:
            counts.failed_rows += 1
            continue
        if not row.ids:
            counts.empty_rows += 1
            continue
        counts.rows += 1
        counts.table_rows += len(row.ids)
        # A segment may have millions of users, which are no block.
        for start in range(0, len(row.ids), block_rows):
            values = _columns_of(row, shape, run_key, start, start + block_rows)
            for column, more in zip(block, values, strict=True):
                column.extend(more)
            if len(block[0]) >= block_rows:
                yield block
                block = [[] for _ in shape.columns]
    if block[0]:
        yield block


def _columns_of(row: OutputRow, shape: TableShape, run_key: str, start: int, end: int) -> list[list[Any]]:
    ids = list(row.ids[start:end])
    count = len(ids)
    given: Mapping[str, Any] = row.input if isinstance(row.input, Mapping) else {}
    columns: list[list[Any]] = [
        [run_key] * count,
        [given.get(shape.member)] * count,
        list(range(start + 1, start + 1 + count)),
        ids,
    ]
    if shape.has_score:
        scores = list((row.theme_scores or row.scores or ())[start:end])
        columns.append(scores + [None] * (count - len(scores)))
    if shape.has_theme:
        columns.append([row.theme] * count)
    if shape.has_filter_values:
        values = given.get("filterValues")
        columns.append([canonical(values).decode() if values else None] * count)
    return columns
