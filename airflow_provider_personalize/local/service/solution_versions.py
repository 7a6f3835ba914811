"""Solution versions: one training of a solution each."""

from __future__ import annotations

import secrets

from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.layout import resource_name
from airflow_provider_personalize.local.service import recipes
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.service.solutions import SOLUTIONS
from airflow_provider_personalize.local.store import ACTIVE, Quota
from airflow_provider_personalize.local.work import live_work

SOLUTION_VERSIONS = Family(
    # The ARN reads solution/<name>/<8 hexadecimal digits>; the kind is ours, to tell it from its solution.
    kind="solution-version",
    arn_member="solutionVersionArn",
    wrapper="solutionVersion",
    listing="solutionVersions",
    summary="SolutionVersionSummary",
    parent_member="solutionArn",
)


def create(call: Call, request: Request) -> Response:
    solution = SOLUTIONS.require_active(call, request["solutionArn"])
    mode = request.get("trainingMode", "FULL")
    if mode == "UPDATE":
        _refuse_update(call, solution.arn, solution.document["recipeArn"])
    elif mode == "AUTOTRAIN":
        raise InvalidInput("trainingMode AUTOTRAIN is set by the service itself; use FULL.")
    version = secrets.token_hex(4)
    name = request.get("name")
    inherited = (
        "performHPO",
        "performAutoML",
        "performIncrementalUpdate",
        "recipeArn",
        "eventType",
        "datasetGroupArn",
        "solutionConfig",
    )
    document = {member: solution.document.get(member) for member in inherited} | {
        "name": name or f"{resource_name(solution.arn)}/{version}",
        "solutionArn": solution.arn,
        "trainingMode": mode,
        "trainingType": "MANUAL",
    }
    return SOLUTION_VERSIONS.insert(
        call,
        f"{solution.arn}/{version}",
        document,
        parent=solution.arn,
        unique_name=f"{solution.arn}/name:{name}" if name else None,
        tags=request.get("tags"),
        job=True,
        quota=Quota(call.backend.settings.unfinished_solution_versions, unfinished=True),
    )


def _refuse_update(call: Call, solution_arn: str, recipe_arn: str) -> None:
    entry = recipes.require(recipe_arn)
    if not entry.updates:
        raise InvalidInput(f"trainingMode UPDATE is not for {entry.name}; use FULL.")
    trained = call.backend.store.children(solution_arn, SOLUTION_VERSIONS.kind, [ACTIVE])
    if not any(version.document["trainingMode"] == "FULL" for version in trained):
        raise InvalidInput("trainingMode UPDATE needs an ACTIVE solution version trained with FULL.")


def listing(call: Call, request: Request) -> Response:
    if "solutionArn" in request:  # the one listing whose model has ResourceNotFoundException
        SOLUTIONS.require(call, request["solutionArn"])
    return SOLUTION_VERSIONS.list(call, request)


def stop(call: Call, request: Request) -> Response:
    """End a training for good: a pending one at once, one in progress within seconds."""
    version = SOLUTION_VERSIONS.require(call, request["solutionVersionArn"])
    if not call.backend.store.stop(version.arn):
        raise ResourceInUse(f"{version.arn} is {version.status}: only a training that is not over can be stopped.")
    return {}


def metrics(call: Call, request: Request) -> Response:
    """What the training measured on the users it held out."""
    version = SOLUTION_VERSIONS.require_active(call, request["solutionVersionArn"])
    return {"solutionVersionArn": version.arn, "metrics": live_work().metrics(call.backend, version)}


OPERATIONS: dict[str, Operation] = {
    "CreateSolutionVersion": create,
    "DescribeSolutionVersion": SOLUTION_VERSIONS.describe,
    "ListSolutionVersions": listing,
    "StopSolutionVersionCreation": stop,
    "GetSolutionMetrics": metrics,
}
