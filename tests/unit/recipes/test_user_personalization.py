"""Items for a user: behaviours that both versions of the recipe share, and what metadata adds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local import sample_data
from airflow_provider_personalize.local.datasets.csv_import import import_csv
from airflow_provider_personalize.local.datasets.dataset import Datasets, load_datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError, warp
from airflow_provider_personalize.local.recipes import user_personalization as module
from airflow_provider_personalize.local.recipes.events import training_events
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection
from tests.unit.recipes import planted

V1, V2 = "aws-user-personalization", "aws-user-personalization-v2"
BOTH = pytest.mark.parametrize("recipe", [V1, V2])
ALL = planted.ITEMS + len(planted.NEW_ITEMS)


def rows_of(users):
    return [{"userId": user} for user in users]


def names(model, answer):
    return [[label.decode().strip('"') for label in row] for row in model.labels.rows(answer.ids)]


def number(item):
    return int(item[1:])


def parity(name):
    return int(name[1:]) % 2


def seen_by(model, user):
    """A user's planted items, as positions."""
    ids = model.answer_ids.to_list()
    return [ids.index(item) for owner, item, *_ in planted.events() if owner == user]


@BOTH
class TestAnswers:
    def test_unseen_items_of_the_user_s_own_group_come_first(self, trained, recipe):
        model = trained(recipe)
        sets = [seen_by(model, user) for user in planted.USER_IDS]
        excluded = Csr(np.cumsum([0, *map(len, sets)]), np.concatenate(sets).astype(np.int32))
        found = names(model, model.answer(rows_of(planted.USER_IDS), 2, Selection(excluded=excluded)))
        hits = [
            planted.withheld(user, number(item)) and parity(item) == user % 2
            for user, items in enumerate(found)
            for item in items
            if item not in planted.NEW_ITEMS
        ]
        assert np.mean(hits) > 0.8  # by chance, one in twelve

    def test_scores_are_a_distribution_over_the_catalogue_in_descending_order(self, trained, recipe):
        answer = trained(recipe).answer(rows_of([*planted.USER_IDS, "stranger"]), ALL)
        assert answer.scores.dtype == np.int64
        assert np.abs(answer.scores.sum(axis=1) - 10_000_000).max() <= ALL / 2
        assert (np.diff(answer.scores, axis=1) <= 0).all()
        assert answer.errors == {}

    def test_more_results_than_items_give_every_item_once(self, trained, recipe):
        model = trained(recipe)
        found = names(model, model.answer(rows_of(["u00", "stranger"]), 10 * ALL))
        assert [sorted(row) for row in found] == [model.answer_ids.to_list()] * 2

    def test_a_stranger_gets_what_is_popular_with_its_share_as_score(self, trained, recipe):
        model = trained(recipe)
        counts = training_events(planted.datasets(), TrainingConfig()).item_counts()
        order = np.lexsort((np.arange(ALL), -counts))[:5]
        answer = model.answer(rows_of(["stranger"]), 5)
        assert answer.ids[0].tolist() == order.tolist()
        assert answer.scores[0] == pytest.approx(counts[order] / counts.sum() * 1e7, abs=1)

    def test_a_filter_changes_which_items_not_their_scores(self, trained, recipe):
        model = trained(recipe)
        users = rows_of(["u00", "stranger", "u07"])
        whole = model.answer(users, ALL)
        third = Masks.shared(np.arange(ALL) % 3 == 0, 3)
        excluded = Csr(np.array([0, 1, 3, 3]), np.array([0, 3, 6], np.int32))
        part = model.answer(users, 6, Selection(excluded, masks=third))
        for row, out in enumerate(([0], [3, 6], [])):
            scores = dict(zip(whole.ids[row].tolist(), whole.scores[row].tolist(), strict=True))
            expected = [i for i in whole.ids[row].tolist() if i % 3 == 0 and i not in out][:6]
            assert part.ids[row].tolist() == expected
            assert part.scores[row].tolist() == [scores[i] for i in expected]

    def test_a_row_that_is_filtered_empty_has_no_ids_and_no_scores(self, trained, recipe):
        nothing = Selection(masks=Masks.shared(np.zeros(ALL, np.bool_), 2))
        answer = trained(recipe).answer(rows_of(["u00", "stranger"]), 3, nothing)
        assert (answer.ids == -1).all()
        assert (answer.scores == 0).all()

    @pytest.mark.parametrize("size", [1, 2, 3, 17])
    def test_any_block_size_gives_the_same_bytes(self, trained, recipe, size):
        model = trained(recipe)
        users = rows_of(["stranger", *planted.USER_IDS, "", "another \N{PARTY POPPER}", "new-odd"])
        users[5] = None
        excluded = Csr(np.arange(len(users) + 1), np.arange(len(users), dtype=np.int32) % ALL)
        selection = Selection(excluded=excluded)
        whole = model.answer(users, 9, selection)
        for start in range(0, len(users), size):
            rows = np.arange(start, min(start + size, len(users)))
            part = model.answer([users[row] for row in rows], 9, selection.take(rows))
            assert part.ids.tobytes() == whole.ids[rows].tobytes()
            assert part.scores.tobytes() == whole.scores[rows].tobytes()

    def test_a_row_that_could_not_be_parsed_stays_empty(self, trained, recipe):
        model = trained(recipe)
        answer = model.answer([None, *rows_of(["u01"]), None], 4)
        assert (answer.ids[[0, 2]] == -1).all()
        assert answer.ids[1].tolist() == model.answer(rows_of(["u01"]), 4).ids[0].tolist()
        assert answer.errors == {}
        assert model.answer([], 4).ids.shape == (0, 4)

    def test_half_a_surrogate_pair_is_a_stranger(self, trained, recipe):
        model = trained(recipe)
        assert model.answer(rows_of(["\ud800"]), 4).ids.tolist() == model.answer(rows_of(["nobody"]), 4).ids.tolist()

    def test_nothing_known_of_an_item_puts_it_last(self, recipe):
        datasets = planted.datasets()
        unknown = pl.DataFrame({"ITEM_ID": ["0-unknown"]})
        datasets = Datasets(
            datasets.interactions,
            pl.concat([datasets.items, unknown], how="diagonal"),
            datasets.users,
            datasets.schemas,
        )
        model = RECIPES[recipe].fit(datasets, TrainingConfig(seed=1))
        found = names(model, model.answer(rows_of([*planted.USER_IDS, "stranger"]), 100))
        last = ["0-unknown", *planted.NEW_ITEMS] if recipe == V1 else ["0-unknown"]
        assert all(row[-len(last) :] == last for row in found[:-1])
        assert found[-1][-3:] == ["0-unknown", *planted.NEW_ITEMS]


