"""What a task instance has written down about its job, in Airflow's task state store.

The store survives a lost worker and a retry; XCom does not. It is read with a grain of salt: names are the authority,
so whatever is wrong with the store costs a few calls, and no job.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from airflow.sdk import Context

STATE_KEY = "personalize_job"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job of one task instance.

    :ivar name: its name before any number was appended.
    :ivar number: which choice of that name it has; see :func:`.identity.numbered`. 0: none has been asked for yet.
    :ivar generation: how many attempts had been made when the task was last cleared.
    :ivar max_tries: Airflow's, which only a clear changes.
    :ivar fingerprint: of the task instance and its request; see :meth:`.identity.Attempts.fingerprint`.
    :ivar arn: the job; None from just before the create call until its answer.
    :ivar clear_number: how often something of the Dag run had been cleared; None where Airflow does not tell.
    :ivar finished: whether the task has come to its end with a job, now or before a clear.
    """

    name: str
    number: int
    generation: int
    max_tries: int
    fingerprint: str
    arn: str | None = None
    clear_number: int | None = None
    finished: bool = False

    @property
    def has_asked(self) -> bool:
        return self.number > 0

    def is_for(self, other: Self) -> bool:
        """Whether both stand for the same intent: request, generation and name, whatever became of it."""
        return (self.name, self.generation, self.fingerprint) == (other.name, other.generation, other.fingerprint)


def recall(context: Context, log: Any) -> JobRecord | None:
    """What an earlier attempt wrote down; None when there is nothing, or nothing that can be read."""
    store: Any = context.get("task_state_store")
    try:
        stored = store.get(STATE_KEY) if store is not None else None
    except Exception:
        log.warning("The task state store cannot be read; looking for the job by its name.", exc_info=True)
        return None
    if not isinstance(stored, dict) or set(stored) != {field.name for field in fields(JobRecord)}:
        return None
    return JobRecord(**stored)


def begin(context: Context, log: Any) -> JobRecord | None:
    """What an earlier attempt wrote down. The first attempt writes down that nothing has been asked for yet.

    Without that, a task that is cleared before it ever asked looks like one whose record is lost.
    """
    record, instance = recall(context, log), context["ti"]
    if record is None and instance.try_number == 1:
        record = JobRecord("", 0, 0, instance.max_tries, "", clear_number=clear_number(context))
        remember(context, record, log)
    return record


def clear_number(context: Context) -> int | None:
    """How often something of the Dag run has been cleared; None where Airflow does not tell."""
    return getattr(context.get("dag_run"), "clear_number", None)


def remember(context: Context, record: JobRecord, log: Any, *, must: bool = False) -> None:
    """Write it down, in place of what was there.

    :param must: raise when that fails, since what was there would be wrong from now on.
    """
    store: Any = context.get("task_state_store")
    if store is None:
        return
    try:
        store.set(STATE_KEY, asdict(record))
    except Exception:
        if must:
            raise
        log.warning("The task state store cannot be written; a retry finds the job by name.", exc_info=True)
