"""The service's recipes (developer guide, "Choosing a recipe"), and which of them train here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_personalize.local.errors import InvalidInput, InvalidNextToken, ResourceNotFound
from airflow_provider_personalize.local.service.call import Call, Operation, Request, Response

PREFIX = "arn:aws:personalize:::recipe/"
USER_PERSONALIZATION, SEGMENTATION = "USER_PERSONALIZATION", "USER_SEGMENTATION"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    name: str
    recipe_type: str
    description: str
    created: int  # epoch seconds, as the service lists it
    # Hyperparameters with their defaults; the values are strings, as in the API.
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    built: bool = False
    explores: bool = False  # takes itemExplorationConfig
    updates: bool = False  # takes trainingMode UPDATE

    @property
    def arn(self) -> str:
        return PREFIX + self.name


_LEGACY = {"hidden_dimension": "43", "bptt": "32", "recency_mask": "True"}
_SEQUENCE = {**_LEGACY, "hidden_dimension": "149"}
_2019, _2021, _2024 = 1560124800, 1626307200, 1704067200

CATALOGUE = {
    entry.name: entry
    for entry in (
        CatalogueEntry("aws-hrnn", USER_PERSONALIZATION, "Items a user will interact with (legacy).", _2019, _LEGACY),
        CatalogueEntry(
            "aws-hrnn-coldstart", USER_PERSONALIZATION, "As aws-hrnn, with new items (legacy).", _2019, _SEQUENCE
        ),
        CatalogueEntry(
            "aws-hrnn-metadata", USER_PERSONALIZATION, "As aws-hrnn, with metadata (legacy).", _2019, _LEGACY
        ),
        CatalogueEntry(
            "aws-item-affinity",
            SEGMENTATION,
            "Users most likely to be interested in an item.",
            _2021,
            {"hidden_dimension": "149"},
            built=True,
        ),
        CatalogueEntry(
            "aws-item-attribute-affinity",
            SEGMENTATION,
            "Users most likely to be interested in an item attribute.",
            1629849600,
            {"hidden_dimension": "149"},
        ),
        CatalogueEntry("aws-next-best-action", "PERSONALIZED_ACTIONS", "Actions a user will take.", 1691712000),
        CatalogueEntry(
            "aws-personalized-ranking", "PERSONALIZED_RANKING", "Ranks a list of items for a user.", _2019, _SEQUENCE
        ),
        CatalogueEntry(
            "aws-personalized-ranking-v2",
            "PERSONALIZED_RANKING",
            "Ranks a list of items for a user.",
            _2024,
            {"apply_recency_bias": "true"},
        ),
        CatalogueEntry("aws-popularity-count", USER_PERSONALIZATION, "The most popular items.", _2019),
        CatalogueEntry("aws-semantic-similarity", "RELATED_ITEMS", "Items whose text is similar.", _2024),
        CatalogueEntry("aws-similar-items", "RELATED_ITEMS", "Items similar by interactions and metadata.", _2021),
        CatalogueEntry("aws-sims", "RELATED_ITEMS", "Items that occur together.", _2019),
        CatalogueEntry("aws-trending-now", "POPULAR_ITEMS", "Items that gain popularity fastest.", _2024),
        CatalogueEntry(
            "aws-user-personalization",
            USER_PERSONALIZATION,
            "Items a user will interact with, with exploration of new items.",
            1591574400,
            _SEQUENCE,
            built=True,
            explores=True,
            updates=True,
        ),
        CatalogueEntry(
            "aws-user-personalization-v2",
            USER_PERSONALIZATION,
            "Items a user will interact with, from interactions and metadata.",
            _2024,
            {"apply_recency_bias": "true"},
            built=True,
        ),
    )
}


def require(arn: str) -> CatalogueEntry:
    """The recipe; raises ``ResourceNotFoundException`` where the service has none of that ARN."""
    entry = CATALOGUE.get(arn.removeprefix(PREFIX)) if arn.startswith(PREFIX) else None
    if entry is None:
        raise ResourceNotFound(arn)
    return entry


def require_built(arn: str) -> CatalogueEntry:
    entry = require(arn)
    if not entry.built:
        built = ", ".join(e.name for e in CATALOGUE.values() if e.built)
        raise InvalidInput(f"The local backend does not train {entry.name} yet; it trains {built}.")
    return entry


def describe(call: Call, request: Request) -> Response:
    entry = require(request["recipeArn"])
    recipe = _summary(entry) | {
        "algorithmArn": f"arn:aws:personalize:::algorithm/{entry.name}",
        "description": entry.description,
        "recipeType": entry.recipe_type,
    }
    return {"recipe": recipe}


def listing(call: Call, request: Request) -> Response:
    """Alphabetical, as the service lists them; domain recipes serve recommenders, which have no batch jobs."""
    if "domain" in request:
        return {"recipes": []}
    names = sorted(CATALOGUE)
    token = request.get("nextToken", "0")
    if not token.isdecimal():
        raise InvalidNextToken("nextToken is not one that this operation returned.")
    start = int(token)
    stop = start + request.get("maxResults", 100)
    page: Response = {"recipes": [_summary(CATALOGUE[name]) for name in names[start:stop]]}
    return page | ({"nextToken": str(stop)} if stop < len(names) else {})


def _summary(entry: CatalogueEntry) -> Response:
    times = {"creationDateTime": entry.created, "lastUpdatedDateTime": entry.created}
    return {"name": entry.name, "recipeArn": entry.arn, "status": "ACTIVE", **times}


OPERATIONS: dict[str, Operation] = {"DescribeRecipe": describe, "ListRecipes": listing}
