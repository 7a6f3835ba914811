"""What can go wrong, as types, so that a callback, a retry policy or a test can tell one from another.

Errors that another attempt cannot mend derive from ``AirflowFailException``, so the task fails without using up its
retries. All of them survive pickling with their fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_personalize._compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from airflow_provider_personalize.hooks.resources import PersonalizeResource


class PersonalizeConnectionError(AirflowException):
    """The Airflow connection does not exist, or what it says about Personalize cannot be understood."""


class PersonalizeInputError(AirflowFailException):
    """An argument is missing or malformed, or the service refused the request as invalid."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which an existing resource is not what was asked for."""

    field: str
    wanted: Any
    existing: Any

    def __str__(self) -> str:
        return f"{self.field}: asked for {self.wanted!r}, the existing one has {self.existing!r}"


class PersonalizeConflictError(AirflowFailException):
    """The name is taken by a resource that differs from what was asked for.

    :ivar arn: the existing resource.
    :ivar differences: every differing field with both values.
    """

    def __init__(self, message: str, *, arn: str, differences: tuple[Difference, ...] = ()) -> None:
        super().__init__(message)
        self.arn = arn
        self.differences = differences

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[str]]:
        return partial(type(self), arn=self.arn, differences=self.differences), (str(self),)


class PersonalizeLimitError(AirflowException):
    """The service kept answering LimitExceededException for longer than the task may wait."""


class PersonalizeJobError(AirflowException):
    """Something about one job, import or training.

    :ivar job_arn: the job.
    :ivar status: its last known status, as the service spells it.
    :ivar failure_reason: the service's own words, when it gave any.
    :ivar input_uri: where it reads from, when known.
    :ivar output_uri: where it writes to, when known.
    """

    def __init__(
        self,
        message: str,
        *,
        job_arn: str,
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

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[str]]:
        return partial(type(self), **vars(self)), (str(self),)

    @classmethod
    def about(cls, resource: PersonalizeResource, what: str, facts: dict[str, Any]) -> Self:
        """Build the error from what :meth:`PersonalizeResource.facts` took out of a description.

        :param what: what happened, between the job's ARN and its failure reason.
        """
        ends = {"input": facts["input_uri"], "output": facts["output_uri"]}
        places = [f"{end}: {uri}" for end, uri in ends.items() if uri]
        reason = f": {facts['failure_reason']}" if facts["failure_reason"] else ""
        where = f" ({', '.join(places)})" if places else ""
        return cls(f"Amazon Personalize {resource.label} {facts['job_arn']} {what}{reason}{where}", **facts)


class PersonalizeJobFailedError(PersonalizeJobError):
    """The job ended in failure. An operator's next attempt creates a new one under the next free name."""


class PersonalizeAwaitedJobFailedError(PersonalizeJobFailedError, AirflowFailException):
    """The job a sensor waits for ended in failure. Looking again would see the same, so the sensor does not retry."""


class PersonalizeJobTimeoutError(PersonalizeJobError):
    """The job was not finished within the limit. It keeps running; an operator's next attempt adopts it."""


class PersonalizeWaitError(PersonalizeJobError):
    """The job could not be watched any longer (access denied, ARN unknown, ...). What became of it is not known."""
