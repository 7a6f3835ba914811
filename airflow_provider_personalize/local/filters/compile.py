"""Evaluate a filter over the datasets, block by block.

What a clause on columns holds for is a set of the catalogue, shared by all rows that compare with the same values. A
clause on a user's own interactions holds for a few items of each row, or for all but a few. So a row's answer is a mask
that many rows share, corrected at the items that its own user touched.

What the service leaves open is decided so: ``NOT IN`` holds for every item that ``IN`` does not hold for, items without
a value among them; no comparison holds for an item without a value; of an ``a|b`` value any part may match; a user or
an item that is not known has no values and no interactions; where an INCLUDE's IF fails, that INCLUDE is as if it were
not there, so that without any left everything is included.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain, repeat
from threading import Lock
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.batch.filter_expression import (
    Action,
    AnyValue,
    Clause,
    Comparison,
    Condition,
    Dataset,
    Field,
    FilterExpression,
    Membership,
    Parameter,
    Subject,
)
from airflow_provider_personalize.local.datasets.dataset import Datasets, encode
from airflow_provider_personalize.local.filters.bitsets import Bits, BitsetCache, NumberColumn, TextColumn, Universe
from airflow_provider_personalize.local.filters.check import check_filter, check_recipe, column_of
from airflow_provider_personalize.local.filters.histories import Histories
from airflow_provider_personalize.local.filters.row_values import Operand, RowReader, RowValues
from airflow_provider_personalize.local.recipes.model import Model, Row
from airflow_provider_personalize.local.scoring.selection import (
    EVERYTHING,
    Csr,
    Masks,
    Selection,
    bit_of,
    distinct,
    grouped,
)

T = TypeVar("T")
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
# What a clause compares with at one row: the operands of its conditions that depend on the row. None: its IF fails.
Key = tuple[Operand, ...] | None

# The service looks at this many of a user's latest events of each type.
RECENT_EVENTS = 100
CACHE_BYTES = 128 << 20
_BLOCK_BYTES = 64 << 20  # the masks of one block
_LARGEST_BLOCK = 4096
_NOTHING = 0  # the number of the empty mask in every block


def compile_filter(
    expression: FilterExpression,
    datasets: Datasets,
    model: Model,
    recent_events: int = RECENT_EVENTS,
    cache_bytes: int = CACHE_BYTES,
) -> Filter:
    """Prepare ``expression`` for what ``model`` answers with.

    Args:
        recent_events: how many of a user's latest events of each type are seen.
        cache_bytes: of sets that are held from block to block.

    Raises:
        FilterSyntaxError: as ``check_filter``.
        UnsupportedFilterError: as ``check_recipe``.
    """
    check_filter(expression, datasets.schemas)
    check_recipe(expression, model.recipe)
    universe = Universe(model.answer_ids)
    histories = Histories(datasets.interactions, universe, recent_events)
    own = [c for c in expression.clauses if c.dataset is Dataset.INTERACTIONS and c.subject is Subject.ITEM_ID]
    others = [c for c in expression.clauses if c not in own]
    return Filter(
        universe,
        RowReader(expression, datasets),
        _SharedClauses(others, datasets, universe, histories, BitsetCache(cache_bytes)),
        _OwnClauses(own, universe, histories),
    )


class Filter:
    """What rows may be answered with."""

    def __init__(self, universe: Universe, reader: RowReader, shared: _SharedClauses, own: _OwnClauses) -> None:
        self._universe = universe
        self._reader = reader
        self._shared = shared
        self._own = own
        self._turn = Lock()

    @property
    def block_rows(self) -> int:
        """The most rows to filter at once, so that their masks stay small."""
        one_each = self._shared.vary or self._own.includes
        return max(1, _BLOCK_BYTES // max(1, self._universe.nbytes)) if one_each else _LARGEST_BLOCK

    def select(self, rows: Sequence[Row]) -> tuple[Selection, dict[int, str]]:
        """The selection of a block of input rows, and for some rows why they cannot be filtered.

        Those rows, and the ones that are None, must not be answered: their part of the selection means nothing.
        Threads take turns. What is made once is made by the first, and the others may score meanwhile; two that
        evaluate at a time would pass Python's lock to and fro, at more than twice the time.
        """
        with self._turn:
            return self._selected(rows)

    def _selected(self, rows: Sequence[Row]) -> tuple[Selection, dict[int, str]]:
        values = self._reader.read(rows)
        if not values.rows:
            return EVERYTHING, values.errors
        masks = _BlockMasks([self._universe.nothing])
        shared = self._shared.masks(values, masks, self._own.includes)
        own = self._own.evaluated(values, rows)
        # The mask of a row where its own INCLUDEs do not hold; where they do it is the free one.
        without = np.where(shared.kept >= 0, shared.kept, np.where(own.includes, _NOTHING, shared.free))
        usual = np.where(own.excluded_elsewhere, _NOTHING, np.where(own.included_elsewhere, shared.free, without))
        usually = left = masks.hold(usual[own.rows], own.items)
        if own.includes.any() or own.excluded_elsewhere.any():
            left = masks.hold(np.where(own.included, shared.free[own.rows], without[own.rows]), own.items)
        left = left & ~own.excluded
        added, removed = left & ~usually, usually & ~left
        live = np.array(values.rows)
        if not usual.any():
            return Selection(candidates=self._sets(live, own, added, len(rows))), values.errors
        numbers = masks.with_added(usual, own.rows[added], own.items[added])
        # Rows that are not live get a mask that makes the block no more varied.
        of_row = np.full(len(rows), numbers[0])
        of_row[live] = numbers
        excluded = self._sets(live, own, removed, len(rows)) if removed.any() else None
        selection = Selection(excluded=excluded, masks=Masks(masks, of_row))
        # Recipes answer rows that are alike once, so it is told where nothing is restricted.
        if (numbers == numbers[0]).all() and np.array_equal(masks[numbers[0]], self._universe.everything):
            selection = Selection(excluded=excluded)
        return selection, values.errors

    def _sets(self, live: Ints, own: _Own, which: Bools, n: int) -> Csr:
        """Some of the pairs as sets of the n rows of a block."""
        keys = live[own.rows[which]] * len(self._universe) + own.items[which]
        keys.sort()
        return Csr.from_keys(keys, n, len(self._universe))


class _BlockMasks(list[Bits]):
    """The masks of a block; the first is empty. None is written to: the cache holds them too."""

    def hold(self, numbers: Ints, items: Ints) -> Bools:
        """(pairs,) whether each pair's mask has its item."""
        return Masks(self, numbers).holds(np.arange(len(items)), items)

    def with_added(self, numbers: Ints, rows: Ints, items: Ints) -> Ints:
        """The mask of each row, where some rows get items that theirs lacks: these have one of their own.

        Args:
            numbers: (k,) the mask of each row.
            rows, items: (pairs,) what is added.
        """
        numbers = numbers.copy()
        for row, pairs in grouped(rows):
            mask, own = self[numbers[row]].copy(), items[pairs]
            np.bitwise_or.at(mask, own >> 3, bit_of(own))
            numbers[row] = len(self)
            self.append(mask)
        return numbers


