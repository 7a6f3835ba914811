"""Workers and triggerers that are killed with SIGKILL while they talk to a served backend: still one job."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.faults import line
from tests.faults.processes import LONGEST, Running, Task, execute, resume, watch
from tests.faults.served import CONNECTION, RESOURCES, Served, operation

NewTask = Callable[..., Task]


@pytest.fixture
def new_task(served: Served, tmp_path: Path) -> NewTask:
    variable = f"AIRFLOW_CONN_{CONNECTION.upper()}"
    found = json.loads(os.environ[variable])
    # Real time passes here.
    found["extra"]["service_config"]["personalize"]["waiter_delay"] = 0.02
    environment = {variable: json.dumps(found)}

    def new(kind: str, *, deferrable: bool, **more: str) -> Task:
        arguments = {"deferrable": deferrable}
        return Task(kind, served.arns, arguments, f"manual__{secrets.token_hex(4)}", tmp_path, {**environment, **more})

    return new


def killed_when_asked(running: list[Running]) -> line.Fault:
    def fault(forward: line.Forward) -> line.Answer:
        running[-1].kill()
        raise line.Broken

    return fault


def killed_when_handled(running: list[Running]) -> line.Fault:
    # The process is not there yet when the script is written.
    return line.after(lambda: [each.kill() for each in running[-1:]])


no_room = line.refused(400, "LimitExceededException", "More than 5 resources with PENDING or IN_PROGRESS status.")
# The operation, what its first calls come to, and what happens to the one after them.
STRUCK = {
    "before the create was handled": ("Create", [], killed_when_asked),
    "before the create was answered": ("Create", [], killed_when_handled),
    "while it waited for room": ("Create", [no_room, no_room], killed_when_handled),
    "after the job was written down": ("Describe", [], killed_when_asked),
    "while it waited": ("Describe", [None], killed_when_asked),
}


@pytest.mark.parametrize(
    ("kind", "verb", "first", "strike"),
    [(kind, *struck) for kind, struck in zip(cycle(RESOURCES), STRUCK.values(), strict=False)],
    ids=STRUCK.keys(),
)
def test_a_killed_worker_costs_no_second_job(
    kind: str, verb: str, first: list[Any], strike: Any, served: Served, new_task: NewTask
) -> None:
    task, running = new_task(kind, deferrable=False), []
    served.line.script = {operation(verb, RESOURCES[kind]): [*first, strike(running)]}
    running.append(Running(execute, task))
    assert running[-1].end() == {}
    running.append(Running(execute, task))
    arn = running[-1].end()["result"]
    assert served.jobs() == {arn: "ACTIVE"}


@pytest.mark.parametrize("kind", ["inference", "training"])
def test_killed_triggerers_and_workers_of_a_deferred_task_cost_no_second_job(
    kind: str, served: Served, new_task: NewTask
) -> None:
    task, running = new_task(kind, deferrable=True), []
    create, describe = operation("Create", RESOURCES[kind]), operation("Describe", RESOURCES[kind])
    served.line.script = {create: [killed_when_handled(running)]}
    running.append(Running(execute, task))
    assert running[-1].end() == {}
    running.append(Running(execute, task))
    deferred = running[-1].end()

    served.line.script = {describe: [killed_when_asked(running), killed_when_handled(running)]}
    for _ in range(2):
        running.append(Running(watch, task, (deferred["trigger"],)))
        assert running[-1].end() == {}
    running.append(Running(watch, task, (deferred["trigger"],)))
    event = running[-1].end()["event"]
    assert event["status"] == "success"

    running.append(Running(resume, task, (deferred["method"], event)))
    arn = running[-1].end()["result"]
    assert served.jobs() == {arn: "ACTIVE"}
    # The worker that resumed may be killed as well; then the task begins anew.
    running.append(Running(execute, task))
    assert running[-1].end()["result"] == arn
    assert served.jobs() == {arn: "ACTIVE"}


@pytest.mark.parametrize("stores", ["one store", "a store each"])
@pytest.mark.parametrize(("kind", "deferrable"), list(zip(RESOURCES, [False, True] * 2, strict=True)))
def test_two_workers_that_run_the_same_task_instance_start_one_job(
    kind: str, deferrable: bool, stores: str, served: Served, new_task: NewTask, tmp_path: Path
) -> None:
    task = new_task(kind, deferrable=deferrable)
    # Two schedulers share a store; two Airflows with the same prefix do not.
    twin = task if stores == "one store" else replace(task, folder=tmp_path / "twin")
    twin.folder.mkdir(exist_ok=True)
    both_ask = threading.Barrier(2)
    meet = line.before(lambda: both_ask.wait(timeout=LONGEST))
    served.line.script = {operation("Create", RESOURCES[kind]): [meet, meet]}
    one, other = Running(execute, task), Running(execute, twin)
    arns = {to_its_end(task, one.end()), to_its_end(twin, other.end())}
    assert len(arns) == 1
    assert served.jobs() == dict.fromkeys(arns, "ACTIVE")


def to_its_end(task: Task, answer: dict[str, Any]) -> str:
    """The job of a worker that has ended; one that has deferred is watched and resumed."""
    if "trigger" in answer:
        event = Running(watch, task, (answer["trigger"],)).end()["event"]
        answer = Running(resume, task, (answer["method"], event)).end()
    return answer["result"]
