"""Items near an item, by taste and metadata or by text."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.features import chosen_columns
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection
from tests.unit.recipes import planted

SIMILAR, SEMANTIC = "aws-similar-items", "aws-semantic-similarity"
BOTH = pytest.mark.parametrize("recipe", [SIMILAR, SEMANTIC])
ALL = planted.ITEMS + len(planted.NEW_ITEMS)
USERS_OF = Counter(item for _, item, *_ in planted.events())
POPULAR = sorted(planted.ITEM_IDS, key=lambda item: (-USERS_OF[item], item))


def asked(model, *items, k=10, selection=None):
    answer = model.answer([None if item is None else {"itemId": item} for item in items], k, selection)
    assert answer.scores is None
    assert answer.errors == {}
    return [[label.decode().strip('"') for label in row] for row in model.labels.rows(answer.ids)]


def parity(item):
    return int(item[-1]) % 2


def datasets(**columns):
    """The planted data, items with other columns."""
    usual = planted.datasets()
    items = usual.items.with_columns(pl.Series(name, values) for name, values in columns.items())
    return replace(usual, items=items)


@BOTH
class TestAnswers:
    def test_items_of_the_same_group_come_first(self, trained, recipe):
        found = asked(trained(recipe), *planted.ITEM_IDS)
        assert np.mean([parity(other) == item % 2 for item, row in enumerate(found) for other in row]) > 0.97

    def test_an_item_is_no_answer_to_itself(self, trained, recipe):
        found = asked(trained(recipe), *planted.ITEM_IDS, k=10 * ALL)
        everything = {*planted.ITEM_IDS, *planted.NEW_ITEMS}
        assert [set(row) for row in found] == [everything - {item} for item in planted.ITEM_IDS]
        assert {len(row) for row in found} == {ALL - 1}

    def test_a_new_item_stands_where_its_description_puts_it(self, trained, recipe):
        for item, row in zip(planted.NEW_ITEMS, asked(trained(recipe), *planted.NEW_ITEMS), strict=True):
            assert np.mean([parity(other) == parity(item) for other in row]) > 0.9

    def test_an_unknown_item_gets_what_is_popular(self, trained, recipe):
        assert asked(trained(recipe), "no such item", "", None) == [POPULAR[:10], POPULAR[:10], []]

    def test_a_filter_leaves_what_it_leaves(self, trained, recipe):
        model = trained(recipe)
        whole = asked(model, "i04", "unknown", k=ALL)
        third = Masks.shared(np.arange(ALL) % 3 == 0, 2)
        excluded = Csr(np.array([0, 1, 2]), np.array([0, 6], np.int32))
        part = asked(model, "i04", "unknown", k=5, selection=Selection(excluded, masks=third))
        ids = model.answer_ids.to_list()
        for out, found, row in zip((0, 6), part, whole, strict=True):
            assert found == [item for item in row if ids.index(item) % 3 == 0 and ids.index(item) != out][:5]

    def test_any_block_size_gives_the_same_answers(self, trained, recipe):
        items = [*planted.ITEM_IDS, None, "?", *planted.NEW_ITEMS]
        model = trained(recipe)
        whole = asked(model, *items)
        for size in (1, 3):
            starts = range(0, len(items), size)
            assert [row for s in starts for row in asked(model, *items[s : s + size])] == whole

    def test_the_same_seed_gives_the_same_bytes(self, trained, recipe):
        again = RECIPES[recipe].fit(planted.datasets(), TrainingConfig(seed=3))
        assert {n: a.tobytes() for n, a in again.arrays.items()} == {
            n: a.tobytes() for n, a in trained(recipe).arrays.items()
        }


class TestSimilarItems:
    def test_the_discount_takes_from_popular_items(self):
        def reach(factor):
            model = RECIPES[SIMILAR].fit(
                planted.datasets(), TrainingConfig({"popularity_discount_factor": factor}, seed=3)
            )
            return np.mean([USERS_OF[item] for row in asked(model, *planted.ITEM_IDS, k=5) for item in row])

        assert reach("1") < reach("0.5") < reach("0")

    def test_an_item_of_which_nothing_is_known_comes_last_and_is_answered_with_what_is_popular(self):
        items = pl.DataFrame({"ITEM_ID": ["0-bare"]})
        usual = planted.datasets()
        data = replace(usual, items=pl.concat([usual.items, items], how="diagonal"))
        model = RECIPES[SIMILAR].fit(data, TrainingConfig(seed=3))
        assert [row[-1] for row in asked(model, *planted.ITEM_IDS, k=ALL)] == ["0-bare"] * planted.ITEMS
        assert asked(model, "0-bare") == [POPULAR[:10]]

    def test_few_interactions_do_not_move_an_item_from_its_metadata(self):
        # Four users of the odd items took new-0, which its metadata says is even.
        rows = [*planted.events(), *[(user, "new-0", 5, "click", 1.0) for user in planted.USER_IDS[1:8:2]]]
        model = RECIPES[SIMILAR].fit(planted.datasets(rows), TrainingConfig(seed=3))
        (found,) = asked(model, "new-0")
        assert np.mean([parity(item) == 0 for item in found]) > 0.8

    def test_without_metadata_co_interaction_alone_decides(self):
        model = RECIPES[SIMILAR].fit(planted.datasets(metadata=False), TrainingConfig(seed=3))
        found = asked(model, *planted.ITEM_IDS)
        assert np.mean([parity(other) == item % 2 for item, row in enumerate(found) for other in row]) > 0.95

    @pytest.mark.parametrize(
        ("name", "value"),
        [("popularity_discount_factor", "-0.1"), ("item_id_hidden_dim", "29"), ("item_metadata_hidden_dim", "201")],
    )
    def test_a_hyperparameter_out_of_range_is_named(self, name, value):
        with pytest.raises(TrainingError, match=f"{name} is {value}"):
            RECIPES[SIMILAR].fit(planted.datasets(), TrainingConfig({name: value}))

    def test_an_explicit_dimension_chooses(self):
        model = RECIPES[SIMILAR].fit(planted.datasets(), TrainingConfig({"item_id_hidden_dim": "30"}))
        assert model.arrays["item_vectors"].shape == (ALL, 30)


class TestSemanticSimilarity:
    def test_text_alone_decides(self):
        """Words in common put items together, whoever took them."""
        words = [f"word{n // 5} tail{n}" for n in range(ALL)]  # five items a word
        model = RECIPES[SEMANTIC].fit(datasets(PLOT=words, NAME=["x"] * ALL), TrainingConfig())
        ids = planted.datasets().items["ITEM_ID"].to_list()
        for n, row in enumerate(asked(model, *ids, k=4)):
            first = n // 5 * 5
            assert set(row) == {*ids[first : first + 5]} - {ids[n]}

    def test_many_words_are_reduced_to_fewer_dimensions(self):
        rng = np.random.default_rng(7)
        items = pl.DataFrame(
            {
                "ITEM_ID": [f"x{n:03d}" for n in range(200)],
                "PLOT": [" ".join(f"t{n % 4}w{w}" for w in rng.choice(60, 12, replace=False)) for n in range(200)],
            }
        )
        data = replace(
            planted.datasets(), items=items.with_columns(NAME=pl.lit("story"), GROUP=pl.lit(None, pl.String))
        )
        model = RECIPES[SEMANTIC].fit(data, TrainingConfig(seed=1))
        assert model.arrays["item_vectors"].shape == (200 + planted.ITEMS, 128)
        found = asked(model, *items["ITEM_ID"])
        assert np.mean([int(o[1:]) % 4 == n % 4 for n, row in enumerate(found) for o in row]) > 0.99

    def test_popularity_and_freshness_weigh_as_the_job_says(self):
        times = [*range(planted.ITEMS), None, 10_000]
        schemas = planted.SCHEMAS | {
            "ITEMS": planted.schema(
                "Items",
                planted.text("ITEM_ID"),
                planted.text("NAME", itemName=True),
                planted.text("PLOT", textual=True),
                {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
            )
        }
        data = replace(
            datasets(PLOT=["the same text"] * ALL, NAME=["story"] * ALL, CREATION_TIMESTAMP=times), schemas=schemas
        )
        model = RECIPES[SEMANTIC].fit(data, TrainingConfig())
        by_popularity = model.configured({"rankingInfluence": {"POPULARITY": 1.0}})
        by_age = model.configured({"rankingInfluence": {"FRESHNESS": 0.5}})
        assert asked(model, "i00", k=3) == [["i01", "i02", "i03"]]
        (popular,) = asked(by_popularity, "i00", k=10)
        assert [USERS_OF[item] for item in popular] == sorted(
            (USERS_OF[i] for i in POPULAR if i != "i00"), reverse=True
        )[:10]
        # new-0 has neither a time nor an interaction: it counts as new as the newest.
        assert asked(by_age, "i00", k=4) == [["new-0", "new-1", "i47", "i46"]]
        assert asked(by_age.configured({}), "i00", k=3) == [["i01", "i02", "i03"]]

    def test_an_item_without_text_comes_last_and_is_answered_with_what_is_popular(self):
        usual = planted.datasets().items
        data = datasets(PLOT=["", None, *usual["PLOT"][2:]], NAME=[None, None, *usual["NAME"][2:]])
        model = RECIPES[SEMANTIC].fit(data, TrainingConfig())
        assert [set(row[-2:]) for row in asked(model, "i07", k=ALL)] == [{"i00", "i01"}]
        assert asked(model, "i00", k=5) == [[item for item in POPULAR if item != "i00"][:5]]

    def test_few_interactions_are_enough(self):
        model = RECIPES[SEMANTIC].fit(planted.datasets(planted.events()[:3]), TrainingConfig())
        assert len(asked(model, "i05", k=3)[0]) == 3

    @pytest.mark.parametrize("left_out", ["NAME", "PLOT"])
    def test_a_schema_without_name_or_text_does_not_train(self, left_out):
        data = chosen_columns(planted.datasets(), excluded={"Items": [left_out]}, included={})
        with pytest.raises(TrainingError, match="a textual field, and a string field with itemName"):
            RECIPES[SEMANTIC].fit(data, TrainingConfig())

    @pytest.mark.parametrize("data", [planted.datasets(metadata=False), datasets(PLOT=["-"] * ALL, NAME=["?"] * ALL)])
    def test_without_words_it_does_not_train(self, data):
        with pytest.raises(TrainingError, match="textual field"):
            RECIPES[SEMANTIC].fit(data, TrainingConfig())