@dataclass(frozen=True)
class _SharedMasks:
    """Numbers of masks for k rows.

    free: what no EXCLUDE holds for. kept: the part of it that an INCLUDE holds for; -1 where no INCLUDE applies.
    """

    free: Ints
    kept: Ints


class _SharedClauses:
    """The clauses that hold for the same ids at every row with the same values."""

    def __init__(
        self,
        clauses: Sequence[Clause],
        datasets: Datasets,
        universe: Universe,
        histories: Histories,
        cache: BitsetCache,
    ) -> None:
        self._clauses = clauses
        self._datasets = datasets
        self._universe = universe
        self._histories = histories
        self._cache = cache
        fields = dict.fromkeys(condition.field for clause in clauses for condition in _conditions(clause))
        self._columns = {field: self._column(field) for field in fields if field.dataset is not Dataset.INTERACTIONS}

    @property
    def vary(self) -> bool:
        """Whether there may be a mask of its own for each row."""
        return any(map(_varying, self._clauses))

    def masks(self, values: RowValues, masks: _BlockMasks, both: bool) -> _SharedMasks:
        """Add the masks of a block's rows to ``masks``. ``both``: free ones also where there are kept ones."""
        index, keys = _distinct_keys(self._clauses, values)
        free, kept = np.zeros(len(keys), np.int64), np.full(len(keys), -1)
        for number, key in enumerate(keys):
            if any(_applying(self._clauses, key, Action.INCLUDE)):
                kept[number] = len(masks)
                masks.append(self._cache.get(("kept", key), partial(self._kept, key)))
            if both or kept[number] < 0:
                free[number] = len(masks)
                masks.append(self._free(key))
        return _SharedMasks(free[index], kept[index])

    def _kept(self, key: tuple[Key, ...]) -> Bits:
        included, free = self._union(key, Action.INCLUDE), self._free(key)
        return included if free is self._universe.everything else included & free

    def _free(self, key: tuple[Key, ...]) -> Bits:
        """Depends on the EXCLUDEs alone, and is held for as many keys as differ in them."""
        excluding = tuple(
            operands for clause, operands in zip(self._clauses, key, strict=True) if clause.action is Action.EXCLUDE
        )
        if not any(operands is not None for operands in excluding):
            return self._universe.everything
        return self._cache.get(
            ("free", excluding), lambda: self._universe.everything ^ self._union(key, Action.EXCLUDE)
        )

    def _union(self, key: tuple[Key, ...], action: Action) -> Bits:
        clauses = _applying(self._clauses, key, action)
        sets = {}
        for clause, operands in clauses:
            for condition in _conditions(clause):
                sets[condition] = self._set(condition, operands)
        return _any(clauses, sets, self._universe.nothing)

    def _set(self, condition: Condition, operands: Mapping[Condition, Operand]) -> Bits:
        if condition in operands:
            return self._evaluated(condition, operands[condition])
        constant = condition.operand
        assert not isinstance(constant, Parameter | Field)
        return self._cache.get(condition, partial(self._evaluated, condition, constant))

    def _evaluated(self, condition: Condition, operand: Operand) -> Bits:
        if isinstance(condition, Comparison):
            column = self._columns[condition.field]
            if operand is None or not isinstance(column, NumberColumn):
                return self._universe.nothing
            assert isinstance(operand, int | float)
            return column.compared(condition.comparator, operand)
        held = self._members(condition.field, operand)
        return self._universe.everything ^ held if condition.negated else held

    def _members(self, field: Field, values: Operand) -> Bits:
        assert isinstance(values, tuple | AnyValue)
        if field.dataset is Dataset.INTERACTIONS:  # of UserID: the users with such events
            positions = self._universe.positions(self._histories.with_events(values))
            return self._universe.set_of(positions[positions >= 0])
        column = self._columns[field]
        if isinstance(column, TextColumn) and isinstance(values, tuple):
            return column.any_of(values, self._cache, field.column)
        return self._universe.nothing

    def _column(self, field: Field) -> TextColumn | NumberColumn | None:
        """None for a dataset that has a schema and no records: no id has a value."""
        table, key = {
            Dataset.ITEMS: (self._datasets.items, "ITEM_ID"),
            Dataset.USERS: (self._datasets.users, "USER_ID"),
        }[field.dataset]
        column = column_of(field, self._datasets.schemas)
        if table is None or column is None:
            return None
        kind = NumberColumn if column.numeric else TextColumn
        return kind(self._universe, table[key], table[field.column], column)


