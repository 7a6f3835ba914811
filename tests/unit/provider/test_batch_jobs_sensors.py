"""Sensors of many jobs: the same limit, leniency and patience as for one, with a List call for a hundred of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_personalize.exceptions import (
    PersonalizeAwaitedJobFailedError,
    PersonalizeAwaitedJobsFailedError,
    PersonalizeInputError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.jobs_watch import JobsWatch
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB, RESOURCES
from airflow_provider_personalize.sensors.batch_jobs import (
    PersonalizeBatchInferenceJobsSensor,
    PersonalizeBatchJobsSensor,
    PersonalizeBatchSegmentJobsSensor,
)
from airflow_provider_personalize.triggers.batch_jobs import PersonalizeBatchJobsTrigger
from tests.faults.clock import Clock

from .conftest import Log
from .service import ACCOUNT, SOLUTION, Service
from .test_sensors import TEN_MINUTES, modes, watch
from .test_waiting import run

Context = Callable[..., dict[str, Any]]
INFERENCE = "batch-inference-job"
SENSORS: dict[str, type[PersonalizeBatchJobsSensor]] = {
    INFERENCE: PersonalizeBatchInferenceJobsSensor,
    "batch-segment-job": PersonalizeBatchSegmentJobsSensor,
}
kinds = pytest.mark.parametrize("kind", SENSORS)
ONCE = {"botocore_config": {"retries": {"max_attempts": 0}}}
WAY = ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]


@pytest.fixture(autouse=True)
def lists_show_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "lists_progress", True)


def sensor(arns: Any, mode: str = "poke", kind: str = INFERENCE, **arguments: Any) -> PersonalizeBatchJobsSensor:
    kept = {"mode": mode} if mode != "deferred" else {"deferrable": True}
    return SENSORS[kind](**{"task_id": "wait", "job_arns": arns, "timeout": 3600, **kept, **arguments})


def add(service: Service, name: str, *statuses: str, kind: str = INFERENCE, model: str = "1", **members: Any) -> str:
    arn = service.add(kind, name, statuses[0], solutionVersionArn=f"{SOLUTION}/{model}", **members)
    service.set_statuses(arn, *statuses)
    return arn


def operations(service: Service) -> list[str]:
    return [operation for operation, _ in service.calls]


@kinds
@modes
async def test_all_must_be_active_and_are_returned(mode: str, kind: str, service: Service, context: Context) -> None:
    add(service, "somebody-elses", "CREATE FAILED", kind=kind)
    arns = [
        add(service, "a", "ACTIVE", kind=kind),
        add(service, "b", *WAY, kind=kind),
        add(service, "c", "PENDING", "IN PROGRESS", "NEVER SEEN", "ACTIVE", kind=kind),
    ]
    found = await watch(lambda: sensor(arns, mode, kind), context(), mode)
    assert found == arns
    assert {service.resources[arn]["status"] for arn in arns} == {"ACTIVE"}


@modes
async def test_when_all_have_ended_each_failure_is_named_with_its_reason(
    mode: str, service: Service, context: Context
) -> None:
    arns = [
        add(service, "good", *WAY),
        add(service, "bad", "CREATE FAILED", failureReason="Invalid S3 input path"),
        add(service, "late", "CREATE PENDING", *WAY),
        add(service, "worse", "CREATE PENDING", "CREATE FAILED"),
    ]
    with pytest.raises(PersonalizeAwaitedJobsFailedError) as caught:
        await watch(lambda: sensor(arns, mode), context(), mode)
    error = caught.value
    first, second, third = str(error).splitlines()
    assert first == "2 of 4 Amazon Personalize batch inference jobs failed, 2 are ACTIVE:"
    assert second.startswith(f"{arns[1]} ended in CREATE FAILED: Invalid S3 input path. Look whether the input exists")
    assert third == f"{arns[3]} ended in CREATE FAILED"
    assert [facts["job_arn"] for facts in error.failures] == [arns[1], arns[3]]
    # What an alert for one job reads.
    assert isinstance(error, PersonalizeAwaitedJobFailedError)
    assert (error.job_arn, error.status, error.failure_reason) == (arns[1], "CREATE FAILED", "Invalid S3 input path")


@modes
async def test_the_first_failure_may_end_it(mode: str, service: Service, context: Context) -> None:
    arns = [
        add(service, "good", "ACTIVE"),
        add(service, "bad", "PENDING", "CREATE FAILED"),
        add(service, "long", "PENDING"),
    ]
    with pytest.raises(
        PersonalizeAwaitedJobsFailedError, match=r"1 of 3 .* failed, 1 are ACTIVE, 1 go on:\n.*/bad ended"
    ):
        await watch(lambda: sensor(arns, mode, fail_fast=True), context(), mode)


@modes
@pytest.mark.parametrize("status", ["CREATE IN_PROGRESS", "NEVER SEEN", "CREATE STOPPED", "DELETE PENDING"])
async def test_anything_else_waits_until_the_timeout_in_every_mode(
    status: str, mode: str, service: Service, context: Context, clock: Clock
) -> None:
    arns = [add(service, "done", "ACTIVE"), add(service, "waiting", status), add(service, "too", status)]
    with pytest.raises(AirflowSensorTimeout):
        await watch(lambda: sensor(arns, mode, **TEN_MINUTES), context(), mode)
    assert 540 <= clock.slept <= 660
    assert 9 <= len(service.called("ListBatchInferenceJobs")) <= 13


@modes
@pytest.mark.parametrize("leniency", ["soft_fail", "never_fail"])
@pytest.mark.parametrize(
    "way", [["CREATE FAILED"], ["CREATE PENDING", "CREATE FAILED"], ["CREATE PENDING"]], ids=" > ".join
)
async def test_a_lenient_sensor_skips_on_failure_and_on_timeout_in_every_mode(
    way: list[str], leniency: str, mode: str, service: Service, context: Context
) -> None:
    arns = [add(service, "a", *way), add(service, "b", "ACTIVE")]
    with pytest.raises(AirflowSkipException):
        await watch(lambda: sensor(arns, mode, **TEN_MINUTES, **{leniency: True}), context(), mode)


@modes
async def test_a_busy_or_unreachable_service_is_asked_again_in_every_mode(
    mode: str, service: Service, context: Context
) -> None:
    arns = [add(service, "a", *WAY), add(service, "b", *WAY)]
    service.refuse("ListBatchInferenceJobs", "ThrottlingException", times=4)
    service.unreachable = {"ListBatchInferenceJobs": 2}
    assert await watch(lambda: sensor(arns, mode, **ONCE), context(), mode) == arns


@modes
async def test_throttling_that_does_not_end_is_a_timeout(mode: str, service: Service, context: Context) -> None:
    arns = [add(service, "a", "ACTIVE"), add(service, "b", "ACTIVE")]
    service.refuse("ListBatchInferenceJobs", "ThrottlingException", times=10_000)
    with pytest.raises(AirflowSensorTimeout):
        await watch(partial(sensor, arns, mode, **TEN_MINUTES, **ONCE), context(), mode)


@modes
async def test_a_job_that_does_not_exist_is_an_error_at_once(mode: str, service: Service, context: Context) -> None:
    arns = [add(service, "a", "PENDING"), add(service, "b", "PENDING"), f"{ACCOUNT}:batch-inference-job/none"]
    with pytest.raises(PersonalizeWaitError, match="batch-inference-job/none does not exist"):
        await watch(lambda: sensor(arns, mode), context(), mode)
    assert len(service.calls) == 2


@modes
async def test_access_that_is_taken_away_is_an_error(mode: str, service: Service, context: Context) -> None:
    arns = [add(service, "a", "PENDING"), add(service, "b", "PENDING")]
    service.refuse("ListBatchInferenceJobs", "ThrottlingException")
    service.refuse("ListBatchInferenceJobs", "AccessDeniedException", "not for you")
    with pytest.raises(PersonalizeWaitError, match="not for you"):
        await watch(lambda: sensor(arns, mode, **ONCE), context(), mode)


# What it costs ------------------------------------------------------------------------------------------------------


@modes
async def test_a_poll_of_a_hundred_jobs_is_one_list_call(mode: str, service: Service, context: Context) -> None:
    arns = [add(service, f"job-{number}", *WAY) for number in range(100)]
    await watch(lambda: sensor(arns, mode), context(), mode)
    assert operations(service) == ["ListBatchInferenceJobs"] * 3
    assert {call["maxResults"] for call in service.called("ListBatchInferenceJobs")} == {100}


async def test_jobs_that_are_known_to_be_of_one_model_are_looked_for_among_its_jobs(
    service: Service, context: Context
) -> None:
    arns = [
        add(service, "a", *WAY, model="one"),
        add(service, "b", "CREATE PENDING", *WAY, model="one"),
        add(service, "c", "CREATE PENDING", *WAY, model="one"),
        add(service, "d", *WAY[1:], model="two"),
    ]
    sensor(arns).execute(context())
    models = [call.get("solutionVersionArn") for call in service.called("ListBatchInferenceJobs")]
    # The job with the other model ends with the second poll.
    assert models == [None, None, f"{SOLUTION}/one", f"{SOLUTION}/one"]


def test_pages_are_read_while_more_than_one_job_is_unseen(service: Service, context: Context) -> None:
    for number in range(4):
        add(service, f"other-{number}", "ACTIVE")
    arns = [add(service, "a", "ACTIVE"), add(service, "b", "ACTIVE")]
    add(service, "older", "ACTIVE")
    service.page_size = 2
    sensor(arns).execute(context())
    assert operations(service) == ["ListBatchInferenceJobs"] * 3


def test_one_job_is_described(service: Service, context: Context) -> None:
    arn = add(service, "a", *WAY)
    sensor([arn]).execute(context())
    assert operations(service) == ["DescribeBatchInferenceJob"] * 3


def test_jobs_that_the_newest_pages_do_not_show_are_described_and_ended_ones_are_not_asked_for_again(
    service: Service, context: Context
) -> None:
    for number in range(20):
        add(service, f"newer-{number}", "ACTIVE")
    arns = [add(service, "old", "ACTIVE"), add(service, "older", "CREATE PENDING", "ACTIVE")]
    service.page_size = 1
    sensor(arns).execute(context())
    assert operations(service) == ["ListBatchInferenceJobs"] * 5 + ["DescribeBatchInferenceJob"] * 3


def test_a_describe_that_is_refused_for_now_loses_nothing_of_its_poll(service: Service, context: Context) -> None:
    arns = [add(service, "a", "ACTIVE"), add(service, "b", "ACTIVE"), add(service, "c", "ACTIVE")]
    service.page_size = 2
    service.refuse("DescribeBatchInferenceJob", "ThrottlingException")
    sensor(arns, **ONCE).execute(context())
    assert operations(service) == ["ListBatchInferenceJobs", *["DescribeBatchInferenceJob"] * 2]


def test_finished_jobs_are_not_deferred(service: Service, context: Context) -> None:
    arns = [add(service, "a", "ACTIVE"), add(service, "b", "ACTIVE")]
    assert sensor(arns, "deferred").execute(context()) == arns
    assert len(service.calls) == 1


# What it is given ---------------------------------------------------------------------------------------------------


class Lazy:
    """What the output of a mapped task is at run time: it can be iterated over, and is no list."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __iter__(self) -> Any:
        return iter(self.values)


