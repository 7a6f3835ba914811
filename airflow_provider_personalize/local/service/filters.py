"""Filters: expressions that batch jobs name."""

from __future__ import annotations

from functools import lru_cache

from airflow_provider_personalize.batch.filter_expression import FilterSyntaxError, parse_filter
from airflow_provider_personalize.local.datasets.schema import DatasetSchema, parse_schema
from airflow_provider_personalize.local.errors import InvalidInput, LimitExceeded, ResourceInUse
from airflow_provider_personalize.local.filters.check import UnsupportedFilterError, check_filter, check_recipe
from airflow_provider_personalize.local.service import recipes
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.service.schemas import SCHEMAS
from airflow_provider_personalize.local.store import Quota, Resource

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
        expression = parse_filter(request["filterExpression"])
        check_filter(expression, schemas_of(call, group.arn))
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
    quota = Quota(call.backend.settings.filters_per_dataset_group, within=group.arn)
    most = call.backend.settings.fields_filtered_per_dataset_group
    return FILTERS.insert(
        call,
        arn,
        document,
        parent=group.arn,
        tags=request.get("tags"),
        quota=quota,
        beside=lambda filters: _refuse_beyond(most, filters),
    )


def require_fitting(call: Call, filter_arn: str, version: Resource) -> Resource:
    """The filter, when a solution version's answers can be filtered by it. Raises ``InvalidInputException``."""
    filter_ = FILTERS.require_active(call, filter_arn)
    if filter_.document["datasetGroupArn"] != version.document["datasetGroupArn"]:
        raise InvalidInput(f"Filter {filter_arn} and solution version {version.arn} are of different dataset groups.")
    try:
        expression = parse_filter(filter_.document["filterExpression"])
        check_recipe(expression, recipes.require(version.document["recipeArn"]).name)
    except UnsupportedFilterError as error:
        raise InvalidInput(f"Filter {filter_arn} does not fit: {error}") from None
    return filter_


@lru_cache(maxsize=1024)
def _columns(expression: str) -> frozenset[str]:
    """The distinct columns that a filter reads."""
    return frozenset(f"{field.dataset.stored.value}.{field.column}" for field in parse_filter(expression).fields)


def _refuse_beyond(most: int, filters: list[Resource]) -> None:
    """Raise ``LimitExceededException`` for too many columns in all filters of a dataset group."""
    columns = frozenset[str]().union(*(_columns(filter_.document["filterExpression"]) for filter_ in filters))
    if len(columns) > most:
        raise LimitExceeded(
            f"The filters of a dataset group have at most {most} distinct fields; with this one they would have "
            f"{len(columns)}."
        )


def schemas_of(call: Call, group_arn: str) -> dict[str, DatasetSchema]:
    """Dataset type, ``ITEMS``, -> the schema that a dataset group's dataset of that type has now."""
    datasets = call.backend.store.children(group_arn, "dataset")
    texts = {
        d.document["datasetType"]: SCHEMAS.require(call, d.document["schemaArn"]).document["schema"] for d in datasets
    }
    return {kind: parse_schema(text) for kind, text in texts.items()}


def delete(call: Call, request: Request) -> Response:
    filter_ = FILTERS.require(call, request["filterArn"])
    for job in call.unfinished_batch_jobs():
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
