"""Sensors that wait for many batch jobs at once: one List call shows a hundred of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_personalize._compat import (
    AirflowException,
    aws_template_fields,
    validate_execute_complete_event,
)
from airflow_provider_personalize.exceptions import (
    PersonalizeAwaitedJobsFailedError,
    PersonalizeInputError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.jobs_watch import JobsWatch, next_call
from airflow_provider_personalize.hooks.patience import passes
from airflow_provider_personalize.hooks.resources import BATCH_INFERENCE_JOB, BATCH_SEGMENT_JOB
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.sensors.personalize import PersonalizeSensor
from airflow_provider_personalize.triggers.batch_jobs import PersonalizeBatchJobsTrigger
from airflow_provider_personalize.triggers.personalize import deferral_timeout

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeBatchJobsSensor(PersonalizeSensor):
    """Wait until all of several batch jobs are ``ACTIVE``.

    It polls with List calls, each of which shows a hundred jobs, and describes what these do not show. One that does
    not exist is an error at once.

    :param job_arns: the jobs (templated): a list, the output of a mapped task, or JSON text.
    :param fail_fast: end with the first job that fails, instead of when all have ended.
    :return: the jobs, each of them once.
    :raises PersonalizeAwaitedJobsFailedError: when jobs failed; it names each with its reason.
    :raises AirflowSensorTimeout: when not all were finished within ``timeout``.

    The other arguments are those of :class:`PersonalizeSensor`.
    """

    template_fields: Sequence[str] = aws_template_fields("job_arns")

    def __init__(self, *, job_arns: Sequence[str] | str, fail_fast: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_arns = job_arns
        self.fail_fast = fail_fast
        self._template = job_arns
        self._watch: JobsWatch | None = None

    @property
    def arns(self) -> list[str]:
        """The jobs, without repetitions.

        :raises PersonalizeInputError: when there is none, or one that is no ARN.
        """
        given = fields.parsed("job_arns", self.job_arns)
        if given is None:
            fields.arn("job_arns", given, self._template)  # which says what task did not deliver it
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise PersonalizeInputError(f"job_arns must be a list of ARNs, or JSON text of one, got {given!r}.")
        arns = [fields.arn(f"job_arns[{index}]", arn, self._template) for index, arn in enumerate(given)]
        if not arns:
            raise PersonalizeInputError("job_arns is empty: there is no job to wait for.")
        return list(dict.fromkeys(arns))

    def execute(self, context: Context) -> list[str]:
        super().execute(context)
        return self.arns

    def poke(self, context: Context) -> bool:
        self._watch = watch = self._watch or JobsWatch(self.resource, self.arns, self.fail_fast, self.log)
        poll = watch.poll()
        try:
            call = next_call(poll)
            while call is not None:
                operation, arguments = call
                call = next_call(poll, getattr(self.hook.conn, operation)(**arguments))
        except AirflowException:  # such as a connection that does not exist
            raise
        except Exception as error:
            if not passes(error):
                raise self._refused(f"{type(error).__name__}: {error}", watch.waiting) from error
            watch.has_missed(error)
        watch.say()
        if watch.is_over and watch.failed:
            self._end(PersonalizeAwaitedJobsFailedError.among(self.resource, watch.outcome()))
        return watch.is_over

    def _defer(self) -> NoReturn:
        # A poke_interval of 0 is allowed; a trigger that never sleeps would hold up all others.
        delay = self.poke_interval or 1.0
        self.defer(
            trigger=PersonalizeBatchJobsTrigger(
                kind=self.resource.kind,
                arns=self.arns,
                deadline=time.time() + self.timeout,
                fail_fast=self.fail_fast,
                waiter_delay=delay,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(timedelta(seconds=self.timeout), self.execution_timeout),
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> list[str]:
        event = validate_execute_complete_event(event)
        status, arns = event["status"], [str(arn) for arn in event["arns"]]
        if status == "failed":
            self._end(PersonalizeAwaitedJobsFailedError.among(self.resource, event))
        if status == "timeout":
            return self.look_once_more(context)
        if status != "success":
            raise self._refused(event["message"], event["waiting"])
        self.log.info("All %d are ACTIVE", len(arns))
        return arns

    def look_once_more(self, context: Context) -> list[str]:
        super().look_once_more(context)
        return self.arns

    @property
    def awaited(self) -> str:
        return f"{self._named(self._watch.waiting if self._watch else self.arns)} were"

    def _refused(self, obstacle: str, waiting: Iterable[str]) -> PersonalizeWaitError:
        return PersonalizeWaitError(
            f"Amazon Personalize {self._named(waiting)} could not be watched: {obstacle}", job_arn=None
        )

    def _named(self, arns: Iterable[str]) -> str:
        return f"{self.resource.label}s {', '.join(arns)}"


class PersonalizeBatchInferenceJobsSensor(PersonalizeBatchJobsSensor):
    """Wait for several batch inference jobs.

    The arguments are those of :class:`PersonalizeBatchJobsSensor`.
    """

    resource = BATCH_INFERENCE_JOB


class PersonalizeBatchSegmentJobsSensor(PersonalizeBatchJobsSensor):
    """Wait for several batch segment jobs.

    The arguments are those of :class:`PersonalizeBatchJobsSensor`.
    """

    resource = BATCH_SEGMENT_JOB
