"""What happened since a model was trained: batch answers follow it without another training, as the service's do."""

from __future__ import annotations

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.recipes import Model
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work.dataset_group import bulk_files


def behind(backend: Backend, group_arn: str, model: Model) -> bool:
    """Whether the data are not those that the model was trained on, and it can follow them."""
    now = fingerprint(backend, group_arn)
    return type(model).current is not Model.current and bool(now) and model.manifest.get("data") != now


def fingerprint(backend: Backend, group_arn: str) -> list[str]:
    """What changes when a dataset group's interactions or items do; empty where there are no interactions."""
    datasets = {each.document["datasetType"]: each for each in backend.store.children(group_arn, "dataset")}
    interactions, items = (
        _marks(backend, datasets[kind]) if kind in datasets else [] for kind in ("INTERACTIONS", "ITEMS")
    )
    return interactions and interactions + items


def revision(backend: Backend, group_arn: str) -> tuple[str, ...]:
    """What changes when anything in a dataset group's datasets does, their schemas among it."""
    datasets = backend.store.children(group_arn, "dataset")
    return tuple(mark for each in datasets for mark in (each.arn, each.document["schemaArn"], *_marks(backend, each)))


def _marks(backend: Backend, dataset: Resource) -> list[str]:
    files = [(path.name, path.stat()) for path in bulk_files(backend, dataset)]
    revision = backend.store.revision(dataset.arn)
    return [
        *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in files),
        *([f"{dataset.document['datasetType']} records {revision}"] if revision else []),
    ]
