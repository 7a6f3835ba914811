from __future__ import annotations

import pytest

from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from tests.unit.recipes import planted


@pytest.fixture(scope="session")
def trained():
    """Each recipe's model of the planted data, trained once."""
    models = {}

    def get(recipe):
        if recipe not in models:
            models[recipe] = RECIPES[recipe].fit(planted.datasets(), TrainingConfig(seed=3))
        return models[recipe]

    return get
