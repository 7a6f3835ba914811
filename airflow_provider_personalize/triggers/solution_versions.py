"""The trigger of an ``AssetWatcher``: a new ``ACTIVE`` solution version is an event, whoever trained it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from airflow_provider_personalize._compat import BaseEventTrigger, TriggerEvent
from airflow_provider_personalize.hooks.resources import ACTIVE
from airflow_provider_personalize.triggers.connected import Connected

LONGEST_PAUSE = 900.0


class PersonalizeNewSolutionVersionTrigger(Connected, BaseEventTrigger):
    """Fire once for each solution version that becomes ``ACTIVE``.

    For an asset's watcher::

        model = Asset(
            "for-you-model",
            watchers=[AssetWatcher(name="versions", trigger=PersonalizeNewSolutionVersionTrigger(solution_arn=...))],
        )

    The payload is ``{"solution_version_arn": ..., "solution_arn": ..., "metrics": ...}``; a Dag with
    ``schedule=[model]`` finds it in ``triggering_asset_events[model][-1].extra["payload"]``.

    What has been fired is kept in the asset's state store, by version and not by time, since versions may become
    ``ACTIVE`` in another order than they were created. Versions that are ``ACTIVE`` when the watcher runs for the very
    first time are not new. After that none is missed, also not while the triggerer is down. A version is written down
    before its event leaves: a triggerer that is killed within that moment loses the event, and never fires it twice.

    It polls for ever: a poll that is refused, throttled or unanswered is logged and made again after a pause that
    grows to a quarter of an hour.

    :param solution_arn: the solution.
    :param poll_interval: seconds between polls, each of which is one List call.
    :param include_metrics: whether to ask for the version's offline metrics; ``metrics`` is None otherwise, and where
        the service does not tell.
    :param aws_conn_id: The Airflow connection used for AWS credentials, and for where Personalize is.
    :param region_name: AWS region_name. If not specified then the default boto3 behaviour is used.
    :param verify: Whether or not to verify SSL certificates.
    :param botocore_config: Configuration dictionary (key-values) for botocore client.
    """

    def __init__(
        self,
        *,
        solution_arn: str,
        poll_interval: float = 300,
        include_metrics: bool = False,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.solution_arn = solution_arn
        self.poll_interval = poll_interval
        self.include_metrics = include_metrics
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config
        # Stands in where no state store can be used; a restart begins anew then.
        self._fired: list[str] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return self.serialized(
            solution_arn=self.solution_arn,
            poll_interval=self.poll_interval,
            include_metrics=self.include_metrics,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        failures = 0
        while True:
            try:
                async with await self.hook().get_async_conn() as client:  # type: ignore[no-untyped-call]
                    while True:
                        for arn in await self._new(client):
                            payload = {
                                "solution_version_arn": arn,
                                "solution_arn": self.solution_arn,
                                "metrics": await self._metrics(client, arn),
                            }
                            if await self._claim(arn):
                                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]
                        failures = 0
                        await asyncio.sleep(self.poll_interval)
            except Exception as error:
                # A watcher that ends is started again at once, for ever; so it does not end, whatever it meets.
                failures += 1
                pause = min(self.poll_interval * 2**failures, max(LONGEST_PAUSE, self.poll_interval))
                self.log.warning(
                    "The versions of %s could not be looked at (%s: %s); looking again in about %.0f seconds.",
                    self.solution_arn,
                    type(error).__name__,
                    error,
                    pause,
                )
                await asyncio.sleep(pause * random.uniform(0.75, 1.0))

    async def _new(self, client: Any) -> list[str]:
        """The ``ACTIVE`` versions that were not fired, oldest first; none of them the very first time."""
        active: list[dict[str, Any]] = []
        pages = client.get_paginator("list_solution_versions").paginate(solutionArn=self.solution_arn)
        async for page in pages:
            active += [version for version in page["solutionVersions"] if version["status"] == ACTIVE]
        active.sort(key=lambda version: version["creationDateTime"])
        arns = [str(version["solutionVersionArn"]) for version in active]
        fired = await self._read()
        if fired is None:
            await self._write([_id(arn) for arn in arns])
            return []
        return [arn for arn in arns if _id(arn) not in fired]

    async def _metrics(self, client: Any, arn: str) -> dict[str, float] | None:
        if not self.include_metrics:
            return None
        try:
            answer = await client.get_solution_metrics(solutionVersionArn=arn)
        except Exception as error:
            self.log.warning("The metrics of %s are not known: %s", arn, error)
            return None
        return dict(answer["metrics"])

    # The asset's state store -----------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        return f"personalize_fired:{self.solution_arn}"

    async def _claim(self, arn: str) -> bool:
        """Write a version down; False when another triggerer has done so meanwhile."""
        fired = await self._read() or []
        if _id(arn) in fired:
            return False
        await self._write([*fired, _id(arn)])
        return True

    async def _read(self) -> list[str] | None:
        """The ids of the versions that were fired, or were there before; None the very first time."""
        store: Any = self.asset_state_store
        if store is None:
            return self._fired
        try:
            # The methods that do not block came with Airflow 3.3.2.
            is_async = hasattr(store, "aget")
            stored = await (store.aget(self._key) if is_async else asyncio.to_thread(store.get, self._key))
        except ValueError as error:
            # Airflow gives assets whose watchers are equal one trigger, and this store serves one asset.
            self.log.warning("What was fired is kept in memory alone, and a restart begins anew: %s", error)
            self.asset_state_store = None
            return self._fired
        return None if stored is None else [str(each) for each in stored]

    async def _write(self, fired: list[str]) -> None:
        store: Any = self.asset_state_store
        if store is None:
            self._fired = fired
        elif hasattr(store, "aset"):
            await store.aset(self._key, fired)
        else:
            await asyncio.to_thread(store.set, self._key, fired)


def _id(solution_version_arn: str) -> str:
    return solution_version_arn.rpartition("/")[2]
