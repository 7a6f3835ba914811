"""A solution version: the dataset group's datasets become a model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import save_model
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from airflow_provider_personalize.local.service.recipes import require
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from airflow_provider_personalize.local.work.running import JobFailed, Running


def run(running: Running) -> Mapping[str, Any]:
    """Train and keep the model; returns ``trainingHours``."""
    started = time.monotonic()
    version = running.resource.document
    settings = running.backend.settings
    config = version.get("solutionConfig") or {}
    threshold = config.get("eventValueThreshold")
    recipe = RECIPES[require(version["recipeArn"]).name]
    try:
        model = recipe.fit(
            datasets_of(running.backend, version["datasetGroupArn"]),
            TrainingConfig(
                hyperparameters=config.get("algorithmHyperParameters", {}),
                event_type=version.get("eventType"),
                event_value_threshold=None if threshold is None else float(threshold),
                seed=settings.seed,
                progress=lambda done, total: running.report(done, total, "epochs"),
            ),
        )
    except TrainingError as error:
        raise JobFailed(str(error)) from None
    running.before_publishing()
    save_model(model, model_directory(running.backend.root, running.lease.arn))
    return {"trainingHours": round((time.monotonic() - started) / 3600, 4)}
