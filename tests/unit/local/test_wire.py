"""Whatever bytes arrive, the wire answers as AWS JSON 1.1 does."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from botocore.model import Shape
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize import service_model
from airflow_provider_personalize.local import wire
from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.service import OPERATIONS, REFUSED
from airflow_provider_personalize.local.service.call import Call
from airflow_provider_personalize.local.service.recipes import BUILT
from tests.backends import ITEMS_SCHEMA, Refused, batch_request, call, fill, train
from tests.contract.clients import endpoint_of

ROLE = "arn:aws:iam::123456789012:role/PersonalizeRole"


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    return open_backend(tmp_path_factory.mktemp("wire"))


def ask(backend: Backend, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    answer = wire.handle(backend, target, body, region="us-east-1")
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert uuid.UUID(answer.headers["x-amzn-requestid"])
    return answer.status, orjson.loads(answer.body)


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        ("", b"{}", 400, "UnknownOperationException"),
        ("AmazonPersonalize.CreateEverything", b"{}", 400, "UnknownOperationException"),
        ("AmazonPersonalizeRuntime.ListSchemas", b"{}", 400, "UnknownOperationException"),
        ("AmazonPersonalize.ListSchemas", b"{", 400, "SerializationException"),
        ("AmazonPersonalize.ListSchemas", b"[]", 400, "SerializationException"),
        ("AmazonPersonalize.ListSchemas", b'{"maxResults": "5"}', 400, "SerializationException"),
        ("AmazonPersonalize.ListSchemas", b'{"maxResults": true}', 400, "SerializationException"),
        ("AmazonPersonalize.ListSchemas", b'{"maxResults": 101}', 400, "InvalidInputException"),
        ("AmazonPersonalize.DescribeSchema", b"{}", 400, "InvalidInputException"),
        ("AmazonPersonalize.DescribeSchema", b'{"schemaArn": null}', 400, "InvalidInputException"),
        ("AmazonPersonalize.ListRecommenders", b"{}", 501, None),
    ],
)
def test_a_wrong_request_has_a_typed_error(backend: Backend, target: str, body: bytes, status: int, code: str) -> None:
    answered, payload = ask(backend, target, body)
    assert (answered, payload["__type"]) == (status, code or "OperationNotSupportedException")
    assert payload["message"]


def ask_at(backend: Backend, path: str, request: dict[str, Any]) -> tuple[int, str | None, dict[str, Any]]:
    answer = wire.handle(backend, "", orjson.dumps(request), region="us-east-1", path=path)
    assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.headers.get("x-amzn-errortype"), orjson.loads(answer.body)


ITEMS_ARN = "arn:aws:personalize:us-east-1:000000000000:dataset/none/ITEMS"
CAMPAIGN_ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/none"


@pytest.mark.parametrize(
    ("path", "request_", "status", "code"),
    [
        ("/items", {"datasetArn": ITEMS_ARN, "items": [{"itemId": "i"}]}, 404, "ResourceNotFoundException"),
        ("/recommendations", {"campaignArn": CAMPAIGN_ARN, "userId": "u"}, 404, "ResourceNotFoundException"),
        ("/recommendations", {"campaignArn": CAMPAIGN_ARN, "numResults": -1}, 400, "InvalidInputException"),
        ("/items", {"datasetArn": ITEMS_ARN, "items": []}, 400, "InvalidInputException"),
        (
            "/action-interactions",
            {
                "trackingId": "none",
                "actionInteractions": [{"actionId": "a", "sessionId": "s", "timestamp": 1, "eventType": "taken"}],
            },
            404,
            "ResourceNotFoundException",
        ),
    ],
)
def test_events_and_runtime_answer_with_the_statuses_of_their_models(
    backend: Backend, path: str, request_: dict[str, Any], status: int, code: str
) -> None:
    answered, errortype, payload = ask_at(backend, path, request_)
    assert (answered, errortype, payload["__type"]) == (status, code, code)


def test_a_path_of_no_operation_is_unknown(backend: Backend) -> None:
    answer = wire.handle(backend, "", b"{}", region="us-east-1", path="/everything")
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "UnknownOperationException")


def test_every_operation_of_the_models_is_answered_or_refused_with_a_reason() -> None:
    models = [service_model.service_model(endpoint).operation_names for endpoint in service_model.ENDPOINTS]
    assert sorted([*OPERATIONS, *REFUSED]) == sorted(name for names in models for name in names)


def test_success_is_compact_json(backend: Backend) -> None:
    answer = wire.handle(backend, "AmazonPersonalize.ListSchemas", b"", region="us-east-1")
    assert answer.body == b'{"schemas":[]}'


def test_null_members_count_as_absent_and_unknown_ones_are_ignored(backend: Backend) -> None:
    body = b'{"maxResults": null, "nextToken": null, "tomorrow": 1}'
    assert ask(backend, "AmazonPersonalize.ListSchemas", body) == (200, {"schemas": []})


def test_all_violations_of_a_request_are_told_at_once(backend: Backend) -> None:
    _, payload = ask(backend, "AmazonPersonalize.CreateDatasetGroup", b'{"name": "a b", "domain": "BOOKS"}')
    assert payload["message"].startswith("2 validation errors detected: ")
    assert "'name'" in payload["message"]
    assert "[ECOMMERCE, VIDEO_ON_DEMAND]" in payload["message"]


def test_a_sensitive_value_is_not_repeated_in_the_error(backend: Backend) -> None:
    tag = {"tagKey": "no\u0000way", "tagValue": "secret"}
    _, payload = ask(backend, "AmazonPersonalize.CreateDatasetGroup", orjson.dumps({"name": "a", "tags": [tag]}))
    assert "tags.1.member.tagKey" in payload["message"]
    assert "way" not in payload["message"]


def test_a_fault_of_ours_is_an_answer_too(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(call: Call, request: Any) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(OPERATIONS, "ListSchemas", broken)
    status, payload = ask(backend, "AmazonPersonalize.ListSchemas", b"{}")
    assert (status, payload["__type"]) == (500, "InternalFailure")
    assert "ZeroDivisionError: oops" in payload["message"]


def test_file_locations_are_let_through_where_a_location_belongs_and_nowhere_else(backend: Backend) -> None:
    request = {
        "jobName": "a",
        "solutionVersionArn": "arn:aws:personalize:us-east-1:0:solution/a/b",
        "jobInput": {"s3DataSource": {"path": "file:///data/in.json", "kmsKeyArn": "file:///key"}},
        "jobOutput": {"s3DataDestination": {"path": "file://relative"}},
        "roleArn": ROLE,
    }
    _, payload = ask(backend, "AmazonPersonalize.CreateBatchInferenceJob", orjson.dumps(request))
    assert "s3DataSource.path" not in payload["message"]
    assert "s3DataSource.kmsKeyArn" in payload["message"]
    assert "s3DataDestination.path" in payload["message"]


@dataclass(frozen=True)
class Lived:
    """A backend that holds something of everything, and for each member of a request what would fit it there."""

    backend: Backend
    fitting: Mapping[str, Sequence[Any]]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    root = tmp_path_factory.mktemp("lived")
    backend = open_backend(root)
    arns = fill(backend, root / "data")
    versions = [arns.personalization, arns.segmentation]
    versions += [train(backend, arns.group, f"aws-{name}") for name in ("personalized-ranking", "popularity-count")]
    campaigns = [
        call(backend, "CreateCampaign", name=f"c{number}", solutionVersionArn=version)["campaignArn"]
        for number, version in enumerate(versions)
        if version != arns.segmentation
    ]
    expression = "INCLUDE ItemID WHERE Items.GENRES IN ($GENRE)"
    filter_ = call(backend, "CreateFilter", name="genre", datasetGroupArn=arns.group, filterExpression=expression)
    tracker = call(backend, "CreateEventTracker", name="t", datasetGroupArn=arns.group)
    base = "arn:aws:personalize:us-east-1:000000000000:"
    recipes = [f"arn:aws:personalize:::recipe/{name}" for name in sorted(BUILT)]
    return Lived(
        backend,
        {
            "datasetGroupArn": [arns.group],
            "datasetArn": [base + f"dataset/small/{kind}" for kind in ("INTERACTIONS", "ITEMS")],
            "schemaArn": [base + f"schema/small-{kind}" for kind in ("INTERACTIONS", "ITEMS")],
            "solutionVersionArn": versions,
            "solutionArn": [version.rsplit("/", 1)[0] for version in versions],
            "campaignArn": campaigns,
            "nextToken": TOKENS,
            "filterArn": [arns.seen_filter, filter_["filterArn"]],
            "recipeArn": recipes,
            "resourceArn": [arns.group, versions[0], base + "schema/small-ITEMS"],
            "trackingId": [tracker["trackingId"]],
            "eventTrackerArn": [tracker["eventTrackerArn"]],
            "roleArn": [ROLE],
            "path": [f"file://{root}/data/", "s3://bucket/key"],
            "dataLocation": [f"file://{root}/data/items.csv"],
            "userId": ["u1", "nobody"],
            "itemId": ["i1", "nothing"],
            "inputList": [["i1", "i2"], ["i1", "i1", ""]],
            "filterValues": [{"GENRE": '"comedy"'}, {"GENRE": "1"}, {"OTHER": ""}],
            "filterExpression": [expression, 'EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("*")', "INCLUDE"],
            "properties": ['{"genres": "a"}', '{"genres": ["a", null]}', '{"itemId": 1e999}', "[[", "null", "1"],
            "datasetType": ["Items", "users"],
            "schema": [ITEMS_SCHEMA, "{}", "[]", '{"fields": [1]}'],
            "eventType": ["watch", ""],
            "itemAttribute": ["GENRES"],
            "eventValueThreshold": ["0.5", "nan", "x"],
            "maxNumberOfTrainingJobs": ["3", "0", "x", "\u0663"],
            "maxParallelTrainingJobs": ["3", "1e3"],
            "algorithmHyperParameters": [{"hidden_dimension": "40"}, {"bptt": "\u0663"}, {"recency_mask": ""}],
            "itemExplorationConfig": [{"explorationWeight": "1"}, {"explorationItemAgeCutOff": "inf"}],
            "excludedDatasetColumns": [{"ITEMS": ["GENRES"]}, {"x": []}],
        },
    )


# Members of a model that is newer than ours; the service passes over them.
UNKNOWN = st.dictionaries(st.sampled_from(["tomorrow", "Name", ""]), st.integers(0, 9) | st.just([{}]))
TOKENS = [
    base64.urlsafe_b64encode(orjson.dumps([kind, None])[:-1] + b"," + place + b"]").decode()
    for kind in ("schema", "dataset-group")
    for place in (b"1", b"true", b"9223372036854775808", b"-1", b"{}")
] + ["1", "99999", "\u0663", "W10="]


def doomed(backend: Backend) -> dict[str, list[str]]:
    """One of each resource that nothing depends on, made again where an earlier request deleted it."""
    base = "arn:aws:personalize:us-east-1:000000000000:"
    group, recipe = f"{base}dataset-group/doomed", "arn:aws:personalize:::recipe/aws-item-affinity"

    def made(operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            return call(backend, operation, **parameters)
        except Refused as refused:
            if refused.code != "ResourceAlreadyExistsException":
                raise
            return {}

    made("CreateDatasetGroup", name="alone")
    made("CreateDatasetGroup", name="doomed")
    made("CreateSchema", name="alone", schema=ITEMS_SCHEMA)
    made("CreateSchema", name="doomed", schema=ITEMS_SCHEMA)
    made("CreateDataset", name="d", schemaArn=f"{base}schema/doomed", datasetGroupArn=group, datasetType="Items")
    made("CreateSolution", name="doomed", datasetGroupArn=group, recipeArn=recipe)
    expression = 'INCLUDE ItemID WHERE Items.GENRES IN ("a")'
    made("CreateFilter", name="doomed", datasetGroupArn=group, filterExpression=expression)
    made("CreateEventTracker", name="doomed", datasetGroupArn=group)
    trackers = call(backend, "ListEventTrackers", datasetGroupArn=group)["eventTrackers"]
    return {
        "datasetGroupArn": [f"{base}dataset-group/alone", group],
        "schemaArn": [f"{base}schema/alone", f"{base}schema/doomed"],
        "datasetArn": [f"{base}dataset/doomed/ITEMS"],
        "solutionArn": [f"{base}solution/doomed"],
        "filterArn": [f"{base}filter/doomed"],
        "eventTrackerArn": [tracker["eventTrackerArn"] for tracker in trackers],
    }


def values(shape: Shape, fitting: Mapping[str, Sequence[Any]], name: str = "") -> st.SearchStrategy[Any]:
    """Values of the JSON types that the model asks for, within its bounds or not; often ``fitting`` ones."""
    kind = shape.type_name
    if there := [value for value in fitting.get(name, ()) if isinstance(value, service_model.JSON_TYPES[kind])]:
        return st.sampled_from(there) | values(shape, fitting)
    if kind == "structure":
        members = {name: values(member, fitting, name) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        known = st.fixed_dictionaries(required, optional=members)
        return known | st.builds(lambda unknown, request: unknown | request, UNKNOWN, known)
    if kind == "list":
        return st.lists(values(shape.member, fitting), max_size=2)
    if kind == "map":
        return st.dictionaries(values(shape.key, fitting), values(shape.value, fitting), max_size=2)
    if kind == "string":
        choices = [st.text(max_size=20), st.sampled_from(["arn:aws:personalize:us-east-1:000000000000:schema/a", "a"])]
        if "enum" in shape.metadata:
            choices.append(st.sampled_from(shape.metadata["enum"]))
        return st.one_of(choices)
    return {
        "integer": st.integers(-5, 2**40) | st.integers(1, 50),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "boolean": st.booleans(),
        "timestamp": st.integers(0, 2**31) | st.floats(-1e300, 1e300),
    }[kind]


@pytest.mark.parametrize("operation", sorted([*OPERATIONS, *REFUSED]))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_request_shaped_by_the_model_gets_a_modelled_answer(
    lived: Lived, operation: str, data: st.DataObject
) -> None:
    endpoint = endpoint_of(operation)
    model = service_model.service_model(endpoint).operation_model(operation)
    # What stands there is not deleted, so that requests that come later find it; what is may be made again.
    fitting = doomed(lived.backend) if operation.startswith("Delete") else lived.fitting
    body = orjson.dumps(data.draw(values(model.input_shape, fitting)))
    target, path = (
        (f"AmazonPersonalize.{operation}", "/") if endpoint == "personalize" else ("", model.http["requestUri"])
    )
    answer = wire.handle(lived.backend, target, body, region="us-east-1", path=path)
    status, payload = answer.status, orjson.loads(answer.body)
    errors = {shape.name: shape.metadata.get("error", {}).get("httpStatusCode", 400) for shape in model.error_shapes}
    if status == 200:
        assert not payload or payload.keys() <= model.output_shape.members.keys()
    else:
        refusal = {"OperationNotSupportedException": 501} if operation in REFUSED else {}
        assert status == ({"InvalidInputException": 400} | errors | refusal)[payload["__type"]], payload


def test_json_inside_a_member_that_is_nested_too_deep_is_refused(lived: Lived) -> None:
    endless = "[" * 100_000
    with pytest.raises(Refused, match="is not JSON"):
        call(lived.backend, "CreateSchema", name="deep", schema='{"fields":' + endless[:19_000])
    items = [{"itemId": "i", "properties": endless[:20_000]}]
    with pytest.raises(Refused, match="is not JSON"):
        call(lived.backend, "PutItems", datasetArn=lived.fitting["datasetArn"][1], items=items)


def test_no_answer_has_a_member_that_the_model_lacks(backend: Backend, tmp_path: Path) -> None:
    """Describe and List of every family, checked member by member against the model."""
    own = open_backend(tmp_path)
    arns = fill(own, tmp_path / "data")
    (tmp_path / "u.json").write_text('{"userId":"u1"}\n')
    for operation, version in (("Inference", arns.personalization), ("Segment", arns.segmentation)):
        request = batch_request(version, "j", f"file://{tmp_path}/u.json", f"file://{tmp_path}/out/")
        call(own, f"CreateBatch{operation}Job", **request)
    base = "arn:aws:personalize:us-east-1:000000000000:"
    items, solution = base + "dataset/small/ITEMS", arns.personalization.rsplit("/", 1)[0]
    call(own, "UpdateDataset", datasetArn=items, schemaArn=base + "schema/small-ITEMS")
    call(own, "UpdateSolution", solutionArn=solution, performAutoTraining=False)
    tracker = call(own, "CreateEventTracker", name="t", datasetGroupArn=arns.group)
    campaign = call(own, "CreateCampaign", name="c", solutionVersionArn=arns.personalization)
    call(own, "UpdateCampaign", **campaign, minProvisionedTPS=2)
    output = {"s3DataDestination": {"path": f"file://{tmp_path}/export/"}}
    call(own, "CreateDatasetExportJob", jobName="e", datasetArn=items, roleArn=ROLE, jobOutput=output)
    source = {"dataLocation": f"file://{tmp_path}/users.csv"}
    call(own, "CreateDataDeletionJob", jobName="d", datasetGroupArn=arns.group, roleArn=ROLE, dataSource=source)
    prefix = "arn:aws:personalize:::"
    requests: dict[str, dict[str, str]] = {
        "DescribeSchema": {"schemaArn": base + "schema/small-ITEMS"},
        "DescribeDatasetGroup": {"datasetGroupArn": arns.group},
        "DescribeDataset": {"datasetArn": items},
        "DescribeDatasetExportJob": {"datasetExportJobArn": base + "dataset-export-job/e"},
        "DescribeDataDeletionJob": {"dataDeletionJobArn": base + "data-deletion-job/d"},
        "DescribeEventTracker": {"eventTrackerArn": tracker["eventTrackerArn"]},
        "DescribeCampaign": campaign,
        "DescribeAlgorithm": {"algorithmArn": prefix + "algorithm/aws-sims"},
        "DescribeFeatureTransformation": {"featureTransformationArn": prefix + "feature-transformation/sims"},
        "DescribeDatasetImportJob": {"datasetImportJobArn": base + "dataset-import-job/small-ITEMS"},
        "DescribeSolution": {"solutionArn": solution},
        "DescribeSolutionVersion": {"solutionVersionArn": arns.personalization},
        "DescribeFilter": {"filterArn": arns.seen_filter},
        "DescribeBatchInferenceJob": {"batchInferenceJobArn": base + "batch-inference-job/j"},
        "DescribeBatchSegmentJob": {"batchSegmentJobArn": base + "batch-segment-job/j"},
        "DescribeRecipe": {"recipeArn": prefix + "recipe/aws-item-affinity"},
        "ListTagsForResource": {"resourceArn": arns.group},
    }
    requests |= {operation: {} for operation in OPERATIONS if operation.startswith("List") and "Tags" not in operation}
    assert requests.keys() == {name for name in OPERATIONS if name.startswith(("Describe", "List"))}
    for operation, request_ in requests.items():
        response = call(own, operation, **request_, tomorrow=1)  # a member that the model lacks is passed over
        (content,) = response.values()
        assert content, operation
        assert_modelled(service_model.service_model().operation_model(operation).output_shape, response, operation)


def assert_modelled(shape: Shape, value: Any, path: str) -> None:
    assert isinstance(value, service_model.JSON_TYPES[shape.type_name]), path
    if shape.type_name == "structure":
        assert value.keys() <= shape.members.keys(), path
        for name, member in value.items():
            assert_modelled(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for member in value:
            assert_modelled(shape.member, member, f"{path}[]")
    elif shape.type_name == "map":
        for member in value.values():
            assert_modelled(shape.value, member, f"{path}[]")
