"""A solution version: the dataset group's datasets become a model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import save_model
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig, TrainingError
from airflow_provider_personalize.local.recipes.features import chosen_columns
from airflow_provider_personalize.local.recipes.model import EventParameter, Model, Objective
from airflow_provider_personalize.local.recipes.search import Choice, Real, Search, Whole
from airflow_provider_personalize.local.service.parameters import Parameter, given_ranges
from airflow_provider_personalize.local.service.recipes import CatalogueEntry, require
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from airflow_provider_personalize.local.work.histories import fingerprint
from airflow_provider_personalize.local.work.running import JobFailed, Running

DEFAULT_SENSITIVITY = "MEDIUM"
DEFAULT_JOBS = 8  # of a search; the service does not say how many it makes


def run(running: Running) -> Mapping[str, Any]:
    """Train and keep the model; returns ``trainingHours``, and ``tunedHPOParams`` where there was a search."""
    started = time.monotonic()
    version = running.resource.document
    settings = running.backend.settings
    entry = require(version["recipeArn"])
    columns = (version.get("solutionConfig") or {}).get("trainingDataConfig", {})
    data = fingerprint(running.backend, version["datasetGroupArn"])
    try:
        model = RECIPES[entry.name].fit(
            chosen_columns(
                datasets_of(running.backend, version["datasetGroupArn"]),
                excluded=columns.get("excludedDatasetColumns", {}),
                included=columns.get("includedDatasetColumns", {}),
            ),
            replace(
                training_config(version, entry),
                seed=settings.seed,
                minimum_interactions=settings.minimum_interactions,
                progress=lambda done, total: running.report(done, total, "epochs"),
            ),
        )
    except TrainingError as error:
        raise JobFailed(str(error)) from None
    _refuse_unbounded(model)
    model = replace(model, manifest={**model.manifest, "data": data})
    running.before_publishing()
    save_model(model, model_directory(running.backend.root, running.lease.arn))
    tuned = model.manifest.get("tuned_hyperparameters")
    shown = {} if tuned is None else {"tunedHPOParams": {"algorithmHyperParameters": tuned}}
    return {"trainingHours": round((time.monotonic() - started) / 3600, 4), **shown}


def _refuse_unbounded(model: Model) -> None:
    """Raise :class:`JobFailed` for a model that could not score: better now than in every job that uses it."""
    for name, array in model.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite((array.min(initial=0), array.max(initial=0))).all():
            raise JobFailed(f"Create failed. Training gave {name} that hold NaN or infinite numbers.")


def training_config(version: Mapping[str, Any], entry: CatalogueEntry) -> TrainingConfig:
    """A solution version's request, as recipes read it; what they have no use for is left out."""
    config = version.get("solutionConfig") or {}
    threshold = config.get("eventValueThreshold")
    objective = config.get("optimizationObjective")
    return TrainingConfig(
        hyperparameters=config.get("algorithmHyperParameters", {}) | config.get("featureTransformationParameters", {}),
        event_type=version.get("eventType"),
        event_value_threshold=None if threshold is None else float(threshold),
        event_parameters=tuple(
            EventParameter(given["eventType"], given.get("eventValueThreshold"), given.get("weight", 1.0))
            for given in config.get("eventsConfig", {}).get("eventParametersList", ())
        ),
        objective=objective
        and Objective(objective["itemAttribute"], objective.get("objectiveSensitivity", DEFAULT_SENSITIVITY)),
        search=_search(config.get("hpoConfig", {}), entry) if version.get("performHPO") else None,
    )


def _search(config: Mapping[str, Any], entry: CatalogueEntry) -> Search:
    """The ranges that the solution gives, and the recipe's own of its other tunable hyperparameters."""
    given = {bounds["name"]: bounds for _, _, bounds in given_ranges(config)}
    ranges = {p.name: _range(p, given.get(p.name, {})) for p in entry.algorithm if p.tunable}
    jobs = config.get("hpoResourceConfig", {}).get("maxNumberOfTrainingJobs", DEFAULT_JOBS)
    return Search(ranges, int(jobs))


def _range(parameter: Parameter, given: Mapping[str, Any]) -> Whole | Real | Choice:
    if parameter.kind == "categorical":
        return Choice(tuple(given.get("values", parameter.values)))
    low, high = given.get("minValue", parameter.low), given.get("maxValue", parameter.high)
    return Whole(int(low), int(high)) if parameter.kind == "integer" else Real(float(low), float(high))
