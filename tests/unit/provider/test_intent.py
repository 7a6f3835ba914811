"""Whose job is it: every case of a name that is taken, of a clear, and of a recent job of somebody else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.exceptions import (
    PersonalizeConflictError,
    PersonalizeConnectionError,
    PersonalizeInputError,
    PersonalizeJobTimeoutError,
)

from .conftest import Store
from .service import ROLE, SOLUTION, VERSION, Service
from .test_adoption import KINDS, Build, created, every_kind, inference, load, names, train

Context = Callable[..., dict[str, Any]]
policies = pytest.mark.parametrize("policy", ["adopt", "rename", "fail"])
RUNNING, DONE, FAILED = "CREATE IN_PROGRESS", "ACTIVE", "CREATE FAILED"
OTHER_REQUEST: dict[Build, dict[str, Any]] = {
    KINDS["CreateBatchInferenceJob"]: {"num_results": 7},
    KINDS["CreateBatchSegmentJob"]: {"num_results": 7},
    KINDS["CreateDatasetImportJob"]: {"import_mode": "INCREMENTAL"},
    KINDS["CreateSolutionVersion"]: {"training_mode": "UPDATE"},
}


def last_name(service: Service, arn: str) -> str:
    found = service.resources[arn]
    return str(found.get("jobName") or found["name"])


def put(service: Service, status: str, build: Build, context: Context, **arguments: Any) -> str:
    """A job named ``job`` of somebody else, in this status."""
    service.statuses = [status]
    arn = build(job_name="job", **arguments).execute(context(store=Store(), run_id="somebody else's"))
    service.statuses = [RUNNING]
    return arn


# The name is taken by a job of somebody else --------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("status", [RUNNING, DONE])
@pytest.mark.parametrize(
    ("policy", "expected"), [("adopt", "job"), ("rename", "job-2"), ("fail", PersonalizeConflictError)]
)
def test_a_job_of_the_same_request_that_is_not_ones_own(
    policy: str, expected: Any, status: str, create: str, build: Build, service: Service, context: Context
) -> None:
    other = put(service, status, build, context)
    if expected is PersonalizeConflictError:
        with pytest.raises(PersonalizeConflictError) as caught:
            build(job_name="job", if_exists=policy).execute(context(store=Store()))
        assert caught.value.arn == other
    else:
        arn = build(job_name="job", if_exists=policy).execute(context(store=Store()))
        assert last_name(service, arn) == expected
    assert created(service) == (2 if policy == "rename" else 1)


@every_kind
@pytest.mark.parametrize("status", [RUNNING, DONE])
@pytest.mark.parametrize(
    ("policy", "expected"),
    [("adopt", PersonalizeConflictError), ("rename", "job-2"), ("fail", PersonalizeConflictError)],
)
def test_a_job_of_another_request_that_is_not_ones_own(
    policy: str, expected: Any, status: str, create: str, build: Build, service: Service, context: Context
) -> None:
    put(service, status, build, context)
    operator = build(job_name="job", if_exists=policy, **OTHER_REQUEST[build])
    if expected is PersonalizeConflictError:
        with pytest.raises(PersonalizeConflictError):
            operator.execute(context(store=Store()))
        assert created(service) == 1
    else:
        assert last_name(service, operator.execute(context(store=Store()))) == expected


@every_kind
@pytest.mark.parametrize(
    ("policy", "expected"), [("adopt", "job-2"), ("rename", "job-2"), ("fail", PersonalizeConflictError)]
)
def test_a_failed_job_that_is_not_ones_own(
    policy: str, expected: Any, create: str, build: Build, service: Service, context: Context
) -> None:
    put(service, FAILED, build, context)
    operator = build(job_name="job", if_exists=policy)
    if expected is PersonalizeConflictError:
        with pytest.raises(PersonalizeConflictError, match="CREATE FAILED"):
            operator.execute(context(store=Store()))
    else:
        assert last_name(service, operator.execute(context(store=Store()))) == expected


class Killed(BaseException):
    """The worker is gone."""


def kill_in_create(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies when the service has done what it was asked for, before the answer has come."""
    send = operator.hook.create

    def die(*arguments: Any) -> None:
        send(*arguments)
        raise Killed

    monkeypatch.setattr(operator.hook, "create", die)


