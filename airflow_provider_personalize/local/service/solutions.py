"""Solutions: a recipe and its configuration over a dataset group."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from typing import Any

from airflow_provider_personalize.local.datasets.schema import DatasetSchema
from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.service import recipes
from airflow_provider_personalize.local.service.call import (
    Call,
    Family,
    Operation,
    Request,
    Response,
    complete_update,
    shown,
)
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.service.filters import schemas_of
from airflow_provider_personalize.local.service.parameters import check_hpo, check_values
from airflow_provider_personalize.local.store import UNFINISHED, Quota

SOLUTIONS = Family(
    kind="solution",
    arn_member="solutionArn",
    wrapper="solution",
    listing="solutions",
    summary="SolutionSummary",
    parent_member="datasetGroupArn",
)
UPDATABLE = ("performAutoTraining", "performIncrementalUpdate")
WITH_EVENTS_CONFIG = ("aws-user-personalization-v2", "aws-personalized-ranking-v2")
OPTIMIZABLE = ("aws-user-personalization", "aws-personalized-ranking", *WITH_EVENTS_CONFIG)
LONGEST_SCHEDULE = 30  # days between automatic trainings
LATEST_VERSION_MEMBERS = (
    "solutionVersionArn",
    "status",
    "trainingMode",
    "trainingType",
    "creationDateTime",
    "lastUpdatedDateTime",
    "failureReason",
)


def create(call: Call, request: Request) -> Response:
    group = DATASET_GROUPS.require_active(call, request["datasetGroupArn"])
    if request.get("performAutoML"):
        raise InvalidInput("performAutoML is not supported: name a recipeArn.")
    if "recipeArn" not in request:
        raise InvalidInput("recipeArn is required when performAutoML is false.")
    entry = recipes.require_built(request["recipeArn"])
    _check(request, entry, schemas_of(call, group.arn).get("ITEMS"))
    document = {
        "name": request["name"],
        "performHPO": request.get("performHPO", False),
        "performAutoML": False,
        "performAutoTraining": request.get("performAutoTraining", True),
        "performIncrementalUpdate": request.get("performIncrementalUpdate"),
        "recipeArn": entry.arn,
        "datasetGroupArn": group.arn,
        "eventType": request.get("eventType"),
        "solutionConfig": request.get("solutionConfig"),
    }
    arn = SOLUTIONS.arn(call, request["name"])
    quota = Quota(call.backend.settings.solutions_per_dataset_group, within=group.arn)
    return SOLUTIONS.insert(call, arn, document, parent=group.arn, tags=request.get("tags"), quota=quota)


def _check(request: Request, entry: recipes.CatalogueEntry, items: DatasetSchema | None) -> None:
    """Refuse a configuration that the recipe would not train with. ``items``: the schema of Items, where there is."""
    config = request.get("solutionConfig", {})
    check_values("algorithmHyperParameters", entry.name, entry.algorithm, config.get("algorithmHyperParameters", {}))
    given = config.get("featureTransformationParameters", {})
    check_values("featureTransformationParameters", entry.name, entry.featurization, given)
    if request.get("performHPO") and not any(parameter.tunable for parameter in entry.algorithm):
        raise InvalidInput(f"performHPO: {entry.name} has no tunable hyperparameter.")
    if "hpoConfig" in config:
        check_hpo(entry.name, entry.algorithm, config["hpoConfig"])
    _check_updatable("solutionConfig", config, entry)
    _check_incremental(request, entry)
    _check_columns(config.get("trainingDataConfig", {}))
    threshold = config.get("eventValueThreshold")
    if threshold is not None and not _is_number(threshold):
        raise InvalidInput(f"solutionConfig.eventValueThreshold must be a number, not {threshold!r}.")
    if "optimizationObjective" in config:
        _check_objective(config["optimizationObjective"], entry, items)


def _check_objective(objective: Mapping[str, str], entry: recipes.CatalogueEntry, items: DatasetSchema | None) -> None:
    """Where there is no Items dataset yet, training looks at the column."""
    if entry.name not in OPTIMIZABLE:
        raise InvalidInput(f"optimizationObjective is for {', '.join(OPTIMIZABLE)}, not {entry.name}.")
    if "itemAttribute" not in objective:
        raise InvalidInput("solutionConfig.optimizationObjective needs an itemAttribute, a numeric column of Items.")
    column = objective["itemAttribute"]
    if items is None:
        return
    numeric = {field.name for field in items.fields if field.numeric}
    if column.upper() not in map(str.upper, numeric):
        raise InvalidInput(
            "solutionConfig.optimizationObjective.itemAttribute must be a numeric column of the Items schema "
            f"({', '.join(sorted(numeric)) or 'it has none'}), not {column!r}."
        )


def _check_columns(config: Mapping[str, Any]) -> None:
    """What is included says what is excluded, so a dataset stands in one of both, once (in whatever case)."""
    named = [
        kind.upper()
        for member in ("excludedDatasetColumns", "includedDatasetColumns")
        for kind in config.get(member, {})
    ]
    if twice := [kind for position, kind in enumerate(named) if kind in named[:position]]:
        raise InvalidInput(
            f"solutionConfig.trainingDataConfig names {twice[0]} more than once: give the columns of a dataset to "
            "exclude, or those to include."
        )


def _check_updatable(place: str, config: Mapping[str, Any], entry: recipes.CatalogueEntry) -> None:
    """What ``solutionConfig`` and ``solutionUpdateConfig`` have in common."""
    if config.get("eventsConfig") and entry.name not in WITH_EVENTS_CONFIG:
        raise InvalidInput(f"eventsConfig is for {' and '.join(WITH_EVENTS_CONFIG)}, not {entry.name}.")
    for position, event in enumerate(config.get("eventsConfig", {}).get("eventParametersList", ())):
        if "eventType" not in event:
            raise InvalidInput(f"{place}.eventsConfig.eventParametersList[{position}] needs an eventType.")
    schedule = config.get("autoTrainingConfig", {}).get("schedulingExpression", "rate(7 days)")
    days = int("".join(filter(str.isdecimal, schedule)))
    if not 1 <= days <= LONGEST_SCHEDULE:
        raise InvalidInput(
            f"{place}.autoTrainingConfig.schedulingExpression must be of 1 to {LONGEST_SCHEDULE} days, not {days}."
        )


def _check_incremental(request: Request, entry: recipes.CatalogueEntry) -> None:
    if request.get("performIncrementalUpdate") and entry.name != "aws-semantic-similarity":
        raise InvalidInput(f"performIncrementalUpdate is for aws-semantic-similarity, not {entry.name}.")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def describe(call: Call, request: Request) -> Response:
    response = SOLUTIONS.describe(call, request)
    complete_update(response["solution"], "latestSolutionUpdate")
    newest = call.backend.store.page("solution-version", region=call.region, parent=request["solutionArn"], limit=1)
    if newest:
        version = shown(newest[0])
        latest = {member: version[member] for member in LATEST_VERSION_MEMBERS if member in version}
        response["solution"]["latestSolutionVersion"] = latest
    return response


def update(call: Call, request: Request) -> Response:
    """Change what a solution may change; the update is ``ACTIVE`` at once."""
    solution = SOLUTIONS.require_active(call, request["solutionArn"])
    config = request.get("solutionUpdateConfig", {})
    entry = recipes.require(solution.document["recipeArn"])
    _check_updatable("solutionUpdateConfig", config, entry)
    _check_incremental(request, entry)
    given = {member: request[member] for member in UPDATABLE if member in request}
    if not given and not config:
        raise InvalidInput(f"Nothing to update: give one of {', '.join(UPDATABLE)}, solutionUpdateConfig.")
    update = given | ({"solutionUpdateConfig": config} if config else {})
    changes = given | {"latestSolutionUpdate": update}
    if config:
        changes["solutionConfig"] = (solution.document.get("solutionConfig") or {}) | config
    call.backend.store.change(solution.arn, changes)
    return {"solutionArn": solution.arn}


def delete(call: Call, request: Request) -> Response:
    solution = SOLUTIONS.require(call, request["solutionArn"])
    if training := call.backend.store.children(solution.arn, "solution-version", UNFINISHED):
        raise ResourceInUse(f"{solution.arn} has a version that is {training[0].status}: {training[0].arn}.")
    if campaigns := call.backend.store.children(solution.arn, "campaign"):
        raise ResourceInUse(f"{solution.arn} is deployed in {campaigns[0].arn}: delete the campaign before it.")
    for job in call.unfinished_batch_jobs():
        if job.document["solutionVersionArn"].startswith(f"{solution.arn}/"):
            raise ResourceInUse(f"{solution.arn} is used by {job.arn}, which is {job.status}.")
    call.backend.store.delete(solution.arn)
    shutil.rmtree(model_directory(call.backend.root, solution.arn), ignore_errors=True)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateSolution": create,
    "DescribeSolution": describe,
    "ListSolutions": SOLUTIONS.list,
    "UpdateSolution": update,
    "DeleteSolution": delete,
}
