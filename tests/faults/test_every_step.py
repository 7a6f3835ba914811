"""One job per intent, at whichever step a process dies, a connection breaks or the service is busy.

The steps of a run are found by running it once without faults: each request before it is handled and after it was
answered, each write to the task state store before and after, and the resumption of a deferred task.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.airflow_run import MODES, OPERATOR_MODES, Run
from tests.faults.stepping import FAULTS, SteppingService
from tests.faults.world import BUILDS, World

UNDER_WAY = ("CREATE PENDING", "CREATE IN_PROGRESS", "CREATE IN PROGRESS", "PENDING", "SOMETHING NEW")
LIFE = ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]


def check(run: Run, service: SteppingService) -> None:
    assert service.paid_twice == []
    last = service.created[-1] if service.created else None
    succeeded = run.state == "success"
    assert succeeded == (last is not None and service.status(last) == "ACTIVE"), run.errors
    if succeeded:
        assert run.arn == last


@pytest.mark.parametrize("kind", BUILDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_process_that_dies_at_any_step_costs_no_second_job(kind: str, mode: str, world: World) -> None:
    _, undisturbed = world.run(kind, mode, LIFE)
    for step in range(len(undisturbed.steps.taken)):
        run, service = world.run(kind, mode, LIFE, faults={step: "killed"})
        assert (len(service.created), run.state) == (1, "success"), undisturbed.steps.taken[step]
        check(run, service)


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_at_any_step_costs_a_second_training_though_the_service_takes_a_name_twice(
    fault: str, mode: str, world: World
) -> None:
    _, undisturbed = world.run("training", mode, LIFE, version_names_are_unique=False)
    for step in range(len(undisturbed.steps.taken)):
        run, service = world.run("training", mode, LIFE, faults={step: fault}, version_names_are_unique=False)
        assert (len(service.created), run.state) == (1, "success"), undisturbed.steps.taken[step]
        check(run, service)


@st.composite
def lives(draw: st.DrawFn) -> list[list[str]]:
    """What becomes of the first job, the second, ...: some failures, and then success, failure for ever, or no end."""
    before = st.lists(st.sampled_from(UNDER_WAY), max_size=3)
    failed = ["CREATE FAILED", "CREATE_FAILED"]
    failures = draw(st.lists(st.sampled_from(failed), max_size=2))
    end = draw(st.sampled_from(["ACTIVE", "ACTIVE", *failed, UNDER_WAY[1]]))
    return [[*draw(before), last] for last in (*failures, end)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), kind=st.sampled_from(list(BUILDS)), mode=st.sampled_from(MODES), unique=st.booleans())
def test_jobs_are_as_many_as_have_failed_and_one_and_the_task_succeeds_exactly_when_the_last_is_active(
    data: st.DataObject, kind: str, mode: str, unique: bool, world: World
) -> None:
    drawn = data.draw(lives(), label="lives")
    faults = data.draw(st.dictionaries(st.integers(0, 25), st.sampled_from(FAULTS), max_size=5), label="faults")
    run, service = world.run(
        kind, mode, *drawn, faults=faults, retries=len(faults) + len(drawn), version_names_are_unique=unique
    )
    check(run, service)
    if mode in OPERATOR_MODES and "FAILED" not in drawn[-1][-1]:
        assert len(service.created) == len(drawn)
        assert run.state == ("success" if drawn[-1][-1] == "ACTIVE" else "failed"), run.errors
