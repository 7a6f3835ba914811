"""Every status in every mode of an operator, one limit in all of them, and errors that say what happened."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout

from airflow_provider_personalize.exceptions import (
    PersonalizeJobFailedError,
    PersonalizeJobTimeoutError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.waiting import Watch
from airflow_provider_personalize.triggers.personalize import PersonalizeTrigger
from tests.faults.clock import Clock

from .service import Service
from .test_adoption import KINDS, Build, inference, load, segment, train

Context = Callable[..., dict[str, Any]]
BUILDS = list(KINDS.values())


async def run(trigger: PersonalizeTrigger) -> dict[str, Any]:
    # As the triggerer does: from its serialised form.
    again = type(trigger)(**trigger.serialize()[1])
    return await anext(event.payload async for event in again.run())


async def finish(operator: Any, here: dict[str, Any], mode: str) -> str:
    if mode == "sync":
        return operator.execute(here)
    go_on = partial(operator.execute, here)
    while True:
        try:
            return go_on()
        except TaskDeferred as deferred:
            event = await run(deferred.trigger)
            # What the metadata database keeps meanwhile is text.
            kept = json.loads(json.dumps({**(deferred.kwargs or {}), "event": event}))
            go_on = partial(operator.resume_execution, deferred.method_name, kept, here)


modes = pytest.mark.parametrize("mode", ["sync", "deferred"])
kinds = pytest.mark.parametrize("build", BUILDS, ids=KINDS.keys())


@kinds
@modes
@pytest.mark.parametrize("way", [["ACTIVE"], ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]], ids=" > ".join)
async def test_active_is_success(way: list[str], mode: str, build: Build, service: Service, context: Context) -> None:
    service.statuses = way
    operator = build(wait_for_completion=True, deferrable=mode == "deferred")
    arn = await finish(operator, context(), mode)
    assert service.resources[arn]["status"] == "ACTIVE"


@modes
@pytest.mark.parametrize(
    "way",
    [
        ["PENDING", "IN PROGRESS", "ACTIVE"],
        ["CREATE PENDING", "SOMETHING NEW", "ACTIVE"],
        ["CREATE_PENDING", "CREATE IN PROGRESS", "ACTIVE"],
    ],
    ids=" > ".join,
)
async def test_active_is_success_whatever_comes_before(
    way: list[str], mode: str, service: Service, context: Context
) -> None:
    service.statuses = way
    operator = inference(wait_for_completion=True, deferrable=mode == "deferred")
    arn = await finish(operator, context(), mode)
    assert service.resources[arn]["status"] == "ACTIVE"


@kinds
@modes
@pytest.mark.parametrize(
    "way", [["CREATE FAILED"], ["CREATE IN_PROGRESS", "CREATE FAILED"], ["CREATE_FAILED"]], ids=" > ".join
)
async def test_a_failure_carries_arn_status_and_the_services_reason(
    way: list[str], mode: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses, service.failure_reason = way, "Invalid S3 input path"
    operator = build(wait_for_completion=True, deferrable=mode == "deferred")
    with pytest.raises(PersonalizeJobFailedError, match="Invalid S3 input path") as caught:
        await finish(operator, context(), mode)
    error = caught.value
    assert error.job_arn in service.resources
    assert error.job_arn in str(error)
    assert (error.status, error.failure_reason) == (way[-1], "Invalid S3 input path")


@modes
@pytest.mark.parametrize(
    ("build", "ends"),
    [
        (inference, ("s3://in/a", "s3://out/")),
        (segment, ("s3://in/a", "s3://out/")),
        (load, ("s3://in/items.csv", None)),
    ],
)
async def test_a_failure_says_where_the_job_read_and_wrote(
    build: Build, ends: tuple[str, str | None], mode: str, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE IN_PROGRESS", "CREATE FAILED"]
    with pytest.raises(PersonalizeJobFailedError) as caught:
        await finish(build(wait_for_completion=True, deferrable=mode == "deferred"), context(), mode)
    assert (caught.value.input_uri, caught.value.output_uri) == ends


@modes
@pytest.mark.parametrize("status", ["CREATE STOPPED", "CREATE_STOPPED"])
async def test_a_stopped_training_is_a_failure(mode: str, status: str, service: Service, context: Context) -> None:
    service.statuses = ["CREATE STOPPING", status]
    with pytest.raises(PersonalizeJobFailedError) as caught:
        await finish(train(wait_for_completion=True, deferrable=mode == "deferred"), context(), mode)
    assert caught.value.status == status


@kinds
@modes
async def test_the_limit_ends_the_wait_with_the_last_status(
    mode: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE IN_PROGRESS"]
    operator = build(wait_for_completion=True, deferrable=mode == "deferred", waiter_delay=60, waiter_max_attempts=5)
    with pytest.raises(PersonalizeJobTimeoutError, match="was still CREATE IN_PROGRESS after 300 seconds") as caught:
        await finish(operator, context(), mode)
    assert caught.value.job_arn in service.resources
    assert caught.value.status == "CREATE IN_PROGRESS"
    assert "a retry adopts it. If it is ACTIVE by the time you look, mark the task as a success" in str(caught.value)


def throttle_polls(operator: Any, service: Service, times: int) -> None:
    """Throttle what comes after the first look at the job, which is not the wait's."""
    look = operator.hook.describe_created

    def first(*arguments: Any) -> Any:
        description = look(*arguments)
        service.refuse("DescribeBatchInferenceJob", "ThrottlingException", "Rate exceeded", times)
        return description

    operator.hook.describe_created = first


