"""The metrics gate: lets good versions through, and says of the others which metric is how far off."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize._compat import AirflowFailException, AirflowSkipException
from airflow_provider_personalize.exceptions import PersonalizeInputError, PersonalizeMetricsError
from airflow_provider_personalize.operators.metrics_gate import PersonalizeSolutionMetricsGateOperator, measured

from .service import GROUP, SOLUTION, Service

Context = Callable[..., dict[str, Any]]
NDCG, COVERAGE = "normalized_discounted_cumulative_gain_at_10", "coverage"


def version(service: Service, name: str, status: str = "ACTIVE", **metrics: float) -> str:
    arn = f"{SOLUTION}/{name}"
    return service.add("solution-version", name, status, arn=arn, solutionArn=SOLUTION, metrics=metrics)


def gate(**arguments: Any) -> PersonalizeSolutionMetricsGateOperator:
    return PersonalizeSolutionMetricsGateOperator(task_id="gate", **arguments)


def test_a_version_that_is_good_enough_passes_with_its_metrics(service: Service, context: Context) -> None:
    arn = version(service, "a", coverage=0.5, **{NDCG: 0.05})
    result = gate(solution_version_arn=arn, thresholds={NDCG: 0.05}).execute(context())
    assert result == {
        "solution_version_arn": arn,
        "metrics": {COVERAGE: 0.5, NDCG: 0.05},
        "previous_solution_version_arn": None,
        "previous_metrics": None,
        "newest_import_arn": None,
        "imports_since": None,
    }
    assert {operation for operation, _ in service.calls} == {"GetSolutionMetrics"}


def test_one_metric_below_its_threshold_fails_without_retries_and_shows_them_all(
    service: Service, context: Context
) -> None:
    arn = version(service, "a", coverage=0.5, **{NDCG: 0.0499})
    with pytest.raises(PersonalizeMetricsError) as caught:
        gate(solution_version_arn=arn, thresholds={NDCG: 0.05, COVERAGE: 0.1}).execute(context())
    assert isinstance(caught.value, AirflowFailException)
    assert str(caught.value).splitlines() == [
        f"Not good enough: {arn}",
        "   metric                                       value   at least  previous",
        "   coverage                                     0.5000  0.1000",
        "!  normalized_discounted_cumulative_gain_at_10  0.0499  0.0500",
    ]
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.solution_version_arn, again.metrics) == (arn, {COVERAGE: 0.5, NDCG: 0.0499})


def test_it_can_skip_what_comes_after_it_instead(service: Service, context: Context) -> None:
    arn = version(service, "a", coverage=0.1)
    now = context()
    with pytest.raises(AirflowSkipException, match="coverage"):
        gate(solution_version_arn=arn, thresholds={COVERAGE: 0.2}, on_failure="skip").execute(now)
    assert now["ti"].xcoms["metrics"] == {COVERAGE: 0.1}
    assert now["ti"].xcoms["return_value"]["solution_version_arn"] == arn


def test_a_solution_means_its_newest_active_version(service: Service, context: Context) -> None:
    version(service, "old", coverage=0.1)
    newest = version(service, "new", coverage=0.5)
    version(service, "training", "CREATE IN_PROGRESS")
    result = gate(solution_arn=SOLUTION, thresholds={COVERAGE: 0.2}).execute(context())
    assert result["solution_version_arn"] == newest


@pytest.mark.parametrize("drop", [0.1, "0.1", {COVERAGE: 0.1}, '{"coverage": 0.1}'])
@pytest.mark.parametrize(("value", "passes"), [(0.46, True), (0.44, False)])
def test_it_must_not_be_much_worse_than_the_version_before_it(
    drop: Any, value: float, passes: bool, service: Service, context: Context
) -> None:
    version(service, "oldest", coverage=0.9)
    before = version(service, "before", coverage=0.5)
    version(service, "failed", "CREATE FAILED", coverage=0.9)
    arn = version(service, "now", coverage=value)
    version(service, "later", coverage=0.9)
    task = gate(solution_version_arn=arn, tolerated_drop=drop)
    if passes:
        result = task.execute(context())
        assert (result["previous_solution_version_arn"], result["previous_metrics"]) == (before, {COVERAGE: 0.5})
    else:
        with pytest.raises(PersonalizeMetricsError, match=f"0.4400  0.4500    0.5000\nprevious: {before}"):
            task.execute(context())


@pytest.mark.parametrize("none", [0, 0.0, "0", {COVERAGE: 0}])
def test_where_no_drop_is_tolerated_it_must_be_as_good_as_the_version_before_it(
    none: Any, service: Service, context: Context
) -> None:
    version(service, "before", coverage=0.5)
    gate(solution_version_arn=version(service, "same", coverage=0.5), tolerated_drop=none).execute(context())
    with pytest.raises(PersonalizeMetricsError, match=r"0\.4999  0\.5000    0\.5000"):
        gate(solution_version_arn=version(service, "worse", coverage=0.4999), tolerated_drop=none).execute(context())


@pytest.mark.parametrize("max_age", [timedelta(days=7), 7 * 86400, "604800"])
@pytest.mark.parametrize(("days", "passes"), [(6.9, True), (7.1, False)])
def test_a_version_may_be_too_old_whatever_its_metrics(
    max_age: Any, days: float, passes: bool, service: Service, context: Context
) -> None:
    arn = version(service, "a", coverage=0.5)
    service.resources[arn]["creationDateTime"] = time.time() - days * 86400
    if passes:
        assert gate(solution_arn=SOLUTION, max_age=max_age).execute(context())["solution_version_arn"] == arn
    else:
        with pytest.raises(PersonalizeMetricsError, match=r"was created .* UTC, longer ago than max_age, 7 days"):
            gate(solution_arn=SOLUTION, max_age=max_age, thresholds={COVERAGE: 0.1}).execute(context())


DAY = 86_400


def dataset(service: Service, kind: str, group: str = GROUP) -> str:
    arn = f"{group.replace(':dataset-group/', ':dataset/')}/{kind}"
    return service.add("dataset", kind, arn=arn, datasetGroupArn=group)


def imported(service: Service, into: str, name: str, status: str = "ACTIVE", /, *, ago: float, **members: Any) -> str:
    """An import that was created so many days ago, and took an hour."""
    arn = service.add("dataset-import-job", name, status, datasetArn=into, importMode="FULL", **members)
    created = time.time() - ago * DAY
    service.resources[arn].update(creationDateTime=created, lastUpdatedDateTime=created + 3600)
    return arn


def trained(service: Service, ago: float, recipe: str = "aws-user-personalization-v2") -> str:
    arn = version(service, "a", coverage=0.5)
    service.resources[arn].update(
        creationDateTime=time.time() - ago * DAY,
        datasetGroupArn=GROUP,
        recipeArn=f"arn:aws:personalize:::recipe/{recipe}",
    )
    return arn


@pytest.mark.parametrize("max_data_age", [timedelta(days=7), "604800"])
@pytest.mark.parametrize(("days", "passes"), [(6.9, True), (7.1, False)])
def test_the_newest_import_into_any_dataset_that_the_version_can_know_may_be_too_old(
    max_data_age: Any, days: float, passes: bool, service: Service, context: Context
) -> None:
    interactions, items = dataset(service, "INTERACTIONS"), dataset(service, "ITEMS")
    arn = trained(service, ago=2)
    imported(service, items, "old", ago=30)
    newest = imported(service, interactions, "newest", ago=days)
    # None of these says anything of what the version knows.
    imported(service, interactions, "failed", "CREATE FAILED", ago=3)
    imported(service, interactions, "running", "CREATE IN_PROGRESS", ago=3)
    imported(service, dataset(service, "ITEMS", f"{GROUP}-other"), "elsewhere", ago=3)
    during = imported(service, interactions, "during", ago=2.01)
    after = imported(service, items, "after", ago=1)
    now = context()
    task = gate(solution_version_arn=arn, max_data_age=max_data_age)
    if passes:
        result = task.execute(now)
        assert (result["newest_import_arn"], result["imports_since"]) == (newest, [during, after])
    else:
        with pytest.raises(
            PersonalizeMetricsError, match=f"import after {newest}, created .* than max_data_age, 7 days"
        ):
            task.execute(now)
        assert now["ti"].xcoms["imports_since"] == [during, after]


def test_a_version_that_knows_of_no_import_does_not_pass(service: Service, context: Context) -> None:
    interactions = dataset(service, "INTERACTIONS")
    arn = trained(service, ago=2)
    after = imported(service, interactions, "after", ago=1)
    now = context()
    with pytest.raises(AirflowSkipException, match="no dataset of its group has an ACTIVE import that ended before"):
        gate(solution_version_arn=arn, max_data_age=timedelta(days=7), on_failure="skip").execute(now)
    assert now["ti"].xcoms["imports_since"] == [after]


def test_both_ages_are_told(service: Service, context: Context) -> None:
    imported(service, dataset(service, "INTERACTIONS"), "old", ago=30)
    arn = trained(service, ago=20)
    with pytest.raises(PersonalizeMetricsError, match=f"{arn} was created .* than max_age, .*; it knows of no import "):
        gate(solution_version_arn=arn, max_age=timedelta(days=7), max_data_age=timedelta(days=7)).execute(context())


@pytest.mark.parametrize(
    ("recipe", "passes"),
    [("aws-user-personalization-v2", True), ("aws-item-affinity", False), ("aws-item-attribute-affinity", False)],
)
def test_a_model_of_user_segments_knows_full_imports_alone(
    recipe: str, passes: bool, service: Service, context: Context
) -> None:
    interactions = dataset(service, "INTERACTIONS")
    full = imported(service, interactions, "full", ago=30)
    added = imported(service, interactions, "added", ago=3)
    service.resources[added]["importMode"] = "INCREMENTAL"
    task = gate(solution_version_arn=trained(service, ago=2, recipe=recipe), max_data_age=timedelta(days=7))
    if passes:
        assert task.execute(context())["newest_import_arn"] == added
    else:
        with pytest.raises(PersonalizeMetricsError, match=f"no import after {full}"):
            task.execute(context())


def test_a_long_history_of_imports_is_read_no_further_than_to_one_that_the_version_knows(
    service: Service, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    interactions = dataset(service, "INTERACTIONS")
    arn = trained(service, ago=2)
    names = [f"import-{day}" for day in range(40)]
    arns = [imported(service, interactions, name, ago=day + 0.5) for day, name in enumerate(names)]
    service.page_size = 3
    result = gate(solution_version_arn=arn, max_data_age=timedelta(days=7)).execute(context())
    assert (result["newest_import_arn"], result["imports_since"]) == (arns[2], [arns[1], arns[0]])
    assert len(service.called("ListDatasetImportJobs")) == 1

    service.page_size = 1
    gate(solution_version_arn=arn, max_data_age=timedelta(days=7)).execute(context())
    assert len(service.called("ListDatasetImportJobs")) == 1 + 3

    # All are younger than the version: the search has a bound.
    service.resources[arn]["creationDateTime"] = time.time() - 400 * DAY
    with pytest.raises(PersonalizeMetricsError, match="knows of no data"):
        gate(solution_version_arn=arn, max_data_age=timedelta(days=7)).execute(context())
    assert len(service.called("ListDatasetImportJobs")) == 1 + 3 + 10


def test_the_first_version_has_nothing_to_be_worse_than(service: Service, context: Context) -> None:
    arn = version(service, "a", coverage=0.001)
    assert gate(solution_version_arn=arn, tolerated_drop=0).execute(context())["previous_metrics"] is None


def test_the_metrics_stand_on_the_asset_event(service: Service, context: Context) -> None:
    arn = version(service, "a", coverage=0.5)
    model = Asset("model")
    now = {**context(), "outlet_events": OutletEventAccessors()}
    gate(solution_version_arn=arn, thresholds={COVERAGE: 0.2}, outlets=[model]).execute(now)
    extra = now["outlet_events"][model].extra
    assert extra == {"solution_version_arn": arn, "metrics": {COVERAGE: 0.5}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "Nothing is asked"),
        ({"thresholds": {}}, "Nothing is asked"),
        ({"thresholds": {"ndcg": 1}}, "no metric ndcg; it has coverage"),
        ({"tolerated_drop": {"ndcg": 0.1}}, "no metric ndcg; it has coverage"),
        ({"thresholds": {COVERAGE: "high"}}, r"thresholds\['coverage'\] must be a number, got 'high'"),
        ({"thresholds": {COVERAGE: None}}, r"thresholds\['coverage'\] is None"),
        ({"tolerated_drop": 10}, "must be a share, 0 or more and below 1, got 10"),
        ({"tolerated_drop": -0.1}, "must be a share"),
        ({"max_data_age": -1}, "max_data_age must be a timedelta or a positive number of seconds, got -1"),
        ({"thresholds": {COVERAGE: 0}, "on_failure": "ignore"}, "on_failure must be one of 'fail', 'skip'"),
        ({"thresholds": {COVERAGE: 0}, "solution_arn": SOLUTION}, "either solution_version_arn or solution_arn"),
        ({"thresholds": {COVERAGE: 0}, "solution_version_arn": None}, "either solution_version_arn or solution_arn"),
    ],
)
def test_what_cannot_be_asked_is_an_error_and_never_a_skip(
    arguments: dict[str, Any], said: str, service: Service, context: Context
) -> None:
    arn = version(service, "a", coverage=0.5)
    with pytest.raises(PersonalizeInputError, match=said):
        gate(**{"solution_version_arn": arn, "on_failure": "skip", **arguments}).execute(context())


def test_a_metric_that_is_no_number_does_not_pass() -> None:
    (found,) = measured({COVERAGE: float("nan")}, {COVERAGE: 0.0}, {}, {})
    assert not found.passes


SHARES = st.floats(0, 1, allow_nan=False)


@given(value=SHARES, threshold=SHARES, previous=SHARES, drop=st.floats(0, 0.99))
def test_a_metric_passes_exactly_when_it_meets_all_that_is_asked_of_it(
    value: float, threshold: float, previous: float, drop: float
) -> None:
    (found,) = measured({"m": value}, {"m": threshold}, {"m": previous}, drop)
    assert found.passes == (value >= threshold and value >= previous * (1 - drop))
