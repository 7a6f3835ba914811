"""The runtime endpoint: one live answer, from the model that batch jobs answer from."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from airflow_provider_personalize.local.errors import InvalidInput
from airflow_provider_personalize.local.service import recipes
from airflow_provider_personalize.local.service.call import Call, Operation, Request, Response
from airflow_provider_personalize.local.service.campaigns import CAMPAIGNS, deployed_version
from airflow_provider_personalize.local.service.filters import require_fitting
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work import JobFailed, live_work

DEFAULT_RESULTS = 25
DEFAULT_ACTIONS, MOST_ACTIONS = 5, 100
MOST_RESULTS = 500  # of recommendations, and items of a list to rank (service quotas)
# Refused rather than passed over in silence: the answer would not be what was asked for.
ELSEWHERE = {recipes.RANKING: "GetPersonalizedRanking", recipes.ACTIONS: "GetActionRecommendations"}
NOT_ANSWERED = ("recommenderArn", "promotions", "metadataColumns")


def recommend(call: Call, request: Request) -> Response:
    campaign, version, entry = _campaign(call, request)
    if entry.recipe_type in ELSEWHERE:
        raise InvalidInput(f"{entry.name} recommends no items: ask {ELSEWHERE[entry.recipe_type]}.")
    member = "itemId" if entry.recipe_type == recipes.RELATED_ITEMS else "userId"
    row = {member: request[member]} if request.get(member) else {}
    # What is trending is the same for everyone, unless a filter asks who somebody is.
    if not row and entry.recipe_type != recipes.POPULAR_ITEMS:
        raise InvalidInput(f"{entry.name} needs a {member}.")
    results = _results(request, DEFAULT_RESULTS, MOST_RESULTS)
    answered = _answer(call, request, campaign, version, row, results, request.get("userId"))
    return {"itemList": [_shown("itemId", *each) for each in answered], **_id()}


def recommend_actions(call: Call, request: Request) -> Response:
    campaign, version, entry = _campaign(call, request)
    if entry.recipe_type != recipes.ACTIONS:
        raise InvalidInput(f"{entry.name} recommends no actions: ask GetRecommendations or GetPersonalizedRanking.")
    if not request.get("userId"):
        raise InvalidInput(f"{entry.name} needs a userId.")
    results = _results(request, DEFAULT_ACTIONS, MOST_ACTIONS)
    answered = _answer(call, request, campaign, version, {"userId": request["userId"]}, results)
    return {"actionList": [_shown("actionId", *each) for each in answered], **_id()}


def rank(call: Call, request: Request) -> Response:
    campaign, version, entry = _campaign(call, request)
    if entry.recipe_type != recipes.RANKING:
        raise InvalidInput(f"{entry.name} ranks no lists: ask GetRecommendations.")
    items = request["inputList"]
    if not 1 <= len(items) <= MOST_RESULTS:
        raise InvalidInput(f"inputList must hold 1 to {MOST_RESULTS} items, not {len(items)}.")
    row = {"userId": request["userId"], "itemList": items}
    answered = _answer(call, request, campaign, version, row, len(items))
    return {"personalizedRanking": [_shown("itemId", *each) for each in answered], **_id()}


def _campaign(call: Call, request: Request) -> tuple[Resource, Resource, recipes.CatalogueEntry]:
    for member in NOT_ANSWERED:
        if member in request:
            raise InvalidInput(f"The local backend answers no request with {member}: see docs/differences-from-aws.md.")
    if "campaignArn" not in request:
        raise InvalidInput("campaignArn is missing.")
    campaign = CAMPAIGNS.require(call, request["campaignArn"])
    version = deployed_version(call, campaign)
    return campaign, version, recipes.require(version.document["recipeArn"])


def _answer(
    call: Call,
    request: Request,
    campaign: Resource,
    version: Resource,
    row: Mapping[str, Any],
    results: int,
    user: str | None = None,
) -> list[tuple[str, float | None]]:
    filter_ = require_fitting(call, request["filterArn"], version) if "filterArn" in request else None
    if "filterValues" in request:
        row = {**row, "filterValues": request["filterValues"]}
    try:
        config = campaign.document.get("campaignConfig") or {}
        answered: list[tuple[str, float | None]]
        answered = live_work().answer(call.backend, version, config, filter_, row, results, user)
    except JobFailed as error:
        raise InvalidInput(str(error)) from None
    return answered


def _shown(member: str, id_: str, score: float | None) -> Response:
    return {member: id_} if score is None else {member: id_, "score": score}


def _results(request: Request, default: int, most: int) -> int:
    results: int = request.get("numResults", default)
    if not 1 <= results <= most:
        raise InvalidInput(f"numResults must be a number from 1 to {most}, not {results}.")
    return results


def _id() -> Response:
    return {"recommendationId": f"RID-{uuid.uuid4()}"}


OPERATIONS: dict[str, Operation] = {
    "GetActionRecommendations": recommend_actions,
    "GetPersonalizedRanking": rank,
    "GetRecommendations": recommend,
}
