"""A deadline around a boto waiter.

The amazon provider's wait loops count attempts, but a poll that was throttled is not counted: a task whose every poll
is throttled would never end. They call ``waiter.wait(...)`` once a poll, which is where the deadline can stand, for
the synchronous loop and the asynchronous one alike.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from airflow_provider_personalize._compat import WaiterMaxAttemptsError


@dataclass(frozen=True, slots=True)
class WaiterWithDeadline:
    """Polls with ``waiter`` until the wall clock passes ``deadline``.

    :param deadline: seconds since the epoch, so that it means the same after a trigger moved to another process.
    """

    waiter: Any
    deadline: float

    def wait(self, **arguments: Any) -> Any:
        """One poll; an awaitable when the waiter is aiobotocore's.

        :raises WaiterMaxAttemptsError: when the deadline has passed, without polling.
        """
        if time.time() >= self.deadline:
            raise WaiterMaxAttemptsError("Waiter error: the deadline has passed")
        return self.waiter.wait(**arguments)


def attempts_within(limit: float, delay: float) -> int:
    """How many polls, ``delay`` seconds apart and the first one at once, fit into ``limit`` seconds; at least one."""
    return max(1, math.ceil(limit / delay))
