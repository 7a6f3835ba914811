"""One row answered while the client waits, by the model, filter and rules of a batch job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from airflow_provider_personalize.batch.recipes import ROW_FORMATS
from airflow_provider_personalize.batch.scores import UNITS_PER_ONE
from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work.latest import latest, opened
from airflow_provider_personalize.local.work.running import JobFailed


def answer(
    backend: Backend,
    version: Resource,
    config: Mapping[str, Any],
    filter_: Resource | None,
    row: Mapping[str, Any],
    num_results: int,
    user: str | None = None,
) -> list[tuple[str, float | None]]:
    """The ids and scores that a batch job would write for ``row``. Raises :class:`JobFailed` with its row error.

    config: ``itemExplorationConfig`` and the like, as a campaign has them. user: who asks, for a filter on what she did
    or is; rows of a batch job that ask about an item name nobody.
    """
    directory = model_directory(backend.root, version.arn)
    if fault := ROW_FORMATS[opened(directory).recipe].fault(row):
        raise JobFailed(fault)
    if user:
        row = {**row, "userId": user}
    model, selection = latest(backend, version.document["datasetGroupArn"]).answered_from(
        directory, config, filter_, row
    )
    answered = model.answer([row], num_results, selection)
    if answered.errors:
        raise JobFailed(answered.errors[0])
    (labels,) = model.labels.rows(answered.ids, answered.strangers)
    ids = [orjson.loads(label) for label in labels]
    if answered.scores is None:
        return [(id_, None) for id_ in ids]
    return [(id_, units / UNITS_PER_ONE) for id_, units in zip(ids, answered.scores[0].tolist(), strict=False)]


def metrics(backend: Backend, version: Resource) -> Mapping[str, float]:
    """What the training measured; empty where it measured nothing."""
    measured: Mapping[str, float] = opened(model_directory(backend.root, version.arn)).manifest.get("metrics", {})
    return measured