@dataclass(frozen=True)
class _Own:
    """What clauses on own interactions say of k rows: at e pairs of a row and an item, and elsewhere.

    includes: (k,) whether an INCLUDE applies. included_elsewhere, excluded_elsewhere: (k,) what holds for all items
    that are in no pair. rows, items, included, excluded: (e,) the pairs, and what holds for them.
    """

    includes: Bools
    included_elsewhere: Bools
    excluded_elsewhere: Bools
    rows: Ints
    items: Ints
    included: Bools
    excluded: Bools


class _OwnClauses:
    """The clauses on what the row's own user did."""

    def __init__(self, clauses: Sequence[Clause], universe: Universe, histories: Histories) -> None:
        self.clauses = clauses
        self._universe = universe
        self._histories = histories

    @property
    def includes(self) -> bool:
        """Whether there is an INCLUDE among them."""
        return any(clause.action is Action.INCLUDE for clause in self.clauses)

    def evaluated(self, values: RowValues, rows: Sequence[Row]) -> _Own:
        includes, included_elsewhere, excluded_elsewhere = np.zeros((3, len(values.rows)), np.bool_)
        pairs, included, excluded = [np.empty(0, np.int64)], [np.empty(0, np.bool_)], [np.empty(0, np.bool_)]
        if self.clauses:
            users = self._users([rows[position] for position in values.rows])
            index, keys = _distinct_keys(self.clauses, values)
            for number, key in enumerate(keys):
                mine = np.flatnonzero(index == number)
                touched, there, elsewhere = self._of_rows(mine, users[mine], key)
                including, excluding = (_applying(self.clauses, key, action) for action in Action)
                includes[mine] = bool(including)
                included_elsewhere[mine] = _any(including, elsewhere, False)
                excluded_elsewhere[mine] = _any(excluding, elsewhere, False)
                pairs.append(touched)
                included.append(_any(including, there, np.zeros(len(touched), np.bool_)))
                excluded.append(_any(excluding, there, np.zeros(len(touched), np.bool_)))
        row, item = np.divmod(np.concatenate(pairs), max(len(self._universe), 1))
        return _Own(
            includes,
            included_elsewhere,
            excluded_elsewhere,
            row,
            item,
            np.concatenate(included),
            np.concatenate(excluded),
        )

    def _users(self, rows: Sequence[Row]) -> Ints:
        ids = pl.Series([None if row is None else row.get("userId") for row in rows], dtype=pl.String)
        return encode(ids, self._histories.users).to_numpy()

    def _of_rows(
        self, rows: Ints, users: Ints, key: tuple[Key, ...]
    ) -> tuple[Ints, dict[Condition, Bools], dict[Condition, bool]]:
        """(pairs ``row * m + item`` that a condition is about, whether each condition holds there, and elsewhere)."""
        sets: dict[Condition, Ints] = {}
        for action in Action:
            for clause, operands in _applying(self.clauses, key, action):
                for condition in _conditions(clause):
                    types = operands.get(condition, condition.operand)
                    assert isinstance(types, tuple | AnyValue)
                    items = self._histories.items_of(types).take(users)
                    sets[condition] = rows[items.rows()] * len(self._universe) + items.indices
        touched = (
            distinct(np.concatenate(list(sets.values()))) if len(sets) > 1 else next(iter(sets.values()), rows[:0])
        )
        there, elsewhere = {}, {}
        for condition, held in sets.items():
            negated = isinstance(condition, Membership) and condition.negated
            there[condition] = np.full(len(touched), negated)
            there[condition][slice(None) if held is touched else np.searchsorted(touched, held)] = not negated
            elsewhere[condition] = negated
        return touched, there, elsewhere