@pytest.mark.parametrize("form", [list, tuple, json.dumps, Lazy, lambda arns: [*arns, *arns]])
def test_jobs_are_a_list_or_json_and_count_once(form: Any, service: Service, context: Context) -> None:
    arns = [add(service, "a", "ACTIVE"), add(service, "b", "ACTIVE")]
    assert sensor(form(arns)).execute(context()) == arns


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "job_arns is empty"),
        ("[]", "job_arns is empty"),
        ([f"{ACCOUNT}:batch-inference-job/a", None], r"job_arns\[1\] is None"),
        (["nightly"], r"job_arns\[0\] must be an ARN, got 'nightly'"),
        ("arn:one", "job_arns is no JSON"),
        ('"arn:one"', "job_arns must be a list of ARNs, or JSON text of one, got 'arn:one'"),
        (7, "job_arns must be a list of ARNs"),
        (None, "job_arns is None"),
    ],
)
def test_what_is_no_list_of_jobs_is_an_error(given: Any, said: str, service: Service, context: Context) -> None:
    with pytest.raises(PersonalizeInputError, match=said):
        sensor(given).execute(context())
    assert service.calls == []


def test_an_upstream_task_that_delivered_nothing_is_named(service: Service, context: Context) -> None:
    waiting = sensor("{{ ti.xcom_pull(task_ids='infer') | tojson }}")
    waiting.job_arns = None  # type: ignore[assignment]
    with pytest.raises(PersonalizeInputError, match="job_arns is None: task 'infer' did not return it"):
        waiting.execute(context())


