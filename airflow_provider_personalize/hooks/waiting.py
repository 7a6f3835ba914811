"""Watching one resource: what to make of what a poll shows, when to look again, and what to say about it.

The synchronous loop and the trigger's share it, so that a limit, an outage and a log line mean the same in both.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_personalize.hooks.patience import passes
from airflow_provider_personalize.hooks.resources import ACTIVE, PersonalizeResource

# A task that says nothing for longer looks as if it were stuck.
LONGEST_SILENCE = 600.0


@dataclass(slots=True)
class Watch:
    """One wait for one resource.

    :param deadline: seconds since the epoch, so that it means the same after a trigger moved to another process.
    :param delay: seconds between polls; each pause is up to a tenth longer or shorter, so that tasks that began
        together do not ask together for ever.
    :param usual: how many seconds such a resource usually takes, when known.
    """

    resource: PersonalizeResource
    arn: str
    deadline: float
    delay: float
    log: Any
    usual: float | None = None
    description: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""
    _said: float = 0.0

    @property
    def is_over(self) -> bool:
        return time.time() >= self.deadline

    @property
    def pause(self) -> float:
        """Seconds until the next poll; none of them beyond the deadline."""
        return max(0.0, min(self.delay * random.uniform(0.9, 1.1), self.deadline - time.time()))

    def has_ended(self, description: dict[str, Any]) -> bool:
        """Take note of an answer: whether it is the last one. Says so when the status is another one."""
        before, self.description, self.trouble = self.description.get("status"), description, ""
        status = description.get("status")
        if status != before or time.time() - self._said >= LONGEST_SILENCE:
            self._said = time.time()
            self.log.info("%s", progress(self.resource, self.arn, description, self.usual))
        if status != before and not self.resource.is_known(status):
            self.log.warning("Status %r of %s is not known here; waiting goes on.", status, self.arn)
        return status == ACTIVE or self.resource.has_failed(status)

    def has_missed(self, error: Exception) -> None:
        """Take note of a poll without an answer.

        :raises Exception: the error itself, when it does not pass by itself.
        """
        if not passes(error):
            raise error
        self.trouble = f"{type(error).__name__}: {error}"
        self.log.warning("%s could not be asked for (%s); asking again.", self.arn, self.trouble)


def progress(resource: PersonalizeResource, arn: str, description: dict[str, Any], usual: float | None = None) -> str:
    """One line: the status, for how long, and how long it usually takes."""
    since = description.get("creationDateTime")
    elapsed = f" after {_clock(time.time() - since.timestamp())}" if since is not None else ""
    typical = f" (the last ones took {_clock(usual)}, the median)" if usual is not None else ""
    return f"Amazon Personalize {resource.label} {arn}: {description.get('status')}{elapsed}{typical}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=max(0, round(seconds))))
