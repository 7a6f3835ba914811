"""Events and runtime, the service's two other endpoints, with every client: what goes in, what comes out, what not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.backend import open_backend
from tests.backends import (
    INTERACTIONS_SCHEMA,
    ITEMS_SCHEMA,
    WITHHELD,
    Arns,
    Refused,
    batch_request,
    item_group,
)
from tests.backends import call as call_wire
from tests.contract.clients import REGION, Caller


def refused(call: Caller, operation: str, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as raised:
        call(operation, **parameters)
    return raised.value


@pytest.fixture
def campaign(call: Caller, arns: Arns, name: str) -> str:
    return call("CreateCampaign", name=name, solutionVersionArn=arns.personalization)["campaignArn"]


@pytest.fixture(scope="session")
def batch(root: Path, arns: Arns, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a batch inference job answers for user u7, with the filter of the tests."""
    place = tmp_path_factory.mktemp("batch")
    (place / "row.json").write_text('{"userId": "u7"}\n')
    backend = open_backend(root)
    request = batch_request(arns.personalization, "to-compare", f"file://{place}/row.json", f"file://{place}/out/")
    job = call_wire(backend, "CreateBatchInferenceJob", **request, filterArn=arns.seen_filter, numResults=10)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        runner.start_waiting(backend, {})
        if call_wire(backend, "DescribeBatchInferenceJob", **job)["batchInferenceJob"]["status"] == "ACTIVE":
            return orjson.loads((place / "out" / "row.json.out").read_bytes())["output"]
        time.sleep(0.05)
    raise AssertionError("the job is not done")


class TestRecommendations:
    def test_a_live_answer_is_the_batch_jobs(
        self, call: Caller, arns: Arns, campaign: str, batch: dict[str, Any]
    ) -> None:
        response = call(
            "GetRecommendations", campaignArn=campaign, userId="u7", filterArn=arns.seen_filter, numResults=10
        )
        assert [item["itemId"] for item in response["itemList"]] == batch["recommendedItems"]
        assert [item["score"] for item in response["itemList"]] == batch["scores"]
        assert response["recommendationId"].startswith("RID-")
        best = [int(item["itemId"].removeprefix("i")) for item in response["itemList"][:WITHHELD]]
        assert {item_group(item) for item in best} == {1}

    def test_a_list_is_ranked_with_the_users_own_group_first(self, call: Caller, ranking: str, name: str) -> None:
        campaign = call("CreateCampaign", name=name, solutionVersionArn=ranking)["campaignArn"]
        given = ["i1", "i2", "i3", "i4", "i5", "i6"]
        response = call("GetPersonalizedRanking", campaignArn=campaign, userId="u1", inputList=given)
        ranked = [item["itemId"] for item in response["personalizedRanking"]]
        assert sorted(ranked) == given
        assert set(ranked[:3]) == {"i1", "i3", "i5"}
        assert sum(item["score"] for item in response["personalizedRanking"]) == pytest.approx(1, abs=1e-6)
        assert (
            "ask GetPersonalizedRanking"
            in refused(call, "GetRecommendations", campaignArn=campaign, userId="u").message
        )

    def test_the_action_that_users_take_comes_first(self, call: Caller, next_action: str, name: str) -> None:
        campaign = call("CreateCampaign", name=name, solutionVersionArn=next_action)["campaignArn"]
        response = call("GetActionRecommendations", campaignArn=campaign, userId="u9")
        assert [action["actionId"] for action in response["actionList"]] == ["call", "write"]
        assert (
            "GetActionRecommendations" in refused(call, "GetRecommendations", campaignArn=campaign, userId="u").message
        )

    @pytest.mark.parametrize(
        ("change", "code", "said"),
        [
            (
                {"campaignArn": f"arn:aws:personalize:{REGION}:000000000000:campaign/none"},
                "ResourceNotFoundException",
                "none",
            ),
            (
                {"filterArn": f"arn:aws:personalize:{REGION}:000000000000:filter/none"},
                "ResourceNotFoundException",
                "none",
            ),
            ({"userId": ""}, "InvalidInputException", "userId"),
            ({"numResults": 501}, "InvalidInputException", "500"),
            ({"promotions": [{"name": "a"}]}, "InvalidInputException", "promotions"),
            ({"metadataColumns": {"ITEMS": ["GENRES"]}}, "InvalidInputException", "metadataColumns"),
        ],
    )
    def test_what_cannot_be_answered_is_refused(
        self, call: Caller, campaign: str, change: dict[str, Any], code: str, said: str
    ) -> None:
        error = refused(call, "GetRecommendations", **({"campaignArn": campaign, "userId": "u7"} | change))
        assert (error.code, said in error.message) == (code, True)

    def test_a_recipe_answers_only_what_it_was_made_for(
        self, call: Caller, arns: Arns, campaign: str, name: str
    ) -> None:
        error = refused(call, "GetPersonalizedRanking", campaignArn=campaign, userId="u7", inputList=["i1"])
        assert (error.code, "GetRecommendations" in error.message) == ("InvalidInputException", True)
        error = refused(call, "CreateCampaign", name=f"{name}-segments", solutionVersionArn=arns.segmentation)
        assert (error.code, "batch segment jobs" in error.message) == ("InvalidInputException", True)


