"""Dataset export jobs: a dataset becomes CSV at a location."""

from __future__ import annotations

from airflow_provider_personalize.local.service.call import (
    Call,
    Family,
    Operation,
    Request,
    Response,
    require_location,
)
from airflow_provider_personalize.local.service.datasets import DATASETS
from airflow_provider_personalize.local.store import Quota

DATASET_EXPORT_JOBS = Family(
    kind="dataset-export-job",
    arn_member="datasetExportJobArn",
    wrapper="datasetExportJob",
    listing="datasetExportJobs",
    summary="DatasetExportJobSummary",
    parent_member="datasetArn",
)


def create(call: Call, request: Request) -> Response:
    dataset = DATASETS.require_active(call, request["datasetArn"])
    require_location(request["jobOutput"]["s3DataDestination"]["path"], "Invalid S3 output path:")
    document = {
        "jobName": request["jobName"],
        "datasetArn": dataset.arn,
        "ingestionMode": request.get("ingestionMode", "PUT"),
        "roleArn": request["roleArn"],
        "jobOutput": request["jobOutput"],
    }
    arn = DATASET_EXPORT_JOBS.arn(call, request["jobName"])
    quota = Quota(call.backend.settings.unfinished_dataset_export_jobs, unfinished=True)
    tags = request.get("tags")
    return DATASET_EXPORT_JOBS.insert(call, arn, document, parent=dataset.arn, tags=tags, job=True, quota=quota)


OPERATIONS: dict[str, Operation] = {
    "CreateDatasetExportJob": create,
    "DescribeDatasetExportJob": DATASET_EXPORT_JOBS.describe,
    "ListDatasetExportJobs": DATASET_EXPORT_JOBS.list,
}
