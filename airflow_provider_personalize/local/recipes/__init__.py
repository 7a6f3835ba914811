"""Recipes: datasets in, a trained model out; rows in, answers out. No recipe reads or writes a file."""

from __future__ import annotations

from airflow_provider_personalize.local.recipes.item_affinity import ItemAffinity
from airflow_provider_personalize.local.recipes.model import Answer, Model, Recipe, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.user_personalization import UserPersonalization

__all__ = ["RECIPES", "Answer", "Model", "Recipe", "TrainingConfig", "TrainingError"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        UserPersonalization("aws-user-personalization", metadata=False, recency_parameter="recency_mask"),
        UserPersonalization("aws-user-personalization-v2", metadata=True, recency_parameter="apply_recency_bias"),
        ItemAffinity(),
    )
}
