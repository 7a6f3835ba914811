"""The service's offline metrics, on lists whose figures can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_personalize.local.recipes.metrics import hits, ndcg, ranking_metrics, segment_metrics
from airflow_provider_personalize.local.scoring.selection import Csr


def csr(*rows):
    return Csr(np.cumsum([0, *map(len, rows)]), np.array([i for row in rows for i in row], np.int32))


def lists(*rows, width=25):
    found = np.full((len(rows), width), -1, np.int32)
    for position, row in enumerate(rows):
        found[position, : len(row)] = row
    return found


def test_the_example_of_the_developer_guide():
    """Five items, of which the second and the fifth are the relevant ones."""
    found, truth = lists([10, 11, 12, 13, 14]), csr([11, 14])
    metrics = ranking_metrics(found, truth, items=100)
    assert metrics["normalized_discounted_cumulative_gain_at_5"] == 0.6241
    assert metrics["mean_reciprocal_rank_at_25"] == 0.5
    assert metrics["precision_at_5"] == 0.4
    assert metrics["precision_at_25"] == 0.08
    assert metrics["coverage"] == 0.05


def test_users_are_averaged_and_items_counted_once():
    metrics = ranking_metrics(lists([1, 2], [2, 3], [4]), csr([1], [9], [4]), items=8)
    assert metrics["mean_reciprocal_rank_at_25"] == pytest.approx(2 / 3, abs=1e-4)
    assert metrics["precision_at_5"] == pytest.approx(2 / 15, abs=1e-4)
    assert metrics["coverage"] == 0.5


def test_the_names_are_the_service_s_in_its_order_with_four_decimals():
    metrics = ranking_metrics(lists([1, 2, 3]), csr([3, 7, 8]), items=7)
    assert list(metrics) == sorted(
        ["coverage", "mean_reciprocal_rank_at_25"]
        + [f"{name}_at_{k}" for name in ("normalized_discounted_cumulative_gain", "precision") for k in (5, 10, 25)]
    )
    assert all(value == round(value, 4) for value in metrics.values())


def test_the_ideal_has_no_more_hits_than_positions():
    relevant = np.ones((1, 5), np.bool_)
    assert ndcg(relevant, np.array([40]), 5) == pytest.approx([1.0])
    assert ndcg(relevant[:, :2], np.array([2]), 2) == pytest.approx([1.0])


def test_empty_positions_are_no_hits():
    assert hits(lists([5], width=3), csr([5, 6])).tolist() == [[True, False, False]]


def test_without_users_everything_is_zero():
    metrics = ranking_metrics(lists(), csr(), items=3)
    assert set(metrics.values()) == {0.0}


def test_event_weights_make_some_hits_worth_more():
    found, truth = lists([1, 2], [1, 2]), csr([1, 2], [1, 2])
    name = "normalized_discounted_cumulative_gain_with_event_weights_at_5"
    assert ranking_metrics(found, truth, 9, weight=np.ones(4, np.float32))[name] == 1.0
    weighted = ranking_metrics(found[:1], csr([1, 2]), 9, weight=np.array([0.5, 1.0], np.float32))[name]
    second = 1 / np.log2(3)
    assert weighted == pytest.approx((0.5 + second) / (1 + 0.5 * second), abs=1e-4)


def test_rewards_are_the_share_of_what_the_user_s_own_items_are_worth():
    reward = np.array([0.0, 1.0, 3.0, 0.0])
    metrics = ranking_metrics(lists([2], [1], [0]), csr([1, 2], [1], [3]), 4, reward=reward)
    assert metrics["average_rewards_at_k"] == pytest.approx((0.75 + 1) / 2)  # the third user's items are worth nothing


def test_segments_count_users_found():
    metrics = segment_metrics(lists([1, 2, 3], [4, 5, 6], width=3), csr([1, 3, 9], [7]), users=12)
    assert metrics == {"coverage": 0.5, "hits_at_1_percent": 1.0, "recall_at_1_percent": pytest.approx(1 / 3, abs=1e-4)}
