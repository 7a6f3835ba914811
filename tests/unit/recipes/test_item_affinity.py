"""Users for an item."""

from __future__ import annotations

import numpy as np

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from airflow_provider_personalize.local.scoring.selection import Masks, Selection
from tests.unit.recipes import planted

RECIPE = "aws-item-affinity"


def rows_of(items):
    return [{"itemId": item} for item in items]


def names(model, answer):
    return [[label.decode().strip('"') for label in row] for row in model.labels.rows(answer.ids)]


def test_users_of_the_item_s_group_come_first(trained):
    model = trained(RECIPE)
    found = names(model, model.answer(rows_of(planted.ITEM_IDS), planted.USERS // 2))
    own = [int(user[1:]) % 2 == item % 2 for item, users in enumerate(found) for user in users]
    assert np.mean(own) > 0.97


def test_there_are_no_scores(trained):
    assert trained(RECIPE).answer(rows_of(["i00"]), 5).scores is None


def test_an_item_without_interactions_costs_its_row(trained):
    model = trained(RECIPE)
    answer = model.answer([*rows_of(["nowhere", "i03"]), None, *rows_of(["new-0"])], 5)
    assert set(answer.errors) == {0, 3}
    assert "'nowhere' has no interactions" in answer.errors[0]
    assert "'new-0'" in answer.errors[3]
    assert [len(row) for row in names(model, answer)] == [0, 5, 0, 0]


def test_any_block_size_gives_the_same_bytes(trained):
    model = trained(RECIPE)
    rows = rows_of(planted.ITEM_IDS)
    whole = model.answer(rows, 11).ids
    for size in (1, 2, 5):
        parts = [model.answer(rows[start : start + size], 11).ids for start in range(0, len(rows), size)]
        assert np.vstack(parts).tobytes() == whole.tobytes()


def test_a_filter_leaves_out_users(trained):
    model = trained(RECIPE)
    few = Selection(masks=Masks.shared(np.arange(planted.USERS) < 5, 1))
    found = names(model, model.answer(rows_of(["i00"]), 50, few))
    assert sorted(found[0]) == planted.USER_IDS[:5]


def test_the_same_seed_gives_the_same_bytes(trained):
    again = RECIPES[RECIPE].fit(planted.datasets(), TrainingConfig(seed=3))
    assert {n: a.tobytes() for n, a in again.arrays.items()} == {
        n: a.tobytes() for n, a in trained(RECIPE).arrays.items()
    }


def test_a_block_gets_smaller_as_results_grow(trained):
    model = trained(RECIPE)
    assert model.block_rows(25) == 4096
    assert model.block_rows(5_000_000) == 4096  # there are but 60 users
    assert model.block_rows(0) == 4096
