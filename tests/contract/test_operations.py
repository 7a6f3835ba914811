"""Every operation of the service's three models, by every client: done, or refused with a reason.

``docs/operations.md`` is the outcome of this run; ``WRITE_DOCS=1 pytest tests/contract/test_operations.py`` writes it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import pytest
from botocore.model import Shape

from airflow_provider_personalize.local.service import REFUSED
from airflow_provider_personalize.service_model import ENDPOINTS, service_model
from tests.backends import ITEMS_SCHEMA, ROLE, Arns, Refused, batch_request, schema
from tests.contract.clients import TRANSPORTS, Caller, caller, endpoint_of

Outcomes = dict[str, dict[str, str]]  # transport -> operation -> what it came to

CLIENTS = ("boto3", "aiobotocore", "AWS CLI")
PREFIX = "arn:aws:personalize:::"
RECIPE = f"{PREFIX}recipe/aws-user-personalization"
HEAD = """# Operations

What the local backend does with each operation of Amazon Personalize, by client. A test run writes this page
(`tests/contract/test_operations.py`), and the same test fails when the page says something else than it saw. "works":
the client called the operation and got its answer, in-process (`local:///directory`; not the AWS CLI) and over HTTP
(`personalize-local serve`). What works otherwise than on AWS is in [differences from AWS](differences-from-aws.md).

