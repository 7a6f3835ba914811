"""What reaches AWS: the documented operations with the documented members, as botocore's model and Stubber check them.

The client is a real one for AWS, and Stubber stands where the network begins.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiobotocore.session import AioSession
from aiobotocore.stub import AioStubber
from airflow.providers.common.compat.sdk import TaskDeferred
from botocore.model import OperationModel, Shape, StructureShape
from botocore.stub import ANY, Stubber
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import RESOURCES, PersonalizeResource
from tests.faults.airflow_run import event_of
from tests.faults.clock import Clock
from tests.unit.provider.conftest import Store, connection
from tests.unit.provider.places import KEYS, s3_url  # noqa: F401
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
either_mode = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


@dataclass(frozen=True)
class Call:
    """A request that has to come, and its answer. ``polls``: in deferrable mode, the triggerer asks."""

    operation: str
    request: dict[str, Any]
    answer: dict[str, Any]
    polls: bool = False


@dataclass
class Aws:
    """Answers call by call; each has to come, and none else.

    :ivar polled: the calls of the next trigger.
    """

    stubber: Stubber
    polled: list[Call] = field(default_factory=list)

    def expect(self, calls: Iterable[Call], *, deferrable: bool = False) -> None:
        for call in calls:
            if call.polls and deferrable:
                self.polled.append(call)
            else:
                self.stubber.add_response(call.operation, call.answer, call.request)

    def all_came(self) -> None:
        self.stubber.assert_no_pending_responses()
        assert self.polled == []

    @asynccontextmanager
    async def triggerers(self) -> AsyncIterator[Any]:
        """The client of the next trigger, which has to make all calls that wait for one."""
        async with AioSession().create_client("personalize", **KEYS) as client:
            with AioStubber(client) as stubber:
                while self.polled:
                    call = self.polled.pop(0)
                    stubber.add_response(call.operation, call.answer, call.request)
                yield client
                stubber.assert_no_pending_responses()


@pytest.fixture(scope="module")
def client() -> Any:
    return boto3.client("personalize", **KEYS)


@pytest.fixture
def aws(client: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """AWS behind the client of every hook; nobody waits for real between two polls."""
    with Stubber(client) as stubber:
        answering = Aws(stubber)

        def opened(self: PersonalizeHook, *_: Any, deferrable: bool = False, **__: Any) -> Any:
            return answering.triggerers() if deferrable else client

        monkeypatch.setattr(PersonalizeHook, "get_client_type", opened)
        yield answering
        answering.all_came()


def done(task: Any, here: dict[str, Any]) -> Any:
    """What a task returns, after its deferral if it has one."""
    try:
        return task.execute(here)
    except TaskDeferred as deferred:
        event = event_of(deferred.trigger)
        return task.resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, here)


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


def answered(kind: str, request: Mapping[str, Any], arn: str, status: str) -> dict[str, Any]:
    """What Describe answers about a job of this request."""
    resource = RESOURCES[kind]
    kept = {member: content for member, content in request.items() if member != "tags"}
    facts = {resource.name_member: "job", resource.arn_member: arn, "status": status, "creationDateTime": WHEN}
    return {resource.member: {**kept, **facts}}


def job(kind: str, request: dict[str, Any], arn: str) -> list[Call]:
    """A job from its creation to its end, and the one list for how long the last ones took."""
    resource = RESOURCES[kind]
    # Jobs of all versions of the solution count as alike, and no list is by solution.
    narrowed = {} if "solutionVersionArn" in request else {resource.parent_member: request[resource.parent_member]}
    described = [
        Call(resource.describe_operation, {resource.arn_member: arn}, answered(kind, request, arn, status), polls)
        for status, polls in (
            ("CREATE PENDING", False),
            ("CREATE PENDING", True),
            ("CREATE IN_PROGRESS", True),
            ("ACTIVE", True),
        )
    ]
    return [
        Call(resource.create_operation, request, {resource.arn_member: arn}),
        described[0],
        Call(resource.list_operation, {"maxResults": 100, **narrowed}, {resource.list_member: []}),
        *described[1:],
    ]


@every_kind
@either_mode
@pytest.mark.parametrize("full", [False, True], ids=["only what must be", "everything"])
def test_a_whole_run_sends_create_and_describe_and_lists_the_last_jobs_once(
    kind: str, full: bool, deferrable: bool, aws: Aws, context: Callable[..., dict[str, Any]]
) -> None:
    build, everything = KINDS[kind]
    waiting = {"wait_for_completion": True, "deferrable": deferrable}
    operator = build(job_name="job", aws_conn_id="aws", **waiting, **(everything if full else {}))
    arn = f"{ACCOUNT}:{kind}/job"
    aws.expect(job(kind, {RESOURCES[kind].name_member: "job", **operator.request()}, arn), deferrable=deferrable)
    assert done(operator, context()) == arn


# The DAGs -------------------------------------------------------------------------------------------------------------

DATA, OUTPUT = "s3://your-bucket/personalize/data", "s3://your-bucket/personalize/output"
RUN, FOLDER = "manual__2026-11-01T00:00:00+00:00", "manual__2026-11-01T00_00_00_00_00"
GROUP = f"{ACCOUNT}:dataset-group/personalize"
FOR_USERS = f"{ACCOUNT}:solution/personalize-user-personalization-v2"
OF_ITEMS = f"{ACCOUNT}:solution/personalize-item-affinity"
UNSEEN = f"{ACCOUNT}:filter/personalize-unseen"


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """The bucket with both folders, empty, which ``aws_default`` leads to."""
    places = {"s3": {"endpoint_url": s3_url}, "personalize": {"role_arn": ROLE}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(**KEYS, service_config=places))
    bucket = boto3.resource("s3", endpoint_url=s3_url, **KEYS).Bucket("your-bucket")
    bucket.create()
    bucket.objects.delete()
    return bucket


@pytest.fixture
def dag(request: pytest.FixtureRequest, repository: Path, monkeypatch: pytest.MonkeyPatch, bucket: Any) -> Any:
    """One of the DAGs of this repository, as it is deployed without any setting but the two folders."""
    for module in ("personalize_suite", request.param):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for variable in [name for name in os.environ if name.startswith("PERSONALIZE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PERSONALIZE_DATA_URI", DATA)
    monkeypatch.setenv("PERSONALIZE_OUTPUT_URI", OUTPUT)
    monkeypatch.syspath_prepend(str(repository / "dags"))
    yield importlib.import_module(request.param).dag
    for module in ("personalize_suite", request.param):
        del sys.modules[module]


def in_a_run(dag: Any, task_id: str, here: dict[str, Any], form: Mapping[str, Any], deferrable: bool = False) -> Any:
    """What a task of a run by hand with this form returns."""
    task = dag.get_task(task_id)
    if deferrable:
        task.deferrable = True
    here = {**here, "params": {**dag.params.dump(), **form}, "run_id": RUN, "dag": dag, "task": task}
    task.render_template_fields(here, dag.get_template_env())
    return done(task, here)


def found(resource: PersonalizeResource, arn: str) -> list[Call]:
    """A resource is looked for by its ARN, in the account of any dataset group."""
    return [
        Call("list_dataset_groups", {}, {"datasetGroups": [{"datasetGroupArn": GROUP}]}),
        Call(resource.describe_operation, {resource.arn_member: arn}, {resource.member: {"status": "ACTIVE"}}),
    ]


# The DAG, the task that starts its job, the solution to ask, the input, and how many results a row of it gets.
BATCH_DAGS = [
    ("personalize_batch_inference", "recommend", FOR_USERS, f"{DATA}/users.json", 25),
    ("personalize_batch_segment", "find_segments", OF_ITEMS, f"{DATA}/items.json", 25),
    ("personalize_active_users", "recommend", FOR_USERS, f"{OUTPUT}/personalize_active_users/input/{FOLDER}.json", 25),
    ("personalize_campaign", "find_segments", OF_ITEMS, f"{OUTPUT}/personalize_campaign/input/{FOLDER}.json", 1000),
]


@either_mode
@pytest.mark.parametrize(("dag", "task_id", "solution", "input_uri", "results"), BATCH_DAGS, indirect=["dag"])
class TestBatchDags:
    def test_with_the_form_as_it_is_the_newest_model_is_asked(
        self,
        dag: Any,
        task_id: str,
        solution: str,
        input_uri: str,
        results: int,
        deferrable: bool,
        aws: Aws,
        context: Callable[..., dict[str, Any]],
    ) -> None:
        kind, arn = self.job(task_id)
        request = self.request(dag, f"{solution}/new", input_uri, results)
        aws.expect(found(RESOURCES["solution"], solution))
        if kind == "batch-inference-job":
            request["filterArn"] = UNSEEN
            aws.expect(found(RESOURCES["filter"], UNSEEN))
        aws.expect([versions(solution, "old", "new")])
        aws.expect(job(kind, request, arn), deferrable=deferrable)
        assert in_a_run(dag, task_id, context(), {}, deferrable=deferrable) == arn

    def test_what_the_form_says_is_sent(
        self,
        dag: Any,
        task_id: str,
        solution: str,
        input_uri: str,
        results: int,
        deferrable: bool,
        aws: Aws,
        context: Callable[..., dict[str, Any]],
    ) -> None:
        kind, arn = self.job(task_id)
        form = {"solution_version_arn": VERSION, "role_arn": f"{ROLE}-other", "num_results": 7, "exclude_seen": False}
        request = {**self.request(dag, VERSION, input_uri, 7), "roleArn": f"{ROLE}-other"}
        aws.expect(job(kind, request, arn), deferrable=deferrable)
        form = {name: value for name, value in form.items() if name in dag.params}
        assert in_a_run(dag, task_id, context(), form, deferrable=deferrable) == arn

    def job(self, task_id: str) -> tuple[str, str]:
        kind = {"recommend": "batch-inference-job", "find_segments": "batch-segment-job"}[task_id]
        return kind, f"{ACCOUNT}:{kind}/job"

    def request(self, dag: Any, model: str, input_uri: str, results: int) -> dict[str, Any]:
        return {
            "jobName": ANY,
            "solutionVersionArn": model,
            "numResults": results,
            "jobInput": {"s3DataSource": {"path": input_uri}},
            "jobOutput": {"s3DataDestination": {"path": f"{OUTPUT}/{dag.dag_id}/{FOLDER}/"}},
            "roleArn": ROLE,
        }


def versions(solution: str, *names: str) -> Call:
    """The list of a solution's versions, the oldest first."""
    summaries = [
        {"solutionVersionArn": f"{solution}/{name}", "status": "ACTIVE", "creationDateTime": WHEN + timedelta(age)}
        for age, name in enumerate(names)
    ]
    return Call("list_solution_versions", {"solutionArn": solution}, {"solutionVersions": summaries})


