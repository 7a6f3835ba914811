"""What rows bring to a filter: values for its placeholders, the columns of their user and of their item.

A row gives each condition that depends on it its operand: the values that ``IN`` looks for, or the number that a
column is compared with. A condition without an operand, ``()`` or None, holds for nothing: that is what a placeholder
of an EXCLUDE is that the row leaves out, and an item without the column's value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from airflow_provider_personalize.batch.filter_expression import (
    AnyValue,
    Clause,
    Condition,
    Dataset,
    Field,
    FilterExpression,
    Membership,
    Parameter,
)
from airflow_provider_personalize.batch.placeholders import FilterValuesError, Placeholders
from airflow_provider_personalize.local.datasets import schema
from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.filters.bitsets import COMPARE, as_stored
from airflow_provider_personalize.local.filters.check import column_of
from airflow_provider_personalize.local.recipes.model import Row

Operand = tuple[str, ...] | AnyValue | int | float | None


@dataclass(frozen=True)
class RowValues:
    """What a block's rows bring.

    rows: positions of the rows that can be filtered; the others are missing or in ``errors``.
    operands: condition -> its operand for each of ``rows``; conditions that are the same for every row are absent.
    applies: clause -> whether its IF holds for each of ``rows``; clauses without IF are absent.
    errors: position -> what is wrong with the row's ``filterValues``.
    """

    rows: list[int] = field(default_factory=list)
    operands: dict[Condition, Sequence[Operand]] = field(default_factory=dict)
    applies: dict[Clause, Sequence[bool]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)


class RowReader:
    """Reads rows for one expression."""

    def __init__(self, expression: FilterExpression, datasets: Datasets) -> None:
        self._schemas = datasets.schemas
        self._clauses = [clause for clause in expression.clauses if clause.user_conditions]
        conditions = dict.fromkeys(c for clause in expression.clauses for c in clause.all_conditions())
        self._with_placeholder = [c for c in conditions if isinstance(c.operand, Parameter)]
        self._of_item = {c: operand for c in conditions if isinstance(operand := c.operand, Field)}
        self._placeholders = Placeholders(expression)
        fields = dict.fromkeys(expression.fields)
        self._users = _Records(datasets.users, "USER_ID", _columns(fields, Dataset.CURRENT_USER))
        self._items = _Records(datasets.items, "ITEM_ID", _columns(fields, Dataset.CURRENT_ITEM))

    def read(self, rows: Sequence[Row]) -> RowValues:
        read = RowValues()
        present = {position: row for position, row in enumerate(rows) if row is not None}
        given = self._given(present, read)
        if read.rows:
            live = [rows[position] for position in read.rows]
            read.operands.update(zip(self._with_placeholder, zip(*given, strict=True), strict=True))
            self._read_item(live, read)
            self._read_user(live, read)
        return read

    def _given(self, present: Mapping[int, Mapping[str, Any]], read: RowValues) -> list[tuple[Operand, ...]]:
        """The operands of the conditions with placeholders, for each row that gives what they need."""
        given: list[tuple[Operand, ...]] = []
        known: dict[Hashable, tuple[Operand, ...] | FilterValuesError] = {}  # most rows give what another one gave
        for position, row in present.items():
            filter_values = row.get("filterValues") or {}
            key = tuple(filter_values.items())
            if (operands := known.get(key)) is None:
                operands = known[key] = self._given_by(filter_values)
            if isinstance(operands, FilterValuesError):
                read.errors[position] = str(operands)
            else:
                given.append(operands)
                read.rows.append(position)
        return given

    def _given_by(self, filter_values: Mapping[str, str]) -> tuple[Operand, ...] | FilterValuesError:
        """What rows with these values give, or what is wrong with the values."""
        try:
            values = self._placeholders.values(filter_values)
            return tuple(self._operand(condition, values) for condition in self._with_placeholder)
        except FilterValuesError as error:
            return error

    def _operand(self, condition: Condition, values: Mapping[str, list[str]]) -> Operand:
        parameter = condition.operand
        assert isinstance(parameter, Parameter)
        given = values.get(parameter.name)
        if isinstance(condition, Membership):
            return () if given is None else tuple(sorted(set(given)))
        return None if given is None else self._placeholders.number(parameter.name, given)

    def _read_item(self, rows: Sequence[Row], read: RowValues) -> None:
        columns = self._items.of(rows, "itemId")
        for condition, mention in self._of_item.items():
            values: Iterable[Any] = columns[mention.column]
            column = column_of(mention, self._schemas)
            if isinstance(condition, Membership):
                values = (_parts(value, column) for value in values)
            read.operands[condition] = list(values)

    def _read_user(self, rows: Sequence[Row], read: RowValues) -> None:
        columns = self._users.of(rows, "userId")
        for clause in self._clauses:
            holds = [True] * len(rows)
            for condition in clause.user_conditions:
                column = column_of(condition.field, self._schemas)
                constant = condition.operand
                operands: Iterable[Any] = read.operands.get(condition) or [constant] * len(rows)
                values = columns[condition.field.column]
                holds = [
                    before and _holds(condition, column, value, operand)
                    for before, value, operand in zip(holds, values, operands, strict=True)
                ]
            read.applies[clause] = holds


class _Records:
    """Columns of a table, looked up by id."""

    def __init__(self, table: pl.DataFrame | None, key: str, columns: Iterable[str]) -> None:
        self._key = key
        self._columns = list(columns)
        self._table = (
            None
            if table is None or not self._columns
            else table.select(
                pl.col(key).alias("id"), *(pl.col(name).alias(f"={name}") for name in self._columns)
            ).sort("id")
        )

    def of(self, rows: Sequence[Row], key: str) -> dict[str, list[Any]]:
        """Each column's value for each row, by the row's id; None where the id is unknown."""
        if self._table is None:
            return {name: [None] * len(rows) for name in self._columns}
        ids = pl.Series([None if row is None else row.get(key) for row in rows], dtype=pl.String)
        at = encode(ids, self._table["id"])
        at = pl.select(pl.when(at >= 0).then(at)).to_series()
        return {name: self._table[f"={name}"].gather(at).to_list() for name in self._columns}


def _columns(fields: Iterable[Field], dataset: Dataset) -> list[str]:
    return list(dict.fromkeys(mention.column for mention in fields if mention.dataset is dataset))


def _parts(value: str | None, column: schema.Field | None) -> tuple[str, ...]:
    """The values in a cell."""
    if value is None:
        return ()
    return tuple(sorted(set(value.split("|")))) if column is not None and column.categorical else (value,)


def _holds(condition: Condition, column: schema.Field | None, value: Any, operand: Any) -> bool:
    """Whether a condition holds for one value."""
    if isinstance(condition, Membership):
        return (not set(_parts(value, column)).isdisjoint(operand)) != condition.negated
    if value is None or operand is None or column is None:
        return False
    return bool(COMPARE[condition.comparator](value, as_stored(operand, column)))
