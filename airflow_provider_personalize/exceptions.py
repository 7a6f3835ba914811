"""What can go wrong, as types, so that a callback, a retry policy or a test can tell one from another.

Errors that another attempt cannot mend derive from ``AirflowFailException``, so the task fails without using up its
retries. All of them survive pickling with their fields.
"""

from __future__ import annotations

import copyreg
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_personalize._compat import AirflowException, AirflowFailException
from airflow_provider_personalize.failure_reasons import hint

if TYPE_CHECKING:
    from airflow_provider_personalize.hooks.resources import PersonalizeResource


class PersonalizeConnectionError(AirflowException):
    """The Airflow connection does not exist, or what it says about Personalize cannot be understood."""


class PersonalizeInputError(AirflowFailException):
    """An argument is missing or malformed, or the service refused the request as invalid."""


class _Fields:
    """An error with fields: pickled without calling its constructor, which takes them by name, and with its notes."""

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which an existing resource is not what was asked for."""

    field: str
    wanted: Any
    existing: Any

    def __str__(self) -> str:
        return f"{self.field}: asked for {self.wanted!r}, the existing one has {self.existing!r}"


class PersonalizeConflictError(_Fields, AirflowFailException):
    """The name is taken by a resource that differs from what was asked for.

    :ivar arn: the existing resource.
    :ivar differences: every differing field with both values.
    """

    def __init__(self, message: str, *, arn: str, differences: tuple[Difference, ...] = ()) -> None:
        super().__init__(message)
        self.arn = arn
        self.differences = differences


class PersonalizeMetricsError(_Fields, AirflowFailException):
    """A solution version's metrics are not good enough. They are what they are, so the task does not retry.

    :ivar solution_version_arn: the version.
    :ivar metrics: all its metrics by name.
    """

    def __init__(self, message: str, *, solution_version_arn: str, metrics: dict[str, float]) -> None:
        super().__init__(message)
        self.solution_version_arn = solution_version_arn
        self.metrics = metrics


class PersonalizePermissionError(_Fields, AirflowFailException):
    """Something that a job or a training needs is not there or not allowed.

    Somebody has to act, so the task does not retry.

    :ivar findings: all that was looked at, as :class:`airflow_provider_personalize.hooks.preflight.Finding` describes.
    """

    def __init__(self, message: str, *, findings: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.findings = findings


class PersonalizeJobError(_Fields, AirflowException):
    """Something about one job, import or training.

    :ivar job_arn: the job; None when there is none yet.
    :ivar status: its last known status, as the service spells it.
    :ivar failure_reason: the service's own words, when it gave any.
    :ivar input_uri: where it reads from, when known.
    :ivar output_uri: where it writes to, when known.
    """

    def __init__(
        self,
        message: str,
        *,
        job_arn: str | None,
        status: str | None = None,
        failure_reason: str | None = None,
        input_uri: str | None = None,
        output_uri: str | None = None,
    ) -> None:
        super().__init__(message)
        self.job_arn = job_arn
        self.status = status
        self.failure_reason = failure_reason
        self.input_uri = input_uri
        self.output_uri = output_uri

    @property
    def hint(self) -> str | None:
        """What to do about the failure reason, when it is a known one."""
        return hint(self.failure_reason)

    @classmethod
    def about(cls, resource: PersonalizeResource, what: str, facts: dict[str, Any]) -> Self:
        """Build the error from what :meth:`PersonalizeResource.facts` took out of a description.

        :param what: what happened, between the job's ARN and its failure reason.
        """
        ends = {"input": facts["input_uri"], "output": facts["output_uri"]}
        places = [f"{end}: {uri}" for end, uri in ends.items() if uri]
        reason = f": {facts['failure_reason']}" if facts["failure_reason"] else ""
        where = f" ({', '.join(places)})" if places else ""
        advice = hint(facts["failure_reason"])
        todo = f". {advice}" if advice else ""
        subject = f"{resource.label} {facts['job_arn']}" if facts["job_arn"] else resource.label
        return cls(f"Amazon Personalize {subject} {what}{reason}{where}{todo}", **facts)


class PersonalizeJobFailedError(PersonalizeJobError):
    """The job ended in failure. An operator's next attempt creates a new one under the next free name."""


class PersonalizeAwaitedJobFailedError(PersonalizeJobFailedError, AirflowFailException):
    """The job a sensor waits for ended in failure. Looking again would see the same, so the sensor does not retry."""


class PersonalizeAwaitedJobsFailedError(PersonalizeAwaitedJobFailedError):
    """Of several jobs that a sensor waits for, some ended in failure. ``job_arn`` and the rest are those of the first.

    :ivar failures: of each failed job, what :meth:`PersonalizeResource.facts` says.
    """

    def __init__(self, message: str, *, failures: list[dict[str, Any]], **first: Any) -> None:
        super().__init__(message, **first)
        self.failures = failures

    @classmethod
    def among(cls, resource: PersonalizeResource, outcome: dict[str, Any]) -> Self:
        """Build the error from what :meth:`JobsWatch.outcome` says."""
        failures, active, waiting = (outcome[part] for part in ("failures", "active", "waiting"))
        jobs = len(failures) + len(active) + len(waiting)
        others = f"{len(active)} are ACTIVE" + (f", {len(waiting)} go on" if waiting else "")
        lines = [f"{len(failures)} of {jobs} Amazon Personalize {resource.label}s failed, {others}:"]
        for facts in failures:
            reason, advice = facts["failure_reason"], hint(facts["failure_reason"])
            told = ": ".join(filter(None, (f"{facts['job_arn']} ended in {facts['status']}", reason)))
            lines.append(f"{told}. {advice}" if advice else told)
        return cls("\n".join(lines), failures=failures, **failures[0])


class PersonalizeJobTimeoutError(PersonalizeJobError):
    """The job was not finished within the limit. It keeps running; an operator's retry adopts it, and while it runs, so
    does a clear."""


class PersonalizeWaitError(PersonalizeJobError):
    """The job could not be watched any longer (access denied, ARN unknown, ...). What became of it is not known."""

    @classmethod
    def because_of(cls, obstacle: Exception | str, resource: PersonalizeResource, facts: dict[str, Any]) -> Self:
        """
        :param obstacle: what was in the way.
        :param facts: what is known of the job; see :meth:`PersonalizeResource.facts`.
        """
        what = obstacle if isinstance(obstacle, str) else f"{type(obstacle).__name__}: {obstacle}"
        return cls.about(resource, f"could not be watched: {what}", facts)


class PersonalizeLimitError(PersonalizeJobError):
    """The service had no room for the job, or throttled its creation, for longer than the task may wait.

    ``failure_reason`` is the service's last answer. There is no job.
    """


class PersonalizeBatchInputError(_Fields, PersonalizeInputError):
    """The input of a batch job is not as the job needs it.

    :ivar report: what the validation found, as JSON values.
    """

    def __init__(self, message: str, *, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


class PersonalizeOutputError(_Fields, AirflowFailException):
    """The output of a batch job is not what was asked for. Looking again would see the same, so it is not retried.

    :ivar summary: what the output holds, as JSON values.
    """

    def __init__(self, message: str, *, summary: dict[str, Any]) -> None:
        super().__init__(message)
        self.summary = summary
