"""The triggers: what a deferred task waits for, a resource that becomes ``ACTIVE`` or room for one more.

After an upgrade of this package the triggerer must be restarted: it keeps the code that it has loaded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow_provider_personalize._compat import BaseTrigger, TriggerEvent
from airflow_provider_personalize.hooks.resources import ACTIVE, RESOURCES
from airflow_provider_personalize.hooks.waiting import Watch
from airflow_provider_personalize.triggers.connected import Connected

# The trigger ends by itself at its deadline; the deferral's own timeout is for a triggerer that does not get that far.
DEFERRAL_GRACE = timedelta(seconds=120)


def deferral_timeout(limit: timedelta, execution_timeout: timedelta | None) -> timedelta:
    """When Airflow is to end a deferral: soon after the limit, and with ``execution_timeout`` at the latest.

    :param limit: until the trigger's deadline.
    :param execution_timeout: what is left of the task's.
    """
    times = [limit + DEFERRAL_GRACE, *([] if execution_timeout is None else [execution_timeout])]
    return max(timedelta(0), min(times))


class PersonalizeTrigger(Connected, BaseTrigger):
    """Wait until a Personalize resource is ``ACTIVE``.

    Its one event has ``status``:

    * ``success``;
    * ``failed``: the resource ended in failure; ``facts`` says how;
    * ``timeout``: the deadline passed, whatever state the resource is in;
    * ``error``: polling was not possible any more; what became of the resource is not known.

    and always ``kind``, ``arn``, ``message`` and ``facts`` (see :meth:`PersonalizeResource.facts`).

    :param kind: the resource's kind, such as ``batch-inference-job``.
    :param arn: the resource.
    :param deadline: seconds since the epoch. Absolute, so that a restarted triggerer does not start over.
    :param waiter_delay: seconds between polls.
    :param usual_seconds: how long such a resource usually takes, for the log.
    """

    def __init__(
        self,
        *,
        kind: str,
        arn: str,
        deadline: float,
        waiter_delay: float = 60,
        usual_seconds: float | None = None,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.resource = RESOURCES[kind]
        self.arn = arn
        self.deadline = deadline
        self.waiter_delay = waiter_delay
        self.usual_seconds = usual_seconds
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return self.serialized(
            kind=self.resource.kind,
            arn=self.arn,
            deadline=self.deadline,
            waiter_delay=self.waiter_delay,
            usual_seconds=self.usual_seconds,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        watch = Watch(self.resource, self.arn, self.deadline, self.waiter_delay, self.log, self.usual_seconds)
        try:
            async with await self.hook().get_async_conn() as client:  # type: ignore[no-untyped-call]
                event = await self._watched(watch, getattr(client, self.resource.describe_operation))
        except Exception as error:
            # A trigger that ends without an event fails its task, too, but with neither the reason nor the job's ARN.
            self.log.warning("%s could not be watched", self.arn, exc_info=True)
            event = self._event("error", f"{type(error).__name__}: {error}", watch)
        yield event

    async def _watched(self, watch: Watch, describe: Any) -> TriggerEvent:
        while not watch.is_over:
            try:
                answer = await describe(**{self.resource.arn_member: self.arn})
            except Exception as error:
                watch.has_missed(error)
            else:
                if watch.has_ended(answer):
                    ended = "success" if watch.description["status"] == ACTIVE else "failed"
                    return self._event(ended, "", watch)
            await asyncio.sleep(watch.pause)
        return self._event("timeout", f"the deadline has passed. {watch.trouble}".rstrip(), watch)

    def _event(self, status: str, message: str, watch: Watch) -> TriggerEvent:
        facts = self.resource.facts(self.arn, watch.description)
        seen = [str(facts[member]) for member in ("status", "failure_reason") if facts[member]]
        payload = {
            "status": status,
            "kind": self.resource.kind,
            "arn": self.arn,
            "message": message or ": ".join(seen),
            "facts": facts,
        }
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        self.log.warning("%s", self.resource.left_behind(self.arn))


class PersonalizeSlotTrigger(BaseTrigger):
    """Sleep until it is time to ask again whether the service has room for one more job.

    The service says so to nobody but a Create call, and that is for the task to make: an asynchronous one whose answer
    is lost with a restarted triggerer could not be told from one that was never sent. So this only keeps the time,
    which costs no worker slot. Its one event has ``status`` ``slot``.

    :param until: seconds since the epoch. Absolute, so that a restarted triggerer does not start over.
    """

    def __init__(self, *, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(max(0.0, self.until - time.time()))
        yield TriggerEvent({"status": "slot"})  # type: ignore[no-untyped-call]
