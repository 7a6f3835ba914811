"""What may change after it was created, and what must go before what."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_personalize.local.backend import Backend
from airflow_provider_personalize.local.store import ACTIVE
from tests.backends import ITEMS_SCHEMA, ROLE, Refused, batch_request, call, schema

BASE = "arn:aws:personalize:us-east-1:000000000000:"
GENRES = {"type": "string", "categorical": True}
EXPRESSION = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'


def refused(backend: Backend, operation: str, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as raised:
        call(backend, operation, **parameters)
    return raised.value


@pytest.fixture
def items(backend: Backend, group: str) -> str:
    arn = call(backend, "CreateSchema", name="items", schema=ITEMS_SCHEMA)
    return str(
        call(backend, "CreateDataset", name="i", **arn, datasetGroupArn=group, datasetType="Items")["datasetArn"]
    )


@pytest.fixture
def version(backend: Backend, group: str) -> str:
    """A solution version that is said to be trained: nothing here asks its model."""
    recipe = "arn:aws:personalize:::recipe/aws-user-personalization"
    solution = call(backend, "CreateSolution", name="s", datasetGroupArn=group, recipeArn=recipe)
    arn = call(backend, "CreateSolutionVersion", **solution)["solutionVersionArn"]
    lease = backend.store.claim("test", lease_seconds=60)
    assert lease is not None
    assert backend.store.publish(lease, ACTIVE)
    return str(arn)


class TestUpdateDataset:
    def test_a_wider_schema_takes_the_place_of_the_old_one(self, backend: Backend, items: str) -> None:
        wider = schema("Items", ITEM_ID="string", GENRES=GENRES, YEAR={"type": ["null", "int"]})
        new = call(backend, "CreateSchema", name="wider", schema=wider)["schemaArn"]
        assert call(backend, "UpdateDataset", datasetArn=items, schemaArn=new) == {"datasetArn": items}
        dataset = call(backend, "DescribeDataset", datasetArn=items)["dataset"]
        update = dataset["latestDatasetUpdate"]
        assert (dataset["schemaArn"], update["schemaArn"], update["status"]) == (new, new, "ACTIVE")
        assert update["creationDateTime"] == dataset["lastUpdatedDateTime"] >= dataset["creationDateTime"]
        assert call(backend, "DeleteSchema", schemaArn=f"{BASE}schema/items") == {}
        assert refused(backend, "DeleteSchema", schemaArn=new).code == "ResourceInUseException"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (schema("Items", ITEM_ID="string", YEAR={"type": ["null", "int"]}), "lacks field GENRES"),
            (schema("Items", ITEM_ID="string", GENRES="string"), "another type or attribute"),
            (schema("Items", ITEM_ID="string", GENRES=GENRES, YEAR="int"), "YEAR .* must take null"),
            (schema("Users", USER_ID="string", GENRES=GENRES), "describes USERS"),
        ],
    )
    def test_a_schema_that_loses_or_demands_something_is_refused(
        self, backend: Backend, items: str, text: str, said: str
    ) -> None:
        new = call(backend, "CreateSchema", name="new", schema=text)
        with pytest.raises(Refused, match=said):
            call(backend, "UpdateDataset", datasetArn=items, **new)

    def test_the_schema_of_interactions_stays(self, backend: Backend, group: str) -> None:
        dataset, given = f"{BASE}dataset/g/INTERACTIONS", f"{BASE}schema/interactions"
        assert "ITEMS and USERS" in refused(backend, "UpdateDataset", datasetArn=dataset, schemaArn=given).message


class TestUpdateSolution:
    def test_automatic_training_can_be_changed(self, backend: Backend, version: str) -> None:
        solution, config = version.rsplit("/", 1)[0], {"autoTrainingConfig": {"schedulingExpression": "rate(3 days)"}}
        call(backend, "UpdateSolution", solutionArn=solution, performAutoTraining=False, solutionUpdateConfig=config)
        described = call(backend, "DescribeSolution", solutionArn=solution)["solution"]
        assert (described["performAutoTraining"], described["solutionConfig"]) == (False, config)
        update = described["latestSolutionUpdate"]
        assert (update["status"], update["performAutoTraining"], update["solutionUpdateConfig"]) == (
            "ACTIVE",
            False,
            config,
        )

    def test_an_update_of_nothing_is_refused(self, backend: Backend, version: str) -> None:
        error = refused(backend, "UpdateSolution", solutionArn=version.rsplit("/", 1)[0])
        assert (error.code, "Nothing to update" in error.message) == ("InvalidInputException", True)


class TestCampaigns:
    def test_an_update_deploys_another_version(self, backend: Backend, version: str) -> None:
        campaign = call(backend, "CreateCampaign", name="c", solutionVersionArn=version)
        second = call(backend, "CreateSolutionVersion", solutionArn=version.rsplit("/", 1)[0])["solutionVersionArn"]
        assert (
            refused(backend, "UpdateCampaign", **campaign, solutionVersionArn=second).code == "ResourceInUseException"
        )
        lease = backend.store.claim("test", lease_seconds=60)
        assert lease is not None
        backend.store.publish(lease, ACTIVE)
        config = {"itemExplorationConfig": {"explorationWeight": "0"}}
        call(backend, "UpdateCampaign", **campaign, solutionVersionArn=second, campaignConfig=config)
        described = call(backend, "DescribeCampaign", **campaign)["campaign"]
        assert (described["solutionVersionArn"], described["minProvisionedTPS"]) == (second, 1)
        assert described["campaignConfig"]["itemExplorationConfig"]["explorationWeight"] == "0"
        assert described["latestCampaignUpdate"]["solutionVersionArn"] == second

    def test_a_campaign_may_follow_its_solution(self, backend: Backend, version: str) -> None:
        solution = version.rsplit("/", 1)[0]
        config = {"syncWithLatestSolutionVersion": True}
        campaign = call(
            backend, "CreateCampaign", name="c", solutionVersionArn=f"{solution}/$LATEST", campaignConfig=config
        )
        assert call(backend, "DescribeCampaign", **campaign)["campaign"]["solutionVersionArn"] == version
        second = call(backend, "CreateSolutionVersion", solutionArn=solution)["solutionVersionArn"]
        assert call(backend, "DescribeCampaign", **campaign)["campaign"]["solutionVersionArn"] == version
        lease = backend.store.claim("test", lease_seconds=60)
        assert lease is not None
        backend.store.publish(lease, ACTIVE)
        assert call(backend, "DescribeCampaign", **campaign)["campaign"]["solutionVersionArn"] == second
        error = refused(backend, "CreateCampaign", name="d", solutionVersionArn=version, campaignConfig=config)
        assert "$LATEST" in error.message

    def test_a_dataset_group_has_five(self, backend: Backend, version: str) -> None:
        for number in range(5):
            call(backend, "CreateCampaign", name=f"c{number}", solutionVersionArn=version)
        assert (
            refused(backend, "CreateCampaign", name="c5", solutionVersionArn=version).code == "LimitExceededException"
        )


class TestDeleting:
    def test_a_solution_goes_after_its_campaigns(self, backend: Backend, version: str) -> None:
        solution = version.rsplit("/", 1)[0]
        campaign = call(backend, "CreateCampaign", name="c", solutionVersionArn=version)
        error = refused(backend, "DeleteSolution", solutionArn=solution)
        assert (error.code, campaign["campaignArn"] in error.message) == ("ResourceInUseException", True)
        call(backend, "DeleteCampaign", **campaign)
        call(backend, "DeleteSolution", solutionArn=solution)
        error = refused(backend, "DescribeSolutionVersion", solutionVersionArn=version)
        assert error.code == "ResourceNotFoundException"

    def test_a_solution_stays_while_it_trains(self, backend: Backend, version: str) -> None:
        solution = version.rsplit("/", 1)[0]
        second = call(backend, "CreateSolutionVersion", solutionArn=solution)
        assert refused(backend, "DeleteSolution", solutionArn=solution).code == "ResourceInUseException"
        assert (
            refused(backend, "DeleteDataset", datasetArn=f"{BASE}dataset/g/INTERACTIONS").code
            == "ResourceInUseException"
        )
        call(backend, "StopSolutionVersionCreation", **second)
        call(backend, "DeleteSolution", solutionArn=solution)

    def test_a_solution_stays_while_a_batch_job_uses_a_version(self, backend: Backend, version: str) -> None:
        solution = version.rsplit("/", 1)[0]
        request = batch_request(version, "j", "s3://bucket/in/", "s3://bucket/out/")
        job = call(backend, "CreateBatchInferenceJob", **request)["batchInferenceJobArn"]
        lease = None
        for _ in ("waits", "runs"):
            error = refused(backend, "DeleteSolution", solutionArn=solution)
            assert (error.code, job in error.message) == ("ResourceInUseException", True)
            lease = lease or backend.store.claim("test", lease_seconds=60)
        assert lease is not None
        backend.store.publish(lease, ACTIVE)
        assert call(backend, "DeleteSolution", solutionArn=solution) == {}

    def test_a_filter_stays_while_a_job_uses_it(self, backend: Backend, group: str, version: str) -> None:
        filter_ = call(backend, "CreateFilter", name="f", datasetGroupArn=group, filterExpression=EXPRESSION)
        call(
            backend,
            "CreateBatchInferenceJob",
            jobName="j",
            solutionVersionArn=version,
            **filter_,
            jobInput={"s3DataSource": {"path": "s3://bucket/in/"}},
            jobOutput={"s3DataDestination": {"path": "s3://bucket/out/"}},
            roleArn=ROLE,
        )
        assert refused(backend, "DeleteFilter", **filter_).code == "ResourceInUseException"
        lease = backend.store.claim("test", lease_seconds=60)
        assert lease is not None
        backend.store.publish(lease, ACTIVE)
        assert call(backend, "DeleteFilter", **filter_) == {}

    @pytest.mark.parametrize("kind", ["import", "export", "deletion"])
    def test_a_dataset_stays_while_a_job_uses_it(self, backend: Backend, group: str, kind: str) -> None:
        dataset, source = f"{BASE}dataset/g/INTERACTIONS", {"dataLocation": "file:///none.csv"}
        if kind == "import":
            call(backend, "CreateDatasetImportJob", jobName="j", datasetArn=dataset, dataSource=source)
        elif kind == "export":
            output = {"s3DataDestination": {"path": "file:///none/"}}
            call(backend, "CreateDatasetExportJob", jobName="j", datasetArn=dataset, roleArn=ROLE, jobOutput=output)
        else:
            call(backend, "CreateDataDeletionJob", jobName="j", datasetGroupArn=group, roleArn=ROLE, dataSource=source)
        assert refused(backend, "DeleteDataset", datasetArn=dataset).code == "ResourceInUseException"
        lease = backend.store.claim("test", lease_seconds=60)
        assert lease is not None
        backend.store.publish(lease, ACTIVE)
        assert call(backend, "DeleteDataset", datasetArn=dataset) == {}

    def test_what_was_put_into_a_dataset_goes_with_it(self, backend: Backend, items: str) -> None:
        call(backend, "CreateEventTracker", name="t", datasetGroupArn=f"{BASE}dataset-group/g")
        backend.store.put(items, [(None, {"ITEM_ID": "i1"})])
        assert len(backend.store.records_of(items)) == 1
        call(backend, "DeleteDataset", datasetArn=items)
        assert backend.store.records_of(items) == []
        error = refused(backend, "DeleteDatasetGroup", datasetGroupArn=f"{BASE}dataset-group/g")
        assert "event-tracker" in error.message


def test_tags_are_for_what_has_them(backend: Backend, group: str) -> None:
    tags = [{"tagKey": "a", "tagValue": "b"}]
    error = refused(backend, "TagResource", resourceArn=f"{BASE}schema/interactions", tags=tags)
    assert (error.code, "schema" in error.message) == ("InvalidInputException", True)
    assert refused(backend, "TagResource", resourceArn=group, tags=tags * 2).code == "InvalidInputException"
    assert refused(backend, "TagResource", resourceArn=group + "none", tags=tags).code == "ResourceNotFoundException"
