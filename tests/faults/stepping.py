"""A service whose every request, and every write to the task state store, is a step at which something may go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ConnectionClosedError

from airflow_provider_personalize.hooks.resources import PersonalizeResource
from tests.faults.airflow_run import Cleared, Killed
from tests.unit.provider.conftest import Store
from tests.unit.provider.service import Service

# What a request that is asked comes to, instead of being handled.
REFUSALS = {
    "throttled": (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}),
    "unavailable": (503, {"__type": "ServiceUnavailable", "message": "try again"}),
    "garbled": (200, {"page": "Sign in to the network"}),
    "no room": (400, {"__type": "LimitExceededException", "message": "More than 5 resources"}),
}
FAULTS = ("killed", "reset", *REFUSALS)


class Steps:
    """Counts steps. Those in ``faults`` go wrong: ``take`` ends the attempt, or answers what else is to happen."""

    def __init__(self, faults: Mapping[int, str] | None = None) -> None:
        self.faults = dict(faults or {})
        self.taken: list[str] = []

    def take(self, place: str) -> str | None:
        self.taken.append(place)
        fault = self.faults.get(len(self.taken) - 1)
        if fault == "killed":
            raise Killed(place)
        if fault == "cleared":
            raise Cleared(place)
        return fault


class SteppingService(Service):
    """Runs through ``steps`` before and after each request.

    :ivar lives: the statuses of the first job created, of the second, ...; the last is every later one's as well.
    :ivar paid_twice: jobs that were created while another of the same service was running or had come to something.
    """

    def __init__(self, steps: Steps, lives: list[list[str]]) -> None:
        super().__init__()
        self.steps, self.lives = steps, lives
        self.created: list[str] = []
        self.paid_twice: list[str] = []

    def answer(self, request: Any) -> tuple[int, dict[str, Any]]:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        fault = self.steps.take(f"{operation} asked")
        if fault == "reset":
            raise ConnectionClosedError(endpoint_url="https://personalize")
        # Only what creates something needs room.
        if fault is not None and (fault != "no room" or operation.startswith("Create")):
            return REFUSALS[fault]
        answered = super().answer(request)
        fault = self.steps.take(f"{operation} answered")
        if fault == "garbled":
            return REFUSALS[fault]
        if fault is not None:
            raise ConnectionClosedError(endpoint_url="https://personalize")
        return answered

    def _create(self, resource: PersonalizeResource, parameters: dict[str, Any]) -> str:
        self.statuses = self.lives[min(len(self.created), len(self.lives) - 1)]
        arn = super()._create(resource, parameters)
        self.paid_twice += [old for old in self.created if self._is_alive(resource, old)]
        self.created.append(arn)
        self.resources[arn]["status"] = self.statuses[0]
        return arn

    def _is_alive(self, resource: PersonalizeResource, arn: str) -> bool:
        return not resource.has_failed(self.lives[min(self.created.index(arn), len(self.lives) - 1)][-1])

    def status(self, arn: str) -> Any:
        return self.resources[arn]["status"]


class SteppingStore(Store):
    """A task state store; a fault of the service's makes it one that does not answer."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    def set(self, key: str, value: Any) -> None:
        if self.steps.take("state store asked"):
            raise RuntimeError("no API server")
        super().set(key, value)
        self.steps.take("state store written")
