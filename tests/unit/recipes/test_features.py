"""Metadata as features."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.features import chosen_columns, tags, with_identity
from tests.unit.recipes.planted import SCHEMAS, datasets, schema, text

IDS = pl.Series("id", ["a", "b", "c", "d"])
SCHEMA = schema(
    "Items",
    text("ITEM_ID"),
    text("GENRES", categorical=True),
    text("TITLE"),
    text("PLOT", textual=True),
    {"name": "PRICE", "type": "float"},
    {"name": "CREATION_TIMESTAMP", "type": "long"},
)


def tagged(**columns):
    full = {"TITLE": None, "PLOT": None, "PRICE": None, "GENRES": None, "CREATION_TIMESTAMP": None} | columns
    table = pl.DataFrame(
        {"ITEM_ID": ["b", "a", "c", "zz"], **{name: pl.Series(v or [None] * 4) for name, v in full.items()}}
    )
    return tags(
        table.with_columns(pl.col("PRICE").cast(pl.Float64), pl.col("GENRES").cast(pl.String)), SCHEMA, "ITEM_ID", IDS
    ).toarray()


def test_each_value_of_a_categorical_column_is_a_tag():
    found = tagged(GENRES=["x|y", "x", "y|only-c", "x"])
    assert found.tolist() == [[1, 0], [1, 1], [0, 1], [0, 0]]  # a value that one item alone has is none


def test_numbers_are_tags_by_tenths():
    found = tagged(PRICE=[1.0, 1.0, 9.0, 9.0])
    assert found.sum(axis=1).tolist() == [1, 1, 0, 0]
    assert found[0].tolist() == found[1].tolist()


def test_other_text_times_and_nulls_are_none():
    found = tagged(TITLE=["t"] * 4, PLOT=["p"] * 4, CREATION_TIMESTAMP=[5] * 4)
    assert found.shape == (4, 0)
    assert tags(None, None, "ITEM_ID", IDS).shape == (4, 0)


def test_rows_sum_to_one_and_the_untrained_have_no_column_of_their_own():
    features = with_identity(
        tags(
            pl.DataFrame({"ITEM_ID": ["a", "b"], "GENRES": ["x", "x"]}),
            schema("Items", text("ITEM_ID"), text("GENRES", categorical=True)),
            "ITEM_ID",
            IDS,
        ),
        np.array([True, False, True, False]),
    ).toarray()
    assert features.tolist() == [[0.5, 0, 0, 0, 0.5], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_tags_may_weigh_a_fixed_share_however_many_there_are():
    tagged = csr_matrix(np.array([[1, 1], [1, 0], [0, 0]], np.float32))
    features = with_identity(tagged, np.array([True, False, True]), 0.5).toarray()
    assert features.tolist() == [[1, 0, 0, 0.25, 0.25], [0, 0, 0, 0.5, 0], [0, 0, 1, 0, 0]]


class TestChosenColumns:
    def columns(self, excluded=None, included=None):
        chosen = chosen_columns(datasets(), excluded=excluded or {}, included=included or {})
        return {kind: [field.name for field in schema.fields] for kind, schema in chosen.schemas.items()}

    def test_without_a_choice_all_train(self):
        assert self.columns() == {kind: [f.name for f in schema.fields] for kind, schema in SCHEMAS.items()}

    def test_excluded_columns_do_not_train(self):
        assert "PLOT" not in self.columns({"Items": ["plot"]})["ITEMS"]
        assert self.columns({"ITEMS": ["PLOT"]})["USERS"] == ["USER_ID", "GROUP"]

    def test_included_columns_alone_train_and_keys_stay(self):
        assert self.columns(included={"items": ["GROUP"]})["ITEMS"] == ["ITEM_ID", "GROUP"]
        kept = self.columns({"INTERACTIONS": ["EVENT_TYPE", "TIMESTAMP"]})["INTERACTIONS"]
        assert {"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"} <= set(kept)

    def test_what_does_not_train_leaves_no_feature(self):
        chosen = chosen_columns(datasets(), excluded={"ITEMS": ["GROUP"]}, included={})
        ids = chosen.items["ITEM_ID"].sort()
        assert tags(chosen.items, chosen.schemas["ITEMS"], "ITEM_ID", ids).shape[1] == 0

    @pytest.mark.parametrize(
        ("kind", "column", "said"),
        [
            ("ITEMS", "PRICE", "names PRICE, which ITEMS does not have"),
            ("NOWHERE", "PRICE", "names NOWHERE, of which there are no data"),
        ],
    )
    def test_an_unknown_column_or_dataset_is_named(self, kind, column, said):
        with pytest.raises(TrainingError, match=said):
            self.columns({kind: [column]})


@pytest.mark.parametrize(
    ("recipe", "learns"),
    [
        ("aws-user-personalization", False),
        ("aws-personalized-ranking", False),
        ("aws-item-affinity", False),
        ("aws-user-personalization-v2", True),
        ("aws-hrnn-metadata", True),
        ("aws-similar-items", True),
    ],
)
def test_metadata_move_the_items_of_the_recipes_that_learn_from_them_alone(trained, recipe, learns):
    without = chosen_columns(datasets(), excluded={"ITEMS": ["GROUP"], "USERS": ["GROUP"]}, included={})
    name = "item_vectors" if recipe == "aws-similar-items" else "item_factors"
    bare = RECIPES[recipe].fit(without, TrainingConfig(seed=3)).arrays[name]
    assert np.array_equal(bare, trained(recipe).arrays[name]) != learns
