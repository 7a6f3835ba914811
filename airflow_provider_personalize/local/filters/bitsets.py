"""Sets of the catalogue as bits: what a condition on a column holds for.

A bitset is ceil(m / 8) bytes for m ids, bit ``i % 8`` of byte ``i // 8`` for the id at position i, and zeros behind the
last. What is quick is asked for often: of a text column it is known which ids have a value, of a number column the
order of the ids by their values; sets are made of that when they are first asked for, and the latest ones are held.
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from airflow_provider_personalize.batch.filter_expression import Comparator
from airflow_provider_personalize.local.datasets.dataset import distinct_ids, encode
from airflow_provider_personalize.local.datasets.schema import Field
from airflow_provider_personalize.local.scoring.selection import Csr, bit_of, distinct

Bits = NDArray[np.uint8]
Positions = NDArray[np.integer]

COMPARE: Mapping[Comparator, Callable[[Any, Any], Any]] = {
    Comparator.EQUAL: operator.eq,
    Comparator.NOT_EQUAL: operator.ne,
    Comparator.LESS: operator.lt,
    Comparator.LESS_OR_EQUAL: operator.le,
    Comparator.GREATER: operator.gt,
    Comparator.GREATER_OR_EQUAL: operator.ge,
}
_BELOW = frozenset({Comparator.LESS, Comparator.LESS_OR_EQUAL})
_ABOVE = frozenset({Comparator.GREATER, Comparator.GREATER_OR_EQUAL})
_HELD_RANGES = 128  # of 16 bytes an id
# With this many ids to a member, a set is quicker made of its members than read from the cache and joined.
_SPARSE = 64


class BitsetCache:
    """The bitsets that were used last, at most so many bytes of them."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held: OrderedDict[Hashable, Bits] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Bits]) -> Bits:
        """The set of that name, made where it is not held."""
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            return held
        made = make()  # which may ask for other sets
        self._held[key] = made
        self._bytes += made.nbytes
        while self._bytes > self._most:
            self._bytes -= self._held.popitem(last=False)[1].nbytes
        return made


