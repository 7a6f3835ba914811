"""What a recipe means for batch files: the rows it takes, its kind of job, and how many rows a file may have.

Sources: developer guide, "Preparing input data for batch recommendations", "... for user segments", "Quotas".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from airflow_provider_personalize.batch.rows import (
    ATTRIBUTE_ROWS,
    ITEM_ROWS,
    POPULARITY_ROWS,
    RANKING_ROWS,
    USER_ROWS,
    RowFormat,
)

ROW_FORMATS: dict[str, RowFormat] = {
    "aws-hrnn": USER_ROWS,
    "aws-hrnn-coldstart": USER_ROWS,
    "aws-hrnn-metadata": USER_ROWS,
    "aws-item-affinity": ITEM_ROWS,
    "aws-item-attribute-affinity": ATTRIBUTE_ROWS,
    "aws-next-best-action": USER_ROWS,
    "aws-personalized-ranking": RANKING_ROWS,
    "aws-personalized-ranking-v2": RANKING_ROWS,
    "aws-popularity-count": POPULARITY_ROWS,
    "aws-semantic-similarity": ITEM_ROWS,
    "aws-similar-items": ITEM_ROWS,
    "aws-sims": ITEM_ROWS,
    "aws-trending-now": POPULARITY_ROWS,
    "aws-user-personalization": USER_ROWS,
    "aws-user-personalization-v2": USER_ROWS,
}
#: These answer live requests alone.
LIVE_ONLY = frozenset({"aws-next-best-action", "aws-trending-now"})
SEGMENT_RECIPES = frozenset({"aws-item-affinity", "aws-item-attribute-affinity"})


class JobKind(Enum):
    """What a batch job does; the values are the service's words where it has any."""

    INFERENCE = "BATCH_INFERENCE"
    THEMES = "THEME_GENERATION"
    SEGMENT = "BATCH_SEGMENT"


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much input one batch job takes. None of these can be raised (developer guide, "Quotas")."""

    files: int = 1000
    bytes: int = 1_000_000_000
    """Of all files together."""
    inference_rows: int = 50_000_000
    """In one file, as all the following."""
    theme_rows: int = 100
    item_affinity_rows: int = 500
    item_attribute_affinity_rows: int = 10

    def rows(self, recipe: str, kind: JobKind) -> int:
        """The most rows that one file may hold."""
        if kind is JobKind.THEMES:
            return self.theme_rows
        segments = {
            "aws-item-affinity": self.item_affinity_rows,
            "aws-item-attribute-affinity": self.item_attribute_affinity_rows,
        }
        return segments.get(recipe, self.inference_rows)


QUOTAS = Quotas()


class RecipeError(ValueError):
    """A recipe that no batch job can be run with."""


def recipe_name(recipe: str) -> str:
    """``aws-sims`` of ``aws-sims`` or of its ARN. Raises :class:`RecipeError` where no batch job takes it."""
    name = recipe.rpartition("/")[2]
    if name not in ROW_FORMATS:
        known = ", ".join(sorted(ROW_FORMATS.keys() - LIVE_ONLY))
        raise RecipeError(f"The rows of recipe {recipe!r} are not known. Known are: {known}.")
    if name in LIVE_ONLY:
        raise RecipeError(f"Recipe {name} answers live requests alone; no batch job takes it.")
    return name


def job_kind(recipe: str, mode: str | None = None) -> JobKind:
    """The kind of job that a recipe's rows are for. ``mode``: ``BATCH_INFERENCE`` (or None) or ``THEME_GENERATION``.

    Raises :class:`RecipeError` for a mode that the recipe does not have.
    """
    if mode not in (None, JobKind.INFERENCE.value, JobKind.THEMES.value):
        raise RecipeError(f"A batch job's mode is BATCH_INFERENCE or THEME_GENERATION, not {mode!r}.")
    if mode == JobKind.THEMES.value and recipe != "aws-similar-items":
        raise RecipeError(f"Only aws-similar-items generates themes, not {recipe}.")
    return JobKind.SEGMENT if recipe in SEGMENT_RECIPES else JobKind(mode or JobKind.INFERENCE.value)
