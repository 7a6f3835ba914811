"""What is one intent and what is two: clears, and Airflows that share an account. Seen at a served backend."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.airflow_run import OPERATOR_MODES, TaskInstance
from tests.faults.clock import Clock
from tests.faults.served import RESOURCES, Served

NewTask = Callable[..., TaskInstance]
# Modes take turns over the kinds of job.
pytestmark = pytest.mark.parametrize(("kind", "mode"), list(zip(RESOURCES, OPERATOR_MODES * 2, strict=True)))


@pytest.fixture
def new_task(served: Served, clock: Clock, context: Callable[..., dict[str, Any]], kind: str, mode: str) -> NewTask:
    """A task instance, always the same one, of ``kind`` and ``mode``."""
    place = {"run_id": f"manual__{secrets.token_hex(4)}"}

    def new(**arguments: Any) -> TaskInstance:
        return TaskInstance(
            lambda: served.operator(kind, deferrable=mode == "deferred", **arguments), context, place=place
        )

    return new


def test_a_task_that_is_cleared_after_its_job_was_active_starts_a_new_job(served: Served, new_task: NewTask) -> None:
    task = new_task()
    first = task.run().result
    second = task.clear().run().result
    assert served.jobs() == {first: "ACTIVE", second: "ACTIVE"}
    # And its retries adopt the new one.
    task.tries -= 1
    task.attempt()
    assert task.result == second
    assert len(served.jobs()) == 2


def test_a_task_that_is_cleared_while_its_job_runs_adopts_it_since_it_cannot_be_cancelled(
    served: Served, new_task: NewTask
) -> None:
    served.looks = 100
    task = new_task(waiter_delay=60, waiter_max_attempts=5)
    assert task.run().state == "failed"
    [running] = served.jobs()
    served.looks = served.seen[running] + 2
    assert task.clear().run().result == running
    assert served.jobs() == {running: "ACTIVE"}


def test_a_task_that_is_cleared_after_its_job_failed_starts_a_new_job(served: Served, new_task: NewTask) -> None:
    served.fates = ["CREATE FAILED", "ACTIVE"]
    task = new_task()
    assert task.run().state == "failed"
    assert task.clear().run().state == "success"
    assert list(served.jobs().values()) == ["CREATE FAILED", "ACTIVE"]


def test_two_airflows_with_prefixes_of_their_own_start_a_job_each(
    served: Served, new_task: NewTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prefix in ("staging-", "production-"):
        monkeypatch.setenv("AIRFLOW__PERSONALIZE__JOB_NAME_PREFIX", prefix)
        assert new_task().run().state == "success"
    assert list(served.jobs().values()) == ["ACTIVE", "ACTIVE"]


def test_two_airflows_with_the_same_prefix_share_the_job_of_the_same_run(served: Served, new_task: NewTask) -> None:
    # As docs/operators.md says, so that nobody finds out otherwise.
    one, other = new_task().run(), new_task().run()
    assert one.result == other.result
    assert served.jobs() == {one.result: "ACTIVE"}
