"""Batch inference jobs and batch segment jobs."""

from __future__ import annotations

from airflow_provider_personalize.local.errors import InvalidInput
from airflow_provider_personalize.local.service import exploration, recipes
from airflow_provider_personalize.local.service.call import (
    Call,
    Family,
    Operation,
    Request,
    Response,
    require_location,
)
from airflow_provider_personalize.local.service.filters import require_fitting, schemas_of
from airflow_provider_personalize.local.service.solution_versions import SOLUTION_VERSIONS
from airflow_provider_personalize.local.store import Quota, Resource

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


def create_inference(call: Call, request: Request) -> Response:
    version, entry = _solution_version(call, request)
    if entry.recipe_type == recipes.SEGMENTATION or not entry.batch:
        raise InvalidInput(f"{entry.name} has no batch inference jobs.{_segment_hint(entry)}")
    document = _document(call, request, version) | {
        "batchInferenceJobConfig": exploration.checked(request.get("batchInferenceJobConfig", {}), entry) or None,
        "batchInferenceJobMode": request.get("batchInferenceJobMode", "BATCH_INFERENCE"),
        **_themes(call, request, version, entry),
    }
    most = call.backend.settings.unfinished_batch_inference_jobs
    return _insert(call, BATCH_INFERENCE_JOBS, request, document, most)


def create_segment(call: Call, request: Request) -> Response:
    version, entry = _solution_version(call, request)
    if entry.recipe_type != recipes.SEGMENTATION:
        raise InvalidInput(f"{entry.name} has no batch segment jobs: they need a recipe of type USER_SEGMENTATION.")
    if request.get("numResults", 0) > LARGEST_SEGMENT:
        raise InvalidInput(f"numResults is at most {LARGEST_SEGMENT} users a segment, not {request['numResults']}.")
    most = call.backend.settings.unfinished_batch_segment_jobs
    return _insert(call, BATCH_SEGMENT_JOBS, request, _document(call, request, version), most)


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
        require_location(path, f"Invalid S3 {side} path:")
    if source.rstrip("/") == destination.rstrip("/"):
        raise InvalidInput(f"Invalid S3 output path: {destination} is the input location; name another folder.")
    if filter_arn := request.get("filterArn"):
        require_fitting(call, filter_arn, version)
    return {
        "jobName": request["jobName"],
        "filterArn": request.get("filterArn"),
        "solutionVersionArn": version.arn,
        "numResults": results,
        "jobInput": request["jobInput"],
        "jobOutput": request["jobOutput"],
        "roleArn": request["roleArn"],
    }


def _themes(call: Call, request: Request, version: Resource, entry: recipes.CatalogueEntry) -> Response:
    """``themeGenerationConfig``, where the mode asks for themes and the dataset group has what they are made of."""
    config: Response = request.get("themeGenerationConfig", {})
    if request.get("batchInferenceJobMode") != "THEME_GENERATION":
        if config:
            raise InvalidInput("themeGenerationConfig is only for batchInferenceJobMode THEME_GENERATION.")
        return {}
    if entry.name != "aws-similar-items":
        raise InvalidInput(
            f"batchInferenceJobMode THEME_GENERATION needs a solution of aws-similar-items, not {entry.name}."
        )
    if not config:
        raise InvalidInput("batchInferenceJobMode THEME_GENERATION needs themeGenerationConfig.")
    column = config["fieldsForThemeGeneration"]["itemName"]
    items = schemas_of(call, version.document["datasetGroupArn"]).get("ITEMS")
    if items is None or not any(field.textual for field in items.fields):
        raise InvalidInput("Themes need an Items dataset with a textual field.")
    name = items.find(column)
    if name is None or name.type != "string":
        raise InvalidInput(f"themeGenerationConfig: the Items dataset has no string column {column}.")
    return {"themeGenerationConfig": config}


def _insert(call: Call, family: Family, request: Request, document: Response, most: int) -> Response:
    arn, tags = family.arn(call, request["jobName"]), request.get("tags")
    quota = Quota(most, unfinished=True)
    return family.insert(call, arn, document, parent=request["solutionVersionArn"], tags=tags, job=True, quota=quota)


OPERATIONS: dict[str, Operation] = {
    "CreateBatchInferenceJob": create_inference,
    "DescribeBatchInferenceJob": BATCH_INFERENCE_JOBS.describe,
    "ListBatchInferenceJobs": BATCH_INFERENCE_JOBS.list,
    "CreateBatchSegmentJob": create_segment,
    "DescribeBatchSegmentJob": BATCH_SEGMENT_JOBS.describe,
    "ListBatchSegmentJobs": BATCH_SEGMENT_JOBS.list,
}