@modes
async def test_the_limit_holds_when_every_poll_is_throttled(
    mode: str, service: Service, context: Context, clock: Clock
) -> None:
    service.statuses = ["CREATE IN_PROGRESS"]
    operator = inference(
        wait_for_completion=True,
        deferrable=mode == "deferred",
        waiter_delay=60,
        waiter_max_attempts=10,
        botocore_config={"retries": {"max_attempts": 0}},
    )
    throttle_polls(operator, service, times=1000)
    with pytest.raises(PersonalizeJobTimeoutError, match=r"as far as could be seen \(.*Rate exceeded"):
        await finish(operator, context(), mode)
    assert 599 <= clock.slept <= 600
    # The first look, one at each poll, and the last one at the limit.
    assert 11 <= len(service.called("DescribeBatchInferenceJob")) <= 14


@modes
async def test_a_few_throttled_polls_do_not_fail_the_task(mode: str, service: Service, context: Context) -> None:
    service.statuses = ["CREATE IN_PROGRESS", "CREATE IN_PROGRESS", "ACTIVE"]
    operator = inference(
        wait_for_completion=True,
        deferrable=mode == "deferred",
        botocore_config={"retries": {"max_attempts": 0}},
    )
    throttle_polls(operator, service, times=3)
    assert await finish(operator, context(), mode) in service.resources


def test_a_job_that_became_active_at_the_limit_is_not_late(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "is_over", True)
    service.statuses = ["CREATE IN_PROGRESS", "ACTIVE"]
    arn = inference(wait_for_completion=True).execute(context())
    assert service.resources[arn]["status"] == "ACTIVE"


def test_a_job_that_became_active_after_the_trigger_gave_up_is_not_late(service: Service, context: Context) -> None:
    arn = inference().execute(context())
    event = {"status": "timeout", "kind": "batch-inference-job", "arn": arn, "message": "late", "facts": {}}
    assert inference().execute_complete(context(), event=event) == arn


@kinds
def test_without_waiting_nothing_is_described(build: Build, service: Service, context: Context) -> None:
    build(wait_for_completion=False, deferrable=True).execute(context())
    assert [operation for operation, _ in service.calls if operation.startswith("Describe")] == []