@dataclass(frozen=True)
class Universe:
    """The m ids that sets are of, in byte order."""

    ids: pl.Series

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Of one set."""
        return (len(self) + 7) // 8

    @cached_property
    def nothing(self) -> Bits:
        return _constant(np.zeros(self.nbytes, np.uint8))

    @cached_property
    def everything(self) -> Bits:
        return _constant(np.packbits(np.ones(len(self), np.bool_), bitorder="little"))

    def positions(self, ids: pl.Series) -> NDArray[np.int64]:
        """Of some ids, -1 where there is none."""
        return encode(ids, self.ids).to_numpy()

    def set_of(self, positions: Positions) -> Bits:
        """Of positions in any order, repetitions allowed."""
        if len(positions) * _SPARSE <= len(self):
            bits = self.nothing.copy()
            np.bitwise_or.at(bits, positions >> 3, bit_of(positions))
            return bits
        members = np.zeros(len(self), np.bool_)
        members[positions] = True
        return np.packbits(members, bitorder="little")


def _constant(bits: Bits) -> Bits:
    bits.setflags(write=False)
    return bits


class TextColumn:
    """Which ids have a value. Of a categorical ``a|b`` both parts are values."""

    def __init__(self, universe: Universe, owners: pl.Series, values: pl.Series, field: Field) -> None:
        pairs = pl.DataFrame({"value": values, "position": universe.positions(owners)})
        pairs = pairs.filter(pl.col("position") >= 0).drop_nulls()
        if field.categorical:
            pairs = pairs.with_columns(pl.col("value").str.split("|")).explode("value")
        held = distinct_ids(pairs["value"])
        # As numbers, which sort many times as fast as texts do.
        keys = distinct(encode(pairs["value"], held).to_numpy() * len(universe) + pairs["position"].to_numpy())
        self._universe = universe
        self._values = held.to_list()  # one is looked for at a time, which polars is slow at
        self._owners = Csr.from_keys(keys, len(held), len(universe))

    def any_of(self, values: Iterable[str], cache: BitsetCache, name: Hashable) -> Bits:
        """The ids that have one of the values. What many ids have is held in the cache, under ``name`` and value."""
        few: list[Positions] = []
        many: list[Bits] = []
        for value in values:
            members = self._members(value)
            if len(members) * _SPARSE > len(self._universe):
                many.append(cache.get((name, value), partial(self._universe.set_of, members)))
            else:
                few.append(members)
        if few or not many:
            many.append(self._universe.set_of(np.concatenate([*few, np.empty(0, np.int32)])))
        return many[0] if len(many) == 1 else reduce(operator.ior, many[2:], many[0] | many[1])

    def _members(self, value: str) -> Positions:
        # Code points and UTF-8 bytes order alike.
        place = bisect_left(self._values, value)
        if place == len(self._values) or self._values[place] != value:
            return self._owners.indices[:0]
        return self._owners.indices[self._owners.indptr[place] : self._owners.indptr[place + 1]]


class NumberColumn:
    """The ids that have a number, in the order of their numbers: what a comparison holds for is a range of them.

    The sets of every so many first ids are held, so that a range is two of those, each with a few ids more or less:
    much quicker than to compare every number.
    """

    def __init__(self, universe: Universe, owners: pl.Series, values: pl.Series, field: Field) -> None:
        known = pl.DataFrame({"position": universe.positions(owners), "value": values})
        known = known.filter(pl.col("position") >= 0).drop_nulls().sort("value")
        self._numbers = known["value"].to_numpy()
        self._positions = known["position"].to_numpy()
        self._field = field
        self._step = max(1, -(-len(known) // _HELD_RANGES))
        self._held = [universe.nothing]
        for start in range(0, len(known), self._step):
            self._held.append(_toggled(self._held[-1], self._positions[start : start + self._step]))

    def compared(self, comparator: Comparator, number: int | float) -> Bits:
        """The ids whose number is less than ``number``, say; never one without a number."""
        if self._field.type in ("int", "long"):
            comparator, number = _among_integers(comparator, number)
        else:
            number = as_stored(number, self._field)
        if comparator is Comparator.NOT_EQUAL:
            return self._held[-1] ^ self.compared(Comparator.EQUAL, number)
        below, above = comparator in _BELOW, comparator in _ABOVE
        first = 0 if below else self._place(number, after=comparator is Comparator.GREATER)
        end = len(self._numbers) if above else self._place(number, after=comparator is not Comparator.LESS)
        return self._first(end) ^ self._first(first) if first else self._first(end)

    def _place(self, number: int | float, *, after: bool) -> int:
        """Where ``number`` stands among the numbers, before or after those that equal it."""
        if self._numbers.dtype.kind == "i" and not -(2**63) <= number < 2**63:
            return len(self._numbers) if number > 0 else 0  # numpy would round both to reals
        return int(np.searchsorted(self._numbers, number, "right" if after else "left"))

    def _first(self, count: int) -> Bits:
        """The ids of the ``count`` least numbers."""
        held = min((count + self._step // 2) // self._step, len(self._held) - 1)
        start = min(held * self._step, len(self._positions))
        return _toggled(self._held[held], self._positions[min(start, count) : max(start, count)])


def _toggled(bits: Bits, positions: Positions) -> Bits:
    """The set with some ids more that it does not have, or less that it has; no id stands twice in ``positions``."""
    if len(positions) == 0:
        return bits
    bits = bits.copy()
    np.bitwise_xor.at(bits, positions >> 3, bit_of(positions))
    return bits


def as_stored(number: int | float, field: Field) -> int | float:
    """``number`` as a column of reals would hold it, so that what was imported as 0.1 equals 0.1."""
    if field.type == "float":
        with np.errstate(over="ignore"):
            return float(np.float32(number))
    return float(number) if field.type == "double" else number


def _among_integers(comparator: Comparator, number: int | float) -> tuple[Comparator, int | float]:
    """A comparison that integers pass exactly when they pass the given one, without rounding them to reals."""
    if not -(2**63) <= number < 2**63:
        return comparator, number
    whole = int(number // 1)
    if whole == number:
        return comparator, whole
    # Between two integers: none equals it, and what is not above the lower one is above the number.
    same: dict[Comparator, tuple[Comparator, int]] = {
        Comparator.EQUAL: (Comparator.LESS, -(2**63)),
        Comparator.NOT_EQUAL: (Comparator.GREATER_OR_EQUAL, -(2**63)),
        Comparator.LESS: (Comparator.LESS_OR_EQUAL, whole),
        Comparator.GREATER_OR_EQUAL: (Comparator.GREATER, whole),
    }
    return same.get(comparator, (comparator, whole))
