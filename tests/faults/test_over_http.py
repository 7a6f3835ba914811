"""Faults between Airflow and a served backend: each run ends with one job and the right state, in every mode."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from airflow_provider_personalize.exceptions import PersonalizeJobFailedError, PersonalizeJobTimeoutError
from tests.faults import line
from tests.faults.airflow_run import MODES, OPERATOR_MODES, Run
from tests.faults.clock import Clock
from tests.faults.served import REASON, RESOURCES, Served, operation

Start = Callable[..., Run]
BOTOCORE_RETRIES = ("legacy", "standard")


class Given(NamedTuple):
    mode: str
    kind: str
    retries: str

    @property
    def create(self) -> str:
        return operation("Create", RESOURCES[self.kind])

    @property
    def describe(self) -> str:
        return operation("Describe", RESOURCES[self.kind])

    @property
    def list(self) -> str:
        return operation("List", RESOURCES[self.kind]) + "s"


def scenarios(names: str, cases: Mapping[str, tuple[Any, ...]]) -> pytest.MarkDecorator:
    """Each case in each mode. Kinds of job, and botocore's ways to retry, take turns, so that each case meets all."""
    rows = []
    for number, (name, case) in enumerate(cases.items()):
        for turn, mode in enumerate(MODES, number):
            kind, retries = list(RESOURCES)[turn % len(RESOURCES)], BOTOCORE_RETRIES[turn % len(BOTOCORE_RETRIES)]
            given = Given(mode, kind, retries)
            rows.append(pytest.param(given, *case, id=f"{name}-{mode}-{kind}-{retries}"))
    return pytest.mark.parametrize(f"given, {names}", rows)


throttled = line.refused(400, "ThrottlingException", "Rate exceeded")
too_many = line.refused(429, "TooManyRequestsException", "Rate exceeded")
internal = line.refused(500, "InternalServerError", "An internal error occurred")
unavailable = line.unhandled(503)
page = line.unhandled(200, b"<html>Sign in to the network</html>")
no_room = line.refused(400, "LimitExceededException", "More than 5 resources with PENDING or IN_PROGRESS status.")
in_use = line.refused(400, "ResourceInUseException", "Another training of the solution is under way.")
READ_TIMEOUT = 0.3
late = line.slow(2 * READ_TIMEOUT)
# More than botocore tries by itself, in any of its modes.
OFTEN = 12

# What happens to the first calls of Create and of Describe.
MENDED_BY_BOTOCORE = {
    "throttling": ([throttled, too_many], [throttled, None, too_many]),
    "server errors": ([internal, unavailable], [unavailable, None, internal]),
    "resets": ([line.reset], [line.reset, None, line.reset]),
    "a lost answer": ([line.lost], [line.lost]),
    "half an answer": ([line.cut], [line.cut]),
    "a late answer": ([late], [late]),
}


@pytest.fixture
def start(served: Served, clock: Clock, context: Callable[..., dict[str, Any]]) -> Start:
    """Run a task (or task and sensor) to its end."""

    def run(given: Given, *, retries: int = 0, waiter_max_attempts: int = 1440, **botocore_config: Any) -> Run:
        config = {"retries": {"mode": given.retries}, **botocore_config}
        return Run(
            lambda **more: served.operator(given.kind, **more),
            given.mode,
            context,
            retries=retries,
            arguments={"botocore_config": config, "waiter_max_attempts": waiter_max_attempts},
            place={"run_id": f"manual__{secrets.token_hex(4)}"},
        ).run()

    return run


@scenarios("creating, looking", MENDED_BY_BOTOCORE)
def test_what_passes_soon_costs_not_even_an_attempt(
    given: Given, creating: list[Any], looking: list[Any], served: Served, start: Start
) -> None:
    served.line.script = {given.create: [*creating], given.describe: [*looking]}
    run = start(given, read_timeout=READ_TIMEOUT if late in creating else 60)
    assert (run.state, run.errors) == ("success", [])
    assert served.jobs() == {run.arn: "ACTIVE"}


MENDED_BY_WAITING = {
    "throttling": [throttled, too_many] * OFTEN,
    "resets": [line.reset] * OFTEN,
    "a lost answer and resets": [line.lost, *[line.reset] * OFTEN],
    "lost answers": [line.lost] * OFTEN,
    "half answers": [line.cut] * OFTEN,
    "server errors": [internal, unavailable] * OFTEN,
    "answers of something else": [line.garbled, page, line.halved] * (OFTEN // 3),
}


@scenarios("faults", {name: (faults,) for name, faults in MENDED_BY_WAITING.items()})
def test_what_lasts_is_waited_for_and_costs_not_even_an_attempt(
    given: Given, faults: list[Any], served: Served, start: Start
) -> None:
    # Among the looks are the first one of an operator or sensor, and those that follow it.
    served.line.script = {given.create: [*faults], given.describe: [*faults, None, *faults], given.list: [*faults]}
    run = start(given)
    assert (run.state, run.errors) == ("success", [])
    assert served.jobs() == {run.arn: "ACTIVE"}


@scenarios("refused", {"no room": (no_room,), "in use": (in_use,)})
def test_room_in_the_service_is_waited_for_and_costs_not_even_an_attempt(
    given: Given, refused: line.Fault, served: Served, start: Start
) -> None:
    served.line.script = {given.create: [refused] * OFTEN}
    run = start(given)
    assert (run.state, run.errors) == ("success", [])
    assert served.jobs() == {run.arn: "ACTIVE"}


SCRAPES = {
    "its answer is lost, the account is full, and looking for it is throttled": (
        [line.lost, *[no_room] * OFTEN],
        [throttled] * OFTEN,
    ),
    "its answer is a page, the model is in use, and nothing can be looked for": (
        [line.garbled, page, *[in_use] * OFTEN],
        [line.reset, page, unavailable] * (OFTEN // 3),
    ),
}


@scenarios("creating, looking", SCRAPES)
def test_a_job_that_was_created_is_found_again_though(
    given: Given, creating: list[Any], looking: list[Any], served: Served, start: Start
) -> None:
    served.line.script = {given.create: [*creating], given.describe: [*looking], given.list: [*looking]}
    run = start(given)
    assert (run.state, run.errors) == ("success", [])
    assert served.jobs() == {run.arn: "ACTIVE"}


@pytest.mark.parametrize("given", [Given(mode, kind, "standard") for mode in OPERATOR_MODES for kind in RESOURCES])
def test_a_retry_after_the_limit_waits_for_the_same_job(given: Given, served: Served, start: Start) -> None:
    served.looks = 15
    run = start(given, retries=1, waiter_max_attempts=10)
    assert [type(error) for error in run.errors] == [PersonalizeJobTimeoutError]
    assert run.state == "success"
    assert served.jobs() == {run.arn: "ACTIVE"}


@scenarios("fates", {"failed, then active": (["CREATE FAILED", "ACTIVE"],)})
def test_a_job_that_failed_is_done_again_under_the_next_name(
    given: Given, fates: list[str], served: Served, start: Start
) -> None:
    served.fates = fates
    run = start(given, retries=1)
    assert isinstance(run.errors[0], PersonalizeJobFailedError)
    assert run.errors[0].failure_reason == REASON
    if given.mode in OPERATOR_MODES:
        assert run.state == "success"
        assert list(served.jobs().values()) == ["CREATE FAILED", "ACTIVE"]
        assert list(served.jobs())[1] == run.arn
    else:
        # A sensor starts nothing.
        assert run.state == "failed"
        assert served.jobs() == {run.arn: "CREATE FAILED"}
