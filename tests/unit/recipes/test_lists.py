"""What is popular, under a filter that tells rows apart, against an obvious search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.local.recipes import lists
from airflow_provider_personalize.local.recipes.lists import most_popular
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection


def obvious(popularity, rows, k, selection):
    order = sorted(range(len(popularity)), key=lambda item: (-popularity[item], item))
    found = []
    for row in rows.tolist():
        allowed = [i for i in order if selection.allows(np.array([row]), np.array([i]))[0]][:k]
        found.append(allowed + [-1] * (k - len(allowed)))
    return found


@st.composite
def selections(draw, rows, items):
    matrix = st.lists(st.lists(st.booleans(), min_size=items, max_size=items), min_size=rows, max_size=rows)

    def sets():
        held = np.array(draw(matrix), np.bool_).reshape(rows, items)
        return Csr(np.append(0, np.cumsum(held.sum(axis=1))).astype(np.int64), np.nonzero(held)[1].astype(np.int32))

    masks = excluded = candidates = None
    if draw(st.booleans()):
        bits = np.packbits(np.array(draw(matrix), np.bool_).reshape(rows, items), axis=1, bitorder="little")
        masks = Masks(bits, np.array(draw(st.permutations(range(rows))), np.int64))
    if draw(st.booleans()):
        excluded = sets()
    if draw(st.booleans()):
        candidates = sets()
    return Selection(excluded, candidates, masks)


@pytest.mark.parametrize("walked", [1, 5, 1000])
@given(st.data())
def test_each_row_gets_the_most_popular_of_what_it_may_have(walked, data):
    """Whether its items are among the few that are tried first, or have to be searched for."""
    rows, items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 20))
    popularity = np.array(data.draw(st.lists(st.integers(0, 4), min_size=items, max_size=items)), np.float32)
    selection, k = data.draw(selections(rows, items)), data.draw(st.integers(1, items))
    asked = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lists, "_WALKED", 1)
        patched.setattr(lists, "_LEAST_WALKED", walked)
        patched.setattr(lists, "_HELD_PAIRS", 3)
        found = most_popular(popularity, asked, k, selection)
    assert found.tolist() == obvious(popularity, asked, k, selection)
