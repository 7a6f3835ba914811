"""A dataset export job: a dataset's rows become one CSV file, which an import reads back as the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from airflow_provider_personalize.local.datasets.dataset import load_dataset
from airflow_provider_personalize.local.storage import check_location, output_location, storage_for
from airflow_provider_personalize.local.work.dataset_group import bulk_files, schema_of
from airflow_provider_personalize.local.work.records import records_of
from airflow_provider_personalize.local.work.running import Running


def run(running: Running) -> Mapping[str, Any]:
    """Write ``<jobName>.csv`` below the output location; a header alone where there is nothing to export."""
    job = running.resource.document
    dataset = running.require(job["datasetArn"])
    schema = schema_of(running.backend, dataset)
    tables = []
    if job["ingestionMode"] in ("BULK", "ALL") and (files := bulk_files(running.backend, dataset)):
        tables.append(load_dataset(files, schema))
    if job["ingestionMode"] in ("PUT", "ALL"):
        tables.append(records_of(running.backend, dataset.arn, schema))
    names = {field.name.upper(): field.name for field in schema.fields}
    table = pl.concat(tables) if tables else pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    # A backslash in quotes escapes for whoever reads such a file (developer guide, "Preparing training data").
    text = pl.selectors.string().str.replace_all("\\", "\\\\", literal=True)
    destination = check_location(job["jobOutput"]["s3DataDestination"]["path"])
    storage = storage_for(destination, running.scratch)
    target = output_location(destination, f"{job['jobName']}.csv")
    staged = storage.staging(target, running.tag)
    try:
        with staged.open("wb") as out:
            out.write(",".join(names.values()).encode() + b"\n")  # unquoted, as the guide asks for headers
            table.with_columns(text).write_csv(out, include_header=False, quote_style="non_numeric")
        running.report(len(table), len(table), "rows")
        running.before_publishing()
        storage.publish(staged, target)
    finally:
        storage.discard([staged])
    return {}
