"""No room in the service, throttling, and an outage: waited out within one limit, in a worker or in the triggerer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.exceptions import TaskDeferralTimeout
from botocore.exceptions import ClientError, EndpointConnectionError

from airflow_provider_personalize.exceptions import (
    PersonalizeInputError,
    PersonalizeLimitError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks import patience
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.triggers.personalize import PersonalizeSlotTrigger
from tests.faults.clock import Clock

from .conftest import Log
from .service import SOLUTION, VERSION, Service
from .test_adoption import Build, created, every_kind, inference, names
from .test_waiting import finish, modes

Context = Callable[..., dict[str, Any]]
ONCE = {"retries": {"max_attempts": 0}}
refusals = pytest.mark.parametrize("refusal", ["LimitExceededException", "ResourceInUseException"])


@every_kind
@modes
@refusals
async def test_a_place_is_waited_for(
    refusal: str, mode: str, create: str, build: Build, service: Service, context: Context
) -> None:
    service.refuse(create, refusal, "More than 5 resources with PENDING or IN_PROGRESS status.", times=3)
    operator = build(wait_for_completion=True, deferrable=mode == "deferred")
    assert await finish(operator, context(), mode) in service.resources
    assert len(service.called(create)) == 4
    assert created(service) == 1


@every_kind
@refusals
def test_a_deferrable_task_holds_no_worker_while_it_waits_for_a_place(
    refusal: str, create: str, build: Build, service: Service, context: Context
) -> None:
    service.refuse(create, refusal)
    begin = time.time()
    with pytest.raises(TaskDeferred) as caught:
        build(wait_for_completion=True, deferrable=True, waiter_delay=60).execute(context())
    assert isinstance(caught.value.trigger, PersonalizeSlotTrigger)
    # Jitter makes a pause up to a quarter shorter, and the next one may be twice as long.
    assert 45 <= caught.value.trigger.until - begin <= 61
    assert caught.value.method_name == "create_again"
    assert caught.value.kwargs == {"began": pytest.approx(begin, abs=5), "pause": 120}


@every_kind
@modes
@refusals
async def test_a_place_that_never_comes_fails_within_the_limit_and_says_what_was_asked_for(
    refusal: str, mode: str, create: str, build: Build, service: Service, context: Context
) -> None:
    service.refuse(create, refusal, "More than 5 resources", times=1000)
    operator = build(wait_for_completion=True, deferrable=mode == "deferred", waiter_delay=60, waiter_max_attempts=8)
    with pytest.raises(PersonalizeLimitError, match=r"no room within 480 seconds.*More than 5 resources") as caught:
        await finish(operator, context(), mode)
    error = caught.value
    assert (error.job_arn, error.status) == (None, None)
    assert "More than 5 resources" in str(error.failure_reason)
    assert (error.input_uri is None) == (create == "CreateSolutionVersion")


def test_the_wait_for_a_place_and_the_wait_for_the_job_share_one_limit(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.statuses = ["CREATE IN_PROGRESS"]
    began = time.time() - 400
    deferred = inference(job_name="one", wait_for_completion=True, deferrable=True, waiter_max_attempts=10)
    with pytest.raises(TaskDeferred) as caught:
        deferred.create_again(context(), {"status": "slot"}, began=began, pause=60.0)
    assert caught.value.trigger.deadline == began + 600

    deadlines: list[float] = []
    waiting = inference(job_name="two", wait_for_completion=True, waiter_max_attempts=10)
    monkeypatch.setattr(
        waiting.hook, "wait_until_active", lambda *_, deadline, **__: deadlines.append(deadline) or {"status": "ACTIVE"}
    )
    waiting.create_again(context(), {"status": "slot"}, began=began, pause=60.0)
    assert deadlines == [began + 600]


def test_the_execution_timeout_spans_all_deferrals_of_a_task(service: Service, context: Context) -> None:
    service.refuse("CreateBatchInferenceJob", "LimitExceededException", times=2)
    operator = inference(wait_for_completion=True, deferrable=True, execution_timeout=timedelta(minutes=10))
    with pytest.raises(TaskDeferred) as first:
        operator.execute(context())
    assert first.value.timeout.total_seconds() == pytest.approx(600, abs=5)
    with pytest.raises(TaskDeferred) as second:
        operator.create_again(context(), {"status": "slot"}, began=time.time() - 400, pause=60.0)
    assert second.value.timeout.total_seconds() == pytest.approx(200, abs=5)


@every_kind
@pytest.mark.parametrize("name", [None, "job"])
def test_a_wait_for_a_place_that_airflow_ended_says_what_was_asked_for(
    name: str | None, create: str, build: Build, service: Service, context: Context
) -> None:
    service.refuse(create, "LimitExceededException")
    here = context()
    arguments = {"wait_for_completion": True, "deferrable": True, "execution_timeout": timedelta(minutes=1)}
    with pytest.raises(TaskDeferred):
        build(job_name=name, **arguments).execute(here)
    [asked_for] = names(service, create)
    with pytest.raises(PersonalizeLimitError, match=f"'{asked_for}' found no room within 60 seconds") as caught:
        build(job_name=name, **arguments).resume_execution("__fail__", {"error": "Trigger timeout"}, here)
    assert (caught.value.job_arn, caught.value.status) == (None, None)
    assert (caught.value.input_uri is None) == (create == "CreateSolutionVersion")
    assert isinstance(caught.value.__cause__, TaskDeferralTimeout)


@pytest.mark.parametrize("policy", ["adopt", "rename", "fail"])
async def test_a_name_that_was_free_before_the_wait_for_a_place_is_ones_own_after_it(
    policy: str, service: Service, context: Context
) -> None:
    service.refuse("CreateBatchInferenceJob", "LimitExceededException", times=2)
    operator = inference(job_name="job", if_exists=policy, wait_for_completion=True, deferrable=True)
    assert (await finish(operator, context(), "deferred")).endswith("/job")


async def test_a_place_taken_by_a_job_of_the_same_request_ends_in_its_reuse(service: Service, context: Context) -> None:
    twin = inference().execute(context(run_id="twin", store=None))
    service.resources[twin].update(status="CREATE IN_PROGRESS", creationDateTime=time.time())
    service.set_statuses(twin, "CREATE IN_PROGRESS")
    service.refuse("CreateBatchInferenceJob", "LimitExceededException")
    here = context()
    operator = inference(wait_for_completion=True, deferrable=True, max_age=3600)
    with pytest.raises(TaskDeferred):
        operator.execute(here)
    service.resources[twin]["status"] = "ACTIVE"
    service.set_statuses(twin, "ACTIVE")
    assert operator.create_again(here, {"status": "slot"}, began=time.time(), pause=1.0) == twin
    assert created(service) == 1


def test_a_model_that_failed_is_not_waited_for(service: Service, context: Context) -> None:
    version = service.add("solution-version", "v", "CREATE FAILED", arn=VERSION, failureReason="too few users")
    service.refuse("CreateBatchInferenceJob", "ResourceInUseException", times=1000)
    with pytest.raises(PersonalizeInputError, match=f"{version} is CREATE FAILED: too few users"):
        inference().execute(context())


# Throttling and outages -----------------------------------------------------------------------------------------------


@every_kind
@modes
@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "TooManyRequestsException", "ServiceUnavailableException", "LimitExceededException"],
)
async def test_a_busy_service_is_asked_again_wherever_it_is_busy(
    code: str, mode: str, create: str, build: Build, service: Service, context: Context
) -> None:
    operator = build(wait_for_completion=True, deferrable=mode == "deferred", botocore_config=ONCE)
    for operation in (create, operator.resource.describe_operation.title().replace("_", "")):
        service.refuse(operation, code, times=6)
    assert await finish(operator, context(), mode) in service.resources
    assert service.refusals == []
    assert created(service) == 1


@every_kind
def test_a_busy_service_is_asked_again_for_ones_own_job(
    create: str, build: Build, service: Service, context: Context
) -> None:
    first = build().execute(context(store=None))
    operator = build(botocore_config=ONCE)
    service.refuse(operator.resource.describe_operation.title().replace("_", ""), "ThrottlingException", times=6)
    service.refuse("ListSolutionVersions", "ThrottlingException", times=6)
    assert operator.execute(context(store=None)) == first


def test_throttling_that_does_not_end_fails_within_the_limit(service: Service, context: Context) -> None:
    service.refuse("CreateBatchInferenceJob", "ThrottlingException", "Rate exceeded", times=10_000)
    with pytest.raises(PersonalizeLimitError, match="Rate exceeded"):
        inference(waiter_delay=60, waiter_max_attempts=5, botocore_config=ONCE).execute(context())


def test_a_first_look_that_is_throttled_to_the_end_names_the_job(service: Service, context: Context) -> None:
    service.refuse("DescribeBatchInferenceJob", "ThrottlingException", "Rate exceeded", times=10_000)
    operator = inference(wait_for_completion=True, waiter_delay=60, waiter_max_attempts=5, botocore_config=ONCE)
    with pytest.raises(PersonalizeWaitError, match="Rate exceeded") as caught:
        operator.execute(context())
    assert caught.value.job_arn in service.resources
    assert (caught.value.input_uri, caught.value.output_uri) == ("s3://in/a", "s3://out/")


@modes
async def test_a_connection_that_breaks_is_made_again(mode: str, service: Service, context: Context) -> None:
    service.statuses = ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]
    service.unreachable = {"CreateBatchInferenceJob": 2, "DescribeBatchInferenceJob": 4}
    operator = inference(wait_for_completion=True, deferrable=mode == "deferred", botocore_config=ONCE)
    assert await finish(operator, context(), mode) in service.resources
    assert created(service) == 1


def test_an_endpoint_that_nobody_answers_at_is_an_error_long_before_the_limit(
    service: Service, context: Context, clock: Clock
) -> None:
    service.unreachable = {"CreateBatchInferenceJob": 10_000}
    with pytest.raises(EndpointConnectionError):
        inference(botocore_config=ONCE).execute(context())
    assert patience.OUTAGE_LIMIT - patience.LONGEST_PAUSE <= clock.slept <= patience.OUTAGE_LIMIT


def refused(code: str, status: int = 400, operation: str = "DescribeBatchInferenceJob") -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (refused("ThrottlingException"), True),
        (refused("Unheard Of", 429), True),
        (refused("500", 500), True),
        (refused("Unheard Of", 503), True),
        (refused("ServiceUnavailable", 503), True),
        (EndpointConnectionError(endpoint_url="http://x"), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (refused("AccessDeniedException"), False),
        (refused("ResourceNotFoundException"), False),
        (refused("ExpiredTokenException", 403), False),
        (refused("LimitExceededException"), True),
        (refused("LimitExceededException", operation="ListBatchInferenceJobs"), True),
        (refused("LimitExceededException", operation="GetSolutionMetrics"), True),
        (refused("LimitExceededException", operation="CreateBatchInferenceJob"), False),
        (patience.botocore_exceptions.SSLError(endpoint_url="https://x", error="self-signed"), False),
        (patience.botocore_exceptions.NoCredentialsError(), False),
        (PermissionError(), False),
        (ValueError(), False),
    ],
    ids=str,
)
def test_what_passes_by_itself(error: Exception, passing: bool) -> None:
    assert patience.passes(error) is passing


# How long it usually takes --------------------------------------------------------------------------------------------


def history(service: Service, kind: str, minutes: list[int], status: str = "ACTIVE", **members: Any) -> None:
    for number, each in enumerate(minutes):
        arn = service.add(kind, f"{kind}-{status}-{number}-{len(service.resources)}", status, **members)
        began = 1_700_000_000 + len(service.resources) * 3600
        service.resources[arn].update(creationDateTime=began, lastUpdatedDateTime=began + each * 60)


def test_the_median_is_asked_for_with_the_longest_page(service: Service, context: Context) -> None:
    usual(service, context)
    assert [call["maxResults"] for call in service.called("ListBatchInferenceJobs")] == [100]


def usual(service: Service, context: Context, **arguments: Any) -> float | None:
    service.statuses = ["CREATE PENDING"]
    with pytest.raises(TaskDeferred) as caught:
        inference(wait_for_completion=True, deferrable=True, **arguments).execute(context())
    return caught.value.trigger.usual_seconds


def test_the_median_is_of_the_last_ten_active_jobs_of_the_solution(service: Service, context: Context) -> None:
    kind = "batch-inference-job"
    history(service, kind, [900] * 5, solutionVersionArn=f"{SOLUTION}/older")
    history(service, kind, [20, 22, 24, 26, 28], solutionVersionArn=f"{SOLUTION}/old")
    history(service, kind, [30, 32, 34, 36, 38], solutionVersionArn=VERSION)
    history(service, kind, [1] * 20, "CREATE FAILED", solutionVersionArn=VERSION)
    history(service, kind, [1] * 20, solutionVersionArn=f"{SOLUTION}-2/1")
    assert usual(service, context) == 29 * 60
    assert len(service.called("ListBatchInferenceJobs")) == 1


def test_a_first_job_has_no_median(service: Service, context: Context) -> None:
    assert usual(service, context) is None


def test_no_task_fails_for_a_median(service: Service, context: Context) -> None:
    service.refuse("ListBatchInferenceJobs", "AccessDeniedException")
    assert usual(service, context) is None


def test_a_job_that_is_finished_already_has_no_need_for_one(service: Service, context: Context) -> None:
    inference(wait_for_completion=True).execute(context())
    assert service.called("ListBatchInferenceJobs") == []


def test_a_worker_says_each_status_once_with_the_time_and_the_median(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    monkeypatch.setattr(PersonalizeHook, "log", Log(log))
    history(service, "batch-inference-job", [27], solutionVersionArn=VERSION)
    service.statuses = [*["CREATE PENDING"] * 3, *["CREATE IN_PROGRESS"] * 3, "ACTIVE"]
    inference(wait_for_completion=True).execute(context())
    said = [line for line in log if "the median" in line]
    assert len(said) == 3
    assert all("(the last ones took 0:27:00, the median)" in line for line in said)
