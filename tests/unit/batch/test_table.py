"""Output rows as table rows."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_personalize.batch.output import OutputRow
from airflow_provider_personalize.batch.recipes import JobKind, job_kind
from airflow_provider_personalize.batch.table import Exploded, TableShape, explode, table_shape


def table(shape: TableShape, *rows: OutputRow, block_rows: int = 1000) -> tuple[list[tuple[Any, ...]], Exploded]:
    counts = Exploded()
    blocks = explode(rows, shape, "run", counts, block_rows=block_rows)
    return [row for block in blocks for row in zip(*block, strict=True)], counts


@pytest.mark.parametrize(
    ("recipe", "mode", "columns"),
    [
        ("aws-user-personalization", None, ["run_key", "user_id", "rank", "item_id", "score"]),
        ("aws-popularity-count", None, ["run_key", "user_id", "rank", "item_id", "score"]),
        ("aws-personalized-ranking-v2", None, ["run_key", "user_id", "rank", "item_id", "score"]),
        ("aws-sims", None, ["run_key", "item_id", "rank", "similar_item_id", "score"]),
        (
            "aws-similar-items",
            "THEME_GENERATION",
            ["run_key", "item_id", "rank", "similar_item_id", "score", "theme"],
        ),
        ("aws-item-affinity", None, ["run_key", "item_id", "rank", "user_id"]),
        ("aws-item-attribute-affinity", None, ["run_key", "item_attributes", "rank", "user_id"]),
    ],
)
def test_the_columns_follow_from_the_recipe(recipe: str, mode: str | None, columns: list[str]) -> None:
    assert list(table_shape(recipe, job_kind(recipe, mode)).columns) == columns


USERS = table_shape("aws-user-personalization", JobKind.INFERENCE)


def test_each_result_is_a_row_that_counts_from_one() -> None:
    rows, counts = table(
        USERS,
        OutputRow({"userId": "a"}, ("i", "j"), (0.5, 0.25)),
        OutputRow({"userId": "b"}, ("k",), (0.125,)),
    )
    assert rows == [("run", "a", 1, "i", 0.5), ("run", "a", 2, "j", 0.25), ("run", "b", 1, "k", 0.125)]
    assert (counts.rows, counts.table_rows) == (2, 3)


def test_failed_and_empty_rows_give_none_and_are_counted() -> None:
    rows, counts = table(USERS, OutputRow({"userId": "a"}, error="no"), OutputRow({"userId": "b"}))
    assert (rows, counts.failed_rows, counts.empty_rows, counts.rows) == ([], 1, 1, 0)


def test_what_a_row_lacks_is_null() -> None:
    rows, _ = table(USERS, OutputRow({}, ("i", "j"), (0.5,)), OutputRow({"userId": "a"}, ("i",)))
    assert rows == [("run", None, 1, "i", 0.5), ("run", None, 2, "j", None), ("run", "a", 1, "i", None)]


def test_themes_bring_their_text_and_relevance() -> None:
    shape = table_shape("aws-similar-items", JobKind.THEMES)
    rows, _ = table(shape, OutputRow({"itemId": "a"}, ("i",), theme="Quiet evenings", theme_scores=(0.6,)))
    assert rows == [("run", "a", 1, "i", 0.6, "Quiet evenings")]


def test_rows_of_one_user_differ_by_their_filter_values() -> None:
    shape = table_shape("aws-user-personalization", JobKind.INFERENCE, filtered=True)
    rows, _ = table(
        shape,
        OutputRow({"userId": "a", "filterValues": {"G": '"x"'}}, ("i",), (0.5,)),
        OutputRow({"userId": "a"}, ("j",), (0.5,)),
    )
    assert [row[-1] for row in rows] == [r'{"G":"\"x\""}', None]


def test_a_long_segment_is_cut_into_blocks() -> None:
    shape = table_shape("aws-item-affinity", JobKind.SEGMENT)
    users = tuple(f"u{n}" for n in range(25))
    counts = Exploded()
    row = OutputRow({"itemId": "i"}, users)
    blocks = list(explode([row, row], shape, "run", counts, block_rows=10))
    assert max(len(block[0]) for block in blocks) < 20
    rows = [each for block in blocks for each in zip(*block, strict=True)]
    assert [each[2:] for each in rows] == [(rank, user) for rank, user in enumerate(users, 1)] * 2
