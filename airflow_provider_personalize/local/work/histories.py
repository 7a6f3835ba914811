"""What users did since a model was trained: batch answers follow it without another training, as the service's do."""

from __future__ import annotations

import polars as pl

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.recipes import Model, TrainingError
from airflow_provider_personalize.local.work.dataset_group import bulk_files, datasets_of, schema_of
from airflow_provider_personalize.local.work.records import records_of
from airflow_provider_personalize.local.work.running import JobFailed


def current(backend: Backend, group_arn: str, model: Model) -> Model:
    """The model with the histories of its dataset group as they are now.

    The data are read only where they are not those that it was trained on. Raises :class:`JobFailed` where they no
    longer have the columns that the solution chooses events by.
    """
    now = fingerprint(backend, group_arn)
    if type(model).current is Model.current or not now or model.manifest.get("data") == now:
        return model
    try:
        return model.current(datasets_of(backend, group_arn))
    except TrainingError as error:
        raise JobFailed(str(error)) from None


def fingerprint(backend: Backend, group_arn: str) -> list[str]:
    """What changes when a dataset group's interactions do; empty where there are none."""
    marks = []
    for dataset in backend.store.children(group_arn, "dataset"):
        if dataset.document["datasetType"] == "INTERACTIONS":
            files = [(path.name, path.stat()) for path in bulk_files(backend, dataset)]
            marks += [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in files]
            records = records_of(backend, dataset.arn, schema_of(backend, dataset))
            if len(records):
                marks.append(f"{len(records)} records until {records.select(pl.col('TIMESTAMP').max()).item()}")
    return marks