One server answers all three endpoints at one address, which `AWS_ENDPOINT_URL_PERSONALIZE`,
`AWS_ENDPOINT_URL_PERSONALIZE_EVENTS` and `AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME` (or `--endpoint-url`) name.
"""
TITLES = {
    "personalize": "Control plane (`personalize`)",
    "personalize-events": "Events (`personalize-events`)",
    "personalize-runtime": "Runtime (`personalize-runtime`)",
}


def live_through(call: Caller, arns: Arns, ranking: str, next_action: str, place: Path) -> None:
    """The life of a dataset group, with all there is in it; its jobs are begun and not waited for."""
    name = f"o-{secrets.token_hex(4)}"
    base = arns.group.rsplit(":", 1)[0]
    source = {"dataLocation": f"file://{place}/users.csv"}
    (place / "users.csv").write_text("USER_ID\nnobody\n")
    (place / "rows.json").write_text('{"userId": "u1"}\n')

    group = call("CreateDatasetGroup", name=name)["datasetGroupArn"]
    call("TagResource", resourceArn=group, tags=[{"tagKey": "a", "tagValue": "b"}])
    call("ListTagsForResource", resourceArn=group)
    call("UntagResource", resourceArn=group, tagKeys=["a"])
    call("DescribeDatasetGroup", datasetGroupArn=group)
    call("ListDatasetGroups", maxResults=1)

    schemas = {}
    wider = schema("Items", ITEM_ID="string", GENRES={"type": "string", "categorical": True}, YEAR=["null", "int"])
    for suffix, text in (
        ("items", ITEMS_SCHEMA),
        ("wider", wider),
        ("users", schema("Users", USER_ID="string", A="int")),
    ):
        schemas[suffix] = call("CreateSchema", name=f"{name}-{suffix}", schema=text)["schemaArn"]
    schemas["interactions"] = f"{base}:schema/small-INTERACTIONS"
    call("DescribeSchema", schemaArn=schemas["items"])
    call("ListSchemas", maxResults=1)

    datasets = {}
    for kind in ("interactions", "items", "users"):
        datasets[kind] = call(
            "CreateDataset", name=kind, schemaArn=schemas[kind], datasetGroupArn=group, datasetType=kind
        )["datasetArn"]
    call("UpdateDataset", datasetArn=datasets["items"], schemaArn=schemas["wider"])
    call("DescribeDataset", datasetArn=datasets["items"])
    call("ListDatasets", datasetGroupArn=group)

    tracker = call("CreateEventTracker", name=name, datasetGroupArn=group)
    event = {"eventType": "watch", "itemId": "i1", "sentAt": 1_700_000_000}
    call("PutEvents", trackingId=tracker["trackingId"], sessionId="s", userId="u", eventList=[event])
    call("PutItems", datasetArn=datasets["items"], items=[{"itemId": "i1", "properties": '{"genres": "a"}'}])
    call("PutUsers", datasetArn=datasets["users"], users=[{"userId": "u", "properties": '{"a": 1}'}])
    dataset = {"datasetArn": f"{base}:dataset/small/ACTION_INTERACTIONS"}
    tracking_id = call("DescribeDataset", **dataset)["dataset"]["trackingId"]
    call(
        "PutActions",
        datasetArn=f"{base}:dataset/small/ACTIONS",
        actions=[{"actionId": "call", "properties": '{"value": 2}'}],
    )
    event = {"actionId": "call", "userId": "u", "sessionId": "s", "timestamp": 1_700_000_000, "eventType": "taken"}
    call("PutActionInteractions", trackingId=tracking_id, actionInteractions=[event])
    call("DescribeEventTracker", eventTrackerArn=tracker["eventTrackerArn"])
    call("ListEventTrackers", datasetGroupArn=group)

    jobs = {
        "DatasetImportJob": {"datasetArn": datasets["users"], "dataSource": source},
        "DatasetExportJob": {
            "datasetArn": datasets["items"],
            "roleArn": ROLE,
            "jobOutput": {"s3DataDestination": {"path": f"file://{place}/export/"}},
        },
        "DataDeletionJob": {"datasetGroupArn": group, "dataSource": source, "roleArn": ROLE},
    }
    for kind, request in jobs.items():
        arn = call(f"Create{kind}", jobName=name, **request)
        call(f"Describe{kind}", **arn)
        call(f"List{kind}s", maxResults=1)

    expression = 'INCLUDE ItemID WHERE Items.GENRES IN ("a")'
    filter_ = call("CreateFilter", name=name, datasetGroupArn=group, filterExpression=expression)
    call("DescribeFilter", **filter_)
    call("ListFilters", datasetGroupArn=group)

    recipe = call("DescribeRecipe", recipeArn=RECIPE)["recipe"]
    call("DescribeAlgorithm", algorithmArn=recipe["algorithmArn"])
    call("DescribeFeatureTransformation", featureTransformationArn=recipe["featureTransformationArn"])
    call("ListRecipes")
    solution = call("CreateSolution", name=name, datasetGroupArn=group, recipeArn=RECIPE)
    call("UpdateSolution", **solution, performAutoTraining=False)
    call("DescribeSolution", **solution)
    call("ListSolutions", datasetGroupArn=group)
    version = call("CreateSolutionVersion", **solution)
    call("DescribeSolutionVersion", **version)
    call("ListSolutionVersions", **solution)
    call("StopSolutionVersionCreation", **version)
    call("GetSolutionMetrics", solutionVersionArn=arns.personalization)

    campaign = call("CreateCampaign", name=name, solutionVersionArn=arns.personalization)
    call("UpdateCampaign", **campaign, minProvisionedTPS=2)
    call("DescribeCampaign", **campaign)
    call("ListCampaigns", maxResults=1)
    call("GetRecommendations", **campaign, userId="u1")
    ranker = call("CreateCampaign", name=f"{name}-ranker", solutionVersionArn=ranking)
    call("GetPersonalizedRanking", **ranker, userId="u1", inputList=["i1", "i2"])
    adviser = call("CreateCampaign", name=f"{name}-adviser", solutionVersionArn=next_action)
    call("GetActionRecommendations", **adviser, userId="u1")

    for kind, trained in (("Inference", arns.personalization), ("Segment", arns.segmentation)):
        request = batch_request(trained, name, f"file://{place}/rows.json", f"file://{place}/out-{kind}/")
        job = call(f"CreateBatch{kind}Job", **request)
        call(f"DescribeBatch{kind}Job", **job)
        call(f"ListBatch{kind}Jobs", maxResults=1)

    # What has no job waiting for it can go at once.
    call("DeleteCampaign", **campaign)
    call("DeleteFilter", **filter_)
    call("DeleteEventTracker", eventTrackerArn=tracker["eventTrackerArn"])
    empty = call("CreateDatasetGroup", name=f"{name}-empty")["datasetGroupArn"]
    users = call("CreateSchema", name=f"{name}-empty", schema=schema("Users", USER_ID="string", A="int"))
    dataset = call("CreateDataset", name="users", **users, datasetGroupArn=empty, datasetType="users")
    solution = call("CreateSolution", name=f"{name}-empty", datasetGroupArn=empty, recipeArn=RECIPE)
    call("DeleteSolution", **solution)
    call("DeleteDataset", **dataset)
    call("DeleteSchema", **users)
    call("DeleteDatasetGroup", datasetGroupArn=empty)


def needed(shape: Shape) -> Any:
    """The least request that a model takes."""
    if shape.type_name == "structure":
        return {name: needed(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [needed(shape.member)]
    if shape.name == "Date":
        return 1_700_000_000
    if shape.name == "RoleArn":
        return ROLE
    arn = "arn:aws:personalize:us-east-1:000000000000:any/thing"
    return {"Arn": arn, "MetricExpression": "SUM(a)"}.get(shape.name, "a")


@pytest.fixture(scope="session", params=TRANSPORTS)
def outcome(request: pytest.FixtureRequest, arns: Arns, root: Path, server: str, outcomes: Outcomes) -> dict[str, str]:
    """Operation -> ``works``, or why it is refused, over one transport."""
    seen = outcomes.setdefault(request.param, {})
    place = request.getfixturevalue("tmp_path_factory").mktemp("operations")
    ranking, next_action = request.getfixturevalue("ranking"), request.getfixturevalue("next_action")
    with caller(request.param, root, server) as ask:

        def call(operation: str, **parameters: Any) -> dict[str, Any]:
            response = ask(operation, **parameters)
            seen[operation] = "works"
            return response

        live_through(call, arns, ranking, next_action, place)
        for operation in REFUSED:
            parameters = needed(service_model(endpoint_of(operation)).operation_model(operation).input_shape)
            with pytest.raises(Refused) as refused:
                ask(operation, **parameters)
            assert refused.value.code == "OperationNotSupportedException"
            seen[operation] = refused.value.message
    return seen


@pytest.fixture(scope="session")
def outcomes() -> Outcomes:
    return {}


def test_no_operation_of_the_models_is_left_out(outcome: dict[str, str]) -> None:
    everything = {name for endpoint in ENDPOINTS for name in service_model(endpoint).operation_names}
    assert outcome.keys() == everything


def test_a_refusal_has_its_reason(outcome: dict[str, str]) -> None:
    for operation, reason in REFUSED.items():
        assert outcome[operation].endswith(f"does not answer {operation}: {reason}.")


def page(outcomes: Outcomes) -> str:
    lines = [HEAD]
    for endpoint in ENDPOINTS:
        lines += [f"## {TITLES[endpoint]}", "", f"| operation | {' | '.join(CLIENTS)} |", "|---|---|---|---|"]
        for operation in service_model(endpoint).operation_names:
            cells = [cell(operation, [seen for name, seen in outcomes.items() if name.startswith(c)]) for c in CLIENTS]
            if len(set(cells)) == 1 and cells[0] != "works":
                cells[1:] = ["refused"] * 2
            lines.append(f"| `{operation}` | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def cell(operation: str, transports: list[dict[str, str]]) -> str:
    if all(seen[operation] == "works" for seen in transports):
        return "works"
    return f"refused: {REFUSED[operation]}"


def test_the_page_of_operations_tells_what_this_run_saw(outcomes: Outcomes, repository: Path) -> None:
    if set(outcomes) != set(TRANSPORTS):
        pytest.skip("the page needs what every client saw; this run had a part of them")
    path = repository / "docs" / "operations.md"
    if os.environ.get("WRITE_DOCS"):
        path.write_text(page(outcomes))
    assert path.read_text() == page(outcomes), (
        "write the page again: WRITE_DOCS=1 pytest tests/contract/test_operations.py"
    )
