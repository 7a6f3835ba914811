"""The output of a finished job against its input."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_personalize.exceptions import (
    PersonalizeAwaitedJobFailedError,
    PersonalizeInputError,
    PersonalizeJobError,
    PersonalizeOutputError,
)
from airflow_provider_personalize.operators.check_output import PersonalizeCheckBatchOutputOperator

from .conftest import Collector, Log
from .places import Bucket, Disk
from .service import ACCOUNT, VERSION, Service

Context = Callable[..., dict[str, Any]]
Place = Disk | Bucket
# When a job was created: after every object was written that a test puts there, or before.
AFTER_ALL, BEFORE_ALL = 4_000_000_000, 1_000_000_000


def finished_job(service: Service, place: Place, **members: Any) -> str:
    """A job whose input is ``in/`` and whose output ``out/`` of the place; two results a row."""
    described = {
        "solutionVersionArn": VERSION,
        "numResults": 2,
        "jobInput": {"s3DataSource": {"path": place.uri("in/")}},
        "jobOutput": {"s3DataDestination": {"path": place.uri("out")}},
        "creationDateTime": AFTER_ALL,
    }
    return service.add("batch-inference-job", "nightly", members.pop("status", "ACTIVE"), **{**described, **members})


def asked(*users: str) -> bytes:
    return b"".join(orjson.dumps({"userId": user}) + b"\n" for user in users)


def answered(*rows: tuple[str, list[str]]) -> bytes:
    return b"".join(
        orjson.dumps({"input": {"userId": user}, "output": {"recommendedItems": items}, "error": None}) + b"\n"
        for user, items in rows
    )


def failed(user: str, message: str) -> bytes:
    return orjson.dumps({"input": {"userId": user}, "output": None, "error": {"errorMessage": message}}) + b"\n"


def check(context: dict[str, Any], job_arn: str, **arguments: Any) -> dict[str, Any]:
    return PersonalizeCheckBatchOutputOperator(task_id="check", job_arn=job_arn, **arguments).execute(context)


def refusal(context: dict[str, Any], job_arn: str, **arguments: Any) -> PersonalizeOutputError:
    with pytest.raises(PersonalizeOutputError) as caught:
        check(context, job_arn, **arguments)
    assert context["ti"].xcoms["return_value"] == caught.value.summary, "an alert finds it in XCom too"
    return caught.value


def test_nothing_is_pushed_where_no_xcom_is_wanted(half: str, context: Context) -> None:
    given = context()
    with pytest.raises(PersonalizeOutputError, match="1 of 4 rows are missing"):
        check(given, half, do_xcom_push=False)
    assert given["ti"].xcoms == {}


def test_the_summary_counts_the_rows_of_every_file(place: Place, service: Service, context: Context) -> None:
    arn = finished_job(service, place)
    place.put("in/a.json", asked("a", "b"))
    place.put("in/deep/b", asked("c"))
    place.put("out/a.json.out", answered(("b", ["1"]), ("a", ["1", "2"])))
    place.put("out/deep/b.out", answered(("c", ["1", "2"])))
    place.put("out/_CHECK", b"")
    place.put("out/old.json.out", answered(("z", ["1"])))
    found = check(context(), arn)
    counts = {"input_rows": 3, "output_rows": 3, "answered": 2, "short": 1, "failed": 0, "missing": 0, "unexpected": 0}
    assert counts.items() <= found.items()
    assert found["job_arn"] == arn
    assert found["output_files"] == [place.uri("out/a.json.out"), place.uri("out/deep/b.out")]
    assert json.loads(json.dumps(found)) == found


@pytest.fixture
def half(tmp_path: Any, service: Service) -> str:
    """Of four rows one is answered, one short, one failed and one missing; one nobody asked for came."""
    disk = Disk(tmp_path)
    disk.put("in/a.json", asked("a", "b", "c", "d"))
    rows = answered(("a", ["1", "2"]), ("b", []), ("z", ["1", "2"])) + failed("c", "Line 3: no such user")
    disk.put("out/a.json.out", rows)
    return finished_job(service, disk)


ANY = {"max_failed_rows": None, "max_missing_rows": None, "max_unexpected_rows": None}


@pytest.mark.parametrize("what", ["failed", "missing", "unexpected", "short"])
def test_each_limit_holds_by_itself(half: str, context: Context, what: str) -> None:
    name = f"max_{what}_rows"
    assert check(context(), half, **{**ANY, name: "25%"})[what] == 1
    assert check(context(), half, **{**ANY, name: 1})[what] == 1
    assert f"1 of 4 rows are {what}; 0 may be." in str(refusal(context(), half, **{**ANY, name: "0"}))
    assert f"1 of 4 rows are {what}; 24% may be." in str(refusal(context(), half, **{**ANY, name: "24%"}))


def test_the_error_says_why_rows_failed_and_which_are_missing(half: str, context: Context) -> None:
    error = refusal(context(), half)
    assert "1 row(s): no such user" in str(error)
    assert "missing: a.json, line 4" in str(error)
    assert pickle.loads(pickle.dumps(error)).summary == error.summary


def test_a_line_that_is_no_output_row_counts_as_failed(tmp_path: Any, service: Service, context: Context) -> None:
    disk = Disk(tmp_path)
    disk.put("in/a.json", asked("a"))
    disk.put("out/a.json.out", answered(("a", ["1", "2"])) + b"half a ro")
    assert "1 of 1 rows are failed" in str(refusal(context(), finished_job(service, disk)))


def test_an_output_that_is_not_there_fails_whatever_may_be_missing(
    place: Place, service: Service, context: Context
) -> None:
    place.put("in/a.json", asked("a"))
    error = refusal(context(), finished_job(service, place), **ANY)
    assert f"{place.uri('out/a.json.out')} does not exist." in str(error)
    assert error.summary["missing"] == 1


def test_an_input_that_was_archived_is_not_taken_for_one_without_rows(
    place: Place, service: Service, context: Context
) -> None:
    place.put("archive/a.json", asked("a"))
    place.put("out/a.json.out", answered(("a", ["1", "2"])))
    with pytest.raises(PersonalizeOutputError, match=r"The input of .* is gone: .*Put the input back") as caught:
        check(context(), finished_job(service, place), **ANY)
    assert caught.value.summary["input_uri"] == place.uri("in/")


def test_an_object_that_came_after_the_job_is_none_of_its_input(
    place: Place, service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(PersonalizeCheckBatchOutputOperator, "log", Log(said))
    place.put("in/monday.json", asked("a"))
    place.put("out/monday.json.out", answered(("a", ["1", "2"])))
    place.put("in/tuesday.json", asked("b"))
    arn = finished_job(service, place, creationDateTime=BEFORE_ALL)
    found = check(context(), arn)
    assert (found["input_rows"], found["answered"], found["missing"], found["absent_files"]) == (1, 1, 0, [])
    assert [line for line in said if "Newer than the job" in line and place.uri("in/tuesday.json") in line]


def test_an_object_older_than_the_job_should_have_been_answered(
    place: Place, service: Service, context: Context
) -> None:
    place.put("in/monday.json", asked("a"))
    place.put("out/monday.json.out", answered(("a", ["1", "2"])))
    place.put("in/tuesday.json", asked("b"))
    error = refusal(context(), finished_job(service, place, creationDateTime=AFTER_ALL))
    assert f"{place.uri('out/tuesday.json.out')} does not exist." in str(error)


def test_later_objects_alone_are_no_input(tmp_path: Any, service: Service, context: Context) -> None:
    disk = Disk(tmp_path)
    disk.put("in/tuesday.json", asked("b"))
    disk.put("out/monday.json.out", answered(("a", ["1", "2"])))
    with pytest.raises(PersonalizeOutputError, match=r"1 object\(s\) there are newer than the job") as caught:
        check(context(), finished_job(service, disk, creationDateTime=BEFORE_ALL))
    assert caught.value.summary["later_files"] == [disk.uri("in/tuesday.json")]


@pytest.mark.parametrize("created", [AFTER_ALL, BEFORE_ALL])
def test_themes_may_be_named_otherwise(tmp_path: Any, service: Service, context: Context, created: int) -> None:
    disk = Disk(tmp_path)
    disk.put("in/a.json", b'{"itemId": "i"}\n')
    disk.put("out/themes-1.out", b'{"input":{"itemId":"i"},"output":{"recommendedItems":["1","2"],"theme":"x"}}\n')
    arn = finished_job(service, disk, batchInferenceJobMode="THEME_GENERATION", creationDateTime=created)
    assert check(context(), arn)["answered"] == 1


def test_what_the_job_wrote_into_the_folder_of_its_input_is_no_input(
    tmp_path: Any, service: Service, context: Context
) -> None:
    disk = Disk(tmp_path)
    disk.put("in/a.json", asked("a"))
    disk.put("in/a.json.out", answered(("a", ["1", "2"])))
    disk.put("in/_CHECK", b"")
    arn = finished_job(service, disk)
    service.resources[arn]["jobOutput"] = {"s3DataDestination": {"path": disk.uri("in/")}}
    assert check(context(), arn)["input_rows"] == 1


def test_the_event_of_each_outlet_carries_the_summary(half: str, context: Context) -> None:
    outlet, given = Asset("recommendations"), context()
    given["outlet_events"] = OutletEventAccessors()
    found = check(given, half, outlets=[outlet], **ANY)
    extra = given["outlet_events"][outlet].extra
    assert extra == found
    assert (extra["job_arn"], extra["output_rows"]) == (half, 4)


def test_lineage_names_what_was_read(half: str, context: Context, collector: Collector) -> None:
    found = check(context(), half, **ANY)
    assert collector.seen == [("input", found["input_uri"]), ("input", found["output_uri"])]


def test_a_job_that_failed_or_is_not_finished_is_told_as_such(
    tmp_path: Any, service: Service, context: Context
) -> None:
    disk = Disk(tmp_path)
    running = finished_job(service, disk, status="CREATE IN_PROGRESS")
    with pytest.raises(PersonalizeJobError, match="is CREATE IN_PROGRESS, not finished"):
        check(context(), running)
    broken = finished_job(service, disk, status="CREATE FAILED", failureReason="no rights")
    with pytest.raises(PersonalizeAwaitedJobFailedError, match="no rights"):
        check(context(), broken)


def test_only_batch_jobs_have_output(context: Context, service: Service) -> None:
    with pytest.raises(PersonalizeInputError, match="neither a batch inference job nor"):
        check(context(), f"{ACCOUNT}:dataset-import-job/x")
    with pytest.raises(PersonalizeInputError, match="job_arn is None"):
        check(context(), None)  # type: ignore[arg-type]
