"""Sets as bits, against sets as Python's."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.filter_expression import Comparator
from airflow_provider_personalize.local.datasets.schema import Field
from airflow_provider_personalize.local.filters.bitsets import (
    COMPARE,
    BitsetCache,
    NumberColumn,
    TextColumn,
    Universe,
)

IDS = [f"{number:04}" for number in range(1003)]  # ends within a byte
UNIVERSE = Universe(pl.Series(IDS))


def members(bits):
    assert len(bits) == UNIVERSE.nbytes
    unpacked = np.unpackbits(bits, bitorder="little")
    assert not unpacked[len(IDS) :].any()
    return {IDS[position] for position in np.flatnonzero(unpacked)}


@pytest.mark.parametrize("size", [0, 1, 15, 16, 400, 1003])
def test_positions_in_any_order_become_a_set(size):
    positions = np.random.default_rng(size).integers(0, len(IDS), size)
    assert members(UNIVERSE.set_of(np.concatenate([positions, positions]))) == {IDS[p] for p in positions}


def test_everything_and_nothing():
    assert members(UNIVERSE.everything) == set(IDS)
    assert members(UNIVERSE.nothing) == set()


def test_values_that_many_have_and_values_that_few_have():
    random = np.random.default_rng(1)
    cells = [
        "|".join(["common"] * (random.random() < 0.5) + [f"rare-{random.integers(200)}"])
        if random.random() < 0.9
        else None
        for _ in IDS
    ]
    column = TextColumn(
        UNIVERSE, pl.Series(["unknown", *IDS]), pl.Series(["common", *cells]), Field("TAGS", "string", categorical=True)
    )
    cache = BitsetCache(1 << 20)
    for values in (
        [],
        ["none"],
        ["common"],
        ["rare-7"],
        ["rare-1", "rare-2", "common"],
        [f"rare-{i}" for i in range(99)],
    ):
        expected = {id_ for id_, cell in zip(IDS, cells, strict=True) if cell and set(cell.split("|")) & set(values)}
        for _ in range(2):
            assert members(column.any_of(values, cache, "TAGS")) == expected


INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-2, -1, 0, 1, 2**53, 2**53 + 1])
NUMBERS = INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.5, 0.5, 1e300, 2.0**63])


@given(st.lists(INTEGERS | st.none(), min_size=1, max_size=9), NUMBERS, st.sampled_from(Comparator))
def test_integers_are_compared_exactly(values, number, comparator):
    owners = pl.Series(IDS[: len(values)])
    column = NumberColumn(UNIVERSE, owners, pl.Series(values, dtype=pl.Int64), Field("N", "long"))
    expected = {
        id_
        for id_, value in zip(owners, values, strict=True)
        if value is not None and COMPARE[comparator](value, number)
    }
    assert members(column.compared(comparator, number)) == expected


@pytest.mark.parametrize("comparator", Comparator)
def test_a_range_of_many_numbers_is_made_of_those_that_are_held(comparator):
    random = np.random.default_rng(5)
    values = [None if random.random() < 0.1 else float(random.integers(-200, 200)) for _ in IDS]
    column = NumberColumn(UNIVERSE, pl.Series(IDS), pl.Series(values, dtype=pl.Float64), Field("N", "double"))
    for number in [*range(-205, 205, 7), 0.5, -1e300, 1e300]:
        expected = {
            id_
            for id_, value in zip(IDS, values, strict=True)
            if value is not None and COMPARE[comparator](value, number)
        }
        assert members(column.compared(comparator, number)) == expected


def test_the_largest_integers_are_less_than_what_no_integer_reaches():
    column = NumberColumn(UNIVERSE, pl.Series(IDS[:1]), pl.Series([2**63 - 1]), Field("N", "long"))
    assert members(column.compared(Comparator.LESS, 2.0**63)) == {IDS[0]}
    assert members(column.compared(Comparator.EQUAL, 2.0**63)) == set()


@pytest.mark.parametrize(("kind", "dtype"), [("float", pl.Float32), ("double", pl.Float64)])
def test_reals_equal_the_text_they_were_imported_from(kind, dtype):
    column = NumberColumn(UNIVERSE, pl.Series(IDS[:3]), pl.Series([0.1, 0.2, None], dtype=dtype), Field("N", kind))
    assert members(column.compared(Comparator.EQUAL, 0.1)) == {IDS[0]}
    assert members(column.compared(Comparator.LESS, 1e300)) == {IDS[0], IDS[1]}


class TestCache:
    def test_holds_what_was_used_last_within_its_bytes(self):
        cache = BitsetCache(30)
        made = []

        def get(name):
            def make():
                made.append(name)
                return np.zeros(10, np.uint8)

            cache.get(name, make)

        for name in "abcabdacb":
            get(name)
        # d takes the place of c, and c then that of b.
        assert "".join(made) == "abcdcb"

    def test_a_set_larger_than_the_cache_is_made_all_the_same(self):
        cache = BitsetCache(5)
        assert len(cache.get("a", lambda: np.zeros(10, np.uint8))) == 10
