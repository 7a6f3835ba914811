"""A dataset import job: CSV files become one columnar part of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from airflow_provider_personalize.local.datasets.csv_import import DatasetImportError, import_csv
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.layout import dataset_directory
from airflow_provider_personalize.local.storage import check_location, storage_for
from airflow_provider_personalize.local.work.running import JobFailed, Running


def run(running: Running) -> Mapping[str, Any]:
    job = running.resource.document
    dataset = running.require(job["datasetArn"]).document
    schema = parse_schema(running.require(dataset["schemaArn"]).document["schema"])
    location = check_location(job["dataSource"]["dataLocation"])
    storage = storage_for(location, running.scratch)
    found = storage.matching(location)
    if location.key.endswith("/"):
        found = [stored for stored in found if stored.name.endswith(".csv")]
    if not found:
        raise JobFailed(f"Invalid Data location. {location} matches no CSV file.")
    interactions = dataset["datasetType"] == "INTERACTIONS"
    minimum = running.backend.settings.minimum_interactions if interactions else 1
    destination = dataset_directory(running.backend.root, job["datasetArn"]) / f"{job['jobName']}.arrow"
    with ExitStack() as copies:
        paths = [copies.enter_context(storage.local_copy(stored)) for stored in found]
        try:
            rows = import_csv(
                paths, schema, destination, minimum_rows=minimum, before_publishing=running.before_publishing
            )
        except DatasetImportError as error:
            kind = dataset["datasetType"].capitalize()
            raise JobFailed(f"Failed to create a data import job for {kind} dataset. {error}") from None
    running.report(rows, rows, "rows")
    return {}
