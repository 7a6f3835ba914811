"""One row answered while the client waits, by the model, filter and rules of a batch job."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from airflow_provider_personalize.batch.recipes import ROW_FORMATS
from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import Model, ModelError, open_model
from airflow_provider_personalize.local.recipes.model import SCORE_UNITS
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work.filtering import compiled
from airflow_provider_personalize.local.work.histories import current, fingerprint
from airflow_provider_personalize.local.work.running import JobFailed


def answer(
    backend: Backend,
    version: Resource,
    config: Mapping[str, Any],
    filter_: Resource | None,
    row: Mapping[str, Any],
    num_results: int,
) -> list[tuple[str, float | None]]:
    """The ids and scores that a batch job would write for ``row``. Raises :class:`JobFailed` with its row error.

    config: ``itemExplorationConfig`` and the like, as a campaign has them.
    """
    group_arn = version.document["datasetGroupArn"]
    directory = model_directory(backend.root, version.arn)
    model = _followed(backend, group_arn, directory, tuple(fingerprint(backend, group_arn))).configured(config)
    if fault := ROW_FORMATS[model.recipe].fault(row):
        raise JobFailed(fault)
    selection, refused = compiled(backend, filter_, model).select([row]) if filter_ else (None, {})
    if refused:
        raise JobFailed(refused[0])
    answered = model.answer([row], num_results, selection)
    if answered.errors:
        raise JobFailed(answered.errors[0])
    (labels,) = model.labels.rows(answered.ids, answered.strangers)
    ids = [orjson.loads(label) for label in labels]
    if answered.scores is None:
        return [(id_, None) for id_ in ids]
    return [(id_, units / SCORE_UNITS) for id_, units in zip(ids, answered.scores[0].tolist(), strict=False)]


def metrics(backend: Backend, version: Resource) -> Mapping[str, float]:
    """What the training measured; empty where it measured nothing."""
    measured: Mapping[str, float] = _opened(model_directory(backend.root, version.arn)).manifest.get("metrics", {})
    return measured


@lru_cache(maxsize=8)
def _opened(directory: Path) -> Model:
    """A model is mapped, not read, and never changes: the next answer finds it open."""
    try:
        return open_model(directory)
    except ModelError as error:
        raise JobFailed(str(error)) from None


@lru_cache(maxsize=8)
def _followed(backend: Backend, group_arn: str, directory: Path, _interactions: tuple[str, ...]) -> Model:
    """The model with the histories of now, which are read again only when the interactions are others."""
    return current(backend, group_arn, _opened(directory))
