"""What a recipe means for batch files."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.batch.recipes import (
    LIVE_ONLY,
    QUOTAS,
    ROW_FORMATS,
    JobKind,
    RecipeError,
    job_kind,
    recipe_name,
)


def test_a_recipe_is_known_by_its_name_and_by_its_arn() -> None:
    assert recipe_name("aws-sims") == recipe_name("arn:aws:personalize:::recipe/aws-sims") == "aws-sims"


@pytest.mark.parametrize("recipe", [*sorted(LIVE_ONLY), "aws-ecomm-popular-items-by-views", ""])
def test_a_recipe_without_batch_jobs_is_refused(recipe: str) -> None:
    with pytest.raises(RecipeError):
        recipe_name(recipe)


@pytest.mark.parametrize(
    ("recipe", "mode", "kind", "rows"),
    [
        ("aws-user-personalization-v2", None, JobKind.INFERENCE, 50_000_000),
        ("aws-similar-items", "BATCH_INFERENCE", JobKind.INFERENCE, 50_000_000),
        ("aws-similar-items", "THEME_GENERATION", JobKind.THEMES, 100),
        ("aws-item-affinity", None, JobKind.SEGMENT, 500),
        ("aws-item-attribute-affinity", None, JobKind.SEGMENT, 10),
    ],
)
def test_the_kind_of_job_decides_how_many_rows_a_file_may_have(
    recipe: str, mode: str | None, kind: JobKind, rows: int
) -> None:
    assert job_kind(recipe, mode) is kind
    assert QUOTAS.rows(recipe, kind) == rows


@pytest.mark.parametrize("recipe", ["aws-sims", "aws-item-affinity"])
def test_only_similar_items_generates_themes(recipe: str) -> None:
    with pytest.raises(RecipeError, match=recipe):
        job_kind(recipe, "THEME_GENERATION")


@pytest.mark.parametrize("mode", ["BATCH_SEGMENT", "THEMES", ""])
def test_another_mode_is_refused(mode: str) -> None:
    with pytest.raises(RecipeError, match=f"not '{mode}'"):
        job_kind("aws-similar-items", mode)


def test_every_format_shows_a_row_that_it_takes() -> None:
    import orjson

    for format_ in ROW_FORMATS.values():
        assert format_.fault(orjson.loads(format_.example)) is None
