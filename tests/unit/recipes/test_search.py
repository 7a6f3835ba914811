"""Hyperparameter optimization."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, sims, user_personalization
from airflow_provider_personalize.local.recipes.search import (
    JUDGED,
    Choice,
    Real,
    Search,
    Whole,
    best_by_metrics,
    draws,
)
from airflow_provider_personalize.local.service.recipes import BUILT, CATALOGUE
from airflow_provider_personalize.local.work.training import training_config
from tests.unit.recipes import planted

RANGES = {
    "hidden_dimension": Whole(32, 64),
    "discount": Real(0, 0.5),
    "recency_mask": Choice(("True", "False")),
    "bptt": Whole(2, 32),
}
STARTS = {"hidden_dimension": "62", "discount": "0.5", "recency_mask": "True"}


def test_the_start_is_tried_first_and_the_rest_lies_within_the_ranges():
    settings = draws(Search(RANGES, 12), STARTS, seed=1)
    assert len(settings) == 12
    assert settings[0] == STARTS
    for setting in settings[1:]:
        assert setting.keys() == STARTS.keys()
        assert 32 <= int(setting["hidden_dimension"]) <= 64
        assert 0 <= float(setting["discount"]) <= 0.5
        assert setting["recency_mask"] in ("True", "False")


@pytest.mark.parametrize(
    ("bounds", "start", "first"),
    [
        (Whole(200, 256), "62", "200"),
        (Whole(32, 40), "62", "40"),
        (Whole(32, 256), "62", "62"),
        (Real(0.6, 0.9), "0.5", "0.6"),
        (Real(0, 0.25), "0.5", "0.25"),
        (Choice(("False",)), "True", "False"),
        (Choice(("false", "true")), "True", "true"),
    ],
)
def test_a_start_outside_the_range_that_was_asked_for_is_brought_into_it(bounds, start, first):
    assert draws(Search({"a": bounds}, 1), {"a": start}, 0) == [{"a": first}]
    assert draws(Search({"a": bounds}, 4), {"a": start}, 0)[0] == {"a": first}


def test_a_range_of_reals_is_drawn_from_between_its_ends_though_those_are_whole():
    entry = CATALOGUE["aws-sims"]
    jobs = {"hpoConfig": {"hpoResourceConfig": {"maxNumberOfTrainingJobs": "12"}}}
    search = training_config({"performHPO": True, "solutionConfig": jobs}, entry).search
    drawn = {setting["popularity_discount_factor"] for setting in draws(search, {"popularity_discount_factor": "0"}, 1)}
    assert len(drawn) == 12
    assert sum(0 < float(value) < 1 for value in drawn) == 11


def test_a_seed_decides_and_no_setting_is_tried_twice():
    start = {"recency_mask": "True"}
    assert draws(Search(RANGES, 40), start, 1) == draws(Search(RANGES, 40), start, 1)
    assert draws(Search(RANGES, 40), start, 1) == [{"recency_mask": "True"}, {"recency_mask": "False"}]
    several = [draws(Search(RANGES, 5), {"hidden_dimension": "62"}, seed) for seed in range(5)]
    assert any(one != several[0] for one in several)


def test_with_nothing_to_search_there_is_one_setting_that_changes_nothing():
    assert draws(Search(RANGES, 9), {}, 0) == [{}]


def test_of_settings_with_metrics_the_greatest_gain_wins_and_of_equals_the_first():
    settings = [{}, {"a": "1"}, {"a": "2"}]
    gains = {None: 0.1, "1": 0.4, "2": 0.4}
    assert best_by_metrics(settings, lambda s: {JUDGED: gains[s.get("a")]}) == ({"a": "1"}, {JUDGED: 0.4})


def test_without_a_search_there_is_one_setting():
    assert draws(None, STARTS, 0) == [{}]


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
    """Everyone has three quarters of what is popular, then one of twenty items, and then, half of them, its partner.

    So more of an item's users have any popular item than its partner, and counts alone do not tell the newest apart.
    """

    ROWS = [  # noqa: RUF012
        (f"u{turn:02d}-{pair:02d}", item, time, "click", 1.0)
        for pair in range(20)
        for turn in range(20)
        for time, item in enumerate(
            [*(f"pop{n:02d}" for n in range(20) if (n + turn) % 4), f"y{pair}", *([f"z{pair}"] if turn % 2 else [])]
        )
    ]

    def fit(self, search, rows=ROWS, **given):
        loose = {"max_item_interaction_count_percentile": "1", "min_item_interaction_count_percentile": "0"}
        return RECIPES["aws-sims"].fit(
            planted.datasets(rows, metadata=False), TrainingConfig({**loose, **given}, search=search, seed=1)
        )

    def test_a_search_finds_the_discount_that_brings_the_partner(self):
        start = {"popularity_discount_factor": "0.0"}
        bad = self.fit(None, **start)
        found = self.fit(Search({"popularity_discount_factor": Real(0.9, 1.0)}, 2), **start)
        assert float(found.manifest["tuned_hyperparameters"]["popularity_discount_factor"]) >= 0.9
        assert found.manifest["metrics"][JUDGED] > bad.manifest["metrics"][JUDGED]

        def nearest(model):
            return model.labels.rows(model.answer([{"itemId": "y3"}], 1).ids)

        assert nearest(found) == [[b'"z3"']] != nearest(bad)

    def test_no_more_is_counted_than_allowed(self, monkeypatch):
        calls = []
        real = sims.measured
        monkeypatch.setattr(sims, "measured", lambda *given: calls.append(given) or real(*given))
        self.fit(Search({"min_cointeraction_count": Whole(0, 10)}, 3))
        assert len(calls) == 3

    def test_without_a_search_nothing_was_tuned(self):
        assert "tuned_hyperparameters" not in self.fit(None).manifest


class TestPersonalization:
    def fit(self, recipe="aws-user-personalization", jobs=3, **ranges):
        config = TrainingConfig(search=Search({**RANGES, **ranges}, jobs), seed=3)
        return RECIPES[recipe].fit(planted.datasets(), config)

    def test_a_search_says_what_it_found_and_trains_with_it(self):
        model = self.fit(hidden_dimension=Whole(33, 35))
        tuned = model.manifest["tuned_hyperparameters"]
        assert tuned.keys() == {"hidden_dimension", "recency_mask"}
        assert model.arrays["item_factors"].shape[1] == int(tuned["hidden_dimension"])
        assert self.fit(hidden_dimension=Whole(33, 35)).manifest == model.manifest

    def test_the_setting_under_which_held_out_events_are_likeliest_wins(self, monkeypatch):
        judge, trials = user_personalization._Trial.likeliest, []
        monkeypatch.setattr(
            user_personalization._Trial, "likeliest", lambda *given: trials.append(judge(*given)) or trials[-1]
        )
        model = self.fit(hidden_dimension=Whole(33, 40))
        likeliest = min(trials, key=lambda trial: trial.loss)
        assert len({trial.loss for trial in trials}) == 3
        assert model.arrays["item_factors"].shape[1] == likeliest.queries.shape[1]
        assert model.manifest["temperature"] == likeliest.temperature

    def test_of_equally_likely_settings_the_first_wins(self, monkeypatch):
        judge = user_personalization._Trial.likeliest
        monkeypatch.setattr(user_personalization._Trial, "likeliest", lambda *given: replace(judge(*given), loss=0.0))
        tuned = self.fit(hidden_dimension=Whole(33, 40)).manifest["tuned_hyperparameters"]
        assert tuned == {"hidden_dimension": "40", "recency_mask": "True"}  # as near to the start as it may be

    def test_what_it_found_lies_within_what_was_asked_for(self):
        asked = {"hidden_dimension": Whole(70, 71), "recency_mask": Choice(("False",))}
        assert self.fit(jobs=1, **asked).manifest["tuned_hyperparameters"] == {
            "hidden_dimension": "70",
            "recency_mask": "False",
        }

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
