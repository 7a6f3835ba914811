"""Campaigns: solution versions that answer at the runtime endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_personalize.local.errors import InvalidInput, ResourceInUse
from airflow_provider_personalize.local.service import exploration, recipes
from airflow_provider_personalize.local.service.call import (
    Call,
    Family,
    Operation,
    Request,
    Response,
    complete_update,
)
from airflow_provider_personalize.local.service.solution_versions import SOLUTION_VERSIONS
from airflow_provider_personalize.local.service.solutions import SOLUTIONS
from airflow_provider_personalize.local.store import ACTIVE, Quota, Resource

CAMPAIGNS = Family(
    kind="campaign",
    arn_member="campaignArn",
    wrapper="campaign",
    listing="campaigns",
    summary="CampaignSummary",
    parent_member="solutionArn",
)
LATEST = "/$LATEST"


def create(call: Call, request: Request) -> Response:
    config = request.get("campaignConfig", {})
    version = _deployed(call, request["solutionVersionArn"], config)
    document = {
        "name": request["name"],
        "solutionVersionArn": request["solutionVersionArn"],
        "minProvisionedTPS": request.get("minProvisionedTPS", 1),
        "campaignConfig": _configuration(config, version),
    }
    arn, tags = CAMPAIGNS.arn(call, request["name"]), request.get("tags")
    most = call.backend.settings.campaigns_per_dataset_group
    quota = Quota(most, within=version.document["datasetGroupArn"], through=SOLUTIONS.kind)
    return CAMPAIGNS.insert(call, arn, document, parent=version.document["solutionArn"], tags=tags, quota=quota)


def _deployed(call: Call, arn: str, config: Mapping[str, Any]) -> Resource:
    """The version that a campaign answers with. Raises as the service does when there is none that could."""
    if arn.endswith(LATEST) != config.get("syncWithLatestSolutionVersion", False):
        raise InvalidInput(f"syncWithLatestSolutionVersion and a solutionVersionArn that ends in {LATEST} go together.")
    version = SOLUTION_VERSIONS.require_active(call, _latest(call, arn) if arn.endswith(LATEST) else arn)
    entry = recipes.require(version.document["recipeArn"])
    if not entry.live:
        raise InvalidInput(f"{entry.name} has no campaigns: its solution versions serve batch segment jobs.")
    return version


def _latest(call: Call, arn: str) -> str:
    solution = SOLUTIONS.require(call, arn.removesuffix(LATEST))
    trained = call.backend.store.children(solution.arn, SOLUTION_VERSIONS.kind, [ACTIVE])
    if not trained:
        raise ResourceInUse(f"{solution.arn} has no ACTIVE solution version yet.")
    return trained[-1].arn


def _configuration(given: Mapping[str, Any], version: Resource) -> Response | None:
    entry = recipes.require(version.document["recipeArn"])
    if given.get("enableMetadataWithRecommendations"):
        raise InvalidInput("enableMetadataWithRecommendations: the local backend returns no metadata with items.")
    return {**given, **exploration.checked(given, entry)} or None


def deployed_version(call: Call, campaign: Resource) -> Resource:
    """What a campaign answers with now: one that follows its solution, with the newest."""
    arn = campaign.document["solutionVersionArn"]
    return SOLUTION_VERSIONS.require(call, _latest(call, arn) if arn.endswith(LATEST) else arn)


def describe(call: Call, request: Request) -> Response:
    response = CAMPAIGNS.describe(call, request)
    complete_update(response["campaign"], "latestCampaignUpdate")
    campaign = CAMPAIGNS.require(call, request["campaignArn"])
    response["campaign"]["solutionVersionArn"] = deployed_version(call, campaign).arn
    return response


def update(call: Call, request: Request) -> Response:
    """Deploy another version or another configuration; ``ACTIVE`` at once."""
    campaign = CAMPAIGNS.require_active(call, request["campaignArn"])
    before = campaign.document
    arn = request.get("solutionVersionArn", before["solutionVersionArn"])
    config = request.get("campaignConfig", before.get("campaignConfig") or {})
    version = _deployed(call, arn, config)
    if version.document["solutionArn"] != campaign.parent:
        raise InvalidInput(f"{version.arn} is a version of another solution than {campaign.parent}.")
    update = {
        "solutionVersionArn": arn,
        "minProvisionedTPS": request.get("minProvisionedTPS", before["minProvisionedTPS"]),
        "campaignConfig": _configuration(config, version),
    }
    shown = {member: value for member, value in update.items() if value is not None}
    call.backend.store.change(campaign.arn, {**update, "latestCampaignUpdate": shown})
    return {"campaignArn": campaign.arn}


def delete(call: Call, request: Request) -> Response:
    campaign = CAMPAIGNS.require(call, request["campaignArn"])
    call.backend.store.delete(campaign.arn)
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateCampaign": create,
    "DescribeCampaign": describe,
    "ListCampaigns": CAMPAIGNS.list,
    "UpdateCampaign": update,
    "DeleteCampaign": delete,
}