def made(kind: str, *requests: dict[str, Any]) -> Iterator[Call]:
    """Resources of one kind are created one after the other, and then looked at until each is ready.

    :param requests: with the ARN under ``arn``.
    """
    resource = RESOURCES[kind]
    for request in requests:
        sent_members = {member: content for member, content in request.items() if member != "arn"}
        yield Call(resource.create_operation, sent_members, {resource.arn_member: request["arn"]})
    for request in requests if kind != "schema" else ():
        arn = {resource.arn_member: request["arn"]}
        yield Call(resource.describe_operation, arn, {resource.member: {"status": "ACTIVE"}})


SCHEMAS = {
    dataset: json.dumps({"type": "record", "name": dataset, "namespace": "x", "fields": [], "version": "1.0"})
    for dataset in ("INTERACTIONS", "ITEMS")
}


@either_mode
@pytest.mark.parametrize("dag", ["personalize_train"], indirect=True)
def test_the_training_dag_makes_the_dataset_group_imports_trains_both_and_asks_for_the_metrics(
    dag: Any, deferrable: bool, aws: Aws, bucket: Any, context: Callable[..., dict[str, Any]]
) -> None:
    for dataset, schema in SCHEMAS.items():
        for name, body in (("csv", "ITEM_ID\n"), ("schema.json", schema)):
            bucket.put_object(Key=f"personalize/data/{dataset.lower()}.{name}", Body=body.encode())
    results: dict[str, Any] = {}

    def pulled(task_ids: str) -> Any:
        return results.get(task_ids)

    def run(task_id: str, *calls: Call) -> Any:
        here = context(task_id=task_id, store=Store())
        here["ti"].xcom_pull = pulled
        waits = deferrable and task_id.startswith(("import", "train"))
        aws.expect(calls, deferrable=waits)
        results[task_id] = in_a_run(dag, task_id, here, {}, deferrable=waits)
        aws.all_came()
        return results[task_id]

    solutions = {FOR_USERS: "aws-user-personalization-v2", OF_ITEMS: "aws-item-affinity"}
    run(
        "dataset_group",
        # An account without anything in it.
        Call("list_dataset_groups", {}, {"datasetGroups": []}),
        Call("list_schemas", {}, {"schemas": []}),
        *made("dataset-group", {"name": "personalize", "arn": GROUP}),
        *made(
            "schema",
            *(
                {"name": f"personalize-{kind.lower()}-schema", "schema": schema, "arn": schema_arn(kind)}
                for kind, schema in SCHEMAS.items()
            ),
        ),
        *made(
            "dataset",
            *(
                {
                    "name": f"personalize-{kind.lower()}",
                    "schemaArn": schema_arn(kind),
                    "datasetGroupArn": GROUP,
                    "datasetType": kind,
                    "arn": dataset_arn(kind),
                }
                for kind in SCHEMAS
            ),
        ),
        *made(
            "solution",
            *(
                {
                    "name": arn.rpartition("/")[2],
                    "datasetGroupArn": GROUP,
                    "recipeArn": f"arn:aws:personalize:::recipe/{recipe}",
                    "performAutoTraining": False,
                    "arn": arn,
                }
                for arn, recipe in solutions.items()
            ),
        ),
        *made(
            "filter",
            {
                "name": "personalize-unseen",
                "datasetGroupArn": GROUP,
                "filterExpression": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
                "arn": UNSEEN,
            },
        ),
    )
    for kind in SCHEMAS:
        request = {
            "jobName": ANY,
            "datasetArn": dataset_arn(kind),
            "dataSource": {"dataLocation": f"{DATA}/{kind.lower()}.csv"},
            "roleArn": ROLE,
            "importMode": "FULL",
        }
        run(f"import_{kind.lower()}", *job("dataset-import-job", request, f"{ACCOUNT}:dataset-import-job/{kind}"))
    for task_id, solution in zip(("train_recommendations", "train_segments"), solutions, strict=True):
        request = {"name": ANY, "solutionArn": solution, "trainingMode": "FULL"}
        assert run(task_id, *job("solution-version", request, f"{solution}/new")) == f"{solution}/new"
    metrics = {"normalized_discounted_cumulative_gain_at_10": 0.5}
    described = {"solutionArn": FOR_USERS, "creationDateTime": WHEN + timedelta(1)}
    gate = run(
        "metrics_gate",
        Call("get_solution_metrics", {"solutionVersionArn": f"{FOR_USERS}/new"}, {"metrics": metrics}),
        Call("describe_solution_version", {"solutionVersionArn": f"{FOR_USERS}/new"}, {"solutionVersion": described}),
        versions(FOR_USERS, "old", "new"),
        Call("get_solution_metrics", {"solutionVersionArn": f"{FOR_USERS}/old"}, {"metrics": metrics}),
    )
    assert gate["solution_version_arn"] == f"{FOR_USERS}/new"


def schema_arn(kind: str) -> str:
    return f"{ACCOUNT}:schema/personalize-{kind.lower()}-schema"


def dataset_arn(kind: str) -> str:
    return f"{ACCOUNT}:dataset/personalize/{kind}"
