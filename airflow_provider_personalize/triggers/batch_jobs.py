"""The trigger of a task that waits for several batch jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow_provider_personalize._compat import BaseTrigger, TriggerEvent
from airflow_provider_personalize.hooks.jobs_watch import JobsWatch, next_call
from airflow_provider_personalize.hooks.resources import RESOURCES
from airflow_provider_personalize.hooks.waiting import pause_until
from airflow_provider_personalize.triggers.connected import Connected


class PersonalizeBatchJobsTrigger(Connected, BaseTrigger):
    """Wait until all of several batch jobs of one kind have ended.

    Its one event has ``status``:

    * ``success``: all are ``ACTIVE``;
    * ``failed``: all have ended, or with ``fail_fast`` the first, in failure;
    * ``timeout``: the deadline passed, whatever state the jobs are in;
    * ``error``: polling was not possible any more; what became of the jobs is not known.

    and always ``kind``, ``arns``, ``message`` and what :meth:`JobsWatch.outcome` says: ``failures``, ``active``,
    ``waiting``.

    :param kind: the jobs' kind, ``batch-inference-job`` or ``batch-segment-job``.
    :param arns: the jobs.
    :param deadline: seconds since the epoch. Absolute, so that a restarted triggerer does not start over.
    :param fail_fast: end with the first job that fails.
    :param waiter_delay: seconds between polls.
    """

    def __init__(
        self,
        *,
        kind: str,
        arns: Sequence[str],
        deadline: float,
        fail_fast: bool = False,
        waiter_delay: float = 60,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.resource = RESOURCES[kind]
        self.arns = list(arns)
        self.deadline = deadline
        self.fail_fast = fail_fast
        self.waiter_delay = waiter_delay
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return self.serialized(
            kind=self.resource.kind,
            arns=self.arns,
            deadline=self.deadline,
            fail_fast=self.fail_fast,
            waiter_delay=self.waiter_delay,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        watch = JobsWatch(self.resource, self.arns, self.fail_fast, self.log)
        try:
            async with await self.hook().get_async_conn() as client:  # type: ignore[no-untyped-call]
                status, message = await self._watched(watch, client)
        except Exception as error:
            # A trigger that ends without an event fails its task, too, but without the reason.
            self.log.warning("%d jobs could not be watched", len(self.arns), exc_info=True)
            status, message = "error", f"{type(error).__name__}: {error}"
        payload = {"status": status, "kind": self.resource.kind, "arns": self.arns, "message": message}
        yield TriggerEvent({**payload, **watch.outcome()})  # type: ignore[no-untyped-call]

    async def _watched(self, watch: JobsWatch, client: Any) -> tuple[str, str]:
        while time.time() < self.deadline:
            poll = watch.poll()
            try:
                call = next_call(poll)
                while call is not None:
                    operation, arguments = call
                    call = next_call(poll, await getattr(client, operation)(**arguments))
            except Exception as error:
                watch.has_missed(error)
            watch.say()
            if watch.is_over:
                return ("failed" if watch.failed else "success"), ""
            await asyncio.sleep(pause_until(self.deadline, self.waiter_delay))
        return "timeout", f"the deadline has passed. {watch.trouble}".rstrip()
