"""Masks of bits choose what candidates listed one by one choose, bit for bit."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.local.scoring import kernel, twin
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection
from airflow_provider_personalize.local.scoring.topk import top_k

IMPLEMENTATIONS = (*kernel.available(), "numpy")


def packed(masks):
    return np.packbits(masks, axis=1, bitorder="little")


def listed(masks):
    rows, items = np.nonzero(masks)
    return Csr.from_keys(rows * masks.shape[1] + items, *masks.shape)


@pytest.fixture(params=IMPLEMENTATIONS, scope="module")
def check(request):
    return partial(check_bits_and_lists, request.param)


def check_bits_and_lists(
    implementation, queries, items, k, masks, of_row, *, bias=None, selection_bias=None, excluded=None
):
    items = Items(items, bias, selection_bias, implementation=implementation)
    by_bits, by_list = (
        top_k(queries, items, k, selection=selection, normalize=True)
        for selection in (
            Selection(excluded, masks=Masks(packed(masks), of_row)),
            Selection(excluded, candidates=listed(masks[of_row])),
        )
    )
    assert by_bits.indices.tobytes() == by_list.indices.tobytes()
    assert by_bits.logits.tobytes() == by_list.logits.tobytes()
    assert by_bits.log_normalizer.tobytes() == by_list.log_normalizer.tobytes()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_small_problem(data, check):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, m, d = (data.draw(st.integers(low, high)) for low, high in ((0, 9), (1, 70), (1, 6)))
    values = data.draw(st.sampled_from([np.array([0, 1], np.float32), random.normal(size=50).astype(np.float32)]))
    masks = random.random((data.draw(st.integers(1, 4)), m)) < data.draw(st.sampled_from([0, 0.1, 0.9, 1]))
    of_row = random.integers(0, len(masks), n)
    more = {"bias": random.choice(values, m)}
    if data.draw(st.booleans()):
        more["excluded"] = listed(random.random((n, m)) < 0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twin, "ROW_TILE", 4)
        patch.setattr(twin, "ITEM_TILE", 16)
        patch.setattr(twin, "MARGIN", 3)
        check(
            random.choice(values, (n, d)),
            random.choice(values, (m, d)),
            data.draw(st.integers(0, 20)),
            masks,
            of_row,
            **more,
        )


@pytest.mark.parametrize("density", [0.001, 0.5, 1])
def test_whole_tiles(density, check):
    random = np.random.default_rng(2)
    queries, items = (random.normal(size=(size, 8)).astype(np.float32) for size in (200, 5003))
    masks = random.random((150, 5003)) < density
    check(queries, items, 25, masks, random.integers(0, 150, 200))
    check(queries, items, 25, masks, np.zeros(200, np.int64))


@pytest.mark.parametrize("values", [[0.0, 1.0], np.linspace(-1, 1, 100)], ids=["ties", "no ties"])
@pytest.mark.parametrize("k", [1, 25, 500])
def test_few_items_left_by_a_mask(k, values, check):
    random = np.random.default_rng(3)
    queries, items = (random.choice(np.array(values, np.float32), (size, 8)) for size in (40, 20_001))
    masks = random.random((40, 20_001)) < random.choice([0.0001, 0.003, 0.0075, 0.009], (40, 1))
    excluded = listed((masks & (random.random(masks.shape) < 0.3)) | (random.random(masks.shape) < 0.001))
    preferred = random.choice(np.array([-np.inf, 0, 0.5], np.float32), 20_001)
    check(queries, items, k, masks, np.arange(40))
    check(queries, items, k, masks, np.arange(40), excluded=excluded, selection_bias=preferred)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bits_behind_the_last_item_mean_nothing(implementation):
    items = Items(np.ones((1301, 3), np.float32), implementation=implementation)
    bits = packed(np.isin(np.arange(1301), [7, 1300])[None])
    bits[0, -1] |= 0b11100000
    best = top_k(np.ones((1, 3), np.float32), items, 5, selection=Selection(masks=Masks(bits, np.zeros(1, np.int64))))
    assert best.indices.tolist() == [[7, 1300, -1, -1, -1]]


def test_masks_that_do_not_fit():
    queries, items = np.ones((2, 3), np.float32), Items(np.ones((9, 3), np.float32))
    with pytest.raises(ValueError, match=r"masks of \(1,\) uint8 do not fit 9 items"):
        top_k(queries, items, 1, selection=Selection(masks=Masks(np.zeros((1, 1), np.uint8), np.zeros(2, np.int64))))
    with pytest.raises(ValueError, match="a row for each query"):
        top_k(queries, items, 1, selection=Selection(masks=Masks(np.zeros((1, 2), np.uint8), np.zeros(1, np.int64))))
    with pytest.raises(ValueError, match="not among the 1"):
        top_k(queries, items, 1, selection=Selection(masks=Masks(np.zeros((1, 2), np.uint8), np.array([0, 1]))))


class TestSelection:
    MASKS = np.array([[1, 0, 1, 0, 0, 0, 0, 0, 1, 0], [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]], np.bool_)

    def test_masks_are_part_of_what_a_row_may_have(self):
        selection = Selection(
            excluded=listed(np.eye(3, 10, dtype=np.bool_)), masks=Masks(packed(self.MASKS), np.array([0, 1, 0]))
        )
        rows, items = np.divmod(np.arange(30), 10)
        allowed = selection.allows(rows, items).reshape(3, 10)
        assert [np.flatnonzero(row).tolist() for row in allowed] == [[2, 8], [2, 3, 4, 5, 6, 7, 8, 9], [0, 8]]
        taken = selection.take(np.array([2, 2]))
        assert taken.allows(rows[:20], items[:20]).reshape(2, 10).tolist() == [allowed[2].tolist()] * 2
        scores = np.arange(10, dtype=np.float32)[:, None]
        best = top_k(np.ones((3, 1), np.float32), Items(scores), 2, selection=selection)
        assert best.indices.tolist() == [[8, 2], [9, 8], [8, 0]]

    def test_rows_are_alike_where_they_share_a_mask(self):
        assert Selection(masks=Masks(packed(self.MASKS), np.array([1, 1]))).alike
        assert not Selection(masks=Masks(packed(self.MASKS), np.array([1, 0]))).alike
        assert Selection(masks=Masks(packed(self.MASKS), np.array([], np.int64))).alike


class Apart(list):
    """Masks that nobody may put into one array: those of a block are as large as a model."""

    def __array__(self, *_, **__):
        raise AssertionError("all masks were copied")


def test_a_blocks_masks_are_never_put_into_one_array():
    mask = np.packbits(np.arange(40) % 3 == 0, bitorder="little")
    masks = Masks(Apart([mask, ~mask]), np.array([0, 1, 0]))
    random = np.random.default_rng(0)
    queries, items = (
        random.normal(size=(3, 4)).astype(np.float32),
        Items(random.normal(size=(40, 4)).astype(np.float32)),
    )
    found = top_k(queries, items, 5, selection=Selection(masks=masks)).indices
    assert ((found % 3 == 0) == [[True], [False], [True]]).all()
