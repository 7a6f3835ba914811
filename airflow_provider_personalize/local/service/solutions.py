"""Solutions: a recipe and its configuration over a dataset group."""

from __future__ import annotations

import shutil

from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.service import recipes
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response, shown
from airflow_provider_personalize.local.service.dataset_groups import DATASET_GROUPS
from airflow_provider_personalize.local.store import UNFINISHED

SOLUTIONS = Family(
    kind="solution",
    arn_member="solutionArn",
    wrapper="solution",
    listing="solutions",
    summary="SolutionSummary",
    parent_member="datasetGroupArn",
)
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
    if request.get("performHPO"):
        raise InvalidInput("performHPO is not supported by the local backend yet: give algorithmHyperParameters.")
    if "recipeArn" not in request:
        raise InvalidInput("recipeArn is required when performAutoML is false.")
    entry = recipes.require_built(request["recipeArn"])
    given = request.get("solutionConfig", {}).get("algorithmHyperParameters", {})
    if unknown := sorted(set(given) - set(entry.hyperparameters)):
        known = ", ".join(sorted(entry.hyperparameters)) or "none"
        raise InvalidInput(f"{entry.name} has no hyperparameter {unknown[0]!r}; it has {known}.")
    document = {
        "name": request["name"],
        "performHPO": False,
        "performAutoML": False,
        "performAutoTraining": request.get("performAutoTraining", True),
        "performIncrementalUpdate": request.get("performIncrementalUpdate"),
        "recipeArn": entry.arn,
        "datasetGroupArn": group.arn,
        "eventType": request.get("eventType"),
        "solutionConfig": request.get("solutionConfig"),
    }
    arn = SOLUTIONS.arn(call, request["name"])
    return SOLUTIONS.insert(call, arn, document, parent=group.arn, tags=request.get("tags"))


def describe(call: Call, request: Request) -> Response:
    response = SOLUTIONS.describe(call, request)
    newest = call.backend.store.page("solution-version", region=call.region, parent=request["solutionArn"], limit=1)
    if newest:
        version = shown(newest[0])
        latest = {member: version[member] for member in LATEST_VERSION_MEMBERS if member in version}
        response["solution"]["latestSolutionVersion"] = latest
    return response


def delete(call: Call, request: Request) -> Response:
    solution = SOLUTIONS.require(call, request["solutionArn"])
    if training := call.backend.store.children(solution.arn, "solution-version", UNFINISHED):
        raise ResourceInUse(f"{solution.arn} has a version that is {training[0].status}: {training[0].arn}.")
    call.backend.store.delete(solution.arn)
    shutil.rmtree(model_directory(call.backend.root, solution.arn), ignore_errors=True)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateSolution": create,
    "DescribeSolution": describe,
    "ListSolutions": SOLUTIONS.list,
    "DeleteSolution": delete,
}
