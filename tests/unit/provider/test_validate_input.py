"""The input of a job, checked before the job is paid for."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_personalize.batch.prices import UNCONFIRMED
from airflow_provider_personalize.exceptions import PersonalizeBatchInputError, PersonalizeInputError
from airflow_provider_personalize.hooks.objects import StoredObject, matching
from airflow_provider_personalize.operators import validate_input
from airflow_provider_personalize.operators.validate_input import PersonalizeValidateBatchInputOperator

from .conftest import Collector, Log
from .places import Bucket, Disk
from .service import GROUP, SOLUTION, VERSION, Service

Context = Callable[..., dict[str, Any]]
USERS = "aws-user-personalization"
GOOD = b'{"userId": "a"}\n{"userId": "b"}\n'


def validate(context: dict[str, Any], input_uri: str, **arguments: Any) -> dict[str, Any]:
    given = {"recipe": USERS, **arguments}
    return PersonalizeValidateBatchInputOperator(task_id="check", input_uri=input_uri, **given).execute(context)


def refusal(context: dict[str, Any], input_uri: str, **arguments: Any) -> PersonalizeBatchInputError:
    with pytest.raises(PersonalizeBatchInputError) as caught:
        validate(context, input_uri, **arguments)
    assert context["ti"].xcoms["return_value"] == caught.value.report, "an alert finds it in XCom too"
    return caught.value


def test_nothing_is_pushed_where_no_xcom_is_wanted(tmp_path: Any, context: Context) -> None:
    given = context()
    with pytest.raises(PersonalizeBatchInputError):
        validate(given, Disk(tmp_path).put("a.json", b"nonsense\n"), do_xcom_push=False)
    assert given["ti"].xcoms == {}


def test_every_object_that_the_prefix_matches_is_read(place: Disk | Bucket, context: Context) -> None:
    place.put("in/a.json", GOOD)
    place.put("in/deep/b.json", b'{"userId": "c"}\n')
    place.put("in-old/c.json", b'{"userId": "d"}\n')
    found = validate(context(), place.uri("in/"))
    assert (found["files"], found["rows"], found["bytes"]) == (2, 3, 48)
    assert found["input_files"] == ["a.json", "deep/b.json"]
    assert found["warnings"] == []
    assert json.loads(json.dumps(found)) == found


def test_lineage_names_what_was_read(place: Disk | Bucket, context: Context, collector: Collector) -> None:
    validate(context(), place.put("in/a.json", GOOD))
    assert collector.seen == [("input", place.uri("in/a.json"))]


def test_a_prefix_that_catches_more_than_one_object_is_warned_of(place: Disk | Bucket, context: Context) -> None:
    place.put("in/a.json", GOOD)
    place.put("in-old/b.json", b'{"userId": "c"}\n')
    found = validate(context(), place.uri("in"))
    assert found["rows"] == 3
    (warning,) = found["warnings"]
    assert "is a prefix and matches 2 objects" in warning
    assert place.uri("in-old/b.json") in warning


def test_an_object_that_is_not_the_location_itself_is_warned_of(place: Disk | Bucket, context: Context) -> None:
    place.put("in/a.json", GOOD)
    assert "is a prefix of" in validate(context(), place.uri("in/a"))["warnings"][0]
    assert validate(context(), place.uri("in/a.json"))["warnings"] == []


def test_bad_rows_fail_with_the_line_and_the_reason(place: Disk | Bucket, context: Context) -> None:
    uri = place.put("in/a.json", GOOD + b'{"userId": 17}\n{"itemId": "i"}\n')
    error = refusal(context(), uri)
    assert "2 of 4 rows are bad; 0 may be." in str(error)
    assert 'a.json, line 3: "userId" must be a string' in str(error)
    assert error.report["bad_rows"] == 2
    assert isinstance(error, PersonalizeInputError), "another attempt cannot mend it"
    assert pickle.loads(pickle.dumps(error)).report == error.report


@pytest.mark.parametrize(("limit", "passes"), [(1, False), ("2", True), ("50%", True), ("49%", False)])
def test_so_many_rows_may_be_bad(tmp_path: Any, context: Context, limit: Any, passes: bool) -> None:
    uri = Disk(tmp_path).put("a.json", GOOD + b"{}\n1\n")
    if passes:
        assert validate(context(), uri, max_bad_rows=limit)["bad_rows"] == 2
    else:
        refusal(context(), uri, max_bad_rows=limit)


def test_duplicates_pass_unless_they_are_limited(tmp_path: Any, context: Context) -> None:
    uri = Disk(tmp_path).put("a.json", GOOD + GOOD)
    assert validate(context(), uri)["duplicate_rows"] == 2
    error = refusal(context(), uri, max_duplicate_rows=0)
    assert "2 of 4 rows repeat an earlier one; 0 may." in str(error)
    assert error.report["duplicates"][0] == "a.json, line 3 repeats a.json, line 1"


@pytest.mark.parametrize(
    ("output", "refused"),
    [("in/", True), ("in", True), ("in/out", True), ("in-out/", True), ("out", False), ("", False)],
)
def test_the_output_must_not_lie_where_the_input_matches(
    tmp_path: Any, context: Context, output: str, refused: bool
) -> None:
    disk = Disk(tmp_path)
    disk.put("in/a.json", GOOD)
    if refused:
        assert "lies in the input" in str(refusal(context(), disk.uri("in"), output_uri=disk.uri(output)))
    else:
        assert validate(context(), disk.uri("in"), output_uri=disk.uri(output))["rows"] == 2


def test_leftovers_of_an_earlier_job_in_the_input_are_named(tmp_path: Any, context: Context) -> None:
    disk = Disk(tmp_path)
    for name, body in (("a.json", GOOD), ("a.json.out", b""), ("_CHECK", b"")):
        disk.put(f"in/{name}", body)
    found = validate(context(), disk.uri("in/"))
    assert "output of an earlier job: _CHECK, a.json.out" in found["warnings"][0]


def test_leftovers_of_an_earlier_job_in_the_output_are_named(place: Disk | Bucket, context: Context) -> None:
    place.put("in/a.json", GOOD)
    place.put("out/yesterday/a.json.out", b"")
    assert validate(context(), place.uri("in/"), output_uri=place.uri("out"))["warnings"] == []
    place.put("out/b.json.out", b"")
    (warning,) = validate(context(), place.uri("in/"), output_uri=place.uri("out"))["warnings"]
    assert f"The output {place.uri('out/')} holds what an earlier job left: b.json.out." in warning


@pytest.mark.parametrize("wanted", [True, "true"])
def test_leftovers_in_the_output_are_refused_where_that_is_wanted(
    place: Disk | Bucket, context: Context, wanted: Any
) -> None:
    place.put("in/a.json", GOOD)
    given = {"output_uri": place.uri("out"), "fail_on_leftovers": wanted}
    assert validate(context(), place.uri("in/"), **given)["rows"] == 2
    place.put("out/b.json.out", b"")
    error = refusal(context(), place.uri("in/"), **given)
    assert f"The output {place.uri('out/')} holds what an earlier job left: b.json.out." in str(error)
    assert (len(error.report["faults"]), error.report["warnings"]) == (1, [])
    assert validate(context(), place.uri("in/"), **{**given, "fail_on_leftovers": "False"})["rows"] == 2


def test_the_objects_of_a_folder_are_counted_and_named_in_the_log(
    tmp_path: Any, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(PersonalizeValidateBatchInputOperator, "log", Log(said))
    disk = Disk(tmp_path)
    disk.put("in/today.json", GOOD)
    disk.put("in/yesterday.json", b'{"userId": "c"}\n')
    validate(context(), disk.uri("in/"))
    assert f"{disk.uri('in/')} holds 2 objects: today.json, yesterday.json" in said


@pytest.fixture
def hidden_output(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """An input, and a folder ``out/`` that may not be listed."""
    disk = Disk(tmp_path)
    disk.put("in/a.json", GOOD)

    def guarded(uri: str, conn_id: str | None) -> list[StoredObject]:
        if uri == disk.uri("out/"):
            raise PermissionError("Access Denied")
        return matching(uri, conn_id)

    monkeypatch.setattr(validate_input, "matching", guarded)
    return disk


def test_an_output_that_airflow_may_not_see_is_no_reason_to_fail(hidden_output: Disk, context: Context) -> None:
    found = validate(context(), hidden_output.uri("in/"), output_uri=hidden_output.uri("out"))
    assert "could not be seen: Access Denied" in found["warnings"][0]


def test_unless_leftovers_there_are_to_be_refused(hidden_output: Disk, context: Context) -> None:
    given = {"output_uri": hidden_output.uri("out"), "fail_on_leftovers": True}
    assert "could not be seen: Access Denied" in str(refusal(context(), hidden_output.uri("in/"), **given))


def test_an_input_that_is_not_there_fails(place: Disk | Bucket, context: Context) -> None:
    assert "matches no object" in str(refusal(context(), place.uri("in/none.json")))


def test_the_cost_is_estimated_and_guarded(tmp_path: Any, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = Disk(tmp_path).put("a.json", b"".join(b'{"userId": "%d"}\n' % n for n in range(2000)))
    prices = {USERS: 0.5}
    assert validate(context(), uri, prices=prices)["estimated_cost"]["amount"] == 1.0
    assert validate(context(), uri, prices=json.dumps(prices), max_estimated_cost="1")["rows"] == 2000
    assert "cost about 1.00 at 0.5 per 1,000 rows" in str(
        refusal(context(), uri, prices=prices, max_estimated_cost=0.99)
    )
    monkeypatch.setenv("AIRFLOW__PERSONALIZE__BATCH_PRICES", '{"BATCH_INFERENCE": 2}')
    assert validate(context(), uri)["estimated_cost"]["amount"] == 4.0


@pytest.mark.parametrize(
    ("given", "configured", "place"),
    [
        ({USERS: 0.5}, '{"BATCH_INFERENCE": 2}', "prices"),
        (None, '{"BATCH_INFERENCE": 2}', "[personalize] batch_prices"),
        ("None", '{"BATCH_INFERENCE": 2}', "[personalize] batch_prices"),
        (None, "", UNCONFIRMED),
        ({"aws-sims": 0.5}, "", UNCONFIRMED),
    ],
)
def test_wherever_an_estimate_is_shown_stands_where_its_price_is_from(
    tmp_path: Any, context: Context, monkeypatch: pytest.MonkeyPatch, given: Any, configured: str, place: str
) -> None:
    uri = Disk(tmp_path).put("a.json", GOOD)
    monkeypatch.setenv("AIRFLOW__PERSONALIZE__BATCH_PRICES", configured)
    said: list[str] = []
    monkeypatch.setattr(PersonalizeValidateBatchInputOperator, "log", Log(said))
    assert validate(context(), uri, prices=given)["estimated_cost"]["price_from"] == place
    assert f"price from {place}" in said[-1]
    error = refusal(context(), uri, prices=given, max_estimated_cost=0)
    assert place in str(error)
    assert error.report["estimated_cost"]["price_from"] == place


def test_a_guard_without_a_price_fails_rather_than_guess(tmp_path: Any, context: Context) -> None:
    uri = Disk(tmp_path).put("a.json", b'{"itemId": "i"}\n')
    assert validate(context(), uri, recipe="aws-item-affinity")["estimated_cost"] is None
    error = refusal(context(), uri, recipe="aws-item-affinity", max_estimated_cost=5)
    assert "There is no price for aws-item-affinity (BATCH_SEGMENT)" in str(error)


def test_more_records_than_allowed_fail(tmp_path: Any, context: Context) -> None:
    uri = Disk(tmp_path).put("a.json", GOOD)
    assert validate(context(), uri, max_records="2")["rows"] == 2
    assert "2 rows are more than max_records, 1" in str(refusal(context(), uri, max_records=1))


@pytest.fixture
def model(service: Service) -> Service:
    recipe = {"recipeArn": "arn:aws:personalize:::recipe/aws-item-affinity"}
    service.add("solution", "for-you", **recipe)
    service.add("solution-version", "1", arn=VERSION, **recipe)
    return service


@pytest.mark.parametrize("named", [{"solution_version_arn": VERSION}, {"solution_arn": SOLUTION}])
def test_the_recipe_is_that_of_the_model(
    tmp_path: Any, context: Context, model: Service, named: dict[str, str]
) -> None:
    uri = Disk(tmp_path).put("a.json", b'{"itemId": "i"}\n')
    found = validate(context(), uri, recipe=None, **named)
    assert (found["recipe"], found["kind"]) == ("aws-item-affinity", "BATCH_SEGMENT")


def test_filter_values_are_checked_against_the_filter(tmp_path: Any, context: Context, service: Service) -> None:
    expression = "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)"
    filter_arn = service.add("filter", "genres", filterExpression=expression, datasetGroupArn=GROUP)
    uri = Disk(tmp_path).put("a.json", GOOD)
    assert "GENRES is missing" in str(refusal(context(), uri, filter_arn=filter_arn))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"recipe": None}, "Give one of"),
        ({"solution_arn": SOLUTION}, "Give one of"),
        ({"recipe": "aws-trending-now"}, "no batch job takes it"),
        ({"recipe": "aws-sims", "batch_inference_job_mode": "THEME_GENERATION"}, "Only aws-similar-items"),
        ({"max_bad_rows": "few"}, "max_bad_rows is neither a number of rows nor a share"),
        ({"prices": {"aws-sims": "dear"}}, "prices['aws-sims'] must be a number"),
        ({"fail_on_leftovers": True}, "fail_on_leftovers needs an output_uri"),
        ({"fail_on_leftovers": "maybe"}, "fail_on_leftovers must be true or false"),
        ({"filter_arn": "unseen"}, "filter_arn must be an ARN"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Any, context: Context, service: Service, arguments: dict[str, Any], said: str
) -> None:
    uri = Disk(tmp_path).put("a.json", GOOD)
    with pytest.raises(PersonalizeInputError) as caught:
        validate(context(), uri, **arguments)
    assert said in str(caught.value)
