"""Sets of positions, and what a selection allows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection, among, distinct

numbers = st.lists(st.integers(-(2**62), 2**62) | st.integers(-3, 3), max_size=30)
sets = st.lists(st.lists(st.integers(0, 11), max_size=6), max_size=6)
places = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 11)), max_size=20)


def ints(values):
    return np.array(values, np.int64)


def csr(rows):
    """With an entry behind the last row, which belongs to none."""
    starts = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Csr(starts, np.array([*(item for row in rows for item in row), 7], np.int32))


@given(numbers, numbers)
def test_distinct_numbers_ascend_and_stand_once(some, others):
    assert distinct(ints(some)).tolist() == sorted(set(some))
    assert among(ints(others), distinct(ints(some))).tolist() == [number in some for number in others]


@given(sets, st.data())
def test_rows_are_taken_in_the_order_asked_for(rows, data):
    asked = data.draw(st.lists(st.integers(-1, len(rows) - 1), max_size=8))
    for wanted in (asked, list(range(len(rows)))):
        taken = csr(rows).take(ints(wanted))
        parts = np.split(taken.indices, taken.indptr[1:-1]) if wanted else []
        assert [part.tolist() for part in parts] == [rows[row] if row >= 0 else [] for row in wanted]
        assert len(taken.rows()) == len(taken.indices)


@given(sets.filter(bool), places)
def test_a_set_holds_what_is_in_it(rows, pairs):
    pairs = [(row % len(rows), item) for row, item in pairs]
    at, items = ints([row for row, _ in pairs]), ints([item for _, item in pairs])
    assert csr(rows).holds(at, items).tolist() == [item in rows[row] for row, item in pairs]


@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=3), st.data(), places)
def test_a_row_may_have_what_its_mask_has_and_nothing_excludes(masks, data, pairs):
    of_row = data.draw(st.lists(st.integers(0, len(masks) - 1), min_size=6, max_size=6))
    excluded = data.draw(st.lists(st.lists(st.integers(0, 11), max_size=4), min_size=6, max_size=6))
    bits = [np.packbits([item in mask for item in range(12)], bitorder="little") for mask in masks]
    selection = Selection(csr(excluded), masks=Masks(bits, ints(of_row)))
    at, items = ints([row for row, _ in pairs]), ints([item for _, item in pairs])
    expected = [item in masks[of_row[row]] and item not in excluded[row] for row, item in pairs]
    assert selection.allows(at, items).tolist() == expected


def test_a_selection_says_of_each_pair_what_it_says_of_rows():
    masks = Masks.shared(np.array([True, True, False, True]), 3)
    excluded = Csr(np.array([0, 1, 1, 3]), np.array([0, 1, 3], np.int32))
    candidates = Csr(np.array([0, 2, 3, 3]), np.array([1, 2, 0], np.int32))
    rows, items = np.divmod(np.arange(12), 4)

    def allowed(selection):
        return selection.allows(rows, items).reshape(3, 4).astype(int).tolist()

    assert allowed(Selection()) == [[1, 1, 1, 1]] * 3
    assert allowed(Selection(masks=masks)) == [[1, 1, 0, 1]] * 3
    assert allowed(Selection(excluded=excluded)) == [[0, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 0]]
    assert allowed(Selection(candidates=candidates)) == [[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert allowed(Selection(excluded, masks=masks)) == [[0, 1, 0, 1], [1, 1, 0, 1], [1, 0, 0, 0]]
    turned = Selection(excluded=excluded).take(np.array([2, 0, 0]))
    assert allowed(turned) == [[1, 0, 1, 0], [0, 1, 1, 1], [0, 1, 1, 1]]
