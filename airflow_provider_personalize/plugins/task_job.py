"""Which batch job a task instance has to do with, as Airflow's own database tells it.

A browser names the task instance and nothing else: neither a location nor a connection is ever taken from it.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from airflow.utils.session import create_session
from botocore.config import Config
from sqlalchemy import select

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import RESOURCES, PersonalizeResource
from airflow_provider_personalize.operators.record import STATE_KEY

_BATCH_JOB = re.compile(r"arn:[\w-]+:personalize:[\w-]*:\d*:(?P<kind>batch-(?:inference|segment)-job)/[\w-]+")
# Somebody is looking at the page meanwhile.
_IMPATIENT = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})


class NoJobError(Exception):
    """There is no job to show; the message says why."""


@dataclass(frozen=True, slots=True)
class TaskJob:
    """A batch job, and the task's own way to the service."""

    arn: str
    aws_conn_id: str | None
    region_name: str | None
    verify: bool | str | None

    @property
    def resource(self) -> PersonalizeResource:
        match = _BATCH_JOB.fullmatch(self.arn)
        assert match is not None
        return RESOURCES[match["kind"]]

    def hook(self) -> PersonalizeHook:
        """A hook that gives up after seconds, where those of tasks are patient for minutes."""
        config = self._hook().config.merge(_IMPATIENT)
        hook = self._hook(config=config)
        hook.give_up_at = time.time()
        return hook

    def _hook(self, **more: Any) -> PersonalizeHook:
        return PersonalizeHook(aws_conn_id=self.aws_conn_id, region_name=self.region_name, verify=self.verify, **more)


def job_of(dag_id: str, run_id: str, task_id: str, map_index: int) -> TaskJob:
    """The job that a task instance created, waits for, or read.

    Its ARN is the task's argument ``job_arn``, else what the task returned (the ARN, or a dictionary with ``job_arn``),
    else what it has written down of a job that still runs or that failed.

    :raises NoJobError: when there is no such task instance, it has no job, or its connection is not known.
    """
    instance = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    with create_session() as session:

        def look_up(column: Any, **more: str) -> Any:
            criteria = (getattr(column.class_, name) == value for name, value in {**instance, **more}.items())
            return session.scalar(select(column).where(*criteria))

        if look_up(TaskInstance.task_id) is None:
            # A plus sign that nobody encoded arrives as a space.
            instance["run_id"] = run_id.replace(" ", "+")
            if look_up(TaskInstance.task_id) is None:
                raise NoJobError("Airflow has no such task instance. Its run may have been deleted.")
        arguments = look_up(RenderedTaskInstanceFields.rendered_fields)
        returned = look_up(XComModel.value, key=XCOM_RETURN_KEY)
        noted = look_up(TaskStateStoreModel.value, key=STATE_KEY)
    arn = next(
        filter(
            _is_batch_job,
            (_member(arguments, "job_arn"), _plain(returned), _member(returned, "job_arn"), _member(noted, "arn")),
        ),
        None,
    )
    if arn is None:
        raise NoJobError(
            "This task instance has no batch inference job and no batch segment job: it runs none, or has not asked "
            "for it yet."
        )
    if not isinstance(arguments, dict) or "aws_conn_id" not in arguments:
        raise NoJobError(
            f"The task's job is {arn}, but it is not known which connection leads to it: Airflow keeps the rendered "
            "arguments of a Dag's newest runs only ([core] num_dag_runs_to_retain_rendered_fields)."
        )
    return TaskJob(arn, *(arguments.get(name) for name in ("aws_conn_id", "region_name", "verify")))


def _is_batch_job(value: object) -> bool:
    return isinstance(value, str) and _BATCH_JOB.fullmatch(value) is not None


def _member(value: object, key: str) -> Any:
    plain = _plain(value)
    return plain.get(key) if isinstance(plain, dict) else None


def _plain(value: Any) -> Any:
    """What is in a column that holds JSON, or JSON in a JSON text. Nothing is built of what it may describe."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
