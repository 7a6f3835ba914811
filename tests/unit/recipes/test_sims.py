"""Items that occur together."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError, sims
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from tests.unit.recipes import planted

EVERYONE = {
    "min_user_history_length_percentile": "0",
    "max_user_history_length_percentile": "1",
    "min_item_interaction_count_percentile": "0",
    "max_item_interaction_count_percentile": "1",
}
# Bread was had with butter by 20 users, with milk by 40, and with salt by 2; milk by 100 users more, alone with filler.
BASKETS = [
    *[("bread", "butter")] * 20,
    *[("bread", "milk")] * 40,
    *[("bread", "salt")] * 2,
    *[("milk", "filler")] * 100,
    *[(f"a{n % 10}", f"b{n % 10}") for n in range(400)],
]
ROWS = [(f"u{u:03d}", item, u, "click", 1.0) for u, basket in enumerate(BASKETS) for item in basket]


def fit(rows=ROWS, **hyperparameters):
    return RECIPES["aws-sims"].fit(planted.datasets(rows, metadata=False), TrainingConfig(EVERYONE | hyperparameters))


def asked(model, *items, k=10, selection=None):
    answer = model.answer([item and {"itemId": item} for item in items], k, selection)
    assert answer.scores is None
    assert answer.errors == {}
    return [[label.decode().strip('"') for label in row] for row in model.labels.rows(answer.ids)]


@pytest.fixture(scope="module")
def model():
    return fit()


def test_what_is_had_together_is_similar(model):
    assert asked(model, "bread", "butter", "a3") == [["butter", "milk"], ["bread"], ["b3"]]


@pytest.mark.parametrize(
    ("factor", "order"),
    [("0", ["milk", "butter"]), ("0.5", ["butter", "milk"]), ("1", ["butter", "milk"])],  # 40/140^.5 < 20/20^.5
)
def test_the_discount_takes_from_popular_items(factor, order):
    assert asked(fit(popularity_discount_factor=factor), "bread") == [order]


@pytest.mark.parametrize(("least", "salted"), [("0", True), ("2", True), ("3", False)])
def test_pairs_below_the_least_count_are_no_neighbours(least, salted):
    (found,) = asked(fit(min_cointeraction_count=least), "bread")
    assert ("salt" in found) is salted
    assert "filler" not in found


def test_without_neighbours_the_answer_is_what_is_popular(model):
    unknown, sparse, nothing = asked(model, "no such item", "salt", None, k=3)
    assert unknown == sparse == ["milk", "filler", "bread"]
    assert nothing == []


def test_a_filter_takes_neighbours_and_brings_no_others(model):
    ids = model.answer_ids.to_list()
    excluded = Csr(np.array([0, 1, 1, 2]), np.array([ids.index("butter"), ids.index("milk")], np.int32))
    selection = Selection(excluded=excluded)
    assert asked(model, "bread", "bread", "unknown", k=2, selection=selection) == [
        ["milk"],
        ["butter", "milk"],
        ["filler", "bread"],
    ]


def test_a_user_with_a_shorter_history_than_the_percentile_is_not_counted():
    long = [(f"v{user}", f"x{item}", item, "click", 1.0) for user in range(300) for item in range(9)]
    assert asked(fit(ROWS + long), "bread") == [["butter", "milk"]]
    (popular,) = asked(fit(ROWS + long, min_user_history_length_percentile="0.9"), "bread", k=3)
    assert popular == ["x0", "x1", "x2"]


def test_of_a_history_that_is_longer_than_the_percentile_the_newest_are_counted():
    hoarder = [("z-hoarder", item, age, "click", 1.0) for age, item in enumerate(["x4", "x3", "x2", "x1"])]
    loose = {"min_cointeraction_count": "1"}
    assert asked(fit(ROWS + hoarder, **loose), "x1") == [["x2", "x3", "x4"]]
    assert asked(fit(ROWS + hoarder, **loose, max_user_history_length_percentile="0.99"), "x1") == [["x2"]]


def test_an_item_with_fewer_interactions_than_the_percentile_is_not_counted():
    loose = {"min_cointeraction_count": "2", "min_item_interaction_count_percentile": "0.01"}
    assert asked(fit(**loose), "bread") == [["butter", "milk"]]  # salt has 2 of 1124


def test_of_an_item_with_more_interactions_than_the_percentile_the_newest_are_counted():
    # 140 users have milk. In bread's baskets it is the older item, in filler's the newer one.
    times = {"bread": 9, "milk": 5, "filler": 1}
    rows = [(user, item, times.get(item, 5), *rest) for user, item, _, *rest in ROWS]
    assert asked(fit(rows), "milk") == [["filler", "bread"]]
    capped = {"max_item_interaction_count_percentile": "0.8"}  # 100 users: filler has as many
    assert asked(fit(rows, **capped), "milk") == [["filler"]]
    assert asked(fit(rows, **capped), "bread") == [["butter"]]


def test_the_blocks_of_the_product_do_not_show(model, monkeypatch):
    monkeypatch.setattr(sims, "_HELD_PAIRS", 7)
    again = fit()
    assert {n: a.tobytes() for n, a in again.arrays.items()} == {n: a.tobytes() for n, a in model.arrays.items()}


def test_an_item_keeps_its_nearest_neighbours(monkeypatch):
    monkeypatch.setattr(sims, "MOST_NEIGHBOURS", 1)
    assert asked(fit(), "bread") == [["butter"]]


def test_neighbours_equal_those_of_a_slow_count():
    rng = np.random.default_rng(5)
    baskets = [rng.choice(30, rng.integers(2, 9), replace=False) for _ in range(300)]
    rows = [(f"u{u:03d}", f"i{i:02d}", u, "click", 1.0) for u, basket in enumerate(baskets) for i in basket]
    together = Counter(pair for basket in baskets for pair in permutations(basket.tolist(), 2))
    users = Counter(item for basket in baskets for item in basket.tolist())
    model = fit(rows)
    for item in range(30):
        near = [(-c / users[j] ** 0.5, j) for (i, j), c in together.items() if i == item and c >= 3]
        assert asked(model, f"i{item:02d}", k=30) == [[f"i{j:02d}" for _, j in sorted(near)]]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("popularity_discount_factor", "1.1", r"must lie in \[0, 1\]"),
        ("popularity_discount_factor", "much", "a number was expected"),
        ("min_cointeraction_count", "11", r"must lie in \[0, 10\]"),
        ("max_user_history_length_percentile", "nan", r"must lie in \[0, 1\]"),
    ],
)
def test_a_hyperparameter_out_of_range_is_named(name, value, reason):
    with pytest.raises(TrainingError, match=f"{name}.*{reason}"):
        fit(**{name: value})