def _conditions(clause: Clause) -> Iterable[Condition]:
    """Those of WHERE."""
    return chain.from_iterable(clause.conditions)


def _varying(clause: Clause) -> list[Condition]:
    """The conditions whose operand is the row's to give."""
    return [c for c in dict.fromkeys(_conditions(clause)) if isinstance(c.operand, Parameter | Field)]


def _distinct_keys(clauses: Sequence[Clause], values: RowValues) -> tuple[Ints, list[tuple[Key, ...]]]:
    """(the number of each row's key, the keys by number); a key is what each clause compares with at a row."""
    n = len(values.rows)
    if not any(_varying(clause) or clause in values.applies for clause in clauses):
        return np.zeros(n, np.int64), [((),) * len(clauses)]

    def of(clause: Clause) -> Iterable[Key]:
        varying = [values.operands[condition] for condition in _varying(clause)]
        keys = zip(*varying, strict=True) if varying else repeat((), n)
        if (applies := values.applies.get(clause)) is None:
            return keys
        return (key if holds else None for key, holds in zip(keys, applies, strict=True))

    numbers: dict[tuple[Key, ...], int] = {}
    index = np.fromiter(
        (numbers.setdefault(key, len(numbers)) for key in zip(*map(of, clauses), strict=True)), np.int64
    )
    return index, list(numbers)


def _applying(
    clauses: Sequence[Clause], key: tuple[Key, ...], action: Action
) -> list[tuple[Clause, Mapping[Condition, Operand]]]:
    """The clauses of an action whose IF holds, each with the operands of its conditions that vary."""
    return [
        (clause, dict(zip(_varying(clause), operands, strict=True)))
        for clause, operands in zip(clauses, key, strict=True)
        if clause.action is action and operands is not None
    ]


def _any(clauses: Iterable[tuple[Clause, object]], holds: Mapping[Condition, T], none: T) -> T:
    """Where any of the clauses holds, given where each condition does. AND binds tighter than OR."""
    all_of = [
        reduce(operator.and_, map(holds.__getitem__, group)) for clause, _ in clauses for group in clause.conditions
    ]
    return reduce(operator.or_, all_of) if all_of else none