# No job of one's own has been asked for -------------------------------------------------------------------------------

SAME: dict[str, Any] = {}


@every_kind
@pytest.mark.parametrize(
    ("policy", "same", "status"),
    [
        *(("fail", same, status) for same in (True, False) for status in (RUNNING, DONE, FAILED)),
        *(("adopt", False, status) for status in (RUNNING, DONE)),
    ],
)
def test_a_clear_does_not_undo_a_conflict(
    policy: str, same: bool, status: str, create: str, build: Build, service: Service, context: Context
) -> None:
    other = put(service, status, build, context)
    request = SAME if same else OTHER_REQUEST[build]
    for clears in range(4):
        where = context(max_tries=clears, try_number=clears + 1, clear_number=clears)
        with pytest.raises(PersonalizeConflictError) as caught:
            build(job_name="job", if_exists=policy, **request).execute(where)
        assert caught.value.arn == other
    assert created(service) == 1


@every_kind
@pytest.mark.parametrize(("policy", "expected"), [("rename", "job-2"), ("adopt", "job")])
def test_a_conflict_is_undone_by_another_policy(
    policy: str, expected: str, create: str, build: Build, service: Service, context: Context
) -> None:
    put(service, RUNNING, build, context)
    with pytest.raises(PersonalizeConflictError):
        build(job_name="job", if_exists="fail").execute(context())
    arn = build(job_name="job", if_exists=policy).execute(context(max_tries=1, try_number=2))
    assert last_name(service, arn) == expected


def attempt_that_never_asks(build: Build, here: dict[str, Any], **arguments: Any) -> None:
    with pytest.raises(PersonalizeConnectionError):
        build(aws_conn_id="nobody_made_it", **arguments).execute(here)


next_attempts = pytest.mark.parametrize("again", [{"max_tries": 2}, {"max_tries": 3}], ids=["a retry", "a clear"])


@every_kind
@next_attempts
@pytest.mark.parametrize("status", [RUNNING, DONE])
@pytest.mark.parametrize(
    ("policy", "same", "expected"),
    [
        ("adopt", True, "job"),
        ("adopt", False, PersonalizeConflictError),
        ("rename", True, "job-2"),
        ("rename", False, "job-2"),
        ("fail", True, PersonalizeConflictError),
        ("fail", False, PersonalizeConflictError),
    ],
)
def test_the_policy_holds_as_at_first_after_an_attempt_that_died_before_it_asked(
    policy: str,
    same: bool,
    expected: Any,
    status: str,
    again: dict[str, int],
    create: str,
    build: Build,
    service: Service,
    context: Context,
) -> None:
    put(service, status, build, context)
    arguments = {"job_name": "job", "if_exists": policy, "retries": 2, **(SAME if same else OTHER_REQUEST[build])}
    attempt_that_never_asks(build, context(max_tries=2), **arguments)
    operator, here = build(**arguments), context(**again, try_number=2)
    if expected is PersonalizeConflictError:
        with pytest.raises(PersonalizeConflictError):
            operator.execute(here)
    else:
        assert last_name(service, operator.execute(here)) == expected
    assert created(service) == (2 if policy == "rename" else 1)


@every_kind
@policies
@next_attempts
def test_the_name_itself_is_asked_for_after_an_attempt_that_died_before_it_asked(
    again: dict[str, int], policy: str, create: str, build: Build, service: Service, context: Context
) -> None:
    arguments = {"job_name": "job", "if_exists": policy, "retries": 2}
    attempt_that_never_asks(build, context(max_tries=2), **arguments)
    assert last_name(service, build(**arguments).execute(context(**again, try_number=2))) == "job"


@policies
def test_nothing_is_asked_for_while_the_store_holds_what_would_be_wrong_then(
    policy: str, service: Service, context: Context
) -> None:
    class Full(Store):
        def set(self, key: str, value: Any) -> None:
            if self.values:
                raise RuntimeError("no API server")
            super().set(key, value)

    with pytest.raises(RuntimeError, match="no API server"):
        inference(job_name="job", if_exists=policy).execute(context(store=Full()))
    assert created(service) == 0


