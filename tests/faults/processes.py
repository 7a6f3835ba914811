"""Workers and triggerers as processes of their own, which can be killed; and the task state store that outlives them.

They are forked from one process that has Airflow loaded, since loading it takes each as long as a test may.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from tests.faults.airflow_run import first_event, loaded, stored
from tests.faults.served import build_operator

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "airflow_provider_personalize.sensors.personalize"])
LONGEST = 60


@dataclass(frozen=True)
class Task:
    """One task instance, as its processes get to know it."""

    kind: str
    arns: dict[str, str]
    arguments: dict[str, Any]
    run_id: str
    folder: Path
    environment: dict[str, str]
    max_tries: int = 3

    def operator(self) -> Any:
        return build_operator(self.kind, self.arns, **self.arguments, retries=self.max_tries)

    def context(self) -> dict[str, Any]:
        place = {"dag_id": "nightly", "task_id": "t", "run_id": self.run_id, "map_index": -1}
        instance = SimpleNamespace(**place, max_tries=self.max_tries, xcom_push=lambda key, value: None, stats_tags={})
        return {"ti": instance, "task_state_store": StoreOnDisk(self.folder / "state.json")}


@dataclass(frozen=True)
class StoreOnDisk:
    path: Path

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.path.read_text()).get(key, default) if self.path.exists() else default

    def set(self, key: str, value: Any) -> None:
        unfinished = self.path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps({key: value}))
        unfinished.replace(self.path)


def execute(task: Task, answer: Any) -> None:
    os.environ.update(task.environment)
    try:
        answer.send({"result": task.operator().execute(task.context())})
    except TaskDeferred as deferred:
        answer.send({"trigger": stored(deferred.trigger), "method": deferred.method_name})


def watch(task: Task, answer: Any, trigger: tuple[str, str]) -> None:
    os.environ.update(task.environment)
    answer.send({"event": asyncio.run(first_event(loaded(*trigger)))})


def resume(task: Task, answer: Any, method: str, event: Any) -> None:
    os.environ.update(task.environment)
    answer.send({"result": task.operator().resume_execution(method, {"event": event}, task.context())})


@dataclass
class Running:
    """A process that has been started, and what it answered: nothing, when it was killed."""

    work: Callable[..., None]
    task: Task
    given: tuple[Any, ...] = ()
    process: Any = field(init=False)

    def __post_init__(self) -> None:
        self.inbox, answer = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=self.work, args=(self.task, answer, *self.given), daemon=True)
        self.process.start()
        answer.close()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)

    def end(self) -> dict[str, Any]:
        self.process.join(LONGEST)
        assert self.process.exitcode in (0, -signal.SIGKILL), f"it ended with {self.process.exitcode}"
        return self.inbox.recv() if self.process.exitcode == 0 else {}
