"""Whatever bytes arrive, the wire answers as AWS JSON 1.1 does."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
import regex
from botocore.model import Shape
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.local import constraints, wire
from airflow_provider_personalize.local.backend import Backend, open_backend
from airflow_provider_personalize.local.service import OPERATIONS, REFUSED
from airflow_provider_personalize.local.service.call import Call
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
    models = [constraints.service_model(endpoint).operation_names for endpoint in constraints.ENDPOINTS]
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


def test_every_pattern_of_the_model_compiles() -> None:
    model = constraints.service_model()
    patterns = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names} - {None}
    assert len(patterns) >= 10
    for pattern in patterns:
        regex.compile(pattern)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of the JSON types that the model asks for, within its bounds or not."""
    kind = shape.type_name
    if kind == "structure":
        required = {name: values(shape.members[name]) for name in shape.required_members}
        optional = {name: values(member) for name, member in shape.members.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "list":
        return st.lists(values(shape.member), max_size=2)
    if kind == "map":
        return st.dictionaries(values(shape.key), values(shape.value), max_size=2)
    if kind == "string":
        choices = [st.text(max_size=20), st.sampled_from(["arn:aws:personalize:us-east-1:000000000000:schema/a", "a"])]
        if "enum" in shape.metadata:
            choices.append(st.sampled_from(shape.metadata["enum"]))
        return st.one_of(choices)
    return {
        "integer": st.integers(-5, 2**40),
        "double": st.floats(allow_nan=False, allow_infinity=False),
        "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "boolean": st.booleans(),
        "timestamp": st.integers(0, 2**31),
    }[kind]


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_request_shaped_by_the_model_gets_a_modelled_answer(
    backend: Backend, operation: str, data: st.DataObject
) -> None:
    endpoint = endpoint_of(operation)
    model = constraints.service_model(endpoint).operation_model(operation)
    body = orjson.dumps(data.draw(values(model.input_shape)))
    target, path = (
        (f"AmazonPersonalize.{operation}", "/") if endpoint == "personalize" else ("", model.http["requestUri"])
    )
    answer = wire.handle(backend, target, body, region="us-east-1", path=path)
    status, payload = answer.status, orjson.loads(answer.body)
    errors = {shape.name: shape.metadata.get("error", {}).get("httpStatusCode", 400) for shape in model.error_shapes}
    if status == 200:
        assert not payload or payload.keys() <= model.output_shape.members.keys()
    else:
        assert status == ({"InvalidInputException": 400} | errors)[payload["__type"]], payload


def test_no_answer_has_a_member_that_the_model_lacks(backend: Backend, tmp_path: Path) -> None:
    """Describe and List of every family, checked member by member against the model."""
    from tests.backends import batch_request, call, fill

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
        response = call(own, operation, **request_)
        (content,) = response.values()
        assert content, operation
        assert_modelled(constraints.service_model().operation_model(operation).output_shape, response, operation)


def assert_modelled(shape: Shape, value: Any, path: str) -> None:
    assert isinstance(value, constraints.JSON_TYPES[shape.type_name]), path
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