@BOTH
class TestTraining:
    def test_the_same_seed_gives_the_same_bytes(self, trained, recipe):
        again = RECIPES[recipe].fit(planted.datasets(), TrainingConfig(seed=3))
        first = trained(recipe)
        assert {n: a.tobytes() for n, a in again.arrays.items()} == {n: a.tobytes() for n, a in first.arrays.items()}
        assert again.manifest == first.manifest
        other = RECIPES[recipe].fit(planted.datasets(), TrainingConfig(seed=4))
        assert other.arrays["item_factors"].tobytes() != first.arrays["item_factors"].tobytes()

    def test_a_temperature_is_fitted_and_kept(self, trained, recipe):
        model = trained(recipe)
        assert 0.02 <= model.manifest["temperature"] <= 50
        assert model.manifest["temperature"] != 1
        assert model.manifest["counts"]["interactions"] == len(planted.events())

    def test_progress_counts_epochs_to_the_end(self, recipe, monkeypatch):
        monkeypatch.setattr(module, "EPOCHS", 2)
        told = []
        config = TrainingConfig(progress=lambda done, total: told.append((done, total)))
        RECIPES[recipe].fit(planted.datasets(), config)
        assert told == [(done, 8) for done in range(9)]  # two seeds of the trial model, two of the model

    def test_an_explicit_hidden_dimension_chooses(self, trained, recipe):
        assert trained(recipe).arrays["item_factors"].shape[1] == module.DIMENSION
        model = RECIPES[recipe].fit(planted.datasets(), TrainingConfig({"hidden_dimension": "32"}))
        assert model.arrays["item_factors"].shape == (ALL, 32)
        assert model.arrays["user_factors"].shape[1] == 32

    @pytest.mark.parametrize(
        ("name", "value"), [("hidden_dimension", "many"), ("hidden_dimension", "31"), ("hidden_dimension", "257")]
    )
    def test_a_hyperparameter_out_of_range_is_named(self, recipe, name, value):
        with pytest.raises(TrainingError, match=f"{name} is '?{value}"):
            RECIPES[recipe].fit(planted.datasets(), TrainingConfig({name: value}))

    def test_the_recency_switch_is_read(self, trained, recipe):
        name = {V1: "recency_mask", V2: "apply_recency_bias"}[recipe]
        same, off = (
            RECIPES[recipe].fit(planted.datasets(), TrainingConfig({name: value}, seed=3))
            for value in ("True", "false")
        )
        first = trained(recipe).arrays["item_factors"].tobytes()
        assert same.arrays["item_factors"].tobytes() == first
        assert off.arrays["item_factors"].tobytes() != first
        with pytest.raises(TrainingError, match=f"{name} is 'maybe'"):
            RECIPES[recipe].fit(planted.datasets(), TrainingConfig({name: "maybe"}))

    def test_divergence_is_a_training_error(self, recipe, monkeypatch):
        monkeypatch.setattr(warp, "LEARNING_RATE", 1e30)
        with pytest.raises(TrainingError, match="stopped in epoch 1 of"):
            RECIPES[recipe].fit(planted.datasets(), TrainingConfig())


