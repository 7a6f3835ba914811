"""Dataset import jobs: CSV at a location becomes a part of a dataset."""

from __future__ import annotations

from airflow_provider_personalize.local.errors import InvalidInput
from airflow_provider_personalize.local.service.call import (
    Call,
    Family,
    Operation,
    Request,
    Response,
    require_location,
)
from airflow_provider_personalize.local.service.datasets import DATASETS
from airflow_provider_personalize.local.store import ACTIVE, Quota, Resource, Store

DATASET_IMPORT_JOBS = Family(
    kind="dataset-import-job",
    arn_member="datasetImportJobArn",
    wrapper="datasetImportJob",
    listing="datasetImportJobs",
    summary="DatasetImportJobSummary",
    parent_member="datasetArn",
)


def create(call: Call, request: Request) -> Response:
    dataset = DATASETS.require_active(call, request["datasetArn"])
    location = request["dataSource"].get("dataLocation")
    if not location:
        raise InvalidInput("dataSource.dataLocation is missing: name a CSV file, or a folder that ends in '/'.")
    require_location(location, "Invalid Data location.")
    mode = request.get("importMode", "FULL")
    if mode == "INCREMENTAL" and not parts(call.backend.store, dataset.arn):
        raise InvalidInput(f"The first import into {dataset.arn} must be FULL.")
    document = {
        "jobName": request["jobName"],
        "datasetArn": dataset.arn,
        "dataSource": request["dataSource"],
        "roleArn": request.get("roleArn"),
        "importMode": mode,
        "publishAttributionMetricsToS3": request.get("publishAttributionMetricsToS3"),
    }
    arn = DATASET_IMPORT_JOBS.arn(call, request["jobName"])
    quota = Quota(call.backend.settings.unfinished_dataset_import_jobs, unfinished=True)
    tags = request.get("tags")
    return DATASET_IMPORT_JOBS.insert(call, arn, document, parent=dataset.arn, tags=tags, job=True, quota=quota)


def parts(store: Store, dataset_arn: str) -> list[Resource]:
    """The imports that make up a dataset now: the newest full one and the incremental ones since, oldest first."""
    done = store.children(dataset_arn, DATASET_IMPORT_JOBS.kind, [ACTIVE])
    full = [position for position, job in enumerate(done) if job.document["importMode"] == "FULL"]
    return done[full[-1] :] if full else []


OPERATIONS: dict[str, Operation] = {
    "CreateDatasetImportJob": create,
    "DescribeDatasetImportJob": DATASET_IMPORT_JOBS.describe,
    "ListDatasetImportJobs": DATASET_IMPORT_JOBS.list,
}
