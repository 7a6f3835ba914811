"""What a task tells of its job: on asset events, to OpenLineage, to Airflow's lineage collector, and to a callback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_personalize.exceptions import PersonalizeJobError, PersonalizeJobFailedError
from airflow_provider_personalize.failure_reasons import hint
from airflow_provider_personalize.operators import lineage

from .conftest import Collector
from .service import ACCOUNT, SOLUTION, VERSION, Service
from .test_adoption import Build, every_kind, inference, load, segment, train
from .test_waiting import finish, modes

Context = Callable[..., dict[str, Any]]
RECOMMENDATIONS = Asset("recommendations")

# Assets --------------------------------------------------------------------------------------------------------------


async def event(operator: Any, here: dict[str, Any], mode: str, outlet: Any = RECOMMENDATIONS) -> Any:
    here["outlet_events"] = OutletEventAccessors()
    await finish(operator, here, mode)
    return here["outlet_events"][outlet]


@modes
@pytest.mark.parametrize(
    ("build", "places"),
    [
        (inference, {"input_uri": "s3://in/a", "output_uri": "s3://out/"}),
        (segment, {"input_uri": "s3://in/a", "output_uri": "s3://out/"}),
        (load, {"input_uri": "s3://in/items.csv"}),
        (train, {}),
    ],
)
async def test_the_event_of_an_outlet_carries_the_job(
    build: Build, places: dict[str, str], mode: str, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE IN_PROGRESS", "ACTIVE"]
    operator = build(wait_for_completion=True, deferrable=mode == "deferred", outlets=[RECOMMENDATIONS])
    found = await event(operator, context(), mode)
    (arn,) = service.resources
    assert found.extra == {"job_arn": arn, "status": "ACTIVE", **places}
    assert json.loads(json.dumps(found.extra)) == found.extra


async def test_what_a_hook_of_the_user_put_on_the_event_stays(service: Service, context: Context) -> None:
    here = context()
    here["outlet_events"] = OutletEventAccessors()
    here["outlet_events"][RECOMMENDATIONS].extra["campaign"] = "spring"
    inference(wait_for_completion=True, outlets=[RECOMMENDATIONS]).execute(here)
    assert here["outlet_events"][RECOMMENDATIONS].extra["campaign"] == "spring"
    assert "job_arn" in here["outlet_events"][RECOMMENDATIONS].extra


async def test_an_alias_gets_the_output_as_its_asset(service: Service, context: Context) -> None:
    alias = AssetAlias("nightly recommendations")
    found = await event(inference(wait_for_completion=True, outlets=[alias]), context(), "sync", alias)
    (added,) = found.asset_alias_events
    assert added.dest_asset_key.uri == "s3://out/"
    assert added.extra["job_arn"] in service.resources


def test_a_task_that_does_not_wait_says_what_it_knows(service: Service, context: Context) -> None:
    here = context()
    here["outlet_events"] = OutletEventAccessors()
    arn = inference(outlets=[RECOMMENDATIONS]).execute(here)
    assert here["outlet_events"][RECOMMENDATIONS].extra == {
        "job_arn": arn,
        "input_uri": "s3://in/a",
        "output_uri": "s3://out/",
    }


# OpenLineage ---------------------------------------------------------------------------------------------------------


def names(datasets: list[Any]) -> list[tuple[str, str]]:
    return [(dataset.namespace, dataset.name) for dataset in datasets]


MODEL = (ACCOUNT, VERSION.removeprefix(f"{ACCOUNT}:"))


@pytest.mark.parametrize(
    ("place", "namespace", "name"),
    [
        ("s3://bucket/in/users.json", "s3://bucket", "in/users.json"),
        ("s3://bucket/out/", "s3://bucket", "out"),
        ("s3://bucket", "s3://bucket", "/"),
        ("s3://bucket/a#b?c", "s3://bucket", "a#b?c"),
        ("file:///data/users.json", "file", "/data/users.json"),
        (VERSION, ACCOUNT, "solution/for-you/11111111"),
    ],
)
def test_a_place_is_named_as_openlineage_names_it(place: str, namespace: str, name: str) -> None:
    assert lineage.dataset_name(place) == (namespace, name)


@pytest.mark.parametrize(
    ("build", "inputs", "outputs"),
    [
        (inference, [("s3://in", "a"), MODEL], [("s3://out", "/")]),
        (segment, [("s3://in", "a"), MODEL], [("s3://out", "/")]),
        (load, [("s3://in", "items.csv")], [(ACCOUNT, "dataset/shop/ITEMS")]),
        (train, [(ACCOUNT, "solution/for-you")], []),
    ],
)
def test_inputs_model_and_outputs_are_known_before_anything_is_asked_for(
    build: Build, inputs: Any, outputs: Any, service: Service
) -> None:
    found = build().get_openlineage_facets_on_start()
    assert names(found.inputs) == inputs
    assert names(found.outputs) == outputs
    assert found.run_facets == {}
    assert service.calls == []


@every_kind
@modes
async def test_the_run_names_its_job_when_it_is_complete(
    mode: str, create: str, build: Build, service: Service, context: Context
) -> None:
    service.statuses = ["CREATE IN_PROGRESS", "ACTIVE"]
    operator = build(wait_for_completion=True, deferrable=mode == "deferred")
    arn = await finish(operator, context(), mode)
    found = operator.get_openlineage_facets_on_complete(None)
    assert found.run_facets["externalQuery"].externalQueryId == arn
    assert names(found.inputs) == names(build().get_openlineage_facets_on_start().inputs)


def test_lineage_is_whole_in_the_new_object_after_a_deferral(service: Service, context: Context) -> None:
    arn = service.add("batch-inference-job", "job")
    facts = {"job_arn": arn, "status": "ACTIVE", "failure_reason": None, "input_uri": "s3://in/a", "output_uri": None}
    operator = inference(wait_for_completion=True, deferrable=True)
    operator.execute_complete(context(), {"status": "success", "arn": arn, "message": "", "facts": facts})
    found = operator.get_openlineage_facets_on_complete(None)
    assert names(found.inputs) == [("s3://in", "a"), MODEL]
    assert found.run_facets["externalQuery"].externalQueryId == arn


def test_with_a_solution_the_model_is_the_version_that_it_came_to(service: Service, context: Context) -> None:
    service.add("solution-version", "v", arn=VERSION, solutionArn=SOLUTION)
    operator = inference(solution_version_arn=None, solution_arn=SOLUTION)
    assert names(operator.get_openlineage_facets_on_start().inputs)[1] == (ACCOUNT, "solution/for-you")
    operator.execute(context())
    assert names(operator.get_openlineage_facets_on_complete(None).inputs)[1] == MODEL


def test_a_training_writes_its_version(service: Service, context: Context) -> None:
    operator = train()
    arn = operator.execute(context())
    assert names(operator.get_openlineage_facets_on_complete(None).outputs) == [lineage.dataset_name(arn)]


def test_a_failed_run_names_the_job_that_failed(service: Service, context: Context) -> None:
    service.statuses = ["CREATE FAILED"]
    operator = inference(wait_for_completion=True)
    with pytest.raises(PersonalizeJobFailedError) as caught:
        operator.execute(context())
    facets = operator.get_openlineage_facets_on_failure(None).run_facets
    assert facets["externalQuery"].externalQueryId == caught.value.job_arn


def test_openlineage_finds_the_methods_by_itself(service: Service, context: Context) -> None:
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    operator = inference()
    found = DefaultExtractor(operator)._execute_extraction()
    assert found is not None
    assert names(found.outputs) == [("s3://out", "/")]


def test_nothing_of_openlineage_is_loaded_before_it_is_asked_for() -> None:
    code = (
        "import sys, airflow_provider_personalize.operators.batch_jobs;"
        "assert not {'openlineage.client', 'airflow.providers.openlineage.extractors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Airflow's own collector ---------------------------------------------------------------------------------------------


def test_the_hooks_lineage_names_both_files(service: Service, context: Context, collector: Collector) -> None:
    inference(wait_for_completion=True).execute(context())
    assert collector.seen == [("input", "s3://in/a"), ("output", "s3://out/")]


def test_no_task_fails_for_its_lineage(service: Service, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no collector")

    monkeypatch.setattr(lineage, "get_hook_lineage_collector", broken)
    assert inference(wait_for_completion=True).execute(context()) in service.resources


# A callback ----------------------------------------------------------------------------------------------------------


def test_a_callback_has_all_that_an_alert_needs(service: Service, context: Context) -> None:
    """As in docs/operators.md: Airflow puts the very exception into the context."""
    service.statuses, service.failure_reason = ["CREATE FAILED"], "Insufficient privileges for accessing data in S3."
    said: list[str] = []

    def alert(context: Any) -> None:
        error = context["exception"]
        if isinstance(error, PersonalizeJobError):
            said.append(f"{error.job_arn} {error.status} {error.failure_reason} {error.hint} {error.input_uri}")

    here = context()
    operator = inference(wait_for_completion=True, on_failure_callback=alert)
    try:
        operator.execute(here)
    except Exception as error:
        here["exception"] = error
        for callback in operator.on_failure_callback:
            callback(here)
    (line,) = said
    (arn,) = service.resources
    assert line.startswith(f"{arn} CREATE FAILED Insufficient privileges for accessing data in S3. Both must allow it")
    assert line.endswith("s3://in/a")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "Insufficient privileges for accessing data in S3. Please ... fix bucket policy on b.",
            "s3:PutObject",
        ),
        ("Access Denied (Service: Amazon S3)", "personalize.amazonaws.com"),
        ("Unable to assume role arn:aws:iam::1:role/r", "sts:AssumeRole"),
        ("KMS key cannot be used", "kms:GenerateDataKey"),
        ("Invalid S3 input path", "prefix"),
        ("Invalid S3 output path", "end in '/'"),
        (
            "Create failed. Dataset has fewer than 25 users with at least 2 interactions each.",
            "import more interactions",
        ),
        ("Dataset has fewer than 1000 interactions after filtering by event type: click", "event_type"),
        ("Did not find any attribute to train on. There may not be any attribute in the items dataset", "categorical"),
        ("All values in the event_type column are either reserved keywords or null", "reserved words"),
        ("users.json is not valid JSON", "JSON Lines"),
    ],
)
def test_a_known_failure_reason_says_what_to_do(reason: str, said: str) -> None:
    assert said in (hint(reason) or "")


@pytest.mark.parametrize("reason", [None, "", "Internal error.", "Filter f does not fit this job"])
def test_an_unknown_failure_reason_is_left_alone(reason: str | None) -> None:
    assert hint(reason) is None
