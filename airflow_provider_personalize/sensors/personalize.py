"""Sensors: wait for a job, an import or a training that something else has started.

They succeed on ``ACTIVE`` alone, fail on the statuses that mean failure, and keep waiting on anything else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow_provider_personalize._compat import (
    TRIGGER_FAIL_REPR,
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AwsBaseSensor,
    TriggerFailureReason,
    aws_template_fields,
    conf,
    validate_execute_complete_event,
)
from airflow_provider_personalize.exceptions import PersonalizeAwaitedJobFailedError, PersonalizeWaitError
from airflow_provider_personalize.hooks.patience import passes
from airflow_provider_personalize.hooks.personalize import DEFAULT_WAITER_DELAY, PersonalizeHook
from airflow_provider_personalize.hooks.resources import (
    ACTIVE,
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    DATASET_IMPORT_JOB,
    SOLUTION_VERSION,
    PersonalizeResource,
)
from airflow_provider_personalize.hooks.waiting import progress
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.triggers.personalize import PersonalizeTrigger, deferral_timeout

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeSensor(AwsBaseSensor[PersonalizeHook]):
    """Wait until one resource is ``ACTIVE``, in mode ``poke``, ``reschedule`` or deferred.

    ``timeout`` is the limit in every mode. ``soft_fail`` and ``never_fail`` skip the task instead of failing it, on a
    failed job as on a timeout, and where looking is refused.

    :param poke_interval: seconds between polls. None: the connection's ``service_config.personalize.waiter_delay``,
        else 60.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises PersonalizeAwaitedJobFailedError: when the job failed, with the service's failure reason.
    :raises PersonalizeWaitError: when looking at it is refused.
    :raises AirflowSensorTimeout: when it was not finished within ``timeout``.
    """

    aws_hook_class = PersonalizeHook
    resource: ClassVar[PersonalizeResource]
    arn_field: ClassVar[str] = "job_arn"
    template_fields: Sequence[str] = aws_template_fields()
    ui_color = "#e2f0cb"

    def __init__(
        self,
        *,
        poke_interval: timedelta | float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=DEFAULT_WAITER_DELAY if poke_interval is None else poke_interval, **kwargs)
        self.deferrable = deferrable
        self._interval_given = poke_interval is not None
        self._unknown: set[str] = set()
        self._usual: float | None = None
        self._seen = ""
        self._facts: dict[str, Any] = {}
        self._template: Any = None

    @property
    def arn(self) -> str:
        return fields.arn(self.arn_field, getattr(self, self.arn_field), self._template)

    def execute(self, context: Context) -> Any:
        if not self._interval_given:
            self.poke_interval = self.hook.waiter_delay
        try:
            if not self.deferrable:
                return super().execute(context)
            if not self.poke(context):
                self._defer()
        except (AirflowSensorTimeout, PersonalizeWaitError) as error:
            # Airflow skips a lenient sensor that was deferred; otherwise it thinks of one of the two alone.
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        return None

    def poke(self, context: Context) -> bool:
        arn = self.arn
        try:
            description = getattr(self.hook.conn, self.resource.describe_operation)(**{self.resource.arn_member: arn})[
                self.resource.member
            ]
        except AirflowException:  # such as a connection that does not exist
            raise
        except Exception as error:
            if not passes(error):
                known = {**self.resource.facts(arn, {}), **self._facts}
                raise PersonalizeWaitError.because_of(error, self.resource, known) from error
            self.log.warning("%s could not be asked for (%s); asking again.", arn, error)
            return False
        status = str(description.get("status"))
        self._facts = self.resource.facts(arn, description)
        if self.resource.has_failed(status):
            self._fail(self._facts)
        if status != self._seen:
            if not self._seen and status != ACTIVE and not self.reschedule:
                # Rescheduled, each look is a process of its own, and would cost a List call.
                self._usual = self.hook.usual_duration(self.resource, description)
            self._seen = status
            self.log.info("%s", progress(self.resource, arn, description, self._usual))
        if not self.resource.is_known(status) and status not in self._unknown:
            self._unknown.add(status)
            self.log.warning("Status %r of %s is not known here; waiting goes on.", status, arn)
        return status == ACTIVE

    def _defer(self) -> NoReturn:
        # A poke_interval of 0 is allowed; a trigger that never sleeps would hold up all others.
        delay = self.poke_interval or 1.0
        self.defer(
            trigger=PersonalizeTrigger(
                kind=self.resource.kind,
                arn=self.arn,
                deadline=time.time() + self.timeout,
                waiter_delay=delay,
                usual_seconds=self._usual,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(timedelta(seconds=self.timeout), self.execution_timeout),
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """As every sensor, but where Airflow has ended the deferral, the job is looked at once more, and named."""
        if (
            next_method == TRIGGER_FAIL_REPR
            and (next_kwargs or {}).get("error") == TriggerFailureReason.TRIGGER_TIMEOUT
        ):
            return super().resume_execution("look_once_more", {}, context)
        return super().resume_execution(next_method, next_kwargs, context)

    def look_once_more(self, context: Context) -> Any:
        """The triggerer may have been away for longer than the job took.

        :raises AirflowSensorTimeout: when the job is not ``ACTIVE``.
        """
        if not self.poke(context):
            limit = min(self.timeout, (self.execution_timeout or timedelta.max).total_seconds())
            raise AirflowSensorTimeout(f"Amazon Personalize {self.awaited} not ACTIVE after {limit:g} seconds.")
        return None

    @property
    def awaited(self) -> str:
        """Subject and verb of what is said when the wait was too short."""
        return f"{self.resource.label} {self.arn} was"

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        event = validate_execute_complete_event(event)
        status, arn = event["status"], str(event["arn"])
        self._facts = {**self.resource.facts(arn, {}), **event["facts"]}
        if status == "failed":
            self._fail(self._facts)
        if status == "timeout":
            return self.look_once_more(context)
        if status != "success":
            raise PersonalizeWaitError.because_of(event["message"], self.resource, self._facts)
        self.log.info("Amazon Personalize %s %s is ACTIVE", self.resource.label, arn)
        return None

    def _fail(self, facts: dict[str, Any]) -> NoReturn:
        self._end(PersonalizeAwaitedJobFailedError.about(self.resource, f"ended in {facts['status']}", facts))

    def _end(self, error: PersonalizeAwaitedJobFailedError) -> NoReturn:
        if self.soft_fail or self.never_fail:
            raise AirflowSkipException(str(error)) from error
        raise error


class PersonalizeBatchInferenceJobSensor(PersonalizeSensor):
    """Wait for a batch inference job.

    :param job_arn: the job (templated).

    The other arguments are those of :class:`PersonalizeSensor`.
    """

    resource = BATCH_INFERENCE_JOB
    template_fields: Sequence[str] = aws_template_fields("job_arn")

    def __init__(self, *, job_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_arn = job_arn
        self._template = job_arn


class PersonalizeBatchSegmentJobSensor(PersonalizeSensor):
    """Wait for a batch segment job.

    :param job_arn: the job (templated).

    The other arguments are those of :class:`PersonalizeSensor`.
    """

    resource = BATCH_SEGMENT_JOB
    template_fields: Sequence[str] = aws_template_fields("job_arn")

    def __init__(self, *, job_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_arn = job_arn
        self._template = job_arn


class PersonalizeDatasetImportJobSensor(PersonalizeSensor):
    """Wait for a dataset import job.

    :param job_arn: the import job (templated).

    The other arguments are those of :class:`PersonalizeSensor`.
    """

    resource = DATASET_IMPORT_JOB
    template_fields: Sequence[str] = aws_template_fields("job_arn")

    def __init__(self, *, job_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_arn = job_arn
        self._template = job_arn


class PersonalizeSolutionVersionSensor(PersonalizeSensor):
    """Wait until a solution version is trained. A training that was stopped counts as failed.

    :param solution_version_arn: the solution version (templated).

    The other arguments are those of :class:`PersonalizeSensor`.
    """

    resource = SOLUTION_VERSION
    arn_field = "solution_version_arn"
    template_fields: Sequence[str] = aws_template_fields("solution_version_arn")

    def __init__(self, *, solution_version_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.solution_version_arn = solution_version_arn
        self._template = solution_version_arn
