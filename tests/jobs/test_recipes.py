"""Every recipe from import to output file: trained on planted data, asked and answered in its own row format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_personalize.local.backend import open_backend
from tests.backends import (
    EVERYTHING_SEEN,
    INTERACTIONS_SCHEMA,
    ITEMS,
    ROLE,
    Refused,
    batch_request,
    call,
    run_jobs,
    train,
)
from tests.jobs.conftest import ITEMS_SCHEMA, PLOTS, RELATED, Group, Jobs, rows_of

PERSONAL = ("aws-user-personalization-v2", "aws-hrnn", "aws-hrnn-metadata", "aws-hrnn-coldstart")
RANKING = ("aws-personalized-ranking", "aws-personalized-ranking-v2")


def groups(ids: list[str]) -> set[int]:
    return {int(id_[1:]) % 2 for id_ in ids}


@pytest.mark.parametrize("recipe", PERSONAL)
def test_personalization(group: Group, tmp_path: Path, recipe: str) -> None:
    for row in group.run(recipe, [{"userId": "u3"}, {"userId": "u4"}], tmp_path, numResults=5):
        assert groups(row["output"]["recommendedItems"]) == groups([row["input"]["userId"]])
        assert sorted(row["output"]["scores"], reverse=True) == row["output"]["scores"]
        assert row["error"] is None


@pytest.mark.parametrize("recipe", RANKING)
def test_ranking(group: Group, tmp_path: Path, recipe: str) -> None:
    items = ["i2", "unheard", "i5", "i9", "i4", "i5"]
    lines = [{"userId": "u3", "itemList": items}, {"userId": "u4", "itemList": []}, {"userId": "?", "itemList": items}]
    known, empty, stranger = group.run(recipe, lines, tmp_path, numResults=2)
    assert set(known["output"]["recommendedItems"][:2]) == {"i5", "i9"}
    assert set(known["output"]["recommendedItems"][2:4]) == {"i2", "i4"}
    assert known["output"]["recommendedItems"][4:] == ["unheard"]
    assert known["output"]["scores"][4] == 0.0
    assert sum(known["output"]["scores"]) == pytest.approx(1, abs=1e-6)
    assert empty["output"] is None
    assert empty["error"]["errorMessage"] == 'Line 2: "itemList" is empty: there is nothing to rank'
    assert len(stranger["output"]["recommendedItems"]) == 5


@pytest.mark.parametrize("recipe", RELATED)
def test_related_items(group: Group, tmp_path: Path, recipe: str) -> None:
    near, unknown = group.run(recipe, [{"itemId": "i5"}, {"itemId": "unheard"}], tmp_path, numResults=6)
    assert near.keys() == {"input", "output", "error"}
    assert near["output"].keys() == {"recommendedItems"}
    assert "i5" not in near["output"]["recommendedItems"]
    assert groups(near["output"]["recommendedItems"]) == {1}
    assert len(near["output"]["recommendedItems"]) == len(unknown["output"]["recommendedItems"]) == 6


def test_ranking_influence(group: Group, tmp_path: Path) -> None:
    config = {"rankingInfluence": {"POPULARITY": 1.0, "FRESHNESS": 0.5}}
    (row,) = group.run(
        "aws-semantic-similarity", [{"itemId": "i5"}], tmp_path, numResults=3, batchInferenceJobConfig=config
    )
    assert len(row["output"]["recommendedItems"]) == 3


def test_popularity(group: Group, tmp_path: Path) -> None:
    rows = group.run("aws-popularity-count", [{"userId": "u3"}, {}, {"itemId": "i1"}], tmp_path, numResults=4)
    assert len({json.dumps(row["output"]) for row in rows}) == 1
    assert rows[0]["output"].keys() == {"recommendedItems"}
    assert len(rows[0]["output"]["recommendedItems"]) == 4


def test_item_affinity(group: Group, tmp_path: Path) -> None:
    good, bad = group.run("aws-item-affinity", [{"itemId": "i5"}, {"itemId": "unheard"}], tmp_path, numResults=9)
    assert groups(good["output"]["usersList"]) == {1}
    assert "'unheard' has no interactions" in bad["error"]["errorMessage"]


def test_item_attribute_affinity(group: Group, tmp_path: Path) -> None:
    lines = [{"itemAttributes": f'ITEMS.genres = "{genre}"'} for genre in ("comedy", "drama", "opera")]
    comedy, drama, opera = group.run("aws-item-attribute-affinity", lines, tmp_path, numResults=5_000_000)
    assert groups(comedy["output"]["usersList"][:25]) == {0}
    assert groups(drama["output"]["usersList"][:25]) == {1}
    assert len(comedy["output"]["usersList"]) == 60
    assert opera["error"]["errorMessage"].startswith('Line 3: "itemAttributes": No item with interactions has')


def test_themes(group: Group, tmp_path: Path) -> None:
    lines = [{"itemId": "i5"}, {"itemId": "i6"}, {"item": "i7"}]
    odd, even, bad = group.run(
        "aws-similar-items",
        lines,
        tmp_path,
        numResults=5,
        batchInferenceJobMode="THEME_GENERATION",
        themeGenerationConfig={"fieldsForThemeGeneration": {"itemName": "TITLE"}},
    )
    assert odd["output"].keys() == {"recommendedItems", "theme", "itemsThemeRelevanceScores"}
    assert odd["output"]["theme"].startswith("drama: ")
    assert even["output"]["theme"].startswith("comedy: ")
    assert len(odd["output"]["recommendedItems"]) == len(odd["output"]["itemsThemeRelevanceScores"]) == 5
    assert bad.keys() == {"input", "error"}


@pytest.mark.parametrize("recipe", ["aws-trending-now", "aws-next-best-action"])
def test_recipes_without_batch_jobs_train_and_are_refused(group: Group, tmp_path: Path, recipe: str) -> None:
    version = call(group.backend, "DescribeSolutionVersion", solutionVersionArn=group.version(recipe))[
        "solutionVersion"
    ]
    assert version["status"] == "ACTIVE"
    with pytest.raises(Refused, match=f"{recipe} has no batch inference jobs"):
        group.run(recipe, [{"userId": "u1"}], tmp_path)


def test_a_filter_serves_every_recipe_that_answers_with_items(group: Group, tmp_path: Path) -> None:
    filter_arn = call(
        group.backend,
        "CreateFilter",
        name="comedies",
        datasetGroupArn=group.arn,
        filterExpression='INCLUDE ItemID WHERE Items.GENRES IN ("comedy")',
    )["filterArn"]
    asked: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
        (PERSONAL, {"userId": "u3"}),
        (RANKING, {"userId": "u3", "itemList": ["i1", "i2", "i3", "i4", "unheard"]}),
        ((*RELATED, "aws-popularity-count"), {"itemId": "i2"}),
        (("aws-popularity-count",), {}),
    )
    for recipes, row in asked:
        for recipe in recipes:
            (answered,) = group.run(recipe, [row], tmp_path / recipe, filterArn=filter_arn)
            assert groups(answered["output"]["recommendedItems"]) == {0}, recipe


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Group:
    """A dataset group that holds items alone: number n is of genre and plot n % 2."""
    root = tmp_path_factory.mktemp("bare")
    backend = open_backend(root)
    text = "ITEM_ID,TITLE,GENRES,PLOT,CREATION_TIMESTAMP\n"
    text += "".join(f'i{n},Tale {n},{"ab"[n % 2]},"{PLOTS[n % 2]}",1600000000\n' for n in range(20))
    (root / "items.csv").write_text(text)
    arn = call(backend, "CreateDatasetGroup", name="bare")["datasetGroupArn"]
    schema_arn = call(backend, "CreateSchema", name="items", schema=ITEMS_SCHEMA)["schemaArn"]
    dataset = call(
        backend, "CreateDataset", name="items", schemaArn=schema_arn, datasetGroupArn=arn, datasetType="ITEMS"
    )
    source = {"dataLocation": f"file://{root}/items.csv"}
    call(backend, "CreateDatasetImportJob", jobName="items", **dataset, dataSource=source, roleArn=ROLE)
    run_jobs(backend)
    return Group(backend, arn)


class TestWithoutInteractions:
    def test_semantic_similarity_needs_items_alone(self, bare: Group, tmp_path: Path) -> None:
        lines = [{"itemId": "i5"}, {"itemId": "unheard"}]
        near, unknown = bare.run("aws-semantic-similarity", lines, tmp_path, numResults=5)
        assert groups(near["output"]["recommendedItems"]) == {1}
        assert unknown["output"]["recommendedItems"] == ["i0", "i1", "i10", "i11", "i12"]  # nothing is popular

    def test_a_filter_on_items_serves_it(self, bare: Group, tmp_path: Path) -> None:
        expression = 'INCLUDE ItemID WHERE Items.GENRES IN ("a")'
        filter_arn = call(
            bare.backend, "CreateFilter", name="a", datasetGroupArn=bare.arn, filterExpression=expression
        )["filterArn"]
        (row,) = bare.run("aws-semantic-similarity", [{"itemId": "i5"}], tmp_path, filterArn=filter_arn)
        assert groups(row["output"]["recommendedItems"]) == {0}

    def test_a_filter_on_interactions_that_may_come_serves_it(self, bare: Group, tmp_path: Path) -> None:
        given = call(bare.backend, "CreateSchema", name="interactions", schema=INTERACTIONS_SCHEMA)
        dataset = {"name": "i", **given, "datasetGroupArn": bare.arn, "datasetType": "Interactions"}
        made = call(bare.backend, "CreateDataset", **dataset)
        request = {"name": "seen", "datasetGroupArn": bare.arn, "filterExpression": EVERYTHING_SEEN}
        filter_ = call(bare.backend, "CreateFilter", **request)
        (row,) = bare.run("aws-semantic-similarity", [{"itemId": "i5"}], tmp_path, **filter_)
        assert groups(row["output"]["recommendedItems"][:9]) == {1}
        described = call(bare.backend, "DescribeSolutionVersion", solutionVersionArn=bare.version("aws-hrnn"))
        assert "no imported Interactions dataset" in described["solutionVersion"]["failureReason"]
        call(bare.backend, "DeleteDataset", **made)

    @pytest.mark.parametrize("recipe", ["aws-sims", "aws-hrnn-coldstart", "aws-item-affinity", "aws-trending-now"])
    def test_other_recipes_say_that_they_need_them(self, bare: Group, recipe: str) -> None:
        described = call(bare.backend, "DescribeSolutionVersion", solutionVersionArn=bare.version(recipe))[
            "solutionVersion"
        ]
        assert described["status"] == "CREATE FAILED"
        assert described["failureReason"] == "Create failed. The dataset group has no imported Interactions dataset."


def test_a_row_that_names_no_user_has_no_interactions_of_her_own(jobs: Jobs, tmp_path: Path) -> None:
    version = train(jobs.backend, jobs.arns.group, "aws-popularity-count")
    (tmp_path / "rows.json").write_text('{}\n{"userId": "u0"}\n')
    request = batch_request(version, "nobody", f"file://{tmp_path}/rows.json", f"file://{tmp_path}/out/")
    call(jobs.backend, "CreateBatchInferenceJob", **request, filterArn=jobs.arns.seen_filter, numResults=ITEMS)
    run_jobs(jobs.backend)
    nobody, somebody = rows_of(tmp_path / "out" / "rows.json.out")
    assert len(nobody["output"]["recommendedItems"]) == ITEMS
    assert len(somebody["output"]["recommendedItems"]) < ITEMS


def test_what_is_trending_needs_no_user_but_for_a_filter_that_does(jobs: Jobs) -> None:
    version = train(jobs.backend, jobs.arns.group, "aws-trending-now")
    campaign = call(jobs.backend, "CreateCampaign", name="trending", solutionVersionArn=version)

    def trending(**more: Any) -> list[str]:
        answer = call(jobs.backend, "GetRecommendations", **campaign, numResults=100, **more)
        return [item["itemId"] for item in answer["itemList"]]

    everything = trending()
    assert len(everything) == ITEMS
    assert trending(userId="anyone") == everything
    assert trending(filterArn=jobs.arns.seen_filter) == everything
    left = trending(filterArn=jobs.arns.seen_filter, userId="u0")
    assert left == [item for item in everything if item in left] != everything
