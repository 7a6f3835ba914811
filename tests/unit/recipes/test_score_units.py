"""Shares of a softmax as the integers that are written."""

from __future__ import annotations

import numpy as np

from airflow_provider_personalize.batch.scores import UNITS_PER_ONE
from airflow_provider_personalize.local.recipes.model import score_units
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.topk import top_k


def test_an_item_that_has_the_whole_softmax_scores_one_and_never_more():
    """The normaliser is good to 1e-5, which is a hundred units."""
    random = np.random.default_rng(0)
    for length in np.linspace(20, 90, 100):
        factors = random.normal(size=(50, 8)).astype(np.float32)
        factors[0] *= 30
        query = factors[:1] * np.float32(length / np.square(factors[0]).sum())
        scores = score_units(top_k(query, Items(factors), 3, normalize=True))
        assert scores.max() <= UNITS_PER_ONE
        assert scores.sum() > 0.99 * UNITS_PER_ONE