# The log ------------------------------------------------------------------------------------------------------------


def test_the_log_says_how_many_are_where_when_that_changes(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    monkeypatch.setattr(PersonalizeBatchJobsSensor, "log", Log(log))
    failed = add(service, "c", "CREATE PENDING", "CREATE PENDING", "CREATE FAILED", failureReason="no rights")
    arns = [add(service, "a", *["NEW"] * 2, "ACTIVE"), add(service, "b", *["CREATE PENDING"] * 3, "ACTIVE"), failed]
    with pytest.raises(PersonalizeAwaitedJobsFailedError):
        sensor(arns).execute(context())
    assert [line.rpartition("3: ")[2] for line in log if "jobs, 3: " in line] == [
        "2 CREATE PENDING, 1 NEW",
        "1 ACTIVE, 1 CREATE FAILED, 1 CREATE PENDING",
        "2 ACTIVE, 1 CREATE FAILED",
    ]
    assert [line for line in log if "NEW" in line and "known" in line] == [
        "Status 'NEW' is not known here; waiting goes on."
    ]
    assert [line for line in log if "no rights" in line] == [f"{failed} is CREATE FAILED: no rights"]


def test_a_long_wait_is_not_silent(service: Service, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(PersonalizeBatchJobsSensor, "log", Log(log))
    arns = [add(service, "a", "CREATE PENDING"), add(service, "b", "CREATE PENDING")]
    with pytest.raises(AirflowSensorTimeout):
        sensor(arns, poke_interval=60).execute(context())
    assert len([line for line in log if "2 CREATE PENDING" in line]) == 1 + 3600 // 600


# The trigger --------------------------------------------------------------------------------------------------------


def trigger(*arns: str, **arguments: Any) -> PersonalizeBatchJobsTrigger:
    given = {"kind": INFERENCE, "arns": list(arns), "deadline": time.time() + 3600}
    return PersonalizeBatchJobsTrigger(**{**given, **arguments})


def test_the_trigger_gets_connection_region_verify_client_configuration_and_the_timeout(
    service: Service, context: Context
) -> None:
    arns = [add(service, "a", "CREATE PENDING"), add(service, "b", "CREATE PENDING")]
    given = {"region_name": "eu-west-1", "verify": "/ca.pem", "botocore_config": {"read_timeout": 7}}
    with pytest.raises(TaskDeferred) as caught:
        sensor(arns, "deferred", timeout=600, poke_interval=30, fail_fast=True, **given).execute(context())
    arguments = caught.value.trigger.serialize()[1]
    assert arguments.pop("deadline") == pytest.approx(time.time() + 600, abs=5)
    assert caught.value.timeout.total_seconds() == 720  # the trigger's own end comes first
    assert arguments == {
        "kind": INFERENCE,
        "arns": arns,
        "fail_fast": True,
        "waiter_delay": 30,
        "aws_conn_id": "aws_default",
        **given,
    }


@pytest.mark.parametrize("kind", SENSORS)
@pytest.mark.parametrize("region_name", [None, "eu-west-1"])
@pytest.mark.parametrize("verify", [None, False, "/ca.pem"])
@pytest.mark.parametrize("botocore_config", [None, {"read_timeout": 7}])
def test_it_survives_serialisation_with_and_without_its_options(
    kind: str, region_name: str | None, verify: bool | str | None, botocore_config: dict[str, Any] | None
) -> None:
    options = {"region_name": region_name, "verify": verify, "botocore_config": botocore_config}
    first = trigger("arn:a", "arn:b", kind=kind, aws_conn_id=None, fail_fast=True, **options)
    path, arguments = first.serialize()
    assert path == f"{PersonalizeBatchJobsTrigger.__module__}.PersonalizeBatchJobsTrigger"
    again = PersonalizeBatchJobsTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == first.serialize()
    assert again.resource is RESOURCES[kind]
    hook = again.hook()
    assert (hook.aws_conn_id, hook._region_name, hook._verify) == (None, region_name, verify)
    assert (hook._config.read_timeout if botocore_config else hook._config) == (7 if botocore_config else None)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
async def test_it_asks_in_the_region_of_its_task(region: str, transports: Service) -> None:
    await run(trigger(add(transports, "a", "ACTIVE"), region_name=region))
    assert [client["region"] for client in transports.registered] == [region]


async def test_every_event_can_be_stored_and_has_what_became_of_each_job(service: Service) -> None:
    good, bad, long = (
        add(service, "good", "ACTIVE"),
        add(service, "bad", "CREATE FAILED"),
        add(service, "long", "PENDING"),
    )
    event = await run(trigger(good, bad, long, deadline=time.time() + 300))
    assert json.loads(json.dumps(event)) == event
    assert (event["status"], event["kind"], event["arns"]) == ("timeout", INFERENCE, [good, bad, long])
    assert ([facts["job_arn"] for facts in event["failures"]], event["active"], event["waiting"]) == (
        [bad],
        [good],
        [long],
    )


async def test_a_deadline_that_has_passed_while_the_triggerer_was_down_ends_at_once(service: Service) -> None:
    event = await run(trigger("arn:a", "arn:b", deadline=time.time() - 1))
    assert (event["status"], event["waiting"]) == ("timeout", ["arn:a", "arn:b"])
    assert service.calls == []


async def test_a_deadline_reached_without_an_answer_says_what_was_in_the_way(service: Service) -> None:
    service.unreachable["ListBatchInferenceJobs"] = 1000
    event = await run(trigger("arn:a", "arn:b", deadline=time.time() + 600, **ONCE))
    assert event["status"] == "timeout"
    assert "EndpointConnectionError" in event["message"]


async def test_a_connection_that_does_not_exist_is_an_error_event() -> None:
    event = await run(trigger("arn:a", aws_conn_id="nobody_made_it"))
    assert event["status"] == "error"
    assert "nobody_made_it" in event["message"]


@pytest.mark.parametrize("error", [RuntimeError, KeyError, ValueError, OSError, AssertionError])
@pytest.mark.parametrize("place", ["the connection", "a poll"])
async def test_whatever_is_in_the_way_is_an_error_event_with_the_reason(
    place: str, error: type[Exception], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error("nobody has thought of this")

    owner, name = (PersonalizeHook, "get_async_conn") if place == "the connection" else (service, "answer")
    monkeypatch.setattr(owner, name, fail)
    event = await run(trigger("arn:a", "arn:b"))
    assert (event["status"], event["waiting"]) == ("error", ["arn:a", "arn:b"])
    assert "nobody has thought of this" in event["message"]


@pytest.mark.parametrize("status", ["error", "running", None])
def test_every_event_that_is_not_a_success_is_an_error(status: str | None, context: Context) -> None:
    outcome = {"failures": [], "active": [], "waiting": ["arn:a", "arn:b"]}
    event = {"status": status, "kind": INFERENCE, "arns": ["arn:a", "arn:b"], "message": "no", **outcome}
    with pytest.raises(PersonalizeWaitError, match="batch inference jobs arn:a, arn:b could not be watched: no"):
        sensor(["arn:a", "arn:b"], "deferred").execute_complete(context(), event=event)


def test_jobs_that_finished_while_the_triggerer_was_away_are_not_late(service: Service, context: Context) -> None:
    arns = [add(service, "a", "ACTIVE"), add(service, "b", "ACTIVE")]
    outcome = {"failures": [], "active": [], "waiting": arns}
    event = {"status": "timeout", "kind": INFERENCE, "arns": arns, "message": "late", **outcome}
    assert sensor(arns, "deferred").execute_complete(context(), event=event) == arns


def test_a_deferral_that_airflow_ended_is_looked_at_once_more_and_names_who_is_late(
    service: Service, context: Context
) -> None:
    arns = [add(service, "a", "ACTIVE"), add(service, "b", "CREATE IN_PROGRESS", "CREATE IN_PROGRESS", "ACTIVE")]

    def ended_by_airflow() -> Any:
        arguments = {"timeout": 600, "execution_timeout": timedelta(seconds=90)}
        return sensor(arns, "deferred", **arguments).resume_execution(
            "__fail__", {"error": "Trigger timeout"}, context()
        )

    with pytest.raises(AirflowSensorTimeout, match=rf"jobs {arns[1]} were not ACTIVE after 90 seconds"):
        ended_by_airflow()
    service.set_statuses(arns[1], "ACTIVE")
    assert ended_by_airflow() == arns


def test_the_bound_on_pages_holds_for_each_poll() -> None:
    watching = JobsWatch(BATCH_INFERENCE_JOB, ["arn:a", "arn:b"], False, Log([]))
    poll, asked = watching.poll(), []
    answer: dict[str, Any] | None = None
    for _ in range(7):
        operation, arguments = poll.send(answer)  # type: ignore[arg-type]
        asked.append((operation, arguments.get("nextToken")))
        found = {"batchInferenceJobArn": arguments.get("batchInferenceJobArn"), "status": "ACTIVE"}
        answer = {"batchInferenceJobs": [], "nextToken": str(len(asked)), "batchInferenceJob": found}
    assert [token for operation, token in asked if operation == "list_batch_inference_jobs"] == [
        None,
        "1",
        "2",
        "3",
        "4",
    ]
    with pytest.raises(StopIteration):
        poll.send(answer)  # type: ignore[arg-type]
    assert watching.is_over
    assert watching.active == ["arn:a", "arn:b"]