class TestMetadata:
    def test_a_new_user_gets_the_items_of_her_group(self, trained):
        model = trained(V2)
        even, odd = names(model, model.answer(rows_of(["new-even", "new-odd"]), 15))
        assert np.mean([parity(item) == 0 for item in even if item not in planted.NEW_ITEMS]) > 0.9
        assert np.mean([parity(item) == 1 for item in odd if item not in planted.NEW_ITEMS]) > 0.9

    def test_a_new_item_ranks_higher_for_its_own_group(self, trained):
        model = trained(V2)
        found = names(model, model.answer(rows_of(planted.USER_IDS), ALL))
        for user, items in enumerate(found):
            own, other = planted.NEW_ITEMS[user % 2], planted.NEW_ITEMS[1 - user % 2]
            assert items.index(own) < items.index(other)

    def test_without_metadata_a_new_user_is_a_stranger(self, trained):
        model = trained(V1)
        answer = model.answer(rows_of(["new-even", "stranger"]), 5)
        assert answer.ids[0].tolist() == answer.ids[1].tolist()

    def test_a_group_without_items_and_users_datasets_trains(self):
        model = RECIPES[V2].fit(planted.datasets(metadata=False), TrainingConfig())
        assert len(model.labels) == planted.ITEMS


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A small generated data set, without the newest tenth of each history, and those events."""
    directory = tmp_path_factory.mktemp("generated")
    sample_data.generate(directory, users=500, items=700, interactions=30_000)
    files, schemas = {}, {}
    for name in ("interactions", "items", "users"):
        schema = parse_schema((directory / f"{name}.schema.json").read_text())
        import_csv([directory / f"{name}.csv"], schema, directory / f"{name}.arrow")
        files[schema.dataset_type], schemas[schema.dataset_type] = [directory / f"{name}.arrow"], schema
    whole = load_datasets(files, schemas)
    events = training_events(whole, TrainingConfig())
    older, newest = events.split()
    kept = pl.DataFrame({"USER_ID": events.user_ids.gather(older.user), "ITEM_ID": events.item_ids.gather(older.item)})
    interactions = whole.interactions.join(kept, on=["USER_ID", "ITEM_ID"], how="semi")
    return Datasets(interactions, whole.items, whole.users, schemas), older, newest


def ndcg_at_10(ids, truths):
    discounts = 1 / np.log2(np.arange(2, 12))
    gains = [
        sum(discounts[rank] for rank, item in enumerate(row) if item in truth) / discounts[: len(truth)].sum()
        for row, truth in zip(ids.tolist(), truths, strict=True)
    ]
    return float(np.mean(gains))


@BOTH
def test_training_beats_popularity_on_events_it_has_not_seen(generated, recipe, capsys):
    datasets, older, newest = generated
    model = RECIPES[recipe].fit(datasets, TrainingConfig(seed=1))
    users = np.unique(newest.user)
    assert model.answer_ids.equals(newest.item_ids)
    truths = [set(newest.item[newest.user == user].tolist()) for user in users]
    indptr = np.searchsorted(older.user, np.arange(len(older.user_ids) + 1))
    unseen = Selection(excluded=Csr(indptr, older.item).take(users))
    asked = rows_of(older.user_ids.gather(users))
    taste = ndcg_at_10(model.answer(asked, 10, unseen).ids, truths)
    popularity = ndcg_at_10(model.answer(rows_of(f"stranger {user}" for user in users), 10, unseen).ids, truths)
    with capsys.disabled():
        print(f"\n{recipe}: NDCG@10 {taste:.3f}, popularity {popularity:.3f}", end=" ")
    assert taste > 1.3 * popularity


class TestHistoryLengths:
    """One user has all items and twenty that nobody else has; another has one item alone, which is its own too."""

    ROWS = [  # noqa: RUF012
        *planted.events(),
        *[
            ("hoarder", item, 1_700_000_000, "click", 1.0)
            for item in [*planted.ITEM_IDS, *(f"h{n}" for n in range(20))]
        ],
        ("passer-by", "once", 1_700_000_000, "click", 1.0),
    ]

    def fit(self, recipe="aws-user-personalization", **percentiles):
        names = {f"{end}_user_history_length_percentile": value for end, value in percentiles.items()}
        return RECIPES[recipe].fit(planted.datasets(self.ROWS, metadata=False), TrainingConfig(names, seed=3))

    @pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-personalized-ranking", "aws-hrnn"])
    def test_users_beyond_the_percentiles_are_left_out_of_training(self, recipe):
        def learnt(model):
            factors = model.arrays["item_factors"]
            return {i for i, f in zip(model.ids["items"], factors, strict=True) if f.any()} - set(planted.ITEM_IDS)

        hoarded = {f"h{n}" for n in range(20)}
        assert learnt(self.fit(recipe)) == {*hoarded, "once"}
        assert learnt(self.fit(recipe, max="0.98")) == {"once"}
        assert learnt(self.fit(recipe, min="0.02")) == hoarded
        assert learnt(self.fit(recipe, min="0.02", max="0.98")) == set()

    def test_who_is_left_out_is_answered_by_her_history_all_the_same(self):
        model = self.fit(max="0.98")
        assert model.queries([{"userId": "hoarder"}])[1].tolist() == [True]
        assert model.arrays["user_factors"][model.ids["users"].to_list().index("hoarder")].any()

    def test_percentiles_that_leave_too_few_users_fail(self):
        with pytest.raises(TrainingError, match=r"fewer than 25 users .* the percentiles 0 and 0\.01"):
            self.fit(max="0.01")

    def test_all_percentiles_are_everyone(self):
        whole, everyone = self.fit(), self.fit(min="0", max="1")
        assert whole.arrays["item_factors"].tobytes() == everyone.arrays["item_factors"].tobytes()
