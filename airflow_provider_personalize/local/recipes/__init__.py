"""Recipes: datasets in, a trained model out; rows in, answers out. No recipe reads or writes a file."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_personalize.local.recipes.hrnn import HrnnColdstart
from airflow_provider_personalize.local.recipes.item_affinity import ItemAffinity
from airflow_provider_personalize.local.recipes.item_attribute_affinity import ItemAttributeAffinity
from airflow_provider_personalize.local.recipes.model import Answer, Model, Recipe, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.next_best_action import NextBestAction
from airflow_provider_personalize.local.recipes.popularity import PopularityCount, TrendingNow
from airflow_provider_personalize.local.recipes.ranking import PersonalizedRanking
from airflow_provider_personalize.local.recipes.semantic_similarity import SemanticSimilarity
from airflow_provider_personalize.local.recipes.similar_items import SimilarItems
from airflow_provider_personalize.local.recipes.sims import Sims
from airflow_provider_personalize.local.recipes.user_personalization import ExploringModel, UserPersonalization

__all__ = ["RECIPES", "Answer", "Model", "Recipe", "TrainingConfig", "TrainingError"]

_V1 = UserPersonalization("aws-user-personalization", metadata=False, recency_parameter="recency_mask")
_EXPLORING = replace(_V1, model=ExploringModel)
_V2 = UserPersonalization("aws-user-personalization-v2", metadata=True, recency_parameter="apply_recency_bias")

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _EXPLORING,
        _V2,
        replace(_V1, name="aws-hrnn"),
        replace(_V1, name="aws-hrnn-metadata", metadata=True),
        HrnnColdstart(replace(_V1, metadata=True)),
        PopularityCount(),
        TrendingNow(),
        NextBestAction(),
        PersonalizedRanking("aws-personalized-ranking", _V1),
        PersonalizedRanking("aws-personalized-ranking-v2", _V2),
        Sims(),
        SimilarItems(),
        SemanticSimilarity(),
        ItemAffinity(),
        ItemAttributeAffinity(),
    )
}
