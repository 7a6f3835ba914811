"""Scores of given pairs, softmax over lists, and what a selection says of pairs."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_personalize.local.scoring import kernel, pairs
from airflow_provider_personalize.local.scoring.pairs import score_pairs, score_pairs_in_numpy, softmax_of_lists


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(params=(*kernel.available(), "numpy"))
def implementation(request, monkeypatch):
    chosen = kernel.implementation(request.param)
    monkeypatch.setattr(pairs, "implementation", lambda: chosen)


@pytest.mark.parametrize("d", [1, 7, 8, 64, 75])
def test_scores_are_products_the_same_bits_whatever_stands_beside_a_pair(rng, monkeypatch, implementation, d):
    queries, items = (rng.standard_normal((n, d)).astype(np.float32) for n in (5, 30))
    rows, indices = rng.integers(0, 5, 200), rng.integers(0, 30, 200)
    scores = score_pairs(queries, items, rows, indices)
    assert scores == pytest.approx((queries.astype(float) @ items.astype(float).T)[rows, indices])
    assert score_pairs_in_numpy(queries, items, rows, indices).tobytes() == scores.tobytes()
    monkeypatch.setattr(pairs, "_BLOCK", 20)
    assert score_pairs(queries, items, rows, indices).tobytes() == scores.tobytes()
    for n in (0, 77, 199):
        assert score_pairs(queries, items, rows[n : n + 1], indices[n : n + 1])[0] == scores[n]


def test_a_pair_that_does_not_exist_is_refused(implementation):
    ones, none, far = np.ones((3, 2), np.float32), np.zeros(1, np.int64), np.array([3])
    with pytest.raises(IndexError, match="3 to 3 of 3"):
        score_pairs(ones, ones, none, far)
    with pytest.raises(IndexError, match="-1 to -1 of 3"):
        score_pairs(ones, ones, none - 1, none)


def test_each_list_has_a_softmax_of_its_own():
    shares = softmax_of_lists(np.log([1.0, 3.0, 5.0, 2.0, 2.0, 4.0]), np.array([0, 2, 3]))
    assert shares == pytest.approx([0.25, 0.75, 1, 0.25, 0.25, 0.5])


def test_a_softmax_neither_overflows_nor_counts_what_stands_outside():
    shares = softmax_of_lists(np.array([1e4, 1e4 + np.log(3), -np.inf, -np.inf, -np.inf]), np.array([0, 3]))
    assert shares == pytest.approx([0.25, 0.75, 0, 0, 0])
    assert softmax_of_lists(np.empty(0), np.empty(0, np.int64)).shape == (0,)
