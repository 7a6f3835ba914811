"""Time that passes when somebody sleeps, so that a day of waiting takes a test no time."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.bases import sensor


class Clock:
    """``time.time``, ``time.sleep`` and ``asyncio.sleep`` of the thread that made it; other threads keep the real ones.

    ``time.monotonic`` stays real, since event loops and sockets measure with it; but for Airflow's sensors.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.slept = 0.0
        here, now, sleep, async_sleep = threading.get_ident(), time.time, time.sleep, asyncio.sleep

        def virtual_sleep(seconds: float) -> None:
            if threading.get_ident() != here:
                return sleep(seconds)
            self.slept += seconds
            return None

        async def virtual_async_sleep(seconds: float, result: object = None) -> object:
            if threading.get_ident() != here:
                return await async_sleep(seconds, result)
            self.slept += seconds
            return await async_sleep(0, result)

        def virtual_time() -> float:
            return now() + (self.slept if threading.get_ident() == here else 0.0)

        patch.setattr(time, "time", virtual_time)
        patch.setattr(time, "sleep", virtual_sleep)
        patch.setattr(asyncio, "sleep", virtual_async_sleep)
        patch.setattr(sensor, "time", SimpleNamespace(monotonic=virtual_time, sleep=virtual_sleep))
        today = SimpleNamespace(utcnow=lambda: datetime.fromtimestamp(virtual_time(), tz=UTC))
        patch.setattr(sensor, "timezone", today)
