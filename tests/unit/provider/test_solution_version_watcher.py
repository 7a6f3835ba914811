"""The watcher of solution versions: one event for each that becomes ACTIVE, over restarts and refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_personalize.triggers import solution_versions
from airflow_provider_personalize.triggers.solution_versions import PersonalizeNewSolutionVersionTrigger

from .service import SOLUTION, Service


class AssetState:
    """An asset's state store that works."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


class BlockingAssetState:
    """As Airflow 3.3.0 and 3.3.1 have it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


class StateOfTwoAssets(AssetState):
    async def aget(self, key: str, default: Any = None) -> Any:
        raise ValueError("Task has 2 concrete inlets and outlets")


def trigger(state: Any = None, **arguments: Any) -> PersonalizeNewSolutionVersionTrigger:
    made = PersonalizeNewSolutionVersionTrigger(**{"solution_arn": SOLUTION, "poll_interval": 0.001, **arguments})
    made.asset_state_store = state
    return made


def add(service: Service, name: str, status: str = "ACTIVE") -> str:
    arn = f"{SOLUTION}/{name}"
    metrics = {"coverage": 0.5}
    return service.add("solution-version", name, status, arn=arn, solutionArn=SOLUTION, metrics=metrics)


class Watching:
    """A trigger in its loop, as the triggerer runs it: each event is taken as soon as it is there."""

    def __init__(self, service: Service, trigger: BaseEventTrigger) -> None:
        self._service = service
        self._events: list[str] = []
        self.payloads: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._loop(trigger.run()))

    async def _loop(self, events: AsyncIterator[TriggerEvent]) -> None:
        async for event in events:
            self.payloads.append(event.payload)

    async def polls(self, count: int = 2) -> list[str]:
        """The versions fired once so many more polls were begun: all but the last of them are over then."""
        begun = len(self._service.called("ListSolutionVersions"))
        while len(self._service.called("ListSolutionVersions")) < begun + count:
            assert not self._task.done(), self._task
            await asyncio.sleep(0)
        return [payload["solution_version_arn"] for payload in self.payloads]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture(params=[AssetState, BlockingAssetState, StateOfTwoAssets, None])
def state(request: pytest.FixtureRequest) -> Any:
    return request.param and request.param()


async def test_versions_fire_once_each_when_they_become_active_and_not_before(service: Service, state: Any) -> None:
    add(service, "there-before")
    first = add(service, "first", "CREATE IN_PROGRESS")
    watching = Watching(service, trigger(state))
    assert await watching.polls(3) == []
    second = add(service, "second")
    assert await watching.polls(3) == [second]
    # Created earlier, finished later.
    service.resources[first]["status"] = "ACTIVE"
    add(service, "failed", "CREATE FAILED")
    assert await watching.polls(5) == [second, first]
    await watching.stop()
    assert watching.payloads[0] == {"solution_version_arn": second, "solution_arn": SOLUTION, "metrics": None}


@pytest.mark.parametrize("state", [AssetState, BlockingAssetState], indirect=True)
async def test_a_restart_repeats_nothing_and_misses_nothing(service: Service, state: Any) -> None:
    watching = Watching(service, trigger(state))
    await watching.polls()
    first = add(service, "first")
    assert await watching.polls() == [first]
    await watching.stop()
    second, third = add(service, "second"), add(service, "third")
    watching = Watching(service, trigger(state))
    assert await watching.polls(5) == [second, third]
    await watching.stop()


async def test_two_triggerers_fire_a_version_once(service: Service) -> None:
    state = AssetState()
    both = [Watching(service, trigger(state)) for _ in range(2)]
    await both[0].polls(4)
    arn = add(service, "new")
    await both[0].polls(10)
    assert [payload["solution_version_arn"] for each in both for payload in each.payloads] == [arn]
    for each in both:
        await each.stop()


async def test_a_version_is_written_down_before_its_event_leaves(service: Service) -> None:
    state = AssetState()
    events = trigger(state).run()
    waiting = asyncio.create_task(anext(events))
    while not state.values:
        await asyncio.sleep(0)
    arn = add(service, "new")
    assert (await waiting).payload["solution_version_arn"] == arn
    (written,) = state.values.values()
    assert json.loads(written) == ["new"]
    await events.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "ResourceNotFoundException"])
async def test_a_refused_poll_ends_nothing(code: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solution_versions, "LONGEST_PAUSE", 0.001)
    # botocore's own retries only take time.
    watching = Watching(service, trigger(AssetState(), botocore_config={"retries": {"total_max_attempts": 1}}))
    await watching.polls()
    service.refuse("ListSolutionVersions", code, times=5)
    arn = add(service, "new")
    while service.refusals:
        await watching.polls(1)
    assert await watching.polls() == [arn]
    await watching.stop()


async def test_a_state_store_that_fails_delays_an_event_and_loses_none(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solution_versions, "LONGEST_PAUSE", 0.001)

    class Failing(AssetState):
        broken = False

        async def aset(self, key: str, value: Any) -> None:
            if self.broken:
                raise RuntimeError("no supervisor")
            await super().aset(key, value)

    state = Failing()
    watching = Watching(service, trigger(state))
    await watching.polls()
    state.broken = True
    arn = add(service, "new")
    assert await watching.polls(4) == []
    state.broken = False
    assert await watching.polls(4) == [arn]
    await watching.stop()


async def test_metrics_come_with_the_event_when_asked_for(service: Service) -> None:
    watching = Watching(service, trigger(AssetState(), include_metrics=True))
    await watching.polls()
    add(service, "first")
    await watching.polls()
    service.refuse("GetSolutionMetrics", "AccessDeniedException")
    add(service, "second")
    await watching.polls()
    await watching.stop()
    assert [payload["metrics"] for payload in watching.payloads] == [{"coverage": 0.5}, None]


@pytest.mark.parametrize("options", [{}, {"region_name": "eu-west-1", "verify": False, "botocore_config": {"a": 1}}])
def test_it_survives_serialisation_and_keeps_its_identity(options: dict[str, Any]) -> None:
    first = PersonalizeNewSolutionVersionTrigger(solution_arn=SOLUTION, aws_conn_id=None, **options)
    path, arguments = first.serialize()
    assert path == f"{solution_versions.__name__}.PersonalizeNewSolutionVersionTrigger"
    again = PersonalizeNewSolutionVersionTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == first.serialize()
    assert BaseEventTrigger.hash(*again.serialize()) == BaseEventTrigger.hash(path, arguments)


def test_an_asset_takes_it_as_a_watcher() -> None:
    watcher = AssetWatcher(name="versions", trigger=trigger())
    assert Asset("model", watchers=[watcher]).watchers == [watcher]
