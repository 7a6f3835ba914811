"""How users are compared, and who chooses it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, segments, warp
from airflow_provider_personalize.local.recipes.events import Events
from airflow_provider_personalize.local.recipes.model import Labels
from tests.unit.recipes import planted

BOTH = pytest.mark.parametrize("recipe", ["aws-item-affinity", "aws-item-attribute-affinity"])


def events_of(*pairs, users=200, items=3):
    user, item = (np.array(side, np.int32) for side in zip(*sorted(pairs), strict=True))
    ids = [
        pl.Series("id", [f"{letter}{n:03d}" for n in range(count)]) for letter, count in (("u", users), ("i", items))
    ]
    return Events(*ids, user, item, np.zeros(len(user), np.int32))


def recall_at_1_percent(product, older, newest):
    return segments.measured(product, older, newest, seed=0)["recall_at_1_percent"]


class TestRecallAt1Percent:
    """Of 200 users two are the first percent; user n scores n for each item, so they are 199 and 198."""

    PRODUCT = (np.ones((3, 1), np.float32), np.arange(200, dtype=np.float32)[:, None], np.zeros(200, np.float32))

    @pytest.mark.parametrize(
        ("held_out", "recall"),
        [
            ([(199, 0)], 1.0),
            ([(197, 0)], 0.0),
            ([(199, 0), (5, 0)], 0.5),
            ([(199, 0), (198, 0), (3, 1)], 0.5),  # the mean over two items, 1 and 0
        ],
    )
    def test_it_is_the_mean_share_of_an_item_s_users_that_are_found(self, held_out, recall):
        older = events_of((0, 0), (0, 1))
        assert recall_at_1_percent(self.PRODUCT, older, events_of(*held_out)) == recall

    def test_users_who_had_the_item_before_make_place(self):
        older = events_of((199, 0), (198, 0))
        assert recall_at_1_percent(self.PRODUCT, older, events_of((197, 0))) == 1.0

    def test_an_item_that_training_never_saw_is_not_judged(self):
        newest = events_of((199, 0), (3, 2))
        assert recall_at_1_percent(self.PRODUCT, events_of((0, 0)), newest) == 1.0
        assert recall_at_1_percent(self.PRODUCT, events_of((0, 1)), newest) == 0.0


def let_win(monkeypatch, ranking):
    judged = iter([1.0, 0.0] if ranking == "transposed" else [0.0, 1.0])
    monkeypatch.setattr(segments, "measured", lambda *_: {"recall_at_1_percent": next(judged)})


@BOTH
def test_the_model_says_which_ranking_won_and_by_what(trained, recipe):
    manifest = trained(recipe).manifest
    recall = manifest["recall_at_1_percent"]
    assert set(recall) == {"transposed", "expected_activity"}
    assert manifest["ranking"] == max(recall, key=recall.get)
    assert manifest["metrics"].keys() == {"coverage", "hits_at_1_percent", "recall_at_1_percent"}
    assert manifest["metrics"]["recall_at_1_percent"] == max(recall.values())


@pytest.mark.parametrize("winner", ["transposed", "expected_activity"])
def test_either_ranking_puts_the_item_s_own_group_first(monkeypatch, winner):
    let_win(monkeypatch, winner)
    model = RECIPES["aws-item-affinity"].fit(planted.datasets(), TrainingConfig(seed=3))
    assert model.manifest["ranking"] == winner
    answer = model.answer([{"itemId": item} for item in planted.ITEM_IDS], planted.USERS // 2)
    own = [int(model.answer_ids[user][1:]) % 2 == n % 2 for n, row in enumerate(answer.ids.tolist()) for user in row]
    assert np.mean(own) > 0.95


def test_expected_activity_prefers_the_active_among_those_of_one_taste(monkeypatch):
    """Two groups; the first ten users of each have four times the items of the others."""
    let_win(monkeypatch, "expected_activity")
    rows = [
        (f"u{user:02d}", f"i{item:02d}", 100 * item + user, "click", 1.0)
        for user in range(60)
        for turn in range(40 if user < 20 else 10)
        for item in [2 * ((user + turn) % 40) + user % 2]
    ]
    model = RECIPES["aws-item-affinity"].fit(planted.datasets(rows, metadata=False), TrainingConfig(seed=3))
    answer = model.answer([{"itemId": f"i{item:02d}"} for item in range(0, 80, 7)], 10)
    active = [int(model.answer_ids[user][1:]) < 20 for row in answer.ids.tolist() for user in row]
    assert np.mean(active) > 0.8


@BOTH
def test_progress_counts_three_trainings(recipe):
    told = []
    config = TrainingConfig(progress=lambda done, total: told.append((done, total)))
    RECIPES[recipe].fit(planted.datasets(), config)
    assert told == [(done, 3 * warp.EPOCHS) for done in range(3 * warp.EPOCHS + 1)]


def test_a_long_row_of_labels_is_joined_in_pieces(monkeypatch):
    monkeypatch.setattr("airflow_provider_personalize.local.recipes.model._HELD_LABELS", 2)
    labels = Labels(pl.Series(["a", 'quo"te', "日本", ""]))
    assert labels.joined(np.array([2, 1, 3, 0, 0, -1, -1], np.int32)) == [
        '"日本","quo\\"te"'.encode(),
        b'"","a"',
        b'"a"',
    ]
    assert labels.joined(np.array([-1], np.int32)) == []
