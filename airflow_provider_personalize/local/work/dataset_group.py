"""A dataset group's data, from the imports that make it up now."""

from __future__ import annotations

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.datasets.dataset import Datasets, load_datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.layout import dataset_directory
from airflow_provider_personalize.local.service.dataset_import_jobs import parts
from airflow_provider_personalize.local.work.running import JobFailed


def datasets_of(backend: Backend, group_arn: str) -> Datasets:
    """What a dataset group's finished imports hold now. Raises :class:`JobFailed` where there are no interactions."""
    files, schemas = {}, {}
    for dataset in backend.store.children(group_arn, "dataset"):
        kind = dataset.document["datasetType"]
        directory = dataset_directory(backend.root, dataset.arn)
        imports = [directory / f"{job.document['jobName']}.arrow" for job in parts(backend.store, dataset.arn)]
        schema = backend.store.get(dataset.document["schemaArn"])
        if imports and schema:
            files[kind], schemas[kind] = imports, parse_schema(schema.document["schema"])
    if "INTERACTIONS" not in files:
        raise JobFailed(f"Create failed. {group_arn} has no imported Interactions dataset.")
    return load_datasets(files, schemas)
