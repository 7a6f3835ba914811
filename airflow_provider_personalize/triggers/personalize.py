"""The trigger: waits for one resource to become ACTIVE, and says in distinct events how that went.

After an upgrade of this package the triggerer must be restarted: it keeps the code that it has loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_personalize._compat import (
    AirflowException,
    AwsBaseWaiterTrigger,
    TriggerEvent,
    WaiterMaxAttemptsError,
    WaiterTerminalFailure,
    async_wait,
)
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import RESOURCES, PersonalizeResource
from airflow_provider_personalize.hooks.waiting import WaiterWithDeadline


class PersonalizeTrigger(AwsBaseWaiterTrigger):
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
    :param waiter_max_attempts: how many polls at most, throttled ones not counted.
    """

    aws_hook_class = PersonalizeHook

    def __init__(
        self,
        *,
        kind: str,
        arn: str,
        deadline: float,
        waiter_delay: float = 60,
        waiter_max_attempts: int = 1440,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        self.resource: PersonalizeResource = RESOURCES[kind]
        self.arn = arn
        self.deadline = deadline
        super().__init__(
            serialized_fields={"kind": kind, "arn": arn, "deadline": deadline},
            waiter_name=self.resource.waiter_name,
            waiter_args={self.resource.arn_member: arn},
            failure_message=f"Amazon Personalize {self.resource.label} failed",
            status_message=f"Amazon Personalize {self.resource.label} {arn} is not done yet",
            status_queries=[f"{self.resource.member}.status", f"{self.resource.member}.failureReason"],
            return_key="arn",
            return_value=arn,
            waiter_delay=waiter_delay,  # type: ignore[arg-type]  # it only sleeps: fractions are fine
            waiter_max_attempts=waiter_max_attempts,
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            hook = self.hook()
            async with await hook.get_async_conn() as client:  # type: ignore[no-untyped-call]
                waiter = await asyncio.to_thread(hook.get_waiter, self.waiter_name, deferrable=True, client=client)
                await async_wait(
                    waiter=WaiterWithDeadline(waiter, self.deadline),
                    waiter_delay=self.waiter_delay,
                    waiter_max_attempts=self.attempts,
                    args=self.waiter_args,
                    failure_message=self.failure_message,
                    status_message=self.status_message,
                    status_args=self.status_queries,
                )
        except AirflowException as error:
            yield self._event_from_exception(error)
        except (BotoCoreError, ClientError) as error:
            yield self._event("error", f"{type(error).__name__}: {error}")
        else:
            yield self._event("success", f"Amazon Personalize {self.resource.label} {self.arn} is ACTIVE")

    def _event_from_exception(self, error: AirflowException) -> TriggerEvent:
        if isinstance(error, WaiterMaxAttemptsError):
            return self._event("timeout", str(error))
        if isinstance(error, WaiterTerminalFailure):
            return self._event("failed", str(error), error.last_response.get(self.resource.member))
        return self._event("error", str(error))

    def _event(self, status: str, message: str, description: dict[str, Any] | None = None) -> TriggerEvent:
        facts = self.resource.facts(self.arn, description or {})
        payload = {"status": status, "kind": self.resource.kind, "arn": self.arn, "message": message, "facts": facts}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        self.log.warning("%s", self.resource.left_behind(self.arn))
