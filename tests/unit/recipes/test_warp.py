"""Several WARP models as one."""

from __future__ import annotations

import time

import numpy as np
import pytest

from airflow_provider_personalize.local.recipes import TrainingConfig, TrainingError, warp
from airflow_provider_personalize.local.recipes.model import epochs_progress
from airflow_provider_personalize.local.recipes.warp import begin_warp_ensemble, training_threads

ROW, COLUMN = (np.repeat(np.arange(20), 5).astype(np.int32), np.tile(np.arange(10), 10).astype(np.int32))


def fit(dimensions, seed=1, told=None):
    config = TrainingConfig(seed=seed, progress=told and (lambda *given: told.append(given)))
    progress = epochs_progress(config, 3 * len(dimensions))
    next(progress)
    weight = np.ones(len(ROW), np.float32)
    options = {"dimensions": dimensions, "epochs": 3}
    with training_threads() as threads:
        return begin_warp_ensemble(threads, ROW, COLUMN, weight, (20, 10), config, progress, **options)()


def test_its_members_stand_side_by_side_and_differ():
    factors = fit([4, 4, 3])
    assert factors.rows.shape == (20, 11)
    assert factors.columns.shape == (10, 11)
    assert factors.column_bias.shape == (10,)
    assert not np.allclose(factors.columns[:, :4], factors.columns[:, 4:8])


def test_its_scores_are_the_sum_of_its_members():
    whole, (first, second) = fit([4, 4]), (fit([4, 4]), fit([4]))
    scores = whole.rows @ whole.columns.T + whole.column_bias
    assert np.array_equal(scores, first.rows @ first.columns.T + first.column_bias)
    assert np.array_equal(whole.columns[:, :4], second.columns)  # a member's seed does not depend on the others


def test_the_number_of_processors_does_not_show(monkeypatch):
    threads = fit([4, 4, 4])
    monkeypatch.setattr(warp, "available_cores", lambda: 1)
    alone = fit([4, 4, 4])
    assert threads.rows.tobytes() == alone.rows.tobytes()
    assert threads.column_bias.tobytes() == alone.column_bias.tobytes()


def test_every_epoch_of_every_member_is_told():
    told = [None]
    fit([4, 4], told=told)
    assert told[1:] == [(done, 6) for done in range(7)]


def test_members_that_have_not_begun_when_one_is_stopped_never_do(monkeypatch):
    monkeypatch.setattr(warp, "available_cores", lambda: 1)
    begun = []

    def member(number):
        begun.append(number)
        if number == 0:
            raise TrainingError("diverged")
        time.sleep(0.05)

    def train():
        with training_threads() as threads:
            members = [threads.submit(member, number) for number in range(40)]
            members[0].result()

    with pytest.raises(TrainingError):
        train()
    assert 0 in begun
    assert len(begun) < 20
