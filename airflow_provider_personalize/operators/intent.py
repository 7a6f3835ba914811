"""One job per intent: which job is a task instance's own, and what becomes of a name that is taken.

A name of the default kind can only be this task instance's: it holds a hash of it. A name that the user chose may be
anyone's, so what decides there is the record that the task instance wrote before it asked for the job, or that it has
not asked for any; where there is no record, a retry takes a job of the same request for its own, since the other
mistake would be paid for.
docs/operators.md has the rules as a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize._compat import conf
from airflow_provider_personalize.exceptions import PersonalizeConflictError, PersonalizeInputError
from airflow_provider_personalize.operators.identity import Attempts, differences, numbered
from airflow_provider_personalize.operators.record import JobRecord, remember

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_personalize.operators.base import PersonalizeJobOperator

POLICIES = ("adopt", "rename", "fail")
MOST_NAMES = 100


@dataclass(frozen=True, slots=True)
class Intent:
    """What one task instance wants to exist exactly once.

    :param request: the create request without its name.
    :param given: the name that the user chose; None for the default one.
    :param policy: ``if_exists``.
    :param max_age: how old a job of someone else may be to serve as well; None: none does.
    :param record: what an earlier attempt wrote down.
    """

    operator: PersonalizeJobOperator
    context: Context
    request: dict[str, Any]
    given: str | None
    policy: str
    max_age: timedelta | None
    record: JobRecord | None

    def fulfilled(self, *, found_no_room: bool = False) -> str:
        """The ARN of this task instance's own job; else, after a clear, of its former one if that still runs; else of a
        recent one, if ``max_age`` allows; else of a new one.

        :param found_no_room: whether an earlier try is known to have created nothing.
        :raises PersonalizeConflictError: when the name is taken, and ``if_exists`` does not allow for it.
        """
        record = self.record
        attempts = Attempts.of(self.context, self.operator.retries or 0, record)
        # A task that has never asked for a job has none to start over from.
        was_cleared = attempts.were_cleared and (record is None or record.has_asked)
        wanted = self._wanted(attempts, was_cleared=was_cleared)
        resumed = record is not None and record.is_for(wanted)
        found = left_running = None
        if record is not None and resumed:
            description = self._described(record)
            if description is not None and not self._has_failed(description):
                return self._adopted(description)
            # A job taken over from before a clear, or from somebody else, has not used up a name of this one's.
            used = description is not None and self._name(description) == numbered(record.name, record.number)
            wanted = replace(record, arn=None, number=record.number + used)
        else:
            if was_cleared:
                found = self._still_running(attempts)
            left_running = self._running_for_another_request(wanted)
        # One that was asked for may exist, so it comes first. A clear of a task that had finished wants a new one.
        if found is None and not (was_cleared and wanted.finished) and (found_no_room or not resumed):
            found = self._recent()
        if found is None:
            found = self._created(wanted, attempts, found_no_room=found_no_room)
        else:
            remember(self.context, replace(wanted, arn=found), self.operator.log)
        if left_running not in (None, found):
            self.operator.log.warning(
                "%s, which an earlier attempt of this task started with another request, still runs, cannot be "
                "cancelled, and will be billed as well as %s. Does a template render differently on each attempt?",
                left_running,
                found,
            )
        return found

    def _wanted(self, attempts: Attempts, *, was_cleared: bool) -> JobRecord:
        """What to write down: the name, and its first choice that no former job of this task instance can have.

        An attempt uses up one choice at most. So after a clear a given name goes on after the number of attempts, which
        is the same on every attempt, also where nothing was written down.
        """
        record, intended = self.record, attempts.fingerprint(self.request)
        name = self.given or attempts.name(self.request, _prefix())
        number = 1
        if self.given:
            number = attempts.generation + 1 if was_cleared else 1
            if record is not None and record.name == name:
                number = max(number, record.number + (record.arn is not None))
        elif record is not None and (record.generation, record.fingerprint) == (attempts.generation, intended):
            # Whatever the prefix is by now.
            name = record.name
        return JobRecord(
            name,
            number,
            attempts.generation,
            attempts.max_tries,
            intended,
            clear_number=attempts.clear_number,
            finished=was_cleared if record is None else record.finished,
        )

    # Jobs that are there already -------------------------------------------------------------------------------------

    def _still_running(self, attempts: Attempts) -> str | None:
        """The job of this task before it was cleared, if it is of the same request and still runs.

        A clear means to start over, but that job cannot be cancelled: a second one would be paid for beside it.
        """
        same = self.record is not None and self.record.fingerprint == attempts.fingerprint(self.request)
        description = self._described(self.record) if same else None
        if description is None or not self.operator.runs(description):
            description = self.operator.running(self._former_names(attempts), self.request)
        if description is None or self._conflicts(description):
            return None
        self.operator.log.warning("The task was cleared, but its former job still runs and cannot be cancelled.")
        return self._adopted(description)

    def _running_for_another_request(self, wanted: JobRecord) -> str | None:
        """The job of an earlier attempt that is left running, since the request has changed."""
        if self.record is None or self.record.fingerprint == wanted.fingerprint:
            return None
        description = self._described(self.record)
        return self._arn(description) if description is not None and self.operator.runs(description) else None

    def _former_names(self, attempts: Attempts) -> Iterator[Iterable[str]]:
        """Names that jobs of this task can have had before it was cleared, the latest first.

        In groups: in a group, no name is taken unless the one before it is.
        """
        if self.given:
            numbers = range(min(attempts.generation, MOST_NAMES), 0, -1)
            return ((numbered(self.given, number),) for number in numbers)
        bases = (former.name(self.request, _prefix()) for former in islice(attempts.former(), MOST_NAMES))
        return ([numbered(base, number) for number in range(1, MOST_NAMES + 1)] for base in bases)

    def _recent(self) -> str | None:
        """The newest ``ACTIVE`` job of the same request, whoever created it, that is young enough."""
        if self.max_age is None:
            return None
        resource, wanted = self.operator.resource, self.operator.resolved(self.request)
        for description in self.operator.hook.recent(resource, self.max_age, str(wanted[resource.parent_member])):
            if not differences(wanted, description):
                arn = str(description[resource.arn_member])
                self.operator.log.warning(
                    "REUSING %s %s of %s: the same request, within max_age. Nothing new is started.",
                    resource.label,
                    arn,
                    description["creationDateTime"],
                )
                return arn
        return None

    # A new one -------------------------------------------------------------------------------------------------------

    def _created(self, wanted: JobRecord, attempts: Attempts, *, found_no_room: bool) -> str:
        record = self.record
        for number in range(wanted.number, wanted.number + MOST_NAMES):
            claim = replace(wanted, number=number)
            noted = record is not None and (record.name, record.number) == (claim.name, number)
            own = not self.given or noted or (record is None and attempts.attempt > 1)
            changed = noted and record is not None and record.fingerprint != claim.fingerprint
            may_exist = not found_no_room and (noted or attempts.attempt > 1)
            arn = self._claimed(claim, own=own, changed=changed, may_exist=may_exist)
            if arn is not None:
                return arn
        raise PersonalizeInputError(
            f"{MOST_NAMES} {self.operator.resource.label}s named {wanted.name!r}, with -2, -3, ... are taken. See the "
            "failure reason of the last one, or give another job_name."
        )

    def _claimed(self, claim: JobRecord, *, own: bool, changed: bool, may_exist: bool) -> str | None:
        """Create the job of this name; when the name is taken, adopt the one that has it, if that is right.

        :param own: whether a job of this name is this task instance's.
        :param changed: whether it is known to be of another request.
        :param may_exist: whether an earlier attempt may have asked for it.
        :return: its ARN; None when the name cannot be used and the next one is to be tried.
        """
        name, log = numbered(claim.name, claim.number), self.operator.log
        unasked = self.record is not None and not self.record.has_asked
        if not own and self.policy != "adopt":
            # Looked for before it is asked for: afterwards, a job of this name may be the answer.
            other = self.operator.existing(name, self.request)
            if other is not None:
                self._pass_by(other)
                return None
        remember(self.context, claim, log, must=unasked)
        arn, description = self.operator.create(name, self.request, may_exist=may_exist)
        if description is not None:
            try:
                arn = self._settled(description, changed=changed)
            except PersonalizeConflictError:
                # It is somebody else's, so this task has asked for no more than before.
                if self.record is not None and not own:
                    remember(self.context, self.record, log)
                raise
        if arn is not None:
            remember(self.context, replace(claim, arn=arn), log)
        return arn

    def _pass_by(self, description: dict[str, Any]) -> None:
        """Leave a job alone that is not this task instance's; an error when the policy is to fail."""
        arn = self._arn(description)
        if self.policy == "fail":
            raise PersonalizeConflictError(
                f"The name of {self.operator.resource.label} {arn} is taken ({description.get('status')}), and "
                "if_exists is 'fail'. Names are never freed: give another job_name.",
                arn=arn,
            )
        self.operator.log.warning("The name of %s is taken, and if_exists is 'rename': trying the next one.", arn)

    def _settled(self, description: dict[str, Any], *, changed: bool) -> str | None:
        """What the job amounts to that has the name which was just asked for."""
        arn = self._arn(description)
        if self._has_failed(description):
            self.operator.log.warning(
                "%s has failed (%s) and its name cannot be used again: trying the next one.",
                arn,
                description.get("failureReason") or description.get("status"),
            )
            return None
        conflicts = self._conflicts(description)
        if not conflicts:
            return self._adopted(description)
        # Never with a default name: its hash says that the request is the same, whatever the service made of it.
        if self.given and (changed or self.policy == "rename"):
            self.operator.log.warning("%s is of another request: trying the next name.", arn)
            return None
        raise PersonalizeConflictError(
            f"The name of {self.operator.resource.label} {arn} is taken by another request. "
            + "; ".join(map(str, conflicts))
            + ". Names are never freed: give another job_name.",
            arn=arn,
            differences=conflicts,
        )

    def _adopted(self, description: dict[str, Any]) -> str:
        arn = self._arn(description)
        self.operator.log.warning(
            "ADOPTING %s %s (%s): it was created with the same request. Nothing new is started.",
            self.operator.resource.label,
            arn,
            description.get("status"),
        )
        return arn

    # What the operator knows -----------------------------------------------------------------------------------------

    def _described(self, record: JobRecord | None) -> dict[str, Any] | None:
        if record is None or record.arn is None:
            return None
        return self.operator.hook.find(self.operator.resource, record.arn)

    def _arn(self, description: dict[str, Any]) -> str:
        return str(description[self.operator.resource.arn_member])

    def _name(self, description: dict[str, Any]) -> str:
        return str(description.get(self.operator.resource.name_member))

    def _has_failed(self, description: dict[str, Any]) -> bool:
        return self.operator.resource.has_failed(description.get("status"))

    def _conflicts(self, description: dict[str, Any]) -> tuple[Any, ...]:
        return self.operator.conflicts(self.request, description)


def _prefix() -> str:
    return str(conf.get("personalize", "job_name_prefix", fallback=""))
