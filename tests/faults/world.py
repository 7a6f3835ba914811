"""One scripted service and one Airflow, for as many runs as a test likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.airflow_run import Run
from tests.faults.stepping import SteppingService, SteppingStore, Steps
from tests.unit.provider.service import Service
from tests.unit.provider.test_adoption import inference, load, segment, train

BUILDS = {"inference": inference, "segment": segment, "import": load, "training": train}
# Fewer polls than a day has, more than a run with faults needs.
POLLS = 30


class World:
    """One service and one Airflow; ``run`` starts over with both."""

    def __init__(self, context: Callable[..., dict[str, Any]], answering: list[Service]) -> None:
        self.context, self.answering = context, answering

    def run(
        self,
        kind: str,
        mode: str,
        *lives: list[str],
        faults: dict[int, str] | None = None,
        retries: int = 1,
        version_names_are_unique: bool = True,
    ) -> tuple[Run, SteppingService]:
        steps = Steps(faults)
        service = SteppingService(steps, list(lives))
        service.version_names_are_unique = version_names_are_unique
        self.answering[0] = service
        store = SteppingStore(steps)
        run = Run(
            BUILDS[kind],
            mode,
            self.context,
            retries=retries,
            arguments={"waiter_max_attempts": POLLS, "waiter_delay": 60},
            before_resuming=lambda: steps.take("resuming") and None,
            new_store=lambda: store,
            sensor_timeout=POLLS * 60,
        )
        return run.run(), service
