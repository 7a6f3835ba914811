"""What reaches AWS: the documented operations with the documented members, as botocore's model and Stubber check them.

The client is a real one for AWS, and Stubber stands where the network begins.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.model import OperationModel, Shape, StructureShape
from botocore.stub import ANY, Stubber
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import RESOURCES
from tests.faults.clock import Clock
from tests.unit.provider.service import ACCOUNT, ROLE, VERSION
from tests.unit.provider.test_adoption import inference, load, segment, train

KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
BATCH = {
    "filter_arn": f"{ACCOUNT}:filter/unseen",
    "num_results": "50",
    "input_kms_key_arn": KEY,
    "output_kms_key_arn": KEY,
    "tags": {"team": "search"},
}
# By kind: the operator, and every argument that ends in the request and need not be given.
KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "batch-inference-job": (
        inference,
        {
            **BATCH,
            "exploration_weight": "0.30",
            "exploration_item_age_cut_off": 30,
            "ranking_influence": {"POPULARITY": "0.5", "FRESHNESS": 1},
            "batch_inference_job_mode": "THEME_GENERATION",
            "theme_item_name": "TITLE",
        },
    ),
    "batch-segment-job": (segment, BATCH),
    "dataset-import-job": (
        load,
        {"import_mode": "INCREMENTAL", "publish_attribution_metrics_to_s3": "True", "tags": {"team": "search"}},
    ),
    "solution-version": (train, {"training_mode": "UPDATE", "tags": {"team": "search"}}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
# Structures to the eye, but in the model maps, whose keys are content.
MAPS = {"itemExplorationConfig", "rankingInfluence"}
WHEN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def client() -> Any:
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    return boto3.client("personalize", region_name="us-east-1", **keys)


@pytest.fixture
def stubber(client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Answers the client of every hook, call by call; each has to come, and none else."""
    monkeypatch.setattr(PersonalizeHook, "get_client_type", lambda self, *_, **__: client)
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def model(client: Any, kind: str) -> OperationModel:
    operation = client.meta.method_to_api_mapping[RESOURCES[kind].create_operation]
    return client.meta.service_model.operation_model(operation)


def members(shape: Shape, path: str = "") -> Iterator[str]:
    """The paths of all members below a structure, down to what is no structure."""
    for name, member in shape.members.items() if isinstance(shape, StructureShape) else ():
        below = list(members(member, f"{path}{name}."))
        yield from below or [f"{path}{name}"]


def sent(request: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, content in request.items():
        if isinstance(content, Mapping) and name not in MAPS:
            yield from sent(content, f"{path}{name}.")
        else:
            yield f"{path}{name}"


@every_kind
def test_every_member_of_the_request_has_an_argument(kind: str, client: Any) -> None:
    build, everything = KINDS[kind]
    named = {RESOURCES[kind].name_member: "job", **build(**everything).request()}
    assert set(sent(named)) == set(members(model(client, kind).input_shape))


@every_kind
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_is_left_out_the_request_is_valid_and_each_argument_is_its_own_members(
    data: st.DataObject, kind: str, client: Any
) -> None:
    build, everything = KINDS[kind]
    chosen = data.draw(st.sets(st.sampled_from(list(everything))))
    request = build(**{name: everything[name] for name in chosen}).request()
    named = {RESOURCES[kind].name_member: "job", **request}
    shape = model(client, kind).input_shape
    assert not ParamValidator().validate(named, shape).has_errors()
    alone = [build(**{name: everything[name]}).request() for name in chosen]
    assert set(sent(request)) == {member for part in (build().request(), *alone) for member in sent(part)}


def answered(kind: str, request: Mapping[str, Any], status: str) -> dict[str, Any]:
    """What Describe answers about a job of this request."""
    resource = RESOURCES[kind]
    kept = {member: content for member, content in request.items() if member != "tags"}
    job = {**kept, resource.arn_member: f"{ACCOUNT}:{kind}/job", "status": status, "creationDateTime": WHEN}
    return {resource.member: job}


@every_kind
@pytest.mark.parametrize("full", [False, True], ids=["only what must be", "everything"])
def test_a_whole_run_sends_create_and_describe_and_lists_the_last_jobs_once(
    kind: str, full: bool, stubber: Stubber, clock: Clock, context: Callable[..., dict[str, Any]]
) -> None:
    resource, (build, everything) = RESOURCES[kind], KINDS[kind]
    operator = build(job_name="job", wait_for_completion=True, aws_conn_id="aws", **(everything if full else {}))
    request = {resource.name_member: "job", **operator.request()}
    arn = f"{ACCOUNT}:{kind}/job"
    describe = (resource.describe_operation, {resource.arn_member: arn})
    # Jobs of all versions of the solution count as alike, and no list is by solution.
    narrowed = {} if "solutionVersionArn" in request else {resource.parent_member: request[resource.parent_member]}
    stubber.add_response(resource.create_operation, {resource.arn_member: arn}, request)
    stubber.add_response(describe[0], answered(kind, request, "CREATE PENDING"), describe[1])
    stubber.add_response(resource.list_operation, {resource.list_member: []}, {"maxResults": 100, **narrowed})
    for status in ("CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"):
        stubber.add_response(describe[0], answered(kind, request, status), describe[1])
    assert operator.execute(context()) == arn


@pytest.fixture
def dag(request: pytest.FixtureRequest, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One of the DAGs of this repository, as it is deployed without any setting."""
    for module in ("personalize_suite", request.param):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for variable in [name for name in os.environ if name.startswith("PERSONALIZE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.syspath_prepend(str(repository / "dags"))
    yield importlib.import_module(request.param).dag
    for module in ("personalize_suite", request.param):
        del sys.modules[module]


BATCH_DAGS = [
    ("personalize_batch_inference", "recommend", "batch-inference-job", "users.json"),
    ("personalize_batch_segment", "find_segments", "batch-segment-job", "items.json"),
]


@pytest.mark.parametrize(("dag", "task_id", "kind", "input_name"), BATCH_DAGS, indirect=["dag"])
def test_a_batch_dag_sends_what_its_form_says(
    dag: Any,
    task_id: str,
    kind: str,
    input_name: str,
    stubber: Stubber,
    clock: Clock,
    context: Callable[..., dict[str, Any]],
) -> None:
    resource, task = RESOURCES[kind], dag.get_task(task_id)
    form = {"solution_version_arn": VERSION, "role_arn": ROLE, "num_results": 7, "exclude_seen": False}
    params = {**dag.params.dump(), **{name: value for name, value in form.items() if name in dag.params}}
    here = {**context(), "params": params, "run_id": "manual__2026-11-01T00:00:00+00:00", "dag": dag, "task": task}
    task.render_template_fields(here, dag.get_template_env())
    request = {
        "jobName": ANY,
        "solutionVersionArn": VERSION,
        "numResults": 7,
        "jobInput": {"s3DataSource": {"path": f"s3://your-bucket/personalize/data/{input_name}"}},
        "jobOutput": {
            "s3DataDestination": {
                "path": f"s3://your-bucket/personalize/output/{dag.dag_id}/manual__2026-11-01T00_00_00_00_00/"
            }
        },
        "roleArn": ROLE,
    }
    arn = f"{ACCOUNT}:{kind}/job"
    stubber.add_response(resource.create_operation, {resource.arn_member: arn}, request)
    stubber.add_response(
        resource.describe_operation, answered(kind, {**request, "jobName": "job"}, "ACTIVE"), {resource.arn_member: arn}
    )
    assert task.execute(here) == arn
