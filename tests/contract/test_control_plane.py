"""The control plane answers every client alike: the same cases, five ways to reach it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.backends import Arns, Refused
from tests.contract.clients import Caller

ROLE = "arn:aws:iam::123456789012:role/PersonalizeRole"
ACCOUNT_ARN = "arn:aws:personalize:us-east-1:000000000000"


def schema(kind: str, *fields: tuple[str, Any]) -> str:
    record = {
        "type": "record",
        "name": kind,
        "namespace": "com.amazonaws.personalize.schema",
        "fields": [{"name": name, "type": type_} for name, type_ in fields],
        "version": "1.0",
    }
    return json.dumps(record)


INTERACTIONS = schema(
    "Interactions", ("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long"), ("EVENT_TYPE", "string")
)


@pytest.fixture
def group(call: Caller, name: str) -> str:
    return call("CreateDatasetGroup", name=name)["datasetGroupArn"]


@pytest.fixture
def schema_arn(call: Caller, name: str) -> str:
    return call("CreateSchema", name=name, schema=INTERACTIONS)["schemaArn"]


@pytest.fixture
def solution(call: Caller, group: str, name: str) -> str:
    recipe = "arn:aws:personalize:::recipe/aws-user-personalization"
    return call("CreateSolution", name=name, datasetGroupArn=group, recipeArn=recipe)["solutionArn"]


def moment(value: Any) -> datetime:
    """boto3 makes datetimes of timestamps, the CLI shows seconds."""
    return value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)


class TestResources:
    def test_arns_have_the_services_form(
        self, call: Caller, name: str, group: str, schema_arn: str, solution: str
    ) -> None:
        dataset = call(
            "CreateDataset", name="my-data", schemaArn=schema_arn, datasetGroupArn=group, datasetType="Interactions"
        )
        filter_ = call(
            "CreateFilter",
            name=name,
            datasetGroupArn=group,
            filterExpression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
        )
        assert group == f"{ACCOUNT_ARN}:dataset-group/{name}"
        assert schema_arn == f"{ACCOUNT_ARN}:schema/{name}"
        assert solution == f"{ACCOUNT_ARN}:solution/{name}"
        assert dataset["datasetArn"] == f"{ACCOUNT_ARN}:dataset/{name}/INTERACTIONS"
        assert filter_["filterArn"] == f"{ACCOUNT_ARN}:filter/{name}"
        (summary,) = call("ListFilters", datasetGroupArn=group)["Filters"]  # the model's one capital
        assert summary["filterArn"] == filter_["filterArn"]

    def test_describe_shows_what_create_was_given_with_status_and_times(
        self, call: Caller, name: str, group: str
    ) -> None:
        described = call("DescribeDatasetGroup", datasetGroupArn=group)["datasetGroup"]
        created, updated = moment(described.pop("creationDateTime")), moment(described.pop("lastUpdatedDateTime"))
        assert described == {"name": name, "datasetGroupArn": group, "status": "ACTIVE"}
        assert abs((datetime.now(UTC) - created).total_seconds()) < 60
        assert created <= updated

    def test_a_schema_has_no_status(self, call: Caller, name: str, schema_arn: str) -> None:
        described = call("DescribeSchema", schemaArn=schema_arn)["schema"]
        assert "status" not in described
        assert described["schema"] == INTERACTIONS

    def test_a_solution_echoes_its_configuration_and_the_services_defaults(
        self, call: Caller, group: str, name: str
    ) -> None:
        config = {"algorithmHyperParameters": {"hidden_dimension": "64"}, "eventValueThreshold": "3"}
        recipe = "arn:aws:personalize:::recipe/aws-user-personalization"
        arn = call(
            "CreateSolution",
            name=name,
            datasetGroupArn=group,
            recipeArn=recipe,
            eventType="watch",
            solutionConfig=config,
        )
        described = call("DescribeSolution", solutionArn=arn["solutionArn"])["solution"]
        assert described["solutionConfig"] == config
        assert (described["eventType"], described["performHPO"], described["performAutoTraining"]) == (
            "watch",
            False,
            True,
        )
        assert described["status"] == "ACTIVE"

    def test_recipes_are_listed_and_described(self, call: Caller) -> None:
        names = [recipe["name"] for recipe in call("ListRecipes")["recipes"]]
        assert names == sorted(names)
        assert {"aws-user-personalization", "aws-user-personalization-v2", "aws-item-affinity"} <= set(names)
        recipe = call("DescribeRecipe", recipeArn="arn:aws:personalize:::recipe/aws-item-affinity")["recipe"]
        assert recipe["recipeType"] == "USER_SEGMENTATION"

    def test_tags_are_kept_and_never_described(self, call: Caller, name: str) -> None:
        tags = [{"tagKey": "zone", "tagValue": ""}, {"tagKey": "équipe", "tagValue": "a+b@c"}]
        arn = call("CreateDatasetGroup", name=name, tags=tags)["datasetGroupArn"]
        assert call("ListTagsForResource", resourceArn=arn)["tags"] == tags
        assert "tags" not in call("DescribeDatasetGroup", datasetGroupArn=arn)["datasetGroup"]

    def test_a_recipe_says_what_it_trains_with(self, call: Caller) -> None:
        recipe = call("DescribeRecipe", recipeArn="arn:aws:personalize:::recipe/aws-sims")["recipe"]
        algorithm = call("DescribeAlgorithm", algorithmArn=recipe["algorithmArn"])["algorithm"]
        assert algorithm["defaultHyperParameters"] == {
            "popularity_discount_factor": "0.5",
            "min_cointeraction_count": "3",
        }
        ranges = algorithm["defaultHyperParameterRanges"]
        assert ranges["integerHyperParameterRanges"] == [
            {"name": "min_cointeraction_count", "minValue": 0, "maxValue": 10, "isTunable": True}
        ]
        arn = recipe["featureTransformationArn"]
        transformation = call("DescribeFeatureTransformation", featureTransformationArn=arn)["featureTransformation"]
        assert transformation["defaultParameters"]["max_item_interaction_count_percentile"] == "0.9"

    def test_a_domains_recipes_are_its_use_cases(self, call: Caller, name: str, group: str) -> None:
        recipes = call("ListRecipes", domain="VIDEO_ON_DEMAND")["recipes"]
        assert {recipe["domain"] for recipe in recipes} == {"VIDEO_ON_DEMAND"}
        assert "aws-vod-top-picks" in [recipe["name"] for recipe in recipes]
        with pytest.raises(Refused, match="recommenders"):
            call("CreateSolution", name=name, datasetGroupArn=group, recipeArn=recipes[0]["recipeArn"])

    def test_tags_come_and_go(self, call: Caller, group: str) -> None:
        def tags() -> dict[str, str]:
            listed = call("ListTagsForResource", resourceArn=group)["tags"]
            return {tag["tagKey"]: tag["tagValue"] for tag in listed}

        pairs = [{"tagKey": "a", "tagValue": "1"}, {"tagKey": "b", "tagValue": "2"}]
        assert call("TagResource", resourceArn=group, tags=pairs) == {}
        call("TagResource", resourceArn=group, tags=[{"tagKey": "b", "tagValue": "3"}])
        assert tags() == {"a": "1", "b": "3"}
        assert call("UntagResource", resourceArn=group, tagKeys=["a", "never"]) == {}
        assert tags() == {"b": "3"}

    def test_too_many_tags_are_refused_by_their_own_names(self, call: Caller, group: str) -> None:
        call("TagResource", resourceArn=group, tags=[{"tagKey": f"k{n}", "tagValue": ""} for n in range(50)])
        for operation, parameters, code in (
            ("TagResource", {"tags": [{"tagKey": "one more", "tagValue": ""}]}, "TooManyTagsException"),
            ("UntagResource", {"tagKeys": [f"k{n}" for n in range(51)]}, "TooManyTagKeysException"),
        ):
            with pytest.raises(Refused) as refused:
                call(operation, resourceArn=group, **parameters)
            assert refused.value.code == code
        assert len(call("ListTagsForResource", resourceArn=group)["tags"]) == 50


class TestListing:
    def test_pages_hold_every_resource_once_newest_first(self, call: Caller, name: str, group: str) -> None:
        recipe = "arn:aws:personalize:::recipe/aws-item-affinity"
        created = [
            call("CreateSolution", name=f"{name}-{number}", datasetGroupArn=group, recipeArn=recipe)["solutionArn"]
            for number in range(5)
        ]
        seen, token = [], {}
        while True:
            page = call("ListSolutions", datasetGroupArn=group, maxResults=2, **token)
            assert len(page["solutions"]) <= 2
            seen += [summary["solutionArn"] for summary in page["solutions"]]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert seen == created[::-1]

    def test_summaries_hold_only_what_the_model_gives_them(self, call: Caller, group: str, solution: str) -> None:
        (summary,) = call("ListSolutions", datasetGroupArn=group)["solutions"]
        assert set(summary) == {"name", "solutionArn", "status", "creationDateTime", "lastUpdatedDateTime", "recipeArn"}

    @pytest.mark.parametrize("token", ["nonsense", "WzEsMl0=", "bnVsbA=="])
    def test_a_token_that_was_never_given_is_refused(self, call: Caller, token: str) -> None:
        with pytest.raises(Refused) as refused:
            call("ListDatasetGroups", nextToken=token)
        assert refused.value.code == "InvalidNextTokenException"

    def test_a_token_of_another_listing_is_refused(self, call: Caller, name: str, group: str) -> None:
        for number in range(2):
            call("CreateSchema", name=f"{name}-{number}", schema=INTERACTIONS)
        token = call("ListSchemas", maxResults=1)["nextToken"]
        with pytest.raises(Refused, match="another listing"):
            call("ListDatasetGroups", nextToken=token)


class TestRefusals:
    def test_a_name_is_taken_once(self, call: Caller, name: str, group: str) -> None:
        with pytest.raises(Refused) as refused:
            call("CreateDatasetGroup", name=name)
        assert refused.value.code == "ResourceAlreadyExistsException"
        assert refused.value.message == f"Another resource with Arn {group} already exists."

    @pytest.mark.parametrize(
        ("operation", "member", "suffix"),
        [
            ("DescribeDatasetGroup", "datasetGroupArn", "dataset-group/none"),
            ("DescribeSolutionVersion", "solutionVersionArn", "solution/none/01234567"),
            ("DescribeBatchInferenceJob", "batchInferenceJobArn", "batch-inference-job/none"),
            ("DescribeBatchSegmentJob", "batchSegmentJobArn", "batch-segment-job/none"),
            ("DeleteFilter", "filterArn", "filter/none"),
            ("DescribeRecipe", "recipeArn", "recipe/none"),
        ],
    )
    def test_an_unknown_arn_is_not_found(self, call: Caller, operation: str, member: str, suffix: str) -> None:
        with pytest.raises(Refused) as refused:
            call(operation, **{member: f"{ACCOUNT_ARN}:{suffix}"})
        assert refused.value.code == "ResourceNotFoundException"
        assert suffix in refused.value.message

    def test_an_arn_of_another_kind_is_not_found(self, call: Caller, group: str) -> None:
        with pytest.raises(Refused) as refused:
            call("DescribeSolution", solutionArn=group)
        assert refused.value.code == "ResourceNotFoundException"

    @pytest.mark.parametrize(
        ("change", "place"),
        [
            ({"jobName": "no spaces"}, "'jobName'"),
            ({"jobName": "x" * 64}, "'jobName'"),
            ({"roleArn": "PersonalizeRole"}, "'roleArn'"),
            ({"jobInput": {"s3DataSource": {"path": "ftp://b/k"}}}, "'jobInput.s3DataSource.path'"),
            ({"batchInferenceJobMode": "THEMES"}, "'batchInferenceJobMode'"),
            ({"batchInferenceJobConfig": {"rankingInfluence": {"POPULARITY": 1.5}}}, "rankingInfluence.POPULARITY"),
        ],
    )
    def test_what_boto3_lets_through_is_refused_as_the_model_says(
        self, call: Caller, name: str, change: dict[str, Any], place: str
    ) -> None:
        request = {
            "jobName": name,
            "solutionVersionArn": f"{ACCOUNT_ARN}:solution/a/01234567",
            "jobInput": {"s3DataSource": {"path": "s3://bucket/in.json"}},
            "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
            "roleArn": ROLE,
        }
        with pytest.raises(Refused) as refused:
            call("CreateBatchInferenceJob", **(request | change))
        assert refused.value.code == "InvalidInputException"
        assert place in refused.value.message

    def test_a_schema_that_is_no_schema_says_why(self, call: Caller, name: str) -> None:
        with pytest.raises(Refused, match="USER_ID") as refused:
            call("CreateSchema", name=name, schema=schema("Interactions", ("ITEM_ID", "string"), ("TIMESTAMP", "long")))
        assert refused.value.code == "InvalidInputException"

    def test_a_filter_error_points_at_its_place(self, call: Caller, name: str, group: str) -> None:
        with pytest.raises(Refused, match=r"(?s)Could not create filter\. Expected WHERE.*\^") as refused:
            call("CreateFilter", name=name, datasetGroupArn=group, filterExpression="EXCLUDE ItemID WHEN Items.GENRE")
        assert refused.value.code == "InvalidInputException"

    def test_an_operation_that_is_not_built_never_succeeds(self, call: Caller, name: str) -> None:
        recipe = "arn:aws:personalize:::recipe/aws-vod-top-picks"
        with pytest.raises(Refused, match="CreateRecommender: recommenders") as refused:
            call("CreateRecommender", name=name, recipeArn=recipe, datasetGroupArn=f"{ACCOUNT_ARN}:dataset-group/a")
        assert refused.value.code == "OperationNotSupportedException"


class TestStopping:
    def test_a_stopped_training_is_over_for_good(self, call: Caller, arns: Arns) -> None:
        solution = arns.personalization.rsplit("/", 1)[0]
        version = call("CreateSolutionVersion", solutionArn=solution)
        assert call("StopSolutionVersionCreation", **version) == {}
        deadline = time.monotonic() + 30
        while (status := call("DescribeSolutionVersion", **version)["solutionVersion"]["status"]) != "CREATE STOPPED":
            assert status == "CREATE STOPPING"
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with pytest.raises(Refused) as refused:
            call("StopSolutionVersionCreation", **version)
        assert refused.value.code == "ResourceInUseException"
        with pytest.raises(Refused) as refused:
            call("GetSolutionMetrics", **version)
        assert refused.value.code == "ResourceInUseException"


class TestDeleting:
    def test_children_go_before_their_parents(
        self, call: Caller, name: str, group: str, schema_arn: str, solution: str
    ) -> None:
        dataset = call(
            "CreateDataset", name=name, schemaArn=schema_arn, datasetGroupArn=group, datasetType="INTERACTIONS"
        )["datasetArn"]
        for operation, parameters in (
            ("DeleteSchema", {"schemaArn": schema_arn}),
            ("DeleteDatasetGroup", {"datasetGroupArn": group}),
        ):
            with pytest.raises(Refused) as refused:
                call(operation, **parameters)
            assert refused.value.code == "ResourceInUseException"
        assert call("DeleteSolution", solutionArn=solution) == {}
        assert call("DeleteDataset", datasetArn=dataset) == {}
        assert call("DeleteSchema", schemaArn=schema_arn) == {}
        assert call("DeleteDatasetGroup", datasetGroupArn=group) == {}
        with pytest.raises(Refused, match="does not exist"):
            call("DescribeDatasetGroup", datasetGroupArn=group)

    def test_a_deleted_name_is_free_again(self, call: Caller, name: str, group: str) -> None:
        call("DeleteDatasetGroup", datasetGroupArn=group)
        assert call("CreateDatasetGroup", name=name)["datasetGroupArn"] == group