# The name is taken by one's own job -----------------------------------------------------------------------------------


@every_kind
@policies
@pytest.mark.parametrize("name", [None, "job"])
@pytest.mark.parametrize("stored", [True, False], ids=["with a record", "without a record"])
def test_a_retry_adopts_its_own_job_whatever_the_policy(
    stored: bool, name: str | None, policy: str, create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [RUNNING]
    place: dict[str, Any] = {"max_tries": 3} | ({} if stored else {"store": None})
    first = build(job_name=name, if_exists=policy, retries=3).execute(context(**place))
    for attempt in (2, 3):
        again = build(job_name=name, if_exists=policy, retries=3)
        assert again.execute(context(**place, try_number=attempt)) == first
    assert created(service) == 1


@every_kind
@policies
@pytest.mark.parametrize("name", [None, "job"])
def test_a_retry_adopts_the_job_whose_creation_was_not_answered(
    name: str | None, policy: str, create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [RUNNING]
    service.lost = [create]
    operator = build(job_name=name, if_exists=policy, botocore_config={"retries": {"max_attempts": 0}})
    arn = operator.execute(context())
    assert created(service) == 1
    assert last_name(service, arn) == (name or last_name(service, arn))


@every_kind
@policies
def test_a_retry_after_a_worker_died_during_the_create_call_finds_its_job(
    policy: str, create: str, build: Build, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.statuses = [RUNNING]
    operator = build(job_name="job", if_exists=policy, retries=1)
    kill_in_create(operator, monkeypatch)
    with pytest.raises(Killed):
        operator.execute(context(max_tries=1))
    arn = build(job_name="job", if_exists=policy, retries=1).execute(context(max_tries=1, try_number=2))
    assert last_name(service, arn) == "job"
    assert created(service) == 1


@every_kind
@policies
def test_a_retry_after_a_worker_died_in_the_create_call_of_a_cleared_task_finds_its_job(
    policy: str, create: str, build: Build, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"job_name": "job", "if_exists": policy, "retries": 2}
    build(**arguments).execute(context(max_tries=2))
    service.statuses = [RUNNING]
    operator = build(**arguments)
    kill_in_create(operator, monkeypatch)
    with pytest.raises(Killed):
        operator.execute(context(**CLEARED))
    arn = build(**arguments).execute(context(max_tries=3, try_number=3))
    assert last_name(service, arn) == "job-2"
    assert created(service) == 2


@every_kind
@policies
def test_a_retry_after_ones_own_job_failed_is_a_new_job(
    policy: str, create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [FAILED]
    build(job_name="job", if_exists=policy, retries=2).execute(context(max_tries=2))
    build(job_name="job", if_exists=policy, retries=2).execute(context(max_tries=2, try_number=2))
    service.statuses = [RUNNING]
    third = build(job_name="job", if_exists=policy, retries=2).execute(context(max_tries=2, try_number=3))
    assert last_name(service, third) == "job-3"
    assert created(service) == 3


@every_kind
@policies
@pytest.mark.parametrize("name", [None, "job"])
def test_ones_own_job_of_another_request_makes_way_for_a_new_one(
    name: str | None, policy: str, create: str, build: Build, service: Service, context: Context
) -> None:
    first = build(job_name=name, if_exists=policy, retries=1).execute(context(max_tries=1))
    changed = build(job_name=name, if_exists=policy, retries=1, **OTHER_REQUEST[build])
    second = changed.execute(context(max_tries=1, try_number=2))
    assert second != first
    if name:
        assert last_name(service, second) == "job-2"


@every_kind
@pytest.mark.parametrize("name", [None, "job"])
@pytest.mark.parametrize("status", [RUNNING, DONE])
@pytest.mark.parametrize(("before", "after"), [(2, 3), (2, 1), (0, 2), (2, 0)])
def test_a_dag_deployed_with_other_retries_keeps_its_job_and_a_clear_still_does_not(
    before: int,
    after: int,
    status: str,
    name: str | None,
    create: str,
    build: Build,
    service: Service,
    context: Context,
) -> None:
    service.statuses = [status]
    # Only a clear changes max_tries: to the attempts made and the retries.
    first = build(job_name=name, retries=before).execute(context(max_tries=before))
    again = build(job_name=name, retries=after)
    assert again.execute(context(max_tries=before, try_number=2)) == first
    assert created(service) == 1
    service.set_statuses(first, DONE)
    cleared = build(job_name=name, retries=after).execute(context(max_tries=3 + after, try_number=4))
    assert cleared != first
    assert created(service) == 2


@every_kind
@pytest.mark.parametrize("name", [None, "job"])
def test_a_dag_deployed_with_more_retries_between_a_clear_and_its_first_attempt_is_cleared_all_the_same(
    name: str | None, create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [RUNNING]
    first = build(job_name=name).execute(context())
    assert build(job_name=name, retries=5).execute(context(max_tries=1, try_number=2)) == first
    service.set_statuses(first, DONE)
    second = build(job_name=name, retries=9).execute(context(max_tries=2, try_number=3))
    assert second != first
    assert build(job_name=name, retries=9).execute(context(max_tries=2, try_number=4)) == second
    assert created(service) == 2


def test_more_retries_than_before_find_the_job_without_a_record(service: Service, context: Context) -> None:
    first = inference(retries=2).execute(context(max_tries=2, store=None))
    assert inference(retries=3).execute(context(max_tries=2, try_number=2, store=None)) == first


def test_a_default_name_whose_job_differs_is_a_conflict_under_every_policy(service: Service, context: Context) -> None:
    # The hash says that the request is the same; a new job would be the second one for it.
    arn = inference(retries=1).execute(context(max_tries=1, store=None))
    service.resources[arn]["roleArn"] = f"{ROLE}-as-the-service-spells-it"
    for policy in ("adopt", "rename", "fail"):
        with pytest.raises(PersonalizeConflictError, match="roleArn"):
            inference(retries=1, if_exists=policy).execute(context(max_tries=1, store=None))
    assert created(service) == 1


def test_a_policy_that_is_none_is_an_error_before_anything_is_asked_for(service: Service, context: Context) -> None:
    with pytest.raises(PersonalizeInputError, match="if_exists must be one of 'adopt', 'rename', 'fail', got 'skip'"):
        inference(if_exists="skip").execute(context())
    assert service.calls == []


# What changes between attempts ----------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("name", [None, "job"])
def test_other_tags_are_no_other_request(
    name: str | None, create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [RUNNING]
    first = build(job_name=name, retries=2, tags={"try": "1"}).execute(context(max_tries=2))
    for store in ({}, {"store": None}):
        again = build(job_name=name, retries=2, tags={"try": "2"})
        assert again.execute(context(max_tries=2, try_number=2, **store)) == first
    assert created(service) == 1


@every_kind
@pytest.mark.parametrize("status", [RUNNING, DONE])
def test_another_prefix_for_names_keeps_the_job(
    status: str, create: str, build: Build, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.statuses = [status]
    first = build(retries=2).execute(context(max_tries=2))
    monkeypatch.setenv("AIRFLOW__PERSONALIZE__JOB_NAME_PREFIX", "prod-")
    assert build(retries=2).execute(context(max_tries=2, try_number=2)) == first
    assert created(service) == 1


@every_kind
def test_another_prefix_for_names_holds_after_a_clear(
    create: str, build: Build, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(retries=2).execute(context(max_tries=2))
    monkeypatch.setenv("AIRFLOW__PERSONALIZE__JOB_NAME_PREFIX", "prod-")
    assert last_name(service, build(retries=2).execute(context(**CLEARED))).startswith("prod-")


@every_kind
@pytest.mark.parametrize("again", [{"max_tries": 2}, {"max_tries": 3}], ids=["a retry", "a clear"])
@pytest.mark.parametrize(("status", "warned"), [(RUNNING, True), (DONE, False), (FAILED, False)])
@pytest.mark.parametrize("name", [None, "job"])
def test_a_job_that_is_left_running_since_the_request_changed_is_named_beside_the_new_one(
    name: str | None,
    status: str,
    warned: bool,
    again: dict[str, int],
    create: str,
    build: Build,
    service: Service,
    context: Context,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.statuses = [status]
    first = build(job_name=name, retries=2).execute(context(max_tries=2))
    capsys.readouterr()
    changed = build(job_name=name, retries=2, **OTHER_REQUEST[build])
    second = changed.execute(context(**again, try_number=2))
    said = [line for line in capsys.readouterr().out.splitlines() if "will be billed as well as" in line]
    assert second != first
    assert len(said) == warned
    assert all(first in line and second in line for line in said)


# A clear ------------------------------------------------------------------------------------------------------------

# Cleared after one attempt, with two retries: Airflow sets max_tries to the attempts made plus the retries.
CLEARED = {"max_tries": 3, "try_number": 2}
names_and_stores = pytest.mark.parametrize(
    ("name", "stored"), [(None, True), (None, False), ("job", True), ("job", False)]
)


def place(stored: bool, **given: Any) -> dict[str, Any]:
    return {**given, **({} if stored else {"store": None})}


@every_kind
@names_and_stores
@policies
def test_a_clear_of_a_finished_task_starts_a_new_job_and_its_retry_does_not(
    policy: str, name: str | None, stored: bool, create: str, build: Build, service: Service, context: Context
) -> None:
    def attempt(**given: Any) -> str:
        return build(job_name=name, if_exists=policy, retries=2).execute(context(**place(stored, **given)))

    first = attempt(max_tries=2)
    second = attempt(**CLEARED)
    assert second != first
    assert attempt(max_tries=3, try_number=3) == second
    assert created(service) == 2


@every_kind
@names_and_stores
def test_a_clear_adopts_the_former_job_while_it_runs(
    name: str | None,
    stored: bool,
    create: str,
    build: Build,
    service: Service,
    context: Context,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.statuses = [RUNNING]
    first = build(job_name=name, retries=2).execute(context(**place(stored, max_tries=2)))
    assert build(job_name=name, retries=2).execute(context(**place(stored, **CLEARED))) == first
    assert "cannot be cancelled" in capsys.readouterr().out
    assert created(service) == 1


@every_kind
def test_a_retry_after_a_clear_keeps_the_former_job_when_that_has_finished_meanwhile(
    create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [RUNNING]
    first = build(retries=2).execute(context(max_tries=2))
    build(retries=2).execute(context(**CLEARED))
    service.set_statuses(first, DONE)
    assert build(retries=2).execute(context(max_tries=3, try_number=3)) == first
    assert created(service) == 1


@every_kind
@pytest.mark.parametrize("name", [None, "job"])
def test_a_clear_after_fewer_retries_were_deployed_is_a_clear_though_max_tries_is_as_before(
    name: str | None, create: str, build: Build, service: Service, context: Context
) -> None:
    first = build(job_name=name, retries=1).execute(context(max_tries=1))
    second = build(job_name=name, retries=0).execute(context(max_tries=1, try_number=2, clear_number=1))
    assert second != first
    assert created(service) == 2


@every_kind
@pytest.mark.parametrize("name", [None, "job"])
@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 3), (2, 0)])
def test_a_clear_of_another_task_of_the_run_is_none_of_this_one(
    before: int, after: int, name: str | None, create: str, build: Build, service: Service, context: Context
) -> None:
    first = build(job_name=name, retries=before).execute(context(max_tries=before))
    again = build(job_name=name, retries=after)
    assert again.execute(context(max_tries=before, try_number=2, clear_number=1)) == first
    assert created(service) == 1


@every_kind
def test_a_clear_looks_through_all_former_generations(
    create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [FAILED]
    build(retries=1).execute(context(max_tries=1, store=None))
    service.statuses = [RUNNING]
    running = build(retries=1).execute(context(max_tries=1, try_number=2, store=None))
    # Cleared after two attempts, then after three and after five: it still runs all the time.
    for cleared_after in (2, 3, 5):
        again = build(retries=1)
        where = context(max_tries=cleared_after + 1, try_number=cleared_after + 1, store=None)
        assert again.execute(where) == running
    assert created(service) == 2


@every_kind
def test_a_clear_with_another_request_leaves_the_former_job_alone(
    create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [RUNNING]
    first = build(retries=2).execute(context(max_tries=2))
    assert build(retries=2, **OTHER_REQUEST[build]).execute(context(**CLEARED)) != first


def test_a_clear_back_to_a_former_request_finds_its_job_still_running(service: Service, context: Context) -> None:
    service.statuses = [RUNNING]
    first = inference().execute(context())
    inference(num_results=3).execute(context(max_tries=1, try_number=2))
    assert inference().execute(context(max_tries=2, try_number=3)) == first


@every_kind
def test_a_clear_after_a_failure_starts_a_new_job(
    create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [FAILED]
    build(job_name="job", retries=2).execute(context(max_tries=2))
    service.statuses = [RUNNING]
    second = build(job_name="job", retries=2).execute(context(**CLEARED))
    assert last_name(service, second) == "job-2"


# A recent job -------------------------------------------------------------------------------------------------------


def parents(service: Service) -> None:
    service.add("solution-version", "v", arn=VERSION, solutionArn=SOLUTION)


def recently(service: Service, arn: str, seconds_ago: float) -> None:
    service.resources[arn]["creationDateTime"] = time.time() - seconds_ago


@every_kind
@pytest.mark.parametrize("max_age", [timedelta(hours=1), 3600, "3600"])
def test_a_recent_job_of_the_same_request_is_reused(
    max_age: Any, create: str, build: Build, service: Service, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build().execute(context(run_id="yesterday", store=Store()))
    recently(service, first, 600)
    assert build(max_age=max_age).execute(context(store=Store())) == first
    assert "REUSING" in capsys.readouterr().out
    assert created(service) == 1


@every_kind
@pytest.mark.parametrize(
    ("seconds_ago", "status", "same"),
    [(4000, DONE, True), (600, RUNNING, True), (600, FAILED, True), (600, DONE, False)],
)
def test_a_job_that_is_too_old_or_not_active_or_of_another_request_is_not_reused(
    seconds_ago: float,
    status: str,
    same: bool,
    create: str,
    build: Build,
    service: Service,
    context: Context,
) -> None:
    service.statuses = [status]
    first = build().execute(context(run_id="yesterday", store=Store()))
    recently(service, first, seconds_ago)
    today = build(max_age=3600, **({} if same else OTHER_REQUEST[build]))
    assert today.execute(context(store=Store())) != first


def test_a_job_with_another_output_is_not_reused(service: Service, context: Context) -> None:
    first = inference(output_uri="s3://out/yesterday/").execute(context(run_id="yesterday", store=Store()))
    recently(service, first, 600)
    today = inference(output_uri="s3://out/today/", max_age=3600).execute(context(store=Store()))
    assert today != first


def test_the_newest_of_several_recent_jobs_is_reused(service: Service, context: Context) -> None:
    arns = [inference().execute(context(run_id=str(run), store=Store())) for run in range(3)]
    for arn, age in zip(arns, (50, 10, 90), strict=True):
        recently(service, arn, age)
    assert inference(max_age=100).execute(context(store=Store())) == arns[1]


def test_with_a_solution_only_jobs_of_its_newest_version_are_reused(service: Service, context: Context) -> None:
    parents(service)
    first = inference(solution_version_arn=None, solution_arn=SOLUTION).execute(context(run_id="one", store=Store()))
    recently(service, first, 10)
    again = inference(solution_version_arn=None, solution_arn=SOLUTION, max_age=3600)
    assert again.execute(context(run_id="two", store=Store())) == first
    service.add("solution-version", "w", arn=f"{SOLUTION}/2", solutionArn=SOLUTION)
    later = inference(solution_version_arn=None, solution_arn=SOLUTION, max_age=3600)
    assert later.execute(context(run_id="three", store=Store())) != first


@every_kind
def test_a_retry_keeps_the_job_that_it_reused_however_old_that_is_by_now(
    create: str, build: Build, service: Service, context: Context
) -> None:
    first = build().execute(context(run_id="yesterday", store=Store()))
    recently(service, first, 600)
    build(max_age=3600, retries=1).execute(context(max_tries=1))
    recently(service, first, 99_999)
    assert build(max_age=3600, retries=1).execute(context(max_tries=1, try_number=2)) == first


@every_kind
def test_a_clear_does_not_reuse(create: str, build: Build, service: Service, context: Context) -> None:
    first = build(max_age=3600, retries=2).execute(context(max_tries=2))
    recently(service, first, 1)
    assert build(max_age=3600, retries=2).execute(context(**CLEARED)) != first


@every_kind
@pytest.mark.parametrize("name", [None, "job"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_cleared_task_asks_for_a_recent_job_when_it_had_never_finished(
    finished: bool, name: str | None, create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = [DONE if finished else RUNNING]
    operator = build(job_name=name, wait_for_completion=True, waiter_delay=60, waiter_max_attempts=2)
    if not finished:
        with pytest.raises(PersonalizeJobTimeoutError):
            operator.execute(context())
    else:
        operator.execute(context())
    [first] = service.resources
    # It becomes ACTIVE after the attempt gave up and before anybody looks.
    service.set_statuses(first, DONE)
    service.resources[first]["status"] = DONE
    recently(service, first, 600)
    service.statuses = [DONE]
    again = build(job_name=name, max_age=3600).execute(context(max_tries=1, try_number=2))
    assert (again == first) is not finished
    assert created(service) == (2 if finished else 1)


@pytest.mark.parametrize("max_age", [0, -1, "soon", timedelta(0)])
def test_a_senseless_age_is_an_error_before_anything_is_asked_for(
    max_age: Any, service: Service, context: Context
) -> None:
    with pytest.raises(PersonalizeInputError, match="max_age must be a"):
        load(max_age=max_age).execute(context())
    assert service.calls == []


def test_the_search_ends_at_a_page_that_is_too_old(service: Service, context: Context) -> None:
    for run in range(3):
        recently(service, train().execute(context(run_id=str(run), store=Store())), 9_999)
    before = len(service.called("DescribeSolutionVersion"))
    train(max_age=3600).execute(context(store=Store()))
    assert len(service.called("DescribeSolutionVersion")) == before


# All of it together ---------------------------------------------------------------------------------------------------

STEP = st.sampled_from(["retry", "clear", "lose the store", "finish", "fail"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEP, max_size=8), name=st.sampled_from([None, "job"]), policy=st.sampled_from(["adopt", "rename"])
)
@example(steps=["clear", "fail", "retry", "lose the store", "retry"], name=None, policy="adopt")
def test_two_jobs_of_one_task_never_run_at_once(
    steps: list[str], name: str | None, policy: str, service: Service, context: Context
) -> None:
    """Retries and clears in any order: a new job only when the former one is done or failed, and none on a retry of a
    task whose job is done."""
    service.resources.clear()
    service.statuses = [RUNNING]
    store, max_tries, attempt = Store(), 2, 1

    def execute() -> str:
        operator = inference(job_name=name, if_exists=policy, retries=2)
        return operator.execute(context(store=store, max_tries=max_tries, try_number=attempt))

    arn = execute()
    for step in steps:
        status, before = service.resources[arn]["status"], arn
        if step in ("finish", "fail"):
            ended = DONE if step == "finish" else FAILED
            service.resources[arn]["status"] = ended if status == RUNNING else status
            service.set_statuses(arn, service.resources[arn]["status"])
            continue
        if step == "lose the store" and status != RUNNING:
            # A job that was adopted after a clear has a name of before: only the record tells that it is this one's.
            continue
        if step == "clear":
            max_tries = attempt + 2
        if step == "lose the store":
            store.values.clear()
        attempt += 1
        arn = execute()
        if status == RUNNING or (step == "retry" and status == DONE):
            assert arn == before
        else:
            assert arn != before
    assert [job["status"] for job in service.resources.values()].count(RUNNING) <= 1
    assert len(names(service, "CreateBatchInferenceJob")) >= len(service.resources)
