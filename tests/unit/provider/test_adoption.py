"""A retry never pays twice, a clear starts over, and a name that is taken by something else is an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_personalize.exceptions import PersonalizeConflictError, PersonalizeLimitError
from airflow_provider_personalize.hooks.personalize import LISTED_WITHIN
from airflow_provider_personalize.operators.base import PersonalizeJobOperator
from airflow_provider_personalize.operators.batch_jobs import (
    PersonalizeBatchInferenceJobOperator,
    PersonalizeBatchSegmentJobOperator,
)
from airflow_provider_personalize.operators.training import (
    MOST_VERSIONS,
    PersonalizeDatasetImportJobOperator,
    PersonalizeSolutionVersionOperator,
)

from .service import ACCOUNT, ROLE, SOLUTION, VERSION, Service

Context = Callable[..., dict[str, Any]]
Build = Callable[..., PersonalizeJobOperator]


def inference(**arguments: Any) -> PersonalizeJobOperator:
    given = {"solution_version_arn": VERSION, "input_uri": "s3://in/a", "output_uri": "s3://out/", "role_arn": ROLE}
    return PersonalizeBatchInferenceJobOperator(**{"task_id": "t", "wait_for_completion": False, **given, **arguments})


def segment(**arguments: Any) -> PersonalizeJobOperator:
    given = {"solution_version_arn": VERSION, "input_uri": "s3://in/a", "output_uri": "s3://out/", "role_arn": ROLE}
    return PersonalizeBatchSegmentJobOperator(**{"task_id": "t", "wait_for_completion": False, **given, **arguments})


def load(**arguments: Any) -> PersonalizeJobOperator:
    given = {"dataset_arn": f"{ACCOUNT}:dataset/shop/ITEMS", "data_location": "s3://in/items.csv", "role_arn": ROLE}
    return PersonalizeDatasetImportJobOperator(**{"task_id": "t", "wait_for_completion": False, **given, **arguments})


def train(**arguments: Any) -> PersonalizeJobOperator:
    if "job_name" in arguments:
        arguments["name"] = arguments.pop("job_name")
    given = {"solution_arn": SOLUTION, "training_mode": "FULL"}
    return PersonalizeSolutionVersionOperator(**{"task_id": "t", "wait_for_completion": False, **given, **arguments})


KINDS = {
    "CreateBatchInferenceJob": inference,
    "CreateBatchSegmentJob": segment,
    "CreateDatasetImportJob": load,
    "CreateSolutionVersion": train,
}
every_kind = pytest.mark.parametrize(("create", "build"), KINDS.items(), ids=KINDS.keys())


def names(service: Service, create: str) -> list[str]:
    return [call.get("jobName") or call["name"] for call in service.called(create)]


def created(service: Service) -> int:
    return len(service.resources)


@every_kind
def test_a_retry_with_the_state_store_asks_for_no_second_job(
    create: str, build: Build, service: Service, context: Context
) -> None:
    first = build().execute(context(max_tries=2))
    assert build().execute(context(max_tries=2)) == first
    assert len(service.called(create)) == 1


@every_kind
def test_a_retry_without_the_state_store_finds_the_job_by_its_name(
    create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE IN_PROGRESS"]
    first = build(retries=2).execute(context(max_tries=2, store=None))
    assert build(retries=2).execute(context(max_tries=2, store=None)) == first
    assert created(service) == 1


@every_kind
def test_a_clear_starts_a_new_job(create: str, build: Build, service: Service, context: Context) -> None:
    first = build(retries=2).execute(context(max_tries=2))
    # Cleared after its first attempt: Airflow adds the attempts made to the retries.
    assert build(retries=2).execute(context(max_tries=3)) != first
    assert len(set(names(service, create))) == 2


@every_kind
def test_another_run_and_another_mapped_task_have_jobs_of_their_own(
    create: str, build: Build, service: Service, context: Context
) -> None:
    arns = {
        build().execute(context(store=None, **place))
        for place in ({}, {"run_id": "manual__2"}, {"map_index": 0}, {"map_index": 1})
    }
    assert len(arns) == 4


@every_kind
def test_a_failed_job_gives_way_to_the_next_name_and_that_one_is_adopted(
    create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE FAILED"]
    build().execute(context())
    service.statuses = ["CREATE IN_PROGRESS"]
    second = build().execute(context())
    for store in ({}, {"store": None}):
        assert build().execute(context(**store)) == second
    first_name = names(service, create)[0]
    assert set(names(service, create)) == {first_name, f"{first_name}-2"}
    assert created(service) == 2


@every_kind
def test_names_go_on_counting_while_jobs_fail(create: str, build: Build, service: Service, context: Context) -> None:
    service.statuses = ["CREATE FAILED"]
    for _ in range(3):
        build(job_name="job").execute(context())
    assert list(dict.fromkeys(names(service, create))) == ["job", "job-2", "job-3"]


@every_kind
def test_a_name_taken_by_the_same_request_is_adopted_loudly(
    create: str, build: Build, service: Service, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build(job_name="job").execute(context(run_id="one", store=None))
    capsys.readouterr()
    assert build(job_name="job").execute(context(run_id="two", store=None)) == first
    said = capsys.readouterr().out
    assert "ADOPTING" in said
    assert first in said


@pytest.mark.parametrize(
    ("build", "before", "after", "said"),
    [
        (inference, {}, {"num_results": 10}, "numResults: asked for 10, the existing one has None"),
        (
            segment,
            {},
            {"output_uri": "s3://other/"},
            "jobOutput.s3DataDestination.path: asked for 's3://other/', the existing one has 's3://out/'",
        ),
        (load, {"import_mode": "FULL"}, {"import_mode": "INCREMENTAL"}, "importMode: asked for 'INCREMENTAL'"),
        (train, {}, {"training_mode": "UPDATE"}, "trainingMode: asked for 'UPDATE', the existing one has 'FULL'"),
    ],
)
def test_a_name_taken_by_another_request_fails_for_good_and_names_the_field(
    build: Build, before: dict[str, Any], after: dict[str, Any], said: str, service: Service, context: Context
) -> None:
    build(job_name="job", **before).execute(context(store=None))
    with pytest.raises(PersonalizeConflictError) as caught:
        build(job_name="job", **after).execute(context(store=None))
    assert said in str(caught.value)
    assert caught.value.differences
    assert caught.value.arn in service.resources


def test_a_failed_job_does_not_stand_in_the_way_of_a_mended_request(service: Service, context: Context) -> None:
    service.statuses = ["CREATE FAILED"]
    inference(job_name="job", input_uri="s3://wrong/").execute(context())
    service.statuses = ["ACTIVE"]
    assert inference(job_name="job", input_uri="s3://right/").execute(context()).endswith("/job-2")


def test_a_stopped_training_counts_as_failed(service: Service, context: Context) -> None:
    service.statuses = ["CREATE STOPPED"]
    first = train().execute(context())
    assert train().execute(context()) != first


def test_a_retry_keeps_its_job_when_the_solution_has_a_newer_version(service: Service, context: Context) -> None:
    def add_version(number: int) -> None:
        service.add("solution-version", f"v{number}", arn=f"{SOLUTION}/{number}", solutionArn=SOLUTION)

    add_version(1)
    first = inference(solution_version_arn=None, solution_arn=SOLUTION).execute(context(store=None))
    add_version(2)
    retry = inference(solution_version_arn=None, solution_arn=SOLUTION)
    assert retry.execute(context(store=None)) == first


def test_the_job_of_another_solution_is_not_adopted(service: Service, context: Context) -> None:
    service.add("solution-version", "v", arn=f"{SOLUTION}-2/1", solutionArn=f"{SOLUTION}-2")
    inference(job_name="job").execute(context(store=None))
    with pytest.raises(PersonalizeConflictError, match="solutionArn"):
        inference(job_name="job", solution_version_arn=None, solution_arn=f"{SOLUTION}-2").execute(context(store=None))


@pytest.mark.parametrize("spelling", ["job", "for-you/job"])
def test_a_training_is_found_whichever_way_its_name_is_spelled(
    spelling: str, service: Service, context: Context
) -> None:
    arn = service.add("solution-version", spelling, arn=VERSION, solutionArn=SOLUTION, trainingMode="FULL")
    for number in range(3):
        service.add("solution-version", f"other{number}", arn=f"{SOLUTION}/{number}", solutionArn=SOLUTION)
    service.refuse("CreateSolutionVersion", "ResourceAlreadyExistsException")
    assert train(job_name="job").execute(context()) == arn


@pytest.mark.parametrize("named", [None, "job"])
@pytest.mark.parametrize("stored", [True, False], ids=["with a record", "without a record"])
def test_a_training_is_found_again_though_the_service_takes_a_name_twice(
    stored: bool, named: str | None, service: Service, context: Context
) -> None:
    service.version_names_are_unique = False
    service.statuses = ["CREATE IN_PROGRESS"]
    where: dict[str, Any] = {"max_tries": 2} | ({} if stored else {"store": None})
    first = train(job_name=named, retries=2).execute(context(**where))
    for attempt in (2, 3):
        assert train(job_name=named, retries=2).execute(context(**where, try_number=attempt)) == first
    assert created(service) == 1


def test_a_lost_answer_costs_no_second_training_though_the_service_takes_a_name_twice(
    service: Service, context: Context
) -> None:
    service.version_names_are_unique = False
    service.lost = ["CreateSolutionVersion"]
    arn = train().execute(context())
    assert list(service.resources) == [arn]
    # botocore itself did not ask again either.
    assert len(service.called("CreateSolutionVersion")) == 1


def test_a_lost_answer_costs_no_second_training_though_it_is_listed_late(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.version_names_are_unique = False
    service.lost = ["CreateSolutionVersion"]
    lost_at, list_ = [0.0], service._list

    def list_late(*arguments: Any) -> list[dict[str, Any]]:
        return list_(*arguments) if time.time() >= lost_at[0] + LISTED_WITHIN else []

    def create(*arguments: Any) -> str:
        lost_at[0] = time.time()
        return create_(*arguments)

    create_ = service._create
    monkeypatch.setattr(service, "_list", list_late)
    monkeypatch.setattr(service, "_create", create)
    arn = train().execute(context())
    assert list(service.resources) == [arn]


def test_a_training_that_was_not_asked_for_at_all_is_asked_for_again(service: Service, context: Context) -> None:
    service.unreachable = {"CreateSolutionVersion": 2}
    assert train().execute(context()) in service.resources
    assert len(service.called("CreateSolutionVersion")) == 3


def test_a_first_training_looks_for_no_other(service: Service, context: Context) -> None:
    train().execute(context())
    assert service.called("ListSolutionVersions") == []


def test_among_many_versions_only_the_newest_are_looked_at(service: Service, context: Context) -> None:
    for number in range(150):
        service.add("solution-version", f"v{number}", arn=f"{SOLUTION}/{number}", solutionArn=SOLUTION)
    train(retries=1).execute(context(max_tries=1, try_number=2, store=None))
    assert len(service.called("DescribeSolutionVersion")) == MOST_VERSIONS


def test_a_name_of_long_ago_is_described_by_the_arn_that_the_refusal_names(service: Service, context: Context) -> None:
    old = train(job_name="job").execute(context(run_id="long ago", store=None))
    for number in range(150):
        service.add("solution-version", f"v{number}", arn=f"{SOLUTION}/v{number}", solutionArn=SOLUTION)
    assert train(job_name="job").execute(context(store=None)) == old


def test_a_record_of_another_request_is_no_shortcut(service: Service, context: Context) -> None:
    first = inference().execute(context())
    assert inference(num_results=3).execute(context()) != first


def test_the_arn_is_written_down_before_anything_waits(service: Service, context: Context) -> None:
    service.refuse("DescribeBatchInferenceJob", "AccessDeniedException")
    here = context()
    with pytest.raises(Exception, match="AccessDenied"):
        inference(wait_for_completion=True).execute(here)
    assert here["task_state_store"].values["personalize_job"]["arn"] in service.resources


def test_a_state_store_that_does_not_work_costs_no_job(service: Service, context: Context) -> None:
    class Broken:
        def get(self, key: str) -> None:
            raise RuntimeError("no API server")

        def set(self, key: str, value: Any) -> None:
            raise RuntimeError("no API server")

    first = inference().execute(context(store=Broken()))
    assert inference().execute(context(store=Broken())) == first
    assert created(service) == 1


def test_no_xcom_is_needed_to_find_the_job_again(service: Service, context: Context) -> None:
    here = context(store=None)
    del here["ti"].xcom_push
    first = inference(do_xcom_push=False).execute(here)
    assert inference(do_xcom_push=False).execute(here) == first


@every_kind
def test_a_full_quota_is_waited_out(create: str, build: Build, service: Service, context: Context) -> None:
    service.refuse(create, "LimitExceededException", "More than 5 resources with PENDING or IN_PROGRESS status.", 3)
    assert build().execute(context()) in service.resources
    assert len(service.called(create)) == 4


@every_kind
def test_a_quota_that_stays_full_fails_within_the_waiting_limit(
    create: str, build: Build, service: Service, context: Context
) -> None:
    service.refuse(create, "LimitExceededException", "More than 5 resources", times=1000)
    with pytest.raises(PersonalizeLimitError, match="More than 5 resources"):
        build(waiter_delay=60, waiter_max_attempts=8).execute(context())
    assert created(service) == 0


def test_a_quota_that_this_very_job_fills_ends_in_its_adoption(service: Service, context: Context) -> None:
    service.statuses = ["CREATE IN_PROGRESS"]
    first = inference().execute(context(store=None))
    service.refuse("CreateBatchInferenceJob", "LimitExceededException", times=1000)
    assert inference().execute(context(store=None)) == first


def test_a_killed_task_says_that_its_job_runs_on(
    service: Service, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = inference()
    arn = operator.execute(context())
    capsys.readouterr()
    operator.on_kill()
    said = capsys.readouterr().out
    assert arn in said
    assert "no operation that stops it" in said
    assert "adopts it" in said


def test_a_task_that_is_killed_before_it_has_a_job_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    inference(aws_conn_id="does_not_exist").on_kill()
    assert capsys.readouterr().out == ""


def test_the_configured_prefix_begins_a_default_name(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__PERSONALIZE__JOB_NAME_PREFIX", "staging-")
    inference().execute(context())
    assert names(service, "CreateBatchInferenceJob")[0].startswith("staging-nightly-infer-")
