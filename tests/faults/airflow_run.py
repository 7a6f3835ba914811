"""What Airflow does with task instances: attempts, retries, deferrals, restarts of the triggerer, clears.

Each attempt gets new operator objects and the contexts of one task instance, which share a task state store, as from
Airflow 3.3 on. A trigger runs from what was stored of it, and its event arrives as JSON.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow.exceptions import AirflowRescheduleException
from airflow.models.trigger import Trigger
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk.module_loading import import_string

from airflow_provider_personalize.operators.base import PersonalizeJobOperator
from airflow_provider_personalize.sensors.personalize import PersonalizeSensor
from tests.unit.provider.conftest import Store
from tests.unit.provider.test_sensors import SENSORS

OPERATOR_MODES = ("sync", "deferred")
SENSOR_MODES = ("poke", "reschedule", "sensor deferred")
MODES = OPERATOR_MODES + SENSOR_MODES
MOST_LOOKS = 200


class Killed(BaseException):
    """The process is gone: nothing of it may handle this."""


class Cleared(BaseException):
    """The user has cleared the task while it ran or was deferred: nothing of this attempt goes on."""


def stored(trigger: Any) -> tuple[str, str]:
    """The trigger as the database keeps it."""
    path, arguments = trigger.serialize()
    return path, Trigger.encrypt_kwargs(arguments)


def loaded(path: str, arguments: str) -> Any:
    """The trigger as a triggerer makes it from what was stored."""
    return import_string(path)(**Trigger._decrypt_kwargs(arguments))


async def first_event(trigger: Any) -> Any:
    return await anext(event.payload async for event in trigger.run())


def event_of(trigger: Any) -> Any:
    """A triggerer runs the trigger until it has said something; one that is killed is followed by another."""
    while True:
        try:
            event = asyncio.run(first_event(loaded(*stored(trigger))))
        except Killed:
            continue
        return json.loads(json.dumps(event))


@dataclass
class TaskInstance:
    """One task instance through all its attempts.

    :ivar errors: what each attempt that failed or was killed ended in.
    """

    build: Callable[[], Any]
    context: Callable[..., dict[str, Any]]
    retries: int = 0
    place: dict[str, Any] = field(default_factory=dict)
    before_resuming: Callable[[], None] = lambda: None
    store: Any = field(default_factory=Store)
    state: str | None = None
    result: Any = None
    errors: list[BaseException] = field(default_factory=list)
    tries: int = 0
    max_tries: int = -1
    clears: int = 0

    def run(self) -> TaskInstance:
        """All attempts, until one succeeds or none is left."""
        if self.max_tries < 0:
            self.max_tries = self.retries
        while True:
            self.attempt()
            if self.state != "up_for_retry":
                return self

    def clear(self) -> TaskInstance:
        """As the UI does; what is in the task state store stays there."""
        self.max_tries = self.tries + self.retries
        self.clears += 1
        self.state = "cleared"
        return self

    def attempt(self) -> None:
        if self.max_tries < 0:
            self.max_tries = self.retries
        self.tries += 1
        known = {"max_tries": self.max_tries, "clear_number": self.clears, "store": self.store}
        here = self.context(**{**known, **self.place})
        begin = datetime.fromtimestamp(time.time(), tz=UTC)
        here["ti"].get_first_reschedule_date = lambda _: begin
        here["ti"].try_number = self.tries
        try:
            self.result = self._to_its_end(here)
            self.state = "success"
        except AirflowSkipException:
            self.state = "skipped"
        except Cleared:
            self.clear()
        except (Killed, Exception) as error:
            self.errors.append(error)
            is_final = isinstance(error, AirflowFailException | AirflowSensorTimeout)
            again = self.tries <= self.max_tries and not is_final
            self.state = "up_for_retry" if again else "failed"

    def _to_its_end(self, here: dict[str, Any]) -> Any:
        method, arguments = "execute", {}
        for _ in range(MOST_LOOKS):
            try:
                if method == "execute":
                    return self._operator().execute(here)
                self.before_resuming()
                return self._operator().resume_execution(method, arguments, here)
            except AirflowRescheduleException as rescheduled:
                time.sleep(max(0.0, rescheduled.reschedule_date.timestamp() - time.time()))
            except TaskDeferred as deferred:
                method = deferred.method_name
                arguments = {**json.loads(json.dumps(deferred.kwargs or {})), "event": event_of(deferred.trigger)}
        raise AssertionError(f"still not done after {MOST_LOOKS} looks")

    def _operator(self) -> Any:
        operator = self.build()
        operator.retries = self.retries
        return operator


Operator = Callable[..., PersonalizeJobOperator]


@dataclass
class Run:
    """A DAG run: one task that starts a job and waits, or one that starts it and a sensor that waits.

    :ivar sensor_timeout: seconds.
    """

    build: Operator
    mode: str
    context: Callable[..., dict[str, Any]]
    retries: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)
    before_resuming: Callable[[], None] = lambda: None
    new_store: Callable[[], Any] = Store
    sensor_timeout: float = 24 * 3600
    tasks: list[TaskInstance] = field(default_factory=list)

    def run(self) -> Run:
        for task in self._tasks():
            self.tasks.append(task)
            if task.run().state != "success":
                break
        return self

    def _tasks(self) -> Iterator[TaskInstance]:
        here = {"context": self.context, "retries": self.retries, "before_resuming": self.before_resuming}
        here["store"] = self.new_store()
        waiting = {"wait_for_completion": self.mode in OPERATOR_MODES, "deferrable": self.mode == "deferred"}
        yield TaskInstance(lambda: self.build(**{**waiting, **self.arguments}), place=self.place, **here)
        if self.mode in SENSOR_MODES:
            sensor_place = {**self.place, "task_id": "wait"}
            yield TaskInstance(lambda: self._sensor(self.tasks[0].result), place=sensor_place, **here)

    def _sensor(self, arn: str) -> PersonalizeSensor:
        kind = arn.rpartition(":")[2].partition("/")[0]
        build = SENSORS["solution-version" if kind == "solution" else kind]
        mode = {"deferrable": True} if self.mode == "sensor deferred" else {"mode": self.mode}
        starter = self.build(**self.arguments)
        return build(
            task_id="wait",
            timeout=self.sensor_timeout,
            aws_conn_id=starter.aws_conn_id,
            botocore_config=starter.botocore_config,
            **{build.arn_field: arn},
            **mode,
        )

    @property
    def state(self) -> str | None:
        return self.tasks[-1].state

    @property
    def errors(self) -> list[BaseException]:
        return [error for task in self.tasks for error in task.errors]

    @property
    def arn(self) -> Any:
        return self.tasks[0].result
