"""Every status in every mode of a sensor, one limit in all of them, and soft failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from airflow.sdk.exceptions import TaskDeferralError

from airflow_provider_personalize.exceptions import (
    PersonalizeAwaitedJobFailedError,
    PersonalizeConnectionError,
    PersonalizeInputError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.resources import RESOURCES
from airflow_provider_personalize.sensors.personalize import (
    PersonalizeBatchInferenceJobSensor,
    PersonalizeBatchSegmentJobSensor,
    PersonalizeDatasetImportJobSensor,
    PersonalizeSensor,
    PersonalizeSolutionVersionSensor,
)
from tests.faults.clock import Clock

from .conftest import Log
from .service import ACCOUNT, SOLUTION, Service
from .test_waiting import run

Context = Callable[..., dict[str, Any]]
SENSORS: dict[str, type[PersonalizeSensor]] = {
    sensor.resource.kind: sensor
    for sensor in (
        PersonalizeBatchInferenceJobSensor,
        PersonalizeBatchSegmentJobSensor,
        PersonalizeDatasetImportJobSensor,
        PersonalizeSolutionVersionSensor,
    )
}
kinds = pytest.mark.parametrize("kind", SENSORS)
TEN_MINUTES = {"timeout": 600, "poke_interval": 60}
modes = pytest.mark.parametrize("mode", ["poke", "reschedule", "deferred"])


def sensor(kind: str, arn: str, mode: str, **arguments: Any) -> PersonalizeSensor:
    kept = {"mode": mode} if mode != "deferred" else {"deferrable": True}
    build = SENSORS[kind]
    return build(**{"task_id": "wait", build.arn_field: arn, "timeout": 3600, **kept, **arguments})


async def watch(build: Callable[[], PersonalizeSensor], here: dict[str, Any], mode: str) -> Any:
    """Run a sensor the way Airflow does in its mode, to its end; what it returns."""
    begin = time.time()
    here["ti"].get_first_reschedule_date = lambda _: _at(begin)
    while True:
        operator = build()
        try:
            return operator.execute(here)
        except AirflowRescheduleException as rescheduled:
            time.sleep(max(0.0, rescheduled.reschedule_date.timestamp() - time.time()))
        except TaskDeferred as deferred:
            event = await run(deferred.trigger)
            return build().resume_execution(deferred.method_name, {"event": event}, here)


def _at(moment: float) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, tz=UTC)


def add(service: Service, kind: str, *statuses: str, **members: Any) -> str:
    own = {"arn": f"{SOLUTION}/1", "solutionArn": SOLUTION} if kind == "solution-version" else {}
    arn = service.add(kind, "job", statuses[0], **own, **members)
    service.set_statuses(arn, *statuses)
    return arn


@kinds
@modes
@pytest.mark.parametrize(
    "way",
    [
        ["ACTIVE"],
        ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"],
        ["PENDING", "IN PROGRESS", "NEVER SEEN", "ACTIVE"],
    ],
    ids=" > ".join,
)
async def test_only_active_is_success(way: list[str], mode: str, kind: str, service: Service, context: Context) -> None:
    arn = add(service, kind, *way)
    await watch(lambda: sensor(kind, arn, mode), context(), mode)
    assert service.resources[arn]["status"] == "ACTIVE"


@kinds
@modes
@pytest.mark.parametrize("way", [["CREATE FAILED"], ["CREATE PENDING", "CREATE FAILED"]], ids=" > ".join)
async def test_a_failed_job_fails_with_the_services_reason(
    way: list[str], mode: str, kind: str, service: Service, context: Context
) -> None:
    arn = add(service, kind, *way, failureReason="Invalid S3 input path")
    with pytest.raises(PersonalizeAwaitedJobFailedError, match="Invalid S3 input path") as caught:
        await watch(lambda: sensor(kind, arn, mode), context(), mode)
    error = caught.value
    assert (error.job_arn, error.status, error.failure_reason) == (arn, "CREATE FAILED", "Invalid S3 input path")


@modes
async def test_a_stopped_training_fails(mode: str, service: Service, context: Context) -> None:
    arn = add(service, "solution-version", "CREATE STOPPING", "CREATE STOPPED")
    with pytest.raises(PersonalizeAwaitedJobFailedError, match="CREATE STOPPED"):
        await watch(lambda: sensor("solution-version", arn, mode), context(), mode)


@modes
@pytest.mark.parametrize("status", ["CREATE IN_PROGRESS", "NEVER SEEN", "CREATE STOPPED", "DELETE PENDING"])
async def test_anything_else_waits_until_the_timeout_in_every_mode(
    status: str, mode: str, service: Service, context: Context, clock: Clock
) -> None:
    arn = add(service, "batch-inference-job", status)
    with pytest.raises(AirflowSensorTimeout):
        await watch(lambda: sensor("batch-inference-job", arn, mode, **TEN_MINUTES), context(), mode)
    assert 540 <= clock.slept <= 660
    assert 9 <= len(service.called("DescribeBatchInferenceJob")) <= 13


@modes
@pytest.mark.parametrize("leniency", ["soft_fail", "never_fail"])
@pytest.mark.parametrize(
    "way", [["CREATE FAILED"], ["CREATE PENDING", "CREATE FAILED"], ["CREATE PENDING"]], ids=" > ".join
)
async def test_a_lenient_sensor_skips_on_failure_and_on_timeout_in_every_mode(
    way: list[str], leniency: str, mode: str, service: Service, context: Context
) -> None:
    arn = add(service, "batch-inference-job", *way)
    with pytest.raises(AirflowSkipException):
        await watch(
            lambda: sensor("batch-inference-job", arn, mode, **TEN_MINUTES, **{leniency: True}), context(), mode
        )


def test_a_finished_job_is_not_deferred(service: Service, context: Context) -> None:
    arn = add(service, "batch-inference-job", "ACTIVE")
    sensor("batch-inference-job", arn, "deferred").execute(context())
    assert len(service.calls) == 1


def test_the_trigger_gets_connection_region_verify_client_configuration_and_the_timeout(
    service: Service, context: Context
) -> None:
    arn = add(service, "batch-segment-job", "CREATE PENDING")
    waiting = sensor(
        "batch-segment-job",
        arn,
        "deferred",
        timeout=600,
        poke_interval=30,
        region_name="eu-west-1",
        verify="/ca.pem",
        botocore_config={"read_timeout": 7},
    )
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute(context())
    arguments = caught.value.trigger.serialize()[1]
    assert arguments["deadline"] == pytest.approx(time.time() + 600, abs=5)
    assert {name: arguments[name] for name in ("waiter_delay", "region_name", "verify", "botocore_config")} == {
        "waiter_delay": 30,
        "region_name": "eu-west-1",
        "verify": "/ca.pem",
        "botocore_config": {"read_timeout": 7},
    }


@pytest.mark.parametrize("status", ["error", "running", None])
def test_every_event_that_is_not_a_success_is_an_error(status: str | None, context: Context) -> None:
    event = {"status": status, "kind": "batch-inference-job", "arn": "arn:job", "message": "no", "facts": {}}
    with pytest.raises(PersonalizeWaitError, match="no"):
        sensor("batch-inference-job", "arn:job", "deferred").execute_complete(context(), event=event)


def test_the_connection_says_how_often_to_look_unless_the_sensor_does(service: Service, context: Context) -> None:
    arn = add(service, "batch-inference-job", "ACTIVE")
    by_connection, by_hand = (
        sensor("batch-inference-job", arn, "poke"),
        sensor("batch-inference-job", arn, "poke", poke_interval=7),
    )
    for each in (by_connection, by_hand):
        each.execute(context())
    assert (by_connection.poke_interval, by_hand.poke_interval) == (30, 7)


def test_an_unknown_status_is_logged_once(
    service: Service, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = add(service, "batch-inference-job", "NEW", "NEW", "NEW", "ACTIVE")
    sensor("batch-inference-job", arn, "poke").execute(context())
    assert capsys.readouterr().out.count("'NEW'") == 1


def test_a_job_that_does_not_exist_is_an_error_at_once(service: Service, context: Context) -> None:
    with pytest.raises(Exception, match="does not exist"):
        sensor("batch-inference-job", f"{ACCOUNT}:batch-inference-job/none", "poke").execute(context())


@pytest.mark.parametrize("value", [None, "", "None"])
def test_an_arn_that_upstream_did_not_deliver_is_an_error_that_names_the_task(
    value: str | None, service: Service, context: Context
) -> None:
    waiting = sensor("batch-inference-job", "{{ ti.xcom_pull(task_ids='infer') }}", "poke")
    waiting.job_arn = value
    with pytest.raises(PersonalizeInputError, match=r"job_arn is .* task 'infer' did not return it"):
        waiting.execute(context())


@kinds
@modes
@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException"])
@pytest.mark.parametrize("look", [1, 2, 3])
async def test_being_refused_a_look_is_told_with_the_job_in_every_mode(
    look: int, code: str, mode: str, kind: str, service: Service, context: Context
) -> None:
    arn = add(service, kind, "CREATE PENDING")
    describe = RESOURCES[kind].describe_operation.title().replace("_", "")
    service.refuse_from(describe, look, code, "not for you")
    with pytest.raises(PersonalizeWaitError, match=r"could not be watched: ClientError: .*not for you") as caught:
        await watch(lambda: sensor(kind, arn, mode), context(), mode)
    assert arn in str(caught.value)
    assert caught.value.job_arn == arn


@modes
@pytest.mark.parametrize("look", [1, 2])
async def test_a_refused_look_names_status_and_places_that_were_seen_before(
    look: int, mode: str, service: Service, context: Context
) -> None:
    places = {
        "jobInput": {"s3DataSource": {"path": "s3://in/"}},
        "jobOutput": {"s3DataDestination": {"path": "s3://out/"}},
    }
    arn = add(service, "batch-inference-job", "CREATE PENDING", **places)
    service.refuse_from("DescribeBatchInferenceJob", look + 1, "AccessDeniedException")
    with pytest.raises(PersonalizeWaitError) as caught:
        await watch(lambda: sensor("batch-inference-job", arn, mode), context(), mode)
    seen = (caught.value.status, caught.value.input_uri, caught.value.output_uri)
    # Rescheduled, each look is a process of its own, and so is the trigger.
    knows_nothing = mode == "reschedule" or (mode == "deferred" and look == 1)
    assert seen == ((None, None, None) if knows_nothing else ("CREATE PENDING", "s3://in/", "s3://out/"))


@modes
@pytest.mark.parametrize("leniency", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("look", [1, 2])
async def test_a_lenient_sensor_skips_when_it_is_refused_in_every_mode(
    look: int, leniency: str, mode: str, service: Service, context: Context
) -> None:
    arn = add(service, "batch-inference-job", "CREATE PENDING")
    service.refuse_from("DescribeBatchInferenceJob", look, "AccessDeniedException")
    with pytest.raises(AirflowSkipException):
        await watch(lambda: sensor("batch-inference-job", arn, mode, **{leniency: True}), context(), mode)


@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_a_connection_that_does_not_exist_is_told_as_it_is(mode: str, context: Context) -> None:
    with pytest.raises(PersonalizeConnectionError, match="nobody_made_it"):
        sensor("batch-inference-job", "arn:job", mode, aws_conn_id="nobody_made_it").execute(context())


@modes
@pytest.mark.parametrize("code", ["ThrottlingException", "LimitExceededException"])
async def test_a_busy_or_unreachable_service_is_asked_again_in_every_mode(
    code: str, mode: str, service: Service, context: Context
) -> None:
    arn = add(service, "batch-inference-job", "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE")
    service.refuse("DescribeBatchInferenceJob", code, times=4)
    service.unreachable = {"DescribeBatchInferenceJob": 2}
    once = {"retries": {"max_attempts": 0}}
    await watch(lambda: sensor("batch-inference-job", arn, mode, botocore_config=once), context(), mode)
    assert service.resources[arn]["status"] == "ACTIVE"


@modes
async def test_throttling_that_does_not_end_is_a_timeout(mode: str, service: Service, context: Context) -> None:
    arn = add(service, "batch-inference-job", "ACTIVE")
    service.refuse("DescribeBatchInferenceJob", "ThrottlingException", times=10_000)
    once = {"botocore_config": {"retries": {"max_attempts": 0}}}
    with pytest.raises(AirflowSensorTimeout):
        await watch(partial(sensor, "batch-inference-job", arn, mode, **TEN_MINUTES, **once), context(), mode)


def test_the_log_says_each_status_once_with_the_time_and_the_median(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    monkeypatch.setattr(PersonalizeSensor, "log", Log(log))
    done = service.add("batch-inference-job", "done", solutionVersionArn=f"{SOLUTION}/1")
    service.resources[done].update(creationDateTime=1_700_000_000, lastUpdatedDateTime=1_700_000_000 + 1620)
    way = ["CREATE PENDING"] * 2 + ["CREATE IN_PROGRESS"] * 2 + ["ACTIVE"]
    arn = add(service, "batch-inference-job", *way, solutionVersionArn=f"{SOLUTION}/2")
    sensor("batch-inference-job", arn, "poke").execute(context())
    said = [line for line in log if f"{arn}: " in line]
    assert [line.split(f"{arn}: ")[1].split(" after ")[0] for line in said] == [
        "CREATE PENDING",
        "CREATE IN_PROGRESS",
        "ACTIVE",
    ]
    assert all("(the last ones took 0:27:00, the median)" in line for line in said)
    assert len(service.called("ListBatchInferenceJobs")) == 1


def test_a_deferred_sensor_hands_the_median_to_its_trigger(service: Service, context: Context) -> None:
    done = service.add("batch-inference-job", "done", solutionVersionArn=f"{SOLUTION}/1")
    service.resources[done].update(creationDateTime=1_700_000_000, lastUpdatedDateTime=1_700_000_000 + 1620)
    arn = add(service, "batch-inference-job", "CREATE PENDING", solutionVersionArn=f"{SOLUTION}/2")
    with pytest.raises(TaskDeferred) as caught:
        sensor("batch-inference-job", arn, "deferred").execute(context())
    assert caught.value.trigger.usual_seconds == 1620


def test_an_errors_places_are_those_of_the_job(service: Service, context: Context) -> None:
    facts = {
        "job_arn": "arn:job",
        "status": "PENDING",
        "failure_reason": None,
        "input_uri": "s3://in",
        "output_uri": None,
    }
    event = {"status": "error", "kind": "batch-inference-job", "arn": "arn:job", "message": "no", "facts": facts}
    with pytest.raises(PersonalizeWaitError) as caught:
        sensor("batch-inference-job", "arn:job", "deferred").execute_complete(context(), event=event)
    assert (caught.value.status, caught.value.input_uri) == ("PENDING", "s3://in")


def test_a_job_that_finished_while_the_triggerer_was_away_is_not_late(service: Service, context: Context) -> None:
    arn = add(service, "batch-inference-job", "ACTIVE")
    event = {"status": "timeout", "kind": "batch-inference-job", "arn": arn, "message": "late", "facts": {}}
    sensor("batch-inference-job", arn, "deferred").execute_complete(context(), event=event)


# Airflow ends the deferral --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("execution_timeout", "expected"), [(None, 720), (timedelta(seconds=90), 90), (timedelta(days=9), 720)]
)
def test_a_deferral_ends_with_the_execution_timeout_or_soon_after_the_timeout(
    execution_timeout: timedelta | None, expected: float, service: Service, context: Context
) -> None:
    arn = add(service, "batch-inference-job", "CREATE PENDING")
    with pytest.raises(TaskDeferred) as caught:
        sensor("batch-inference-job", arn, "deferred", timeout=600, execution_timeout=execution_timeout).execute(
            context()
        )
    assert caught.value.timeout.total_seconds() == expected
    assert caught.value.trigger.deadline == pytest.approx(time.time() + 600, abs=5)


def ended_by_airflow(arn: str, here: dict[str, Any], **arguments: Any) -> Any:
    return sensor("batch-inference-job", arn, "deferred", **arguments).resume_execution(
        "__fail__", {"error": "Trigger timeout"}, here
    )


def test_a_job_that_finished_before_airflow_ended_the_deferral_is_not_late(service: Service, context: Context) -> None:
    ended_by_airflow(add(service, "batch-inference-job", "ACTIVE"), context())


@pytest.mark.parametrize(("execution_timeout", "seconds"), [(None, 600), (timedelta(seconds=90), 90)])
def test_a_deferral_that_airflow_ended_is_a_timeout_that_names_the_job(
    execution_timeout: timedelta | None, seconds: int, service: Service, context: Context
) -> None:
    arn = add(service, "batch-inference-job", "CREATE IN_PROGRESS")
    with pytest.raises(AirflowSensorTimeout, match=rf"{arn} was not ACTIVE after {seconds} seconds"):
        ended_by_airflow(arn, context(), timeout=600, execution_timeout=execution_timeout)


def test_a_job_that_failed_before_airflow_ended_the_deferral_is_told_as_failed(
    service: Service, context: Context
) -> None:
    arn = add(service, "batch-inference-job", "CREATE FAILED", failureReason="no rights")
    with pytest.raises(PersonalizeAwaitedJobFailedError, match="no rights"):
        ended_by_airflow(arn, context())


@pytest.mark.parametrize("leniency", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("status", ["CREATE IN_PROGRESS", "CREATE FAILED"])
def test_a_lenient_sensor_skips_when_airflow_ended_the_deferral(
    status: str, leniency: str, service: Service, context: Context
) -> None:
    arn = add(service, "batch-inference-job", status)
    with pytest.raises(AirflowSkipException):
        ended_by_airflow(arn, context(), **{leniency: True})


def test_a_trigger_that_broke_is_not_looked_after(service: Service, context: Context) -> None:
    arn = add(service, "batch-inference-job", "ACTIVE")
    with pytest.raises(TaskDeferralError):
        sensor("batch-inference-job", arn, "deferred").resume_execution(
            "__fail__", {"error": "Trigger failure"}, context()
        )
