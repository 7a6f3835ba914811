"""Data deletion jobs: users named in a CSV file leave a dataset group's datasets."""

from __future__ import annotations

from airflow_provider_personalize.local.service.call import (
    Call,
    Family,
    Operation,
    Request,
    Response,
    require_location,
)
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.store import ACTIVE, FAILED, IN_PROGRESS, PENDING, Quota

DATA_DELETION_JOBS = Family(
    kind="data-deletion-job",
    arn_member="dataDeletionJobArn",
    wrapper="dataDeletionJob",
    listing="dataDeletionJobs",
    summary="DataDeletionJobSummary",
    parent_member="datasetGroupArn",
    statuses={PENDING: "PENDING", IN_PROGRESS: "IN_PROGRESS", ACTIVE: "COMPLETED", FAILED: "FAILED"},
)


def create(call: Call, request: Request) -> Response:
    group = DATASET_GROUPS.require_active(call, request["datasetGroupArn"])
    require_location(request["dataSource"].get("dataLocation"), "Invalid Data location.")
    document = {
        "jobName": request["jobName"],
        "datasetGroupArn": group.arn,
        "dataSource": request["dataSource"],
        "roleArn": request["roleArn"],
    }
    arn = DATA_DELETION_JOBS.arn(call, request["jobName"])
    quota = Quota(call.backend.settings.unfinished_data_deletion_jobs, unfinished=True)
    tags = request.get("tags")
    return DATA_DELETION_JOBS.insert(call, arn, document, parent=group.arn, tags=tags, job=True, quota=quota)


OPERATIONS: dict[str, Operation] = {
    "CreateDataDeletionJob": create,
    "DescribeDataDeletionJob": DATA_DELETION_JOBS.describe,
    "ListDataDeletionJobs": DATA_DELETION_JOBS.list,
}
