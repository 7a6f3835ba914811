"""Datasets: one of each type in a dataset group."""

from __future__ import annotations

import shutil

from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.layout import dataset_directory, resource_name
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.service.schemas import SCHEMAS
from airflow_provider_personalize.local.store import UNFINISHED

DATASETS = Family(
    kind="dataset",
    arn_member="datasetArn",
    wrapper="dataset",
    listing="datasets",
    summary="DatasetSummary",
    parent_member="datasetGroupArn",
)
TYPES = ("INTERACTIONS", "ITEMS", "USERS")


def create(call: Call, request: Request) -> Response:
    group = DATASET_GROUPS.require_active(call, request["datasetGroupArn"])
    schema = SCHEMAS.require(call, request["schemaArn"])
    kind = request["datasetType"].upper()
    if kind not in TYPES:
        raise InvalidInput(f"datasetType must be one of {', '.join(TYPES)} here, not {request['datasetType']!r}.")
    described = parse_schema(schema.document["schema"]).dataset_type
    if described != kind:
        raise InvalidInput(f"Schema {schema.arn} describes {described}, and the dataset's type is {kind}.")
    document = {
        "name": request["name"],
        "datasetGroupArn": group.arn,
        "datasetType": kind,
        "schemaArn": schema.arn,
    }
    arn = DATASETS.arn(call, f"{resource_name(group.arn)}/{kind}")
    return DATASETS.insert(call, arn, document, parent=group.arn, tags=request.get("tags"))


def delete(call: Call, request: Request) -> Response:
    dataset = DATASETS.require(call, request["datasetArn"])
    store = call.backend.store
    running = store.children(dataset.arn, "dataset-import-job", UNFINISHED)
    for solution in store.children(dataset.document["datasetGroupArn"], "solution"):
        running += store.children(solution.arn, "solution-version", UNFINISHED)
    if running:
        raise ResourceInUse(f"{dataset.arn} is used by {running[0].arn}, which is {running[0].status}.")
    store.delete(dataset.arn)
    shutil.rmtree(dataset_directory(call.backend.root, dataset.arn), ignore_errors=True)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateDataset": create,
    "DescribeDataset": DATASETS.describe,
    "ListDatasets": DATASETS.list,
    "DeleteDataset": delete,
}
