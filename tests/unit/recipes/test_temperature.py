"""The temperature of a softmax."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_personalize.local.recipes import temperature as module
from airflow_provider_personalize.local.recipes.temperature import fit_temperature, log_loss


def drawn(temperature, seed=0, users=400, items=200, each=40):
    """Factors, and events drawn from their softmax at a known temperature."""
    random = np.random.default_rng(seed)
    queries, catalogue = (random.normal(size=(n, 8)).astype(np.float32) for n in (users, items))
    bias = random.normal(size=items).astype(np.float32)
    scores = (queries @ catalogue.T + bias).astype(np.float64) / temperature
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    truth = np.concatenate([random.choice(items, each, p=row / row.sum()) for row in share])
    return queries, catalogue, bias, np.repeat(np.arange(users), each).astype(np.int32), truth.astype(np.int32)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_it_is_recovered_from_events_drawn_at_it(temperature):
    assert fit_temperature(*drawn(temperature), seed=0) == pytest.approx(temperature, rel=0.03)


def test_a_sample_of_users_does(monkeypatch):
    monkeypatch.setattr(module, "_LARGEST_SAMPLE", 200 * 80)
    assert fit_temperature(*drawn(2.0), seed=0) == pytest.approx(2.0, rel=0.1)


def test_without_events_scores_stay_as_they_are():
    queries, items, bias, *_ = drawn(2.0)
    nothing = np.empty(0, np.int32)
    assert fit_temperature(queries, items, bias, nothing, nothing, seed=0) == 1.0


def test_scores_that_say_nothing_are_flattened_within_bounds():
    queries, items, bias, query, _ = drawn(1.0)
    random = np.random.default_rng(1).integers(0, len(items), len(query)).astype(np.int32)
    assert 5 < fit_temperature(queries, items, bias, query, random, seed=0) <= 50.001


def test_the_fitted_temperature_has_the_least_loss():
    events = drawn(0.5)
    fitted = fit_temperature(*events, seed=0)
    losses = {t: log_loss(*events, temperature=t, seed=0) for t in (fitted, 0.8 * fitted, 1.25 * fitted, 1.0)}
    assert min(losses, key=losses.get) == fitted


def test_the_loss_is_that_of_the_softmax():
    queries, items = np.array([[1.0]], np.float32), np.array([[2.0], [0.0]], np.float32)
    event = np.zeros(1, np.int32)
    loss = log_loss(queries, items, np.zeros(2, np.float32), event, event, temperature=4.0, seed=0)
    assert loss == pytest.approx(np.log(1 + np.exp(-0.5)), abs=1e-6)
    nothing = np.empty(0, np.int32)
    assert log_loss(queries, items, np.zeros(2, np.float32), nothing, nothing, temperature=1.0, seed=0) == 0.0
