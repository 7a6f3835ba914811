"""A user's factors from her history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from airflow_provider_personalize.local.recipes.events import Histories
from airflow_provider_personalize.local.recipes.fold_in import FoldIn, fit_fold_in
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from tests.unit.recipes import planted

V1, V2 = "aws-user-personalization", "aws-user-personalization-v2"
BOTH = pytest.mark.parametrize("recipe", [V1, V2])


def histories(*items, weights=None):
    flat = np.array([i for row in items for i in row], np.int32)
    weight = np.ones(len(flat), np.float32) if weights is None else np.array(weights, np.float32)
    return Histories(np.cumsum([0, *map(len, items)]), flat, weight)


def drawn(users=300, items=40, d=6, seed=0):
    random = np.random.default_rng(seed)
    factors = random.normal(size=(items, d)).astype(np.float32)
    return histories(*(random.integers(0, items, random.integers(1, 30)) for _ in range(users))), factors, random


class TestMap:
    def test_a_linear_relation_is_found(self):
        past, items, random = drawn()
        blank = FoldIn(0.9, np.empty((0, 6), np.float32))
        truth = random.normal(size=(7, 6))
        users = (blank.inputs(past, items) @ truth).astype(np.float32)
        folded = fit_fold_in(past, items, users, 0.9, seed=0).users(past, items)
        residual = np.linalg.norm(folded - users) / np.linalg.norm(users - users.mean(axis=0))
        assert residual < 0.1  # what the ridge takes

    def test_it_keeps_the_length_of_factors(self):
        past, items, random = drawn()
        blank = FoldIn(1.0, np.empty((0, 6), np.float32))
        users = (blank.inputs(past, items) @ random.normal(size=(7, 6))).astype(np.float32)
        folded = fit_fold_in(past, items, 10 * users, 1.0, seed=0).users(past, items)
        assert np.linalg.norm(folded, axis=1).mean() == pytest.approx(
            10 * np.linalg.norm(users, axis=1).mean(), rel=0.1
        )

    def test_newer_items_count_more_by_the_recency_and_heavier_events_by_their_weight(self):
        items = np.eye(3, dtype=np.float32)
        sums = FoldIn(0.5, np.empty((0, 3), np.float32)).inputs(
            histories([0, 1], [2, 0], weights=[1, 1, 0.25, 1]), items
        )
        assert sums[0] == pytest.approx([1 / np.sqrt(1.5), 0.5 / np.sqrt(1.5), 0, 1])
        assert sums[1] == pytest.approx([0.5 / np.sqrt(0.75), 0, 0.25 / np.sqrt(0.75), 1])

    def test_a_user_gets_the_same_bytes_whoever_stands_beside_her(self):
        past, items, random = drawn(users=50)
        fold_in = FoldIn(0.95, random.normal(size=(7, 6)).astype(np.float32))
        whole = fold_in.users(past, items)
        for user in range(50):
            assert fold_in.users(past.take(np.array([user])), items).tobytes() == whole[user].tobytes()

    def test_without_history_nothing_is_known_but_metadata(self):
        items = np.eye(2, dtype=np.float32)
        fold_in, bare = FoldIn(0.9, np.ones((5, 2), np.float32)), histories([], [1])
        assert FoldIn(0.9, np.ones((3, 2), np.float32)).users(bare, items)[0].tolist() == [0, 0]
        tags = np.array([[3, 4], [0, 0]], np.float32)
        assert fold_in.users(bare, items, tags)[0].tolist() == [3, 4]

    def test_items_too_old_to_count_are_left_out(self):
        items = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
        blank = FoldIn(0.5, np.empty((0, 3), np.float32))
        past = histories(np.arange(500), [499], np.arange(3))
        assert blank.inputs(past, items)[0] == pytest.approx(blank.inputs(histories(np.arange(10)), items)[0])
        assert blank.inputs(past, items)[1:] == pytest.approx(blank.inputs(histories([499], np.arange(3)), items))


class TestDigests:
    def test_they_tell_histories_apart(self):
        past = [[1, 2, 3], [2, 1, 3], [1, 2], [1, 2, 3, 4], [], [1, 2, 3]]
        digests = histories(*past).digests()
        assert digests[0] == digests[5]
        assert len(set(digests[:5].tolist())) == 5
        heavier = histories(*past, weights=[0.5] + [1.0] * (sum(map(len, past)) - 1)).digests()
        assert heavier[0] != digests[0]
        assert heavier[1:].tolist() == digests[1:].tolist()


def put(user, items, first=1_800_000_000):
    """The planted interactions and some of one user since, the first the oldest."""
    rows = [(user, item, first + 60 * n, "click", 1.0) for n, item in enumerate(items)]
    return planted.datasets([*planted.events(), *rows])


def parities(model, user, k=10):
    (labels,) = model.labels.rows(model.answer([{"userId": user}], k).ids)
    found = [label.decode().strip('"') for label in labels]
    return [int(item[1:]) % 2 for item in found if item not in planted.NEW_ITEMS]


@BOTH
class TestModel:
    def test_a_stranger_gets_what_her_history_says(self, trained, recipe):
        for parity in (0, 1):
            items = planted.ITEM_IDS[parity : 20 + parity : 2]
            model = trained(recipe).current(put("stranger", items))
            assert np.mean([found == parity for found in parities(model, "stranger")]) > 0.9

    def test_one_item_is_a_history_too(self, trained, recipe):
        model = trained(recipe).current(put("stranger", ["i07"]))
        assert np.mean(parities(model, "stranger")) > 0.7

    def test_a_trained_user_who_changes_her_ways_is_followed(self, trained, recipe):
        model = trained(recipe)
        assert np.mean(parities(model, "u00")) < 0.2
        assert np.mean(parities(model.current(put("u00", planted.ITEM_IDS[1::2])), "u00")) > 0.5

    def test_only_users_whose_history_changed_are_folded_in(self, trained, recipe):
        model = trained(recipe)
        assert len(model.current(planted.datasets()).changed.user_ids) == 0
        changed = model.current(put("u05", ["i02"]))
        assert changed.changed.user_ids.to_list() == ["u05"]
        rows = [{"userId": user} for user in planted.USER_IDS]
        before, after = model.answer(rows, 9), changed.answer(rows, 9)
        same = np.arange(planted.USERS) != 5
        assert (before.ids[same] == after.ids[same]).all()
        assert (before.scores[5] != after.scores[5]).any()

    def test_a_trained_user_folded_in_with_the_same_history_has_the_same_answer(self, trained, recipe):
        """The trained users' factors are folded in themselves."""
        model = trained(recipe)
        changed = model.current(put("u07", ["nowhere"]))  # an item that the model does not know changes nothing
        assert len(changed.changed.user_ids) == 0
        events = planted.events()
        forgotten = replace(model, arrays={**model.arrays, "history": model.arrays["history"] + np.uint64(1)})
        folded = forgotten.current(planted.datasets(events))
        rows = [{"userId": user} for user in planted.USER_IDS]
        assert folded.answer(rows, 9).scores.tolist() == model.answer(rows, 9).scores.tolist()

    def test_any_block_size_gives_the_same_bytes(self, trained, recipe):
        rows = [(f"s{n}", item, 1_800_000_000 + n, "click", 1.0) for n, item in enumerate(planted.ITEM_IDS)]
        model = trained(recipe).current(planted.datasets([*planted.events(), *rows]))
        block = [{"userId": user} for user in ["s3", "u01", "nobody", *(f"s{n}" for n in range(40))]]
        whole = model.answer(block, 7)
        for position, row in enumerate(block):
            assert model.answer([row], 7).scores.tobytes() == whole.scores[position].tobytes()

    def test_folded_in_users_are_answered_nine_tenths_as_well_as_trained_ones(self, trained, recipe):
        """Judged by the items of their own group that they never had, as few as they are."""
        strangers = set(planted.USER_IDS[::5])
        datasets = planted.datasets()
        known = replace(datasets, interactions=datasets.interactions.filter(~pl.col("USER_ID").is_in(list(strangers))))
        # Without Users records of theirs, so that nothing but their history speaks.
        known = replace(known, users=known.users.filter(~pl.col("USER_ID").is_in(list(strangers))))
        folded = RECIPES[recipe].fit(known, TrainingConfig(seed=3)).current(datasets)
        users = sorted(strangers)
        own, other = share_of_withheld(trained(recipe), users), share_of_withheld(folded, users)
        assert other >= 0.9 * own > 0.5

    def test_a_saved_map_is_all_that_it_takes(self, trained, recipe):
        model = trained(recipe)
        width = model.arrays["item_factors"].shape[1]
        with_tags = recipe == V2
        assert model.arrays["fold_in"].shape == (width * (1 + with_tags) + 1, width)
        assert ("user_tags" in model.arrays) == with_tags


def share_of_withheld(model, users):
    """How many of the first two items that a user never had are of her group."""
    ids = model.answer_ids.to_list()
    had = [[ids.index(item) for owner, item, *_ in planted.events() if owner == user] for user in users]
    seen = Csr(np.cumsum([0, *map(len, had)]), np.concatenate(had).astype(np.int32))
    found = model.answer([{"userId": user} for user in users], 2, Selection(excluded=seen)).ids
    names = [[ids[item] for item in row if ids[item] not in planted.NEW_ITEMS] for row in found.tolist()]
    return np.mean([int(i[1:]) % 2 == int(user[1:]) % 2 for user, row in zip(users, names, strict=True) for i in row])