def test_a_job_that_is_finished_already_is_not_deferred(service: Service, context: Context) -> None:
    arn = inference(wait_for_completion=True, deferrable=True).execute(context())
    assert len(service.called("DescribeBatchInferenceJob")) == 1
    assert arn in service.resources


def test_a_job_that_the_service_does_not_know_of_at_once_is_looked_for_again(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_personalize.hooks.personalize.time.sleep", lambda _: None)
    service.refuse("DescribeBatchInferenceJob", "ResourceNotFoundException", times=2)
    assert inference(wait_for_completion=True).execute(context()) in service.resources


def deferral(operator: Any, here: dict[str, Any]) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(here)
    return caught.value


def test_the_trigger_gets_connection_region_verify_and_client_configuration(service: Service, context: Context) -> None:
    service.statuses = ["CREATE PENDING"]
    operator = inference(
        wait_for_completion=True,
        deferrable=True,
        region_name="eu-west-1",
        verify=False,
        botocore_config={"read_timeout": 7},
    )
    arguments = deferral(operator, context()).trigger.serialize()[1]
    assert arguments["aws_conn_id"] == "aws_default"
    assert (arguments["region_name"], arguments["verify"]) == ("eu-west-1", False)
    assert arguments["botocore_config"] == {"read_timeout": 7}


def test_the_limit_of_a_deferred_wait_is_an_absolute_time(service: Service, context: Context) -> None:
    service.statuses = ["CREATE PENDING"]
    operator = inference(wait_for_completion=True, deferrable=True, waiter_delay=30, waiter_max_attempts="120")
    trigger = deferral(operator, context()).trigger
    assert trigger.deadline == pytest.approx(time.time() + 3600, abs=5)
    assert trigger.waiter_delay == 30


def test_a_connection_that_asks_for_frequent_polls_does_not_shorten_the_limit(
    service: Service, context: Context
) -> None:
    service.statuses = ["CREATE PENDING"]
    trigger = deferral(inference(wait_for_completion=True, deferrable=True), context()).trigger
    assert trigger.waiter_delay == 30
    assert trigger.deadline == pytest.approx(time.time() + 24 * 3600, abs=5)


@pytest.mark.parametrize(
    ("execution_timeout", "expected"), [(None, 60 * 10 + 120), (timedelta(seconds=90), 90), (timedelta(days=9), 720)]
)
def test_a_deferral_ends_with_the_execution_timeout_or_soon_after_the_limit(
    execution_timeout: timedelta | None, expected: float, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE PENDING"]
    operator = inference(
        wait_for_completion=True, deferrable=True, waiter_max_attempts=10, execution_timeout=execution_timeout
    )
    assert deferral(operator, context()).timeout.total_seconds() == pytest.approx(expected, abs=5)


def test_a_deferral_that_timed_out_names_its_job(service: Service, context: Context) -> None:
    service.statuses = ["CREATE IN_PROGRESS"]
    here = context()
    deferral(inference(wait_for_completion=True, deferrable=True), here)
    resumed = inference(wait_for_completion=True, deferrable=True)
    with pytest.raises(PersonalizeJobTimeoutError) as caught:
        resumed.resume_execution("__fail__", {"error": "Trigger timeout"}, here)
    assert caught.value.job_arn in service.resources


def test_a_deferral_that_timed_out_without_a_state_store_stays_what_it_is(service: Service, context: Context) -> None:
    with pytest.raises(TaskDeferralTimeout):
        inference().resume_execution("__fail__", {"error": "Trigger timeout"}, context(store=None))


def test_a_trigger_that_broke_is_not_a_success(service: Service, context: Context) -> None:
    with pytest.raises(TaskDeferralError):
        inference().resume_execution("__fail__", {"error": "Trigger failure"}, context())


EVENT = {"kind": "batch-inference-job", "arn": "arn:job", "message": "no", "facts": {}}


@pytest.mark.parametrize("status", ["error", "running", "", None])
def test_every_event_that_is_not_a_success_is_an_error(status: str | None, context: Context) -> None:
    with pytest.raises(PersonalizeWaitError, match="arn:job could not be watched: no"):
        inference().execute_complete(context(), event={**EVENT, "status": status})


def test_no_event_at_all_is_an_error(context: Context) -> None:
    with pytest.raises(Exception, match="event is None"):
        inference().execute_complete(context(), event=None)


REFUSALS = pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException"])


def assert_is_told_with_the_job(error: PersonalizeWaitError, code: str, status: str | None, service: Service) -> None:
    [arn] = service.resources
    assert str(error).startswith(f"Amazon Personalize batch inference job {arn} could not be watched: ClientError: ")
    assert f"({code})" in str(error)
    assert str(error).endswith("not for you (input: s3://in/a, output: s3://out/)")
    assert (error.job_arn, error.status, error.input_uri, error.output_uri) == (arn, status, "s3://in/a", "s3://out/")


@modes
@REFUSALS
async def test_being_refused_at_the_first_look_is_told_with_the_job(
    code: str, mode: str, service: Service, context: Context
) -> None:
    service.refuse("DescribeBatchInferenceJob", code, "not for you")
    with pytest.raises(PersonalizeWaitError) as caught:
        await finish(inference(wait_for_completion=True, deferrable=mode == "deferred"), context(), mode)
    assert_is_told_with_the_job(caught.value, code, None, service)


@modes
@REFUSALS
@pytest.mark.parametrize("polls", [0, 2])
async def test_being_refused_while_polling_is_told_with_the_job(
    polls: int, code: str, mode: str, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE PENDING", "CREATE IN_PROGRESS"]
    service.refuse_from("DescribeBatchInferenceJob", 2 + polls, code, "not for you")
    with pytest.raises(PersonalizeWaitError) as caught:
        await finish(inference(wait_for_completion=True, deferrable=mode == "deferred"), context(), mode)
    # A trigger sees the job anew; without a poll of its own it knows of no status.
    seen = "CREATE IN_PROGRESS" if polls else "CREATE PENDING" if mode == "sync" else None
    assert_is_told_with_the_job(caught.value, code, seen, service)


@modes
async def test_being_refused_the_last_look_is_told_with_the_job(
    mode: str, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "is_over", True)
    service.statuses = ["CREATE IN_PROGRESS"]
    service.refuse_from("DescribeBatchInferenceJob", 2, "AccessDeniedException", "not for you")
    with pytest.raises(PersonalizeWaitError) as caught:
        await finish(inference(wait_for_completion=True, deferrable=mode == "deferred"), context(), mode)
    seen = "CREATE IN_PROGRESS" if mode == "sync" else None
    assert_is_told_with_the_job(caught.value, "AccessDeniedException", seen, service)


def test_being_refused_the_last_look_after_airflow_ended_the_deferral_is_told_with_the_job(
    service: Service, context: Context
) -> None:
    service.statuses = ["CREATE IN_PROGRESS"]
    here = context()
    deferral(inference(wait_for_completion=True, deferrable=True), here)
    service.refuse("DescribeBatchInferenceJob", "AccessDeniedException", "not for you")
    with pytest.raises(PersonalizeWaitError) as caught:
        inference().resume_execution("__fail__", {"error": "Trigger timeout"}, here)
    assert_is_told_with_the_job(caught.value, "AccessDeniedException", None, service)


async def test_a_connection_that_is_gone_while_the_task_is_deferred_is_told_with_the_job(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.statuses = ["CREATE PENDING"]
    # The role is the connection's, so that the request cannot be made any more either.
    operator, here = inference(wait_for_completion=True, deferrable=True, role_arn=None), context()
    deferred = deferral(operator, here)
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    event = await run(deferred.trigger)
    resumed = inference(wait_for_completion=True, deferrable=True, role_arn=None)
    with pytest.raises(PersonalizeWaitError, match="'aws_default' does not exist") as caught:
        resumed.execute_complete(here, event=event)
    assert caught.value.job_arn in service.resources
