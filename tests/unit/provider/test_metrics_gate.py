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

from .service import SOLUTION, Service

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
    }


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
