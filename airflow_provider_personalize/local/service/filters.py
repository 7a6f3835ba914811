"""Filters: expressions that batch jobs name."""

from __future__ import annotations

from airflow_provider_personalize.batch.filter_expression import FilterSyntaxError, parse_filter
from airflow_provider_personalize.local.datasets.schema import DatasetSchema, parse_schema
from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.filters.check import UnsupportedFilterError, check_filter
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.service.schemas import SCHEMAS

FILTERS = Family(
    kind="filter",
    arn_member="filterArn",
    wrapper="filter",
    listing="Filters",  # the model's one capital
    summary="FilterSummary",
    parent_member="datasetGroupArn",
)


def create(call: Call, request: Request) -> Response:
    group = DATASET_GROUPS.require_active(call, request["datasetGroupArn"])
    try:
        check_filter(parse_filter(request["filterExpression"]), _schemas(call, group.arn))
    except FilterSyntaxError as error:
        raise InvalidInput(str(error)) from None
    except UnsupportedFilterError as error:
        raise InvalidInput(f"Could not create filter. {error}") from None
    document = {
        "name": request["name"],
        "datasetGroupArn": group.arn,
        "filterExpression": request["filterExpression"],
    }
    arn = FILTERS.arn(call, request["name"])
    return FILTERS.insert(call, arn, document, parent=group.arn, tags=request.get("tags"))


def _schemas(call: Call, group_arn: str) -> dict[str, DatasetSchema]:
    datasets = call.backend.store.children(group_arn, "dataset")
    texts = {
        d.document["datasetType"]: SCHEMAS.require(call, d.document["schemaArn"]).document["schema"] for d in datasets
    }
    return {kind: parse_schema(text) for kind, text in texts.items()}


def delete(call: Call, request: Request) -> Response:
    filter_ = FILTERS.require(call, request["filterArn"])
    for kind in ("batch-inference-job", "batch-segment-job"):
        for job in call.backend.store.unfinished(kind):
            if job.document.get("filterArn") == filter_.arn:
                raise ResourceInUse(f"{filter_.arn} is used by {job.arn}, which is {job.status}.")
    call.backend.store.delete(filter_.arn)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateFilter": create,
    "DescribeFilter": FILTERS.describe,
    "ListFilters": FILTERS.list,
    "DeleteFilter": delete,
}
