"""Evaluate a filter over the datasets, once for a job.

A condition on Items (or, for segments, on users) is a mask over the catalogue. A condition on a user's own interactions
is a set of items a user, which a block of rows takes its users' part of.

What the service leaves open is decided so: ``NOT IN`` holds for every item that ``IN`` does not hold for, items without
a value among them; no comparison holds for an item without a value; of an ``a|b`` value any part may match.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.batch.filter_expression import (
    Action,
    AnyValue,
    Clause,
    Comparator,
    Comparison,
    Condition,
    Dataset,
    FilterExpression,
    Membership,
    Subject,
)
from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.filters.check import UnsupportedFilterError, check_filter
from airflow_provider_personalize.local.recipes.model import Model, Row
from airflow_provider_personalize.local.scoring.selection import Csr, Selection

Mask = NDArray[np.bool_]
T = TypeVar("T")

# The service looks at this many of a user's latest events of each type.
RECENT_EVENTS = 100

_SUBJECTS = {"items": Subject.ITEM_ID, "users": Subject.USER_ID}
_KEYS = {Dataset.ITEMS: "ITEM_ID", Dataset.USERS: "USER_ID"}
_COMPARE: Mapping[Comparator, Callable[[Any, Any], Any]] = {
    Comparator.EQUAL: operator.eq,
    Comparator.NOT_EQUAL: operator.ne,
    Comparator.LESS: operator.lt,
    Comparator.LESS_OR_EQUAL: operator.le,
    Comparator.GREATER: operator.gt,
    Comparator.GREATER_OR_EQUAL: operator.ge,
}


@dataclass(frozen=True)
class Filter:
    """What each user may be answered with. ``users``: ids in byte order, one row of the selection's sets each."""

    users: pl.Series
    selection: Selection

    def select(self, rows: Sequence[Row]) -> Selection:
        """The selection of a block of input rows; a user without interactions has empty sets."""
        if self.selection.excluded is None and self.selection.candidates is None and self.selection.also is None:
            return self.selection
        ids = pl.Series([None if row is None else row.get("userId") for row in rows], dtype=pl.String)
        return self.selection.take(encode(ids, self.users).to_numpy())


def compile_filter(
    expression: FilterExpression, datasets: Datasets, model: Model, recent_events: int = RECENT_EVENTS
) -> Filter:
    """Evaluate ``expression`` for what ``model`` answers with.

    Args:
        recent_events: how many of a user's latest events of each type are seen.

    Raises:
        UnsupportedFilterError, FilterSyntaxError: as ``check_filter``; or the filter is on another id than answers are.
    """
    check_filter(expression, datasets.schemas)
    subject = _SUBJECTS[model.answers_with]
    for clause in expression.clauses:
        if clause.subject is not subject:
            raise UnsupportedFilterError(
                f"The filter is on {clause.subject.value}; {model.recipe} answers with {model.answers_with} "
                f"and takes one on {subject.value}."
            )
    compiler = _Compiler(datasets, model.answer_ids, recent_events)
    own, general = _by_scope(expression.clauses)
    return Filter(
        compiler.users,
        _combine(
            len(model.answer_ids),
            len(compiler.users),
            compiler.masks(general, Action.INCLUDE),
            compiler.masks(general, Action.EXCLUDE),
            compiler.sets(own, Action.INCLUDE),
            compiler.sets(own, Action.EXCLUDE),
        ),
    )


def _by_scope(clauses: Iterable[Clause]) -> tuple[list[Clause], list[Clause]]:
    """Clauses on the interactions of the row's own user, and those that mean the same for every row."""
    own = [c for c in clauses if c.dataset is Dataset.INTERACTIONS and c.subject is Subject.ITEM_ID]
    return own, [c for c in clauses if c not in own]


@dataclass(frozen=True)
class _Sets:
    """A set of items a user: sorted keys ``user * items + item``, or all but those."""

    keys: NDArray[np.int64]
    inverted: bool = False

    def __invert__(self) -> _Sets:
        return _Sets(self.keys, not self.inverted)

    def __and__(self, other: _Sets) -> _Sets:
        if self.inverted and other.inverted:
            return _Sets(np.union1d(self.keys, other.keys), True)
        if self.inverted or other.inverted:
            kept, dropped = (other, self) if self.inverted else (self, other)
            return _Sets(np.setdiff1d(kept.keys, dropped.keys, assume_unique=True))
        return _Sets(np.intersect1d(self.keys, other.keys, assume_unique=True))

    def __or__(self, other: _Sets) -> _Sets:
        return ~(~self & ~other)


_NOTHING = _Sets(np.empty(0, np.int64))


