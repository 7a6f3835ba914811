"""A dataset group's data, from the imports that make it up now and the records put into it since."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.datasets.schema import DatasetSchema, parse_schema
from airflow_provider_personalize.local.layout import dataset_directory, scratch_directory
from airflow_provider_personalize.local.service.dataset_import_jobs import parts
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work.records import records_of
from airflow_provider_personalize.local.work.running import JobFailed
from airflow_provider_personalize.local.work.snapshot import Snapshot


def snapshot(backend: Backend, group_arn: str, folder: Path) -> Snapshot:
    """What a dataset group holds now; records put one by one are written to ``folder``, which must stay."""
    files, schemas = {}, {}
    for dataset in backend.store.children(group_arn, "dataset"):
        kind, schema = dataset.document["datasetType"], schema_of(backend, dataset)
        schemas[kind] = schema
        found = bulk_files(backend, dataset)
        records = records_of(backend, dataset.arn, schema)
        if len(records):  # after the imports, since the last record of an id counts
            found.append(folder / f"{kind}.arrow")
            records.write_ipc(found[-1], compression="uncompressed")
        if found:
            files[kind] = found
    return Snapshot(files, schemas)


def datasets_of(backend: Backend, group_arn: str) -> Datasets:
    """What a dataset group holds now."""
    with TemporaryDirectory(dir=scratch_directory(backend.root)) as folder:
        return snapshot(backend, group_arn, Path(folder)).load()


def bulk_files(backend: Backend, dataset: Resource) -> list[Path]:
    """The files of the imports that make up a dataset now, oldest first."""
    directory = dataset_directory(backend.root, dataset.arn)
    return [directory / f"{job.document['jobName']}.arrow" for job in parts(backend.store, dataset.arn)]


def schema_of(backend: Backend, dataset: Resource) -> DatasetSchema:
    """The schema that a dataset has now; it cannot be deleted before the dataset."""
    schema = backend.store.get(dataset.document["schemaArn"])
    if schema is None:
        raise JobFailed(f"Resource Arn {dataset.document['schemaArn']} does not exist any more.")
    return parse_schema(schema.document["schema"])
