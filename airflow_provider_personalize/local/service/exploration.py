"""What a batch job or a campaign may say about how items are chosen: exploration and ranking influence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_personalize.local.errors import InvalidInput
from airflow_provider_personalize.local.service.call import Response
from airflow_provider_personalize.local.service.recipes import CatalogueEntry

DEFAULTS = {"explorationWeight": "0.3", "explorationItemAgeCutOff": "30"}


def checked(given: Mapping[str, Any], entry: CatalogueEntry) -> Response:
    """``itemExplorationConfig``, with the service's defaults, and ``rankingInfluence``, where the recipe has them.

    Raises ``InvalidInputException`` for a recipe that has them not, an unknown key or a value out of range.
    """
    influence = given.get("rankingInfluence")
    if influence and entry.name != "aws-semantic-similarity":
        raise InvalidInput(f"rankingInfluence is for aws-semantic-similarity, not {entry.name}.")
    config = {"rankingInfluence": influence} if influence else {}
    exploration = given.get("itemExplorationConfig", {})
    if not entry.explores:
        if exploration:
            raise InvalidInput(f"itemExplorationConfig is for aws-user-personalization, not {entry.name}.")
        return config
    if unknown := sorted(set(exploration) - set(DEFAULTS)):
        raise InvalidInput(f"itemExplorationConfig has no {unknown[0]!r}; it has {', '.join(DEFAULTS)}.")
    exploration = DEFAULTS | exploration
    _within(exploration, "explorationWeight", 0, 1)
    _within(exploration, "explorationItemAgeCutOff", 1, math.inf)
    return config | {"itemExplorationConfig": exploration}


def _within(config: Mapping[str, str], key: str, low: float, high: float) -> None:
    try:
        value = float(config[key])
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        bounds = f"from {low} to {high}" if high < math.inf else f"of {low} or more"
        raise InvalidInput(f"itemExplorationConfig.{key} must be a number {bounds}, not {config[key]!r}.")
