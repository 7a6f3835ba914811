"""Watching many batch jobs of one kind with few calls.

The sensor and its trigger share it: it says which calls to make and takes note of their answers, and makes none itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_personalize.hooks.patience import passes
from airflow_provider_personalize.hooks.resources import ACTIVE, PersonalizeResource
from airflow_provider_personalize.hooks.waiting import LONGEST_SILENCE

PAGE = 100  # the most that a List operation takes
MOST_PAGES = 5
Call = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class JobsWatch:
    """One wait for several batch jobs.

    :param arns: the jobs, each of them once.
    :param fail_fast: whether one failed job ends the wait, or the last of all.
    :ivar seen: by ARN, what a List or a Describe operation last said of the job.
    """

    resource: PersonalizeResource
    arns: Sequence[str]
    fail_fast: bool
    log: Any
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    trouble: str = ""
    _said: dict[str, int] = field(default_factory=dict)
    _said_at: float = 0.0
    _named: set[str] = field(default_factory=set)

    @property
    def active(self) -> list[str]:
        return [arn for arn in self.arns if self._status(arn) == ACTIVE]

    @property
    def failed(self) -> list[str]:
        return [arn for arn in self.arns if self.resource.has_failed(self._status(arn))]

    @property
    def waiting(self) -> list[str]:
        ended = {*self.active, *self.failed}
        return [arn for arn in self.arns if arn not in ended]

    @property
    def is_over(self) -> bool:
        return not self.waiting or (self.fail_fast and bool(self.failed))

    def outcome(self) -> dict[str, Any]:
        """What an event or an error says: ``failures`` (see :meth:`PersonalizeResource.facts`), and the rest by ARN."""
        failures = [self.resource.facts(arn, self.seen[arn]) for arn in self.failed]
        return {"failures": failures, "active": self.active, "waiting": self.waiting}

    def poll(self) -> Generator[Call, dict[str, Any], None]:
        """The calls of one poll, for whoever makes them to send back the answers. Ended jobs are not asked for again.

        A page of the list shows up to a hundred jobs, so pages are read while more than one job is unseen, to a bound;
        what is unseen then is described. Once the jobs are known to be of one model, only its jobs are listed.
        """
        unseen, models = set(self.waiting), {self.seen.get(arn, {}).get("solutionVersionArn") for arn in self.waiting}
        model = next(iter(models)) if len(models) == 1 else None
        arguments: dict[str, Any] = {"maxResults": PAGE, **({"solutionVersionArn": model} if model else {})}
        for _ in range(MOST_PAGES):
            if len(unseen) < 2:
                break
            answer = yield self.resource.list_operation, arguments
            for summary in answer[self.resource.list_member]:
                arn = str(summary[self.resource.arn_member])
                if arn in unseen:
                    unseen.remove(arn)
                    self.seen[arn] = summary
            if not answer.get("nextToken"):
                break
            arguments = {**arguments, "nextToken": answer["nextToken"]}
        for arn in [arn for arn in self.arns if arn in unseen]:
            answer = yield self.resource.describe_operation, {self.resource.arn_member: arn}
            self.seen[arn] = answer[self.resource.member]
        self.trouble = ""

    def has_missed(self, error: Exception) -> None:
        """Take note of a poll that broke off.

        :raises Exception: the error itself, when it does not pass by itself.
        """
        if not passes(error):
            raise error
        self.trouble = f"{type(error).__name__}: {error}"
        self.log.warning("Not all of %d jobs could be asked for (%s); asking again.", len(self.arns), self.trouble)

    def say(self) -> None:
        """Log how many are in which status, when that has changed or was not said for long; each failure once."""
        counts = Counter(self._status(arn) or "not seen yet" for arn in self.arns)
        if counts != self._said or time.time() - self._said_at >= LONGEST_SILENCE:
            self._said, self._said_at = dict(counts), time.time()
            told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
            self.log.info("Amazon Personalize %ss, %d: %s", self.resource.label, len(self.arns), told)
        for arn in self.failed:
            if arn not in self._named:
                self._named.add(arn)
                self.log.warning("%s is %s: %s", arn, self._status(arn), self.seen[arn].get("failureReason"))
        for status in counts.keys() - self._named:
            if status != "not seen yet" and not self.resource.is_known(status):
                self._named.add(status)
                self.log.warning("Status %r is not known here; waiting goes on.", status)

    def _status(self, arn: str) -> str | None:
        status = self.seen.get(arn, {}).get("status")
        return None if status is None else str(status)


def next_call(poll: Generator[Call, dict[str, Any], None], answer: dict[str, Any] | None = None) -> Call | None:
    """Send the answer to the last call of a poll; its next call, None when it has no other."""
    try:
        return poll.send(answer)  # type: ignore[arg-type]
    except StopIteration:
        return None
