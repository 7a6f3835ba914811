"""Watching one resource: what to make of what a poll shows, when to look again, and what to say about it.

The synchronous loop and the trigger's share it, so that a limit, an outage and a log line mean the same in both.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_personalize._compat import Stats
from airflow_provider_personalize.hooks.patience import passes
from airflow_provider_personalize.hooks.resources import ACTIVE, PersonalizeResource
from airflow_provider_personalize.service_model import PROGRESS_HEADER

# A task that says nothing for longer looks as if it were stuck; one that can tell how far its job is says so at times.
LONGEST_SILENCE, PACE = 600.0, 60.0


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
        """Seconds until the next poll."""
        return pause_until(self.deadline, self.delay)

    def has_ended(self, answer: Mapping[str, Any]) -> bool:
        """Take note of the answer to a Describe call: whether it is the last one.

        Says so when the status is another one, and at times how far the job is, where the backend tells.
        """
        description: dict[str, Any] = answer[self.resource.member]
        before, self.description, self.trouble = self.description.get("status"), description, ""
        status = description.get("status")
        told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(PROGRESS_HEADER)
        if status != before or time.time() - self._said >= (PACE if told else LONGEST_SILENCE):
            self._said = time.time()
            line = progress(self.resource, self.arn, description, self.usual)
            self.log.info("%s", f"{line}: {told}" if told else line)
        if status != before and not self.resource.is_known(status):
            self.log.warning("Status %r of %s is not known here; waiting goes on.", status, self.arn)
        if status == ACTIVE:
            self._measure()
        return status == ACTIVE or self.resource.has_failed(status)

    def _measure(self) -> None:
        """Send how long it took, as the service dates it, to whatever collects Airflow's metrics."""
        created, ended = (self.description.get(member) for member in ("creationDateTime", "lastUpdatedDateTime"))
        if created is not None and ended is not None:
            Stats.timing(f"personalize.{self.resource.noun}.duration", ended - created)

    def has_missed(self, error: Exception) -> None:
        """Take note of a poll without an answer.

        :raises Exception: the error itself, when it does not pass by itself.
        """
        if not passes(error):
            raise error
        self.trouble = f"{type(error).__name__}: {error}"
        self.log.warning("%s could not be asked for (%s); asking again.", self.arn, self.trouble)


def pause_until(deadline: float, delay: float) -> float:
    """Seconds between two polls, up to a tenth more or less than ``delay``; none of them beyond the deadline."""
    return max(0.0, min(delay * random.uniform(0.9, 1.1), deadline - time.time()))


def progress(resource: PersonalizeResource, arn: str, description: dict[str, Any], usual: float | None = None) -> str:
    """One line: the status, for how long, and how long it usually takes."""
    since = description.get("creationDateTime")
    elapsed = f" after {_clock(time.time() - since.timestamp())}" if since is not None else ""
    typical = f" (the last ones took {_clock(usual)}, the median)" if usual is not None else ""
    return f"Amazon Personalize {resource.label} {arn}: {description.get('status')}{elapsed}{typical}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=max(0, round(seconds))))
