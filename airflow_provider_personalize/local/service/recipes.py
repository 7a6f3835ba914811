"""The service's recipes (developer guide, "Choosing a recipe"), what they train with, and which of them train here."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_personalize.local.errors import InvalidInput, InvalidNextToken, ResourceNotFound
from airflow_provider_personalize.local.service.call import Call, Operation, Request, Response
from airflow_provider_personalize.local.service.parameters import Parameter, choice, flag, real, whole

PREFIX = "arn:aws:personalize:::"
# A test holds this against the recipes that there are, which are not imported here: they bring numeric libraries.
BUILT = frozenset(
    {
        "aws-hrnn",
        "aws-hrnn-coldstart",
        "aws-hrnn-metadata",
        "aws-item-affinity",
        "aws-item-attribute-affinity",
        "aws-next-best-action",
        "aws-personalized-ranking",
        "aws-personalized-ranking-v2",
        "aws-popularity-count",
        "aws-semantic-similarity",
        "aws-similar-items",
        "aws-sims",
        "aws-trending-now",
        "aws-user-personalization",
        "aws-user-personalization-v2",
    }
)
USER_PERSONALIZATION, SEGMENTATION = "USER_PERSONALIZATION", "USER_SEGMENTATION"
RANKING, RELATED_ITEMS, POPULAR_ITEMS = "PERSONALIZED_RANKING", "RELATED_ITEMS", "POPULAR_ITEMS"
ACTIONS = "PERSONALIZED_ACTIONS"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    name: str
    recipe_type: str
    description: str
    created: int  # epoch seconds, as the service lists it
    algorithm: tuple[Parameter, ...] = ()
    featurization: tuple[Parameter, ...] = ()
    algorithm_name: str = ""  # where it is not the recipe's
    feature_transformation: str = ""  # where it is not the recipe's
    domain: str | None = None  # of a use case that serves recommenders alone
    explores: bool = False  # takes itemExplorationConfig
    updates: bool = False  # takes trainingMode UPDATE
    batch: bool = True
    live: bool = True  # answers in a campaign

    @property
    def arn(self) -> str:
        return f"{PREFIX}recipe/{self.name}"

    @property
    def algorithm_arn(self) -> str:
        return f"{PREFIX}algorithm/{self.algorithm_name or self.name}"

    @property
    def feature_transformation_arn(self) -> str:
        return f"{PREFIX}feature-transformation/{self.feature_transformation or self.name}"


_BPTT = whole("bptt", 32, 2, 32, tunable=True)
_RECENCY_MASK = flag("recency_mask", "True", tunable=True)
_SEQUENCE = (whole("hidden_dimension", 149, 32, 256, tunable=True), _BPTT, _RECENCY_MASK)
_LEGACY = (whole("hidden_dimension", 43, 32, 256, tunable=True), _BPTT, _RECENCY_MASK)
_HISTORY = (
    real("min_user_history_length_percentile", 0.0, 0, 1),
    real("max_user_history_length_percentile", 0.99, 0, 1),
)
_RECENCY_BIAS = (flag("apply_recency_bias", "true"),)
_AFFINITY = (whole("hidden_dimension", 149, 32, 256),)
_2019, _2020, _2021, _2022, _2024 = 1560124800, 1591574400, 1626307200, 1659312000, 1704067200

_CUSTOM = (
    CatalogueEntry(
        "aws-hrnn",
        USER_PERSONALIZATION,
        "Items a user will interact with (legacy).",
        _2019,
        _LEGACY,
        _HISTORY,
        feature_transformation="JSON-percentile-filtering",
    ),
    CatalogueEntry(
        "aws-hrnn-coldstart",
        USER_PERSONALIZATION,
        "As aws-hrnn, with new items (legacy).",
        _2019,
        _SEQUENCE,
        (
            whole("cold_start_max_interactions", 15, 1, 1_000_000),
            real("cold_start_max_duration", 5.0, 0, 1_000_000),
            choice("cold_start_relative_from", "latestItem", "latestItem", "currentTime"),
            *_HISTORY,
        ),
        feature_transformation="featurize_coldstart",
        updates=True,
    ),
    CatalogueEntry(
        "aws-hrnn-metadata",
        USER_PERSONALIZATION,
        "As aws-hrnn, with metadata (legacy).",
        _2019,
        _LEGACY,
        _HISTORY,
        feature_transformation="featurize_metadata",
    ),
    CatalogueEntry(
        "aws-item-affinity",
        SEGMENTATION,
        "Users most likely to be interested in an item.",
        _2021,
        _AFFINITY,
        feature_transformation="item-affinity",
        live=False,
    ),
    CatalogueEntry(
        "aws-item-attribute-affinity",
        SEGMENTATION,
        "Users most likely to be interested in an item attribute.",
        1629849600,
        _AFFINITY,
        feature_transformation="item-attribute-affinity",
        live=False,
    ),
    CatalogueEntry(
        "aws-next-best-action",
        ACTIONS,
        "Actions a user will take.",
        1691712000,
        featurization=(whole("action_optimization_period", 14, 7, 28),),
        batch=False,
    ),
    CatalogueEntry(
        "aws-personalized-ranking",
        RANKING,
        "Ranks a list of items for a user.",
        _2019,
        _SEQUENCE,
        _HISTORY,
        feature_transformation="JSON-percentile-filtering",
    ),
    CatalogueEntry("aws-personalized-ranking-v2", RANKING, "Ranks a list of items for a user.", _2024, _RECENCY_BIAS),
    CatalogueEntry(
        "aws-popularity-count",
        USER_PERSONALIZATION,
        "The most popular items.",
        _2019,
        feature_transformation="sims",
    ),
    CatalogueEntry("aws-semantic-similarity", RELATED_ITEMS, "Items whose text is similar.", _2024),
    CatalogueEntry(
        "aws-similar-items",
        RELATED_ITEMS,
        "Items similar by interactions and metadata.",
        _2021,
        (
            real("popularity_discount_factor", 0.0, 0, 1),
            whole("item_id_hidden_dim", 100, 30, 200, tunable=True, hpo_only=True),
            whole("item_metadata_hidden_dim", 100, 30, 200, tunable=True, hpo_only=True),
        ),
    ),
    CatalogueEntry(
        "aws-sims",
        RELATED_ITEMS,
        "Items that occur together.",
        _2019,
        (
            real("popularity_discount_factor", 0.5, 0, 1, tunable=True),
            whole("min_cointeraction_count", 3, 0, 10, tunable=True),
        ),
        (
            real("min_user_history_length_percentile", 0.005, 0, 1),
            real("max_user_history_length_percentile", 0.995, 0, 1),
            real("min_item_interaction_count_percentile", 0.01, 0, 1),
            real("max_item_interaction_count_percentile", 0.9, 0, 1),
        ),
        feature_transformation="sims",
    ),
    CatalogueEntry(
        "aws-trending-now",
        POPULAR_ITEMS,
        "Items that gain popularity fastest.",
        _2022,
        featurization=(
            choice("trend_discovery_frequency", "2 hours", "30 minutes", "1 hour", "2 hours", "3 hours", "1 day"),
        ),
        algorithm_name="aws-trending-now-custom",
        batch=False,
    ),
    CatalogueEntry(
        "aws-user-personalization",
        USER_PERSONALIZATION,
        "Items a user will interact with, with exploration of new items.",
        _2020,
        _SEQUENCE,
        _HISTORY,
        explores=True,
        updates=True,
    ),
    CatalogueEntry(
        "aws-user-personalization-v2",
        USER_PERSONALIZATION,
        "Items a user will interact with, from interactions and metadata.",
        _2024,
        _RECENCY_BIAS,
    ),
)
_USE_CASES = {
    "ECOMMERCE": (
        ("customers-who-viewed-x-also-viewed", RELATED_ITEMS),
        ("frequently-bought-together", RELATED_ITEMS),
        ("popular-items-by-purchases", POPULAR_ITEMS),
        ("popular-items-by-views", POPULAR_ITEMS),
        ("recommended-for-you", USER_PERSONALIZATION),
    ),
    "VIDEO_ON_DEMAND": (
        ("because-you-watched-x", RELATED_ITEMS),
        ("more-like-x", RELATED_ITEMS),
        ("most-popular", POPULAR_ITEMS),
        ("top-picks", USER_PERSONALIZATION),
        ("trending-now", POPULAR_ITEMS),
    ),
}
_SHORT = {"ECOMMERCE": "ecomm", "VIDEO_ON_DEMAND": "vod"}
_DOMAIN = tuple(
    CatalogueEntry(
        f"aws-{_SHORT[domain]}-{name}",
        recipe_type,
        f"A use case of the {domain} domain, for recommenders.",
        _2021,
        domain=domain,
        batch=False,
        live=False,
    )
    for domain, use_cases in _USE_CASES.items()
    for name, recipe_type in use_cases
)
CATALOGUE = {entry.name: entry for entry in sorted(_CUSTOM + _DOMAIN, key=lambda entry: entry.name)}


def require(arn: str) -> CatalogueEntry:
    """The recipe; raises ``ResourceNotFoundException`` where the service has none of that ARN."""
    return _found("arn", arn)


def require_built(arn: str) -> CatalogueEntry:
    entry = require(arn)
    if entry.domain:
        raise InvalidInput(f"{entry.name} is a use case for recommenders; a solution takes a custom recipe.")
    if entry.name not in BUILT:
        raise InvalidInput(f"The local backend does not train {entry.name}; it trains {', '.join(sorted(BUILT))}.")
    return entry


def _found(member: str, arn: str) -> CatalogueEntry:
    """The recipe with this ARN; of several that share a feature transformation, one that has its parameters."""
    found = [entry for entry in CATALOGUE.values() if getattr(entry, member) == arn]
    if not found:
        raise ResourceNotFound(arn)
    return max(found, key=lambda entry: len(entry.featurization))


def describe(call: Call, request: Request) -> Response:
    entry = require(request["recipeArn"])
    recipe = _summary(entry) | {
        "algorithmArn": entry.algorithm_arn,
        "featureTransformationArn": entry.feature_transformation_arn,
        "description": entry.description,
        "recipeType": entry.recipe_type,
    }
    recipe.pop("domain", None)  # a summary has it, a description has not
    return {"recipe": recipe}


def describe_algorithm(call: Call, request: Request) -> Response:
    entry = _found("algorithm_arn", request["algorithmArn"])
    ranges: dict[str, list[Response]] = {}
    for kind in ("integer", "continuous", "categorical"):
        ranges[f"{kind}HyperParameterRanges"] = [p.described() for p in entry.algorithm if p.kind == kind]
    name = entry.algorithm_name or entry.name
    algorithm = {
        "name": name,
        "algorithmArn": entry.algorithm_arn,
        "algorithmImage": {"name": name, "dockerURI": f"local/{name}"},
        "defaultHyperParameters": {p.name: p.default for p in entry.algorithm},
        "defaultHyperParameterRanges": ranges,
        **_times(entry),
    }
    return {"algorithm": algorithm}


def describe_feature_transformation(call: Call, request: Request) -> Response:
    entry = _found("feature_transformation_arn", request["featureTransformationArn"])
    transformation = {
        "name": entry.feature_transformation or entry.name,
        "featureTransformationArn": entry.feature_transformation_arn,
        "defaultParameters": {p.name: p.default for p in entry.featurization},
        "status": "ACTIVE",
        **_times(entry),
    }
    return {"featureTransformation": transformation}


def listing(call: Call, request: Request) -> Response:
    """Alphabetical, as the service lists them: all recipes, or a domain's use cases alone."""
    domain = request.get("domain")
    entries = [entry for entry in CATALOGUE.values() if domain in (None, entry.domain)]
    token = request.get("nextToken", "0")
    start = int(token) if token.isascii() and token.isdecimal() else -1
    if not 0 <= start < len(entries):
        raise InvalidNextToken("nextToken is not one that this operation returned.")
    stop = start + request.get("maxResults", 100)
    page: Response = {"recipes": [_summary(entry) for entry in entries[start:stop]]}
    return page | ({"nextToken": str(stop)} if stop < len(entries) else {})


def _summary(entry: CatalogueEntry) -> Response:
    domain = {"domain": entry.domain} if entry.domain else {}
    return {"name": entry.name, "recipeArn": entry.arn, "status": "ACTIVE", **_times(entry), **domain}


def _times(entry: CatalogueEntry) -> Response:
    return {"creationDateTime": entry.created, "lastUpdatedDateTime": entry.created}


OPERATIONS: dict[str, Operation] = {
    "DescribeRecipe": describe,
    "DescribeAlgorithm": describe_algorithm,
    "DescribeFeatureTransformation": describe_feature_transformation,
    "ListRecipes": listing,
}