class TestPuttingRecords:
    @pytest.fixture
    def group(self, call: Caller, name: str) -> str:
        group = call("CreateDatasetGroup", name=name)["datasetGroupArn"]
        for kind, text in (("Interactions", INTERACTIONS_SCHEMA), ("Items", ITEMS_SCHEMA)):
            schema = call("CreateSchema", name=f"{name}-{kind}", schema=text)
            call("CreateDataset", name=kind, **schema, datasetGroupArn=group, datasetType=kind)
        return group

    def test_an_event_needs_a_tracker_that_there_is(self, call: Caller, group: str, name: str) -> None:
        tracker = call("CreateEventTracker", name=name, datasetGroupArn=group)
        event = {"eventType": "watch", "itemId": "i1", "sentAt": 1_700_000_000, "properties": "{}"}
        request = {"trackingId": tracker["trackingId"], "sessionId": "s", "userId": "u", "eventList": [event]}
        assert call("PutEvents", **request) == {}
        described = call("DescribeEventTracker", eventTrackerArn=tracker["eventTrackerArn"])["eventTracker"]
        assert described["trackingId"] == tracker["trackingId"]
        assert (
            refused(call, "CreateEventTracker", name=name, datasetGroupArn=group).code
            == "ResourceAlreadyExistsException"
        )
        assert refused(call, "DeleteDatasetGroup", datasetGroupArn=group).code == "ResourceInUseException"
        call("DeleteEventTracker", eventTrackerArn=tracker["eventTrackerArn"])
        assert refused(call, "PutEvents", **request).code == "InvalidInputException"

    def test_records_are_checked_against_the_schema(self, call: Caller, group: str) -> None:
        dataset = group.replace(":dataset-group/", ":dataset/") + "/ITEMS"
        good = {"itemId": "i1", "properties": json.dumps({"genres": ["comedy", "drama"]})}
        assert call("PutItems", datasetArn=dataset, items=[good]) == {}
        for properties, said in (
            ({"genres": 5}, "GENRES must be of type string"),
            ({"year": 1}, "no such field"),
            ({}, "missing"),
        ):
            bad = {"itemId": "i2", "properties": json.dumps(properties)}
            error = refused(call, "PutItems", datasetArn=dataset, items=[good, bad])
            assert (error.code, said in error.message) == ("InvalidInputException", True), error.message
            assert "items.2.member" in error.message
        missing = dataset.replace("/ITEMS", "/USERS")
        error = refused(call, "PutUsers", datasetArn=missing, users=[{"userId": "u"}])
        assert error.code == "ResourceNotFoundException"
