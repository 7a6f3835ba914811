"""A live answer is the row that a batch job writes, whatever the recipe and the filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backends import EVERYTHING_SEEN, ITEMS, WITHHELD, Refused, call
from tests.jobs.conftest import RELATED, Group

PERSONAL = ("aws-user-personalization", "aws-user-personalization-v2", "aws-hrnn", "aws-popularity-count")
RANKING = ("aws-personalized-ranking", "aws-personalized-ranking-v2")
FILTERS = {
    "none": None,
    "given values": "INCLUDE ItemID WHERE Items.GENRES IN ($GENRE)",
    "seen": EVERYTHING_SEEN,
    "as the item": "INCLUDE ItemID WHERE Items.GENRES IN CurrentItem.GENRES",
}
ROWS: tuple[tuple[tuple[str, ...], list[dict[str, Any]]], ...] = (
    (PERSONAL, [{"userId": "u3"}, {"userId": "nobody"}]),
    (RANKING, [{"userId": "u3", "itemList": ["i1", "i2", "i4", "unheard"]}]),
    (RELATED, [{"itemId": "i2"}, {"itemId": "unheard"}]),
)
QUIET = {"explorationWeight": "0"}


@pytest.fixture(scope="session")
def filters(group: Group) -> dict[str, dict[str, str]]:
    """By name, the member of a request that names the filter."""
    made: dict[str, dict[str, str]] = {}
    for number, (name, expression) in enumerate(FILTERS.items()):
        request = {"name": f"of-both-{number}", "datasetGroupArn": group.arn, "filterExpression": expression}
        made[name] = call(group.backend, "CreateFilter", **request) if expression else {}
    return made


@pytest.fixture(scope="session")
def campaigns(group: Group) -> dict[str, str]:
    made: dict[str, str] = {}
    for recipe in (*PERSONAL, *RANKING, *RELATED):
        config = {"campaignConfig": {"itemExplorationConfig": QUIET}} if recipe == PERSONAL[0] else {}
        request = {"name": f"of-{recipe}", "solutionVersionArn": group.version(recipe), **config}
        made[recipe] = call(group.backend, "CreateCampaign", **request)["campaignArn"]
    return made


def live(group: Group, campaign: str, row: dict[str, Any], **more: Any) -> tuple[list[str], list[float]]:
    """Ids and scores; no scores where the recipe has none."""
    if "itemList" in row:
        given = {**row, "inputList": row["itemList"]}
        del given["itemList"]
        answer = call(group.backend, "GetPersonalizedRanking", campaignArn=campaign, **given, **more)
        items = answer["personalizedRanking"]
    else:
        answer = call(group.backend, "GetRecommendations", campaignArn=campaign, numResults=7, **row, **more)
        items = answer["itemList"]
    return [item["itemId"] for item in items], [item["score"] for item in items if "score" in item]


@pytest.mark.parametrize(
    ("recipe", "rows", "name"),
    [
        pytest.param(recipe, rows, name, id=f"{recipe}, {name}")
        for recipes, rows in ROWS
        for recipe in recipes
        for name in FILTERS
        if recipes is RELATED or name != "as the item"
    ],
)
def test_batch_and_live_answers_are_the_same(
    group: Group,
    filters: dict[str, dict[str, str]],
    campaigns: dict[str, str],
    tmp_path: Path,
    recipe: str,
    rows: list[dict[str, Any]],
    name: str,
) -> None:
    given = {"filterValues": {"GENRE": '"comedy"'}} if name == "given values" else {}
    quiet = {"batchInferenceJobConfig": {"itemExplorationConfig": QUIET}} if recipe == PERSONAL[0] else {}
    lines = [{**row, **given} for row in rows]
    for line, written in zip(
        lines, group.run(recipe, lines, tmp_path, numResults=7, **filters[name], **quiet), strict=True
    ):
        output = written["output"]
        answered = live(group, campaigns[recipe], line, **filters[name])
        assert answered == (output["recommendedItems"], output.get("scores", []))


@pytest.mark.parametrize("recipe", RELATED)
class TestWhoAsksAboutAnItem:
    def test_what_the_user_has_seen_is_left_out(
        self, group: Group, filters: dict[str, dict[str, str]], campaigns: dict[str, str], recipe: str
    ) -> None:
        """u3 saw all items of odd number but the withheld ones, and what resembles i1 is of odd number."""
        request = {"campaignArn": campaigns[recipe], "itemId": "i1", "numResults": ITEMS}
        anyone = call(group.backend, "GetRecommendations", **request, **filters["seen"])["itemList"]
        hers = call(group.backend, "GetRecommendations", **request, **filters["seen"], userId="u3")["itemList"]
        odd = [sum(int(item["itemId"][1:]) % 2 for item in items) for items in (anyone, hers)]
        assert odd[0] == ITEMS // 2 - 1  # all but i1 itself
        assert WITHHELD - 1 <= odd[1] <= WITHHELD

    def test_a_filter_with_placeholders_still_reads_the_request(
        self, group: Group, filters: dict[str, dict[str, str]], campaigns: dict[str, str], recipe: str
    ) -> None:
        request = {"campaignArn": campaigns[recipe], "itemId": "i2", "userId": "u3", **filters["given values"]}
        answer = call(group.backend, "GetRecommendations", **request, filterValues={"GENRE": '"comedy"'})
        assert {int(item["itemId"][1:]) % 2 for item in answer["itemList"]} == {0}
        with pytest.raises(Refused, match="GENRE"):
            call(group.backend, "GetRecommendations", **request)