def _combine(
    items: int, users: int, included: Mask | None, excluded: Mask | None, own: _Sets | None, not_own: _Sets | None
) -> Selection:
    """(included or own) and not (excluded or not_own); everything is included where nothing is said of it."""
    free = np.ones(items, np.bool_) if excluded is None else ~excluded
    left = ~(not_own or _NOTHING)

    def selection(mask: Mask, sets: _Sets, also: Selection | None = None) -> Selection:
        bias = None if mask.all() else np.where(mask, 0, -np.inf).astype(np.float32)
        if sets.inverted and not len(sets.keys):
            return Selection(bias, also=also)
        csr = Csr.from_keys(sets.keys, users, items)
        return Selection(bias, csr, None, also) if sets.inverted else Selection(bias, None, csr, also)

    if own is None:
        return selection(free if included is None else included & free, left)
    if included is None:
        return selection(free, own & left)
    return selection(included & free, left, selection(free, own & left))


class _Compiler:
    """Conditions -> masks and sets."""

    def __init__(self, datasets: Datasets, ids: pl.Series, recent_events: int) -> None:
        self._datasets = datasets
        self._ids = ids
        self._recent = recent_events
        self.users = datasets.interactions["USER_ID"].unique().sort()
        self._events: pl.DataFrame | None = None

    def masks(self, clauses: Iterable[Clause], action: Action) -> Mask | None:
        """What any of the clauses with that action holds for; None without such a clause."""
        found = [_evaluate(clause, self._mask) for clause in clauses if clause.action is action]
        return reduce(operator.or_, found) if found else None

    def sets(self, clauses: Iterable[Clause], action: Action) -> _Sets | None:
        found = [_evaluate(clause, self._set) for clause in clauses if clause.action is action]
        return reduce(operator.or_, found) if found else None

    def _mask(self, condition: Condition) -> Mask:
        if condition.field.dataset is Dataset.INTERACTIONS:
            assert isinstance(condition, Membership)
            seen = encode(self._of_types(condition)["USER_ID"], self._ids)
            return self._at(seen) ^ condition.negated
        table = self._datasets.items if condition.field.dataset is Dataset.ITEMS else self._datasets.users
        if table is None:  # a dataset that has a schema but no import yet: nothing has a value
            return np.full(len(self._ids), isinstance(condition, Membership) and condition.negated)
        column = table[condition.field.column]
        holds = self._holds(condition, column)
        mask = self._at(encode(table[_KEYS[condition.field.dataset]].filter(holds), self._ids))
        return mask ^ (isinstance(condition, Membership) and condition.negated)

    def _holds(self, condition: Condition, column: pl.Series) -> pl.Series:
        if isinstance(condition, Comparison):
            return pl.Series(_COMPARE[condition.comparator](column, condition.value)).fill_null(False)
        assert isinstance(condition.values, tuple)
        schema = self._datasets.schemas[condition.field.dataset.value.upper()]
        field = schema.find(condition.field.column)
        if field is not None and field.categorical:
            values = pl.Series(condition.values, dtype=pl.String)
            parts = pl.DataFrame(
                {"row": pl.int_range(len(column), eager=True), "value": column.str.split("|")}
            ).explode("value")
            rows = parts.filter(pl.col("value").is_in(values.implode()))["row"].unique().to_numpy()
            holds = np.zeros(len(column), np.bool_)
            holds[rows] = True
            return pl.Series(holds)
        return column.is_in(list(condition.values)).fill_null(False)

    def _at(self, positions: pl.Series) -> Mask:
        mask = np.zeros(len(self._ids), np.bool_)
        mask[positions.filter(positions >= 0).to_numpy()] = True
        return mask

    def _set(self, condition: Condition) -> _Sets:
        assert isinstance(condition, Membership)
        events = self._of_types(condition)
        user = encode(events["USER_ID"], self.users).to_numpy()
        item = encode(events["ITEM_ID"], self._ids).to_numpy()
        keys = np.unique((user * len(self._ids) + item)[item >= 0])
        return _Sets(keys, condition.negated)

    def _of_types(self, condition: Membership) -> pl.DataFrame:
        """The latest events of the condition's types, whatever its sign."""
        if self._events is None:
            by_user_and_type = pl.int_range(pl.len()).over("USER_ID", "EVENT_TYPE")
            self._events = (
                self._datasets.interactions.select(
                    "USER_ID", "ITEM_ID", "TIMESTAMP", pl.col("EVENT_TYPE").str.to_lowercase()
                )
                .with_row_index()
                .sort("TIMESTAMP", "index", descending=True)
                .filter(by_user_and_type < self._recent)
            )
        if isinstance(condition.values, AnyValue):
            return self._events
        assert isinstance(condition.values, tuple)
        return self._events.filter(pl.col("EVENT_TYPE").is_in([value.lower() for value in condition.values]))


def _evaluate(clause: Clause, evaluate: Callable[[Condition], T]) -> T:
    """AND binds tighter than OR."""
    return reduce(operator.or_, (reduce(operator.and_, map(evaluate, group)) for group in clause.conditions))
