"""Hyperparameter optimization."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, sims
from airflow_provider_personalize.local.recipes.model import Search
from airflow_provider_personalize.local.recipes.search import JUDGED, best_by_metrics, best_of, draws
from airflow_provider_personalize.local.service.recipes import BUILT, CATALOGUE
from airflow_provider_personalize.local.work.training import training_config
from tests.unit.recipes import planted

RANGES = {"hidden_dimension": (32, 64), "discount": (0.0, 0.5), "recency_mask": ("True", "False"), "bptt": (2, 32)}


def test_the_defaults_are_tried_first_and_the_rest_lies_within_the_ranges():
    settings = draws(Search(RANGES, 12), ("hidden_dimension", "discount", "recency_mask"), seed=1)
    assert len(settings) == 12
    assert settings[0] == {}
    for setting in settings[1:]:
        assert setting.keys() == {"hidden_dimension", "discount", "recency_mask"}
        assert 32 <= int(setting["hidden_dimension"]) <= 64
        assert 0 <= float(setting["discount"]) <= 0.5
        assert setting["recency_mask"] in ("True", "False")


def test_a_seed_decides_and_no_setting_is_tried_twice():
    names = ("recency_mask",)
    assert draws(Search(RANGES, 40), names, 1) == draws(Search(RANGES, 40), names, 1)
    assert len(draws(Search(RANGES, 40), names, 1)) == 3
    several = [draws(Search(RANGES, 5), ("hidden_dimension",), seed) for seed in range(5)]
    assert any(one != several[0] for one in several)


def test_one_job_or_nothing_to_search_leaves_the_defaults():
    assert draws(Search(RANGES, 1), tuple(RANGES), 0) == [{}]
    assert draws(Search(RANGES, 9), (), 0) == [{}]


def test_the_least_loss_wins_and_of_equals_the_first():
    settings = [{}, {"a": "1"}, {"a": "2"}, {"a": "3"}]
    assert best_of(settings, lambda s: abs(int(s.get("a", 9)) - 2)) == {"a": "2"}
    assert best_of(settings, lambda s: 0.0) == {}


def test_of_settings_with_metrics_the_greatest_gain_wins_and_of_equals_the_first():
    settings = [{}, {"a": "1"}, {"a": "2"}]
    gains = {None: 0.1, "1": 0.4, "2": 0.4}
    assert best_by_metrics(settings, lambda s: {JUDGED: gains[s.get("a")]}) == ({"a": "1"}, {JUDGED: 0.4})


def test_without_a_search_there_is_one_setting():
    assert draws(None, tuple(RANGES), 0) == [{}]


@pytest.mark.parametrize(
    "recipe", sorted(name for name in BUILT if any(parameter.tunable for parameter in CATALOGUE[name].algorithm))
)
def test_every_recipe_with_something_to_tune_tunes_it(recipe):
    entry = CATALOGUE[recipe]
    hpo = {"hpoConfig": {"hpoResourceConfig": {"maxNumberOfTrainingJobs": "2"}}}
    config = training_config({"performHPO": True, "solutionConfig": hpo}, entry)
    tuned = RECIPES[recipe].fit(planted.datasets(), config).manifest["tuned_hyperparameters"]
    assert tuned
    known = {parameter.name: parameter for parameter in entry.algorithm if parameter.tunable}
    assert [known[name].fault(value) for name, value in tuned.items()] == [None] * len(tuned)


class TestSims:
    """Everyone has one of twenty pairs beside what is popular; counts alone do not tell her newest item apart."""

    ROWS = [  # noqa: RUF012
        (f"u{user:03d}", item, time, "click", 1.0)
        for user in range(400)
        for time, item in enumerate([*(f"pop{n:02d}" for n in range(17)), f"y{user % 20}", f"z{user % 20}"])
    ]

    def fit(self, search, rows=ROWS, **given):
        loose = {"max_item_interaction_count_percentile": "1", "min_item_interaction_count_percentile": "0"}
        return RECIPES["aws-sims"].fit(
            planted.datasets(rows, metadata=False), TrainingConfig({**loose, **given}, search=search, seed=1)
        )

    def test_a_search_finds_the_discount_that_brings_the_partner(self):
        start = {"popularity_discount_factor": "0.0"}
        bad = self.fit(None, **start)
        found = self.fit(Search({"popularity_discount_factor": (0.9, 1.0)}, 2), **start)
        assert float(found.manifest["tuned_hyperparameters"]["popularity_discount_factor"]) >= 0.9
        assert found.manifest["metrics"][JUDGED] > bad.manifest["metrics"][JUDGED]

        def nearest(model):
            return model.labels.rows(model.answer([{"itemId": "z3"}], 1).ids)

        assert nearest(found) == [[b'"y3"']] != nearest(bad)

    def test_no_more_is_counted_than_allowed(self, monkeypatch):
        calls = []
        real = sims.measured
        monkeypatch.setattr(sims, "measured", lambda *given: calls.append(given) or real(*given))
        self.fit(Search({"min_cointeraction_count": (0, 10)}, 3))
        assert len(calls) == 3

    def test_without_a_search_nothing_was_tuned(self):
        assert "tuned_hyperparameters" not in self.fit(None).manifest


class TestPersonalization:
    def fit(self, recipe="aws-user-personalization", jobs=3, **ranges):
        config = TrainingConfig(search=Search({**RANGES, **ranges}, jobs), seed=3)
        return RECIPES[recipe].fit(planted.datasets(), config)

    def test_a_search_says_what_it_found_and_trains_with_it(self):
        model = self.fit(hidden_dimension=(33, 35))
        tuned = model.manifest["tuned_hyperparameters"]
        assert tuned.keys() == {"hidden_dimension", "recency_mask"}
        assert model.arrays["item_factors"].shape[1] == int(tuned["hidden_dimension"])
        assert self.fit(hidden_dimension=(33, 35)).manifest == model.manifest

    def test_a_recipe_without_tunable_hyperparameters_keeps_its_defaults(self, trained):
        recipe = "aws-user-personalization-v2"
        model = self.fit(recipe)
        assert model.manifest["tuned_hyperparameters"] == {}
        assert model.arrays["item_factors"].tobytes() == trained(recipe).arrays["item_factors"].tobytes()

    def test_progress_counts_every_job(self):
        told = []
        config = TrainingConfig(search=Search(RANGES, 2), progress=lambda done, total: told.append((done, total)))
        RECIPES["aws-user-personalization"].fit(planted.datasets(), config)
        assert [done for done, _ in told] == list(range(told[0][1] + 1))

    @pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-user-personalization-v2"])
    def test_without_a_search_nothing_was_tuned(self, trained, recipe):
        assert "tuned_hyperparameters" not in trained(recipe).manifest
