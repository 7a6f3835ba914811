"""Datasets: one of each type in a dataset group."""

from __future__ import annotations

import shutil
import uuid

from airflow_provider_personalize.local.datasets.schema import DatasetSchema, parse_schema
from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.layout import dataset_directory, resource_name
from airflow_provider_personalize.local.service.call import (
    Call,
    Family,
    Operation,
    Request,
    Response,
    complete_update,
)
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.service.schemas import SCHEMAS
from airflow_provider_personalize.local.store import UNFINISHED, Resource

DATASETS = Family(
    kind="dataset",
    arn_member="datasetArn",
    wrapper="dataset",
    listing="datasets",
    summary="DatasetSummary",
    parent_member="datasetGroupArn",
)
TYPES = ("INTERACTIONS", "ITEMS", "USERS", "ACTIONS", "ACTION_INTERACTIONS")
JOBS = ("dataset-import-job", "dataset-export-job")
UPDATABLE_TYPES = ("ITEMS", "USERS")


def create(call: Call, request: Request) -> Response:
    group = DATASET_GROUPS.require_active(call, request["datasetGroupArn"])
    schema = SCHEMAS.require(call, request["schemaArn"])
    kind = request["datasetType"].upper()
    if kind not in TYPES:
        raise InvalidInput(f"datasetType must be one of {', '.join(TYPES)}, not {request['datasetType']!r}.")
    _schema_for(kind, schema)
    document = {
        "name": request["name"],
        "datasetGroupArn": group.arn,
        "datasetType": kind,
        "schemaArn": schema.arn,
    }
    if kind == "ACTION_INTERACTIONS":
        document["trackingId"] = str(uuid.uuid4())  # where PutActionInteractions puts its events
    arn = DATASETS.arn(call, f"{resource_name(group.arn)}/{kind}")
    return DATASETS.insert(call, arn, document, parent=group.arn, tags=request.get("tags"))


def _schema_for(kind: str, schema: Resource) -> DatasetSchema:
    parsed = parse_schema(schema.document["schema"])
    if parsed.dataset_type != kind:
        raise InvalidInput(f"Schema {schema.arn} describes {parsed.dataset_type}, and the dataset's type is {kind}.")
    return parsed


def describe(call: Call, request: Request) -> Response:
    response = DATASETS.describe(call, request)
    complete_update(response["dataset"], "latestDatasetUpdate")
    return response


def update(call: Call, request: Request) -> Response:
    """Replace the schema by one with more columns (developer guide, "Replacing a dataset's schema")."""
    dataset = DATASETS.require_active(call, request["datasetArn"])
    kind = dataset.document["datasetType"]
    if kind not in UPDATABLE_TYPES:
        raise InvalidInput(f"The schema of {' and '.join(UPDATABLE_TYPES)} can be replaced, not that of {kind}.")
    schema = SCHEMAS.require(call, request["schemaArn"])
    new = _schema_for(kind, schema)
    old = parse_schema(SCHEMAS.require(call, dataset.document["schemaArn"]).document["schema"])
    for field in old.fields:
        if field not in new.fields:
            raise InvalidInput(f"Schema {schema.arn} lacks field {field.name}, or gives it another type or attribute.")
    added = [field for field in new.fields if field not in old.fields]
    for field in added:
        if not field.nullable:
            raise InvalidInput(f"Field {field.name} of schema {schema.arn} is new, so it must take null.")
    _refuse_in_use(call, dataset)
    call.backend.store.change(dataset.arn, {"schemaArn": schema.arn, "latestDatasetUpdate": {"schemaArn": schema.arn}})
    return {"datasetArn": dataset.arn}


def _refuse_in_use(call: Call, dataset: Resource) -> None:
    """Raise ``ResourceInUseException`` while a job reads or writes the dataset."""
    store, group_arn = call.backend.store, dataset.document["datasetGroupArn"]
    running = [job for kind in JOBS for job in store.children(dataset.arn, kind, UNFINISHED)]
    running += store.children(group_arn, "data-deletion-job", UNFINISHED)
    for solution in store.children(group_arn, "solution"):
        running += store.children(solution.arn, "solution-version", UNFINISHED)
    if running:
        raise ResourceInUse(f"{dataset.arn} is used by {running[0].arn}, which is {running[0].status}.")


def delete(call: Call, request: Request) -> Response:
    dataset = DATASETS.require(call, request["datasetArn"])
    _refuse_in_use(call, dataset)
    call.backend.store.delete(dataset.arn)
    shutil.rmtree(dataset_directory(call.backend.root, dataset.arn), ignore_errors=True)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateDataset": create,
    "DescribeDataset": describe,
    "ListDatasets": DATASETS.list,
    "UpdateDataset": update,
    "DeleteDataset": delete,
}
