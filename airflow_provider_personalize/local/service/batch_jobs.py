"""Batch inference jobs and batch segment jobs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from airflow_provider_personalize.local.errors import InvalidInput
from airflow_provider_personalize.local.service import recipes
from airflow_provider_personalize.local.service.call import Call, Family, Operation, Request, Response
from airflow_provider_personalize.local.service.filters import FILTERS
from airflow_provider_personalize.local.service.solution_versions import SOLUTION_VERSIONS
from airflow_provider_personalize.local.storage import LocationError, check_location
from airflow_provider_personalize.local.store import Resource

BATCH_INFERENCE_JOBS = Family(
    kind="batch-inference-job",
    arn_member="batchInferenceJobArn",
    wrapper="batchInferenceJob",
    listing="batchInferenceJobs",
    summary="BatchInferenceJobSummary",
    parent_member="solutionVersionArn",
)
BATCH_SEGMENT_JOBS = Family(
    kind="batch-segment-job",
    arn_member="batchSegmentJobArn",
    wrapper="batchSegmentJob",
    listing="batchSegmentJobs",
    summary="BatchSegmentJobSummary",
    parent_member="solutionVersionArn",
)
DEFAULT_RESULTS = 25
LARGEST_SEGMENT = 5_000_000
DEFAULT_EXPLORATION = {"explorationWeight": "0.3", "explorationItemAgeCutOff": "30"}
WITHOUT_BATCH = ("aws-trending-now", "aws-next-best-action")


def create_inference(call: Call, request: Request) -> Response:
    version, entry = _solution_version(call, request)
    if entry.recipe_type == recipes.SEGMENTATION or entry.name in WITHOUT_BATCH:
        raise InvalidInput(f"{entry.name} has no batch inference jobs.{_segment_hint(entry)}")
    mode = request.get("batchInferenceJobMode", "BATCH_INFERENCE")
    if mode == "THEME_GENERATION":
        raise InvalidInput(
            f"batchInferenceJobMode THEME_GENERATION needs a solution of aws-similar-items, not {entry.name}."
        )
    if "themeGenerationConfig" in request:
        raise InvalidInput("themeGenerationConfig is only for batchInferenceJobMode THEME_GENERATION.")
    document = _document(call, request, version) | {
        "batchInferenceJobConfig": _configuration(request.get("batchInferenceJobConfig", {}), entry),
        "batchInferenceJobMode": mode,
    }
    BATCH_INFERENCE_JOBS.refuse_above(call, call.backend.settings.unfinished_batch_inference_jobs)
    return _insert(call, BATCH_INFERENCE_JOBS, request, document)


def create_segment(call: Call, request: Request) -> Response:
    version, entry = _solution_version(call, request)
    if entry.recipe_type != recipes.SEGMENTATION:
        raise InvalidInput(f"{entry.name} has no batch segment jobs: they need a recipe of type USER_SEGMENTATION.")
    if request.get("numResults", 0) > LARGEST_SEGMENT:
        raise InvalidInput(f"numResults is at most {LARGEST_SEGMENT} users a segment, not {request['numResults']}.")
    document = _document(call, request, version)
    BATCH_SEGMENT_JOBS.refuse_above(call, call.backend.settings.unfinished_batch_segment_jobs)
    return _insert(call, BATCH_SEGMENT_JOBS, request, document)


def _solution_version(call: Call, request: Request) -> tuple[Resource, recipes.CatalogueEntry]:
    version = SOLUTION_VERSIONS.require_active(call, request["solutionVersionArn"])
    return version, recipes.require(version.document["recipeArn"])


def _segment_hint(entry: recipes.CatalogueEntry) -> str:
    return " Its solution versions serve batch segment jobs." if entry.recipe_type == recipes.SEGMENTATION else ""


def _document(call: Call, request: Request, version: Resource) -> Response:
    """What both kinds of job have in common, checked."""
    results = request.get("numResults", DEFAULT_RESULTS)
    if results < 1:
        raise InvalidInput(f"numResults must be at least 1, not {results}.")
    source = request["jobInput"]["s3DataSource"]["path"]
    destination = request["jobOutput"]["s3DataDestination"]["path"]
    for path, side in ((source, "input"), (destination, "output")):
        try:
            check_location(path)
        except LocationError as error:
            raise InvalidInput(f"Invalid S3 {side} path: {error}") from None
    if source.rstrip("/") == destination.rstrip("/"):
        raise InvalidInput(f"Invalid S3 output path: {destination} is the input location; name another folder.")
    if filter_arn := request.get("filterArn"):
        filter_ = FILTERS.require_active(call, filter_arn)
        if filter_.document["datasetGroupArn"] != version.document["datasetGroupArn"]:
            raise InvalidInput(
                f"Filter {filter_arn} and solution version {version.arn} are of different dataset groups."
            )
    return {
        "jobName": request["jobName"],
        "filterArn": request.get("filterArn"),
        "solutionVersionArn": version.arn,
        "numResults": results,
        "jobInput": request["jobInput"],
        "jobOutput": request["jobOutput"],
        "roleArn": request["roleArn"],
    }


def _configuration(given: Mapping[str, Mapping[str, object]], entry: recipes.CatalogueEntry) -> Response | None:
    if "rankingInfluence" in given and entry.name != "aws-semantic-similarity":
        raise InvalidInput(f"rankingInfluence is for aws-semantic-similarity, not {entry.name}.")
    exploration = dict(given.get("itemExplorationConfig", {}))
    if not entry.explores:
        if exploration:
            raise InvalidInput(f"itemExplorationConfig is for aws-user-personalization, not {entry.name}.")
        return None
    if unknown := sorted(set(exploration) - set(DEFAULT_EXPLORATION)):
        raise InvalidInput(f"itemExplorationConfig has no {unknown[0]!r}; it has {', '.join(DEFAULT_EXPLORATION)}.")
    exploration = DEFAULT_EXPLORATION | exploration
    _within(exploration, "explorationWeight", 0, 1)
    _within(exploration, "explorationItemAgeCutOff", 1, math.inf)
    return {"itemExplorationConfig": exploration}


def _within(config: Mapping[str, object], key: str, low: float, high: float) -> None:
    try:
        value = float(str(config[key]))
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        bounds = f"from {low} to {high}" if high < math.inf else f"of {low} or more"
        raise InvalidInput(f"itemExplorationConfig.{key} must be a number {bounds}, not {config[key]!r}.")


def _insert(call: Call, family: Family, request: Request, document: Response) -> Response:
    arn = family.arn(call, request["jobName"])
    parent = request["solutionVersionArn"]
    return family.insert(call, arn, document, parent=parent, tags=request.get("tags"), job=True)


OPERATIONS: dict[str, Operation] = {
    "CreateBatchInferenceJob": create_inference,
    "DescribeBatchInferenceJob": BATCH_INFERENCE_JOBS.describe,
    "ListBatchInferenceJobs": BATCH_INFERENCE_JOBS.list,
    "CreateBatchSegmentJob": create_segment,
    "DescribeBatchSegmentJob": BATCH_SEGMENT_JOBS.describe,
    "ListBatchSegmentJobs": BATCH_SEGMENT_JOBS.list,
}
