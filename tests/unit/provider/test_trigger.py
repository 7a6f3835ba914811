"""The trigger: survives serialisation, tells its outcomes apart, and never holds up the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import botocore.client
import pytest

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import RESOURCES
from airflow_provider_personalize.hooks.waiting import Watch
from airflow_provider_personalize.triggers.personalize import PersonalizeSlotTrigger, PersonalizeTrigger

from .conftest import Log
from .service import Service
from .test_waiting import run


def trigger(arn: str = "arn:job", **arguments: Any) -> PersonalizeTrigger:
    given = {"kind": "batch-inference-job", "arn": arn, "deadline": time.time() + 3600, "waiter_delay": 60}
    return PersonalizeTrigger(**{**given, **arguments})


@pytest.mark.parametrize("region_name", [None, "eu-west-1"])
@pytest.mark.parametrize("verify", [None, False, "/ca.pem"])
@pytest.mark.parametrize("botocore_config", [None, {"read_timeout": 7}])
def test_it_survives_serialisation_with_and_without_its_options(
    region_name: str | None, verify: bool | str | None, botocore_config: dict[str, Any] | None
) -> None:
    first = trigger(aws_conn_id=None, region_name=region_name, verify=verify, botocore_config=botocore_config)
    path, arguments = first.serialize()
    assert path == f"{PersonalizeTrigger.__module__}.PersonalizeTrigger"
    again = PersonalizeTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == first.serialize()
    hook = again.hook()
    assert (hook.aws_conn_id, hook._region_name, hook._verify) == (None, region_name, verify)
    assert (hook._config.read_timeout if botocore_config else hook._config) == (7 if botocore_config else None)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
async def test_it_asks_in_the_region_of_its_task(region: str, transports: Service) -> None:
    arn = transports.add("batch-inference-job", "job", "ACTIVE")
    await run(trigger(arn, region_name=region))
    assert [client["region"] for client in transports.registered] == [region]


@pytest.mark.parametrize("kind", [kind for kind in RESOURCES if kind not in ("schema", "recipe")])
async def test_success_failure_and_timeout_are_distinct_events(kind: str, service: Service) -> None:
    arn = service.add(kind, "job", "ACTIVE")
    assert (await run(trigger(arn, kind=kind)))["status"] == "success"

    service.resources[arn].update(status="CREATE FAILED", failureReason="no rights")
    event = await run(trigger(arn, kind=kind))
    assert (event["status"], event["arn"], event["kind"]) == ("failed", arn, kind)
    assert event["facts"]["status"] == "CREATE FAILED"
    # The service gives no reason for these two.
    if kind not in ("dataset", "solution"):
        assert event["facts"]["failure_reason"] == "no rights"
        assert "no rights" in event["message"]

    service.resources[arn]["status"] = "CREATE IN_PROGRESS"
    event = await run(trigger(arn, kind=kind, deadline=time.time() + 60))
    assert (event["status"], event["arn"], event["kind"]) == ("timeout", arn, kind)


async def test_a_deadline_that_has_passed_while_the_triggerer_was_down_ends_at_once(service: Service) -> None:
    arn = service.add("batch-inference-job", "job", "CREATE IN_PROGRESS")
    assert (await run(trigger(arn, deadline=time.time() - 1)))["status"] == "timeout"
    assert service.calls == []


async def test_every_event_can_be_stored_as_json(service: Service) -> None:
    arn = service.add("batch-inference-job", "job", "CREATE FAILED")
    event = await run(trigger(arn))
    assert json.loads(json.dumps(event)) == event


async def test_a_refused_poll_is_an_error_event(service: Service) -> None:
    service.refuse("DescribeBatchInferenceJob", "AccessDeniedException", "not for you")
    event = await run(trigger())
    assert event["status"] == "error"
    assert "not for you" in event["message"]


async def test_a_connection_that_does_not_exist_is_an_error_event() -> None:
    event = await run(trigger(aws_conn_id="nobody_made_it"))
    assert event["status"] == "error"
    assert "nobody_made_it" in event["message"]


@pytest.mark.parametrize("error", [RuntimeError, KeyError, ValueError, OSError, AssertionError])
@pytest.mark.parametrize("place", ["the connection", "a poll"])
async def test_whatever_is_in_the_way_is_an_error_event_with_the_reason(
    place: str, error: type[Exception], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error("nobody has thought of this")

    owner, name = (PersonalizeHook, "get_async_conn") if place == "the connection" else (service, "answer")
    monkeypatch.setattr(owner, name, fail)
    event = await run(trigger())
    assert (event["status"], event["arn"]) == ("error", "arn:job")
    assert f"{error.__name__}: " in event["message"]
    assert "nobody has thought of this" in event["message"]


async def test_there_is_one_event_and_no_more(service: Service) -> None:
    arn = service.add("batch-inference-job", "job", "ACTIVE")
    assert [event.payload["status"] async for event in trigger(arn).run()] == ["success"]
    service.refuse("DescribeBatchInferenceJob", "AccessDeniedException")
    assert [event.payload["status"] async for event in trigger(arn).run()] == ["error"]


async def test_being_killed_says_that_the_job_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    await trigger("arn:job").on_kill()
    assert "arn:job goes on and will be billed" in capsys.readouterr().out


async def test_other_triggers_get_their_turn_before_each_poll(service: Service) -> None:
    arn = service.add("batch-inference-job", "job", "CREATE IN_PROGRESS")
    polls_seen: list[int] = []

    async def other() -> None:
        while True:
            polls_seen.append(len(service.calls))
            await asyncio.sleep(0)

    heart = asyncio.create_task(other())
    await run(trigger(arn, deadline=time.time() + 600, waiter_delay=60))
    heart.cancel()
    assert len(service.calls) >= 10
    assert set(polls_seen) >= set(range(len(service.calls)))


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was called in this thread, the event loop's, that returns no sooner than it is done."""
    loop, called = threading.get_ident(), []

    def watch(owner: Any, name: str) -> None:
        allowed = getattr(owner, name)

        def noted(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() == loop:
                called.append(name)
            return allowed(*arguments, **named)

        monkeypatch.setattr(owner, name, noted)

    watch(time, "sleep")
    watch(PersonalizeHook, "get_client_type")
    watch(botocore.client.BaseClient, "_make_api_call")  # boto3's; aiobotocore has its own
    return called


async def test_nothing_holds_up_the_event_loop(service: Service, held_up: list[str]) -> None:
    arn = service.add("batch-inference-job", "job")
    service.set_statuses(arn, "CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE")
    service.refuse("DescribeBatchInferenceJob", "ThrottlingException", times=2)
    assert (await run(trigger(arn, botocore_config={"retries": {"max_attempts": 0}})))["status"] == "success"
    assert len(service.calls) == 5
    assert held_up == []


async def test_a_poll_that_holds_up_the_event_loop_is_noticed(
    service: Service, held_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: here is a trigger that asks as a worker does."""
    arn = service.add("batch-inference-job", "job", "ACTIVE")

    async def ask_synchronously(self: PersonalizeTrigger, watch: Watch, describe: Any) -> Any:
        self.hook().wait_until_active(self.resource, self.arn, delay=1, limit=60)
        return self._event("success", "", watch)

    monkeypatch.setattr(PersonalizeTrigger, "_watched", ask_synchronously)
    await run(trigger(arn))
    assert held_up == ["get_client_type", "_make_api_call"]


async def test_the_client_is_made_in_another_thread_since_that_takes_a_while(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = service.add("batch-inference-job", "job", "ACTIVE")
    threads: list[int] = []
    make = PersonalizeHook.get_client_type

    def noted(self: PersonalizeHook, *arguments: Any, **named: Any) -> Any:
        threads.append(threading.get_ident())
        return make(self, *arguments, **named)

    monkeypatch.setattr(PersonalizeHook, "get_client_type", noted)
    await run(trigger(arn))
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize("usual_seconds", [None, 1620.5])
def test_what_is_usual_survives_serialisation(usual_seconds: float | None) -> None:
    arguments = json.loads(json.dumps(trigger(usual_seconds=usual_seconds).serialize()[1]))
    assert PersonalizeTrigger(**arguments).usual_seconds == usual_seconds


async def test_polls_that_break_are_missed_and_not_the_end(service: Service) -> None:
    arn = service.add("batch-inference-job", "job", "ACTIVE")
    service.unreachable["DescribeBatchInferenceJob"] = 3
    waiting = trigger(arn, botocore_config={"retries": {"max_attempts": 0}})
    assert (await run(waiting))["status"] == "success"
    assert len(service.calls) == 4


async def test_a_deadline_reached_without_an_answer_says_what_was_in_the_way(service: Service) -> None:
    service.unreachable["DescribeBatchInferenceJob"] = 1000
    waiting = trigger(deadline=time.time() + 600, waiter_delay=60, botocore_config={"retries": {"max_attempts": 0}})
    event = await run(waiting)
    assert event["status"] == "timeout"
    assert "EndpointConnectionError" in event["message"]


async def test_the_log_says_each_status_once_and_for_how_long(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    monkeypatch.setattr(PersonalizeTrigger, "log", Log(log))
    arn = service.add("batch-inference-job", "job", "CREATE PENDING")
    service.resources[arn]["creationDateTime"] = time.time() - 600
    service.set_statuses(arn, *["CREATE PENDING"] * 3, *["CREATE IN_PROGRESS"] * 3, "ACTIVE")
    await run(trigger(arn, waiter_delay=1, usual_seconds=1620.0))
    said = [line for line in log if f"{arn}: " in line]
    assert len(said) == 3
    for line, status in zip(said, ("CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"), strict=True):
        assert f"{arn}: {status} after 0:10:0" in line
        assert "(the last ones took 0:27:00, the median)" in line


async def test_the_slot_trigger_keeps_the_time_over_a_restart() -> None:
    path, arguments = PersonalizeSlotTrigger(until=time.time() + 600).serialize()
    assert path == f"{PersonalizeSlotTrigger.__module__}.PersonalizeSlotTrigger"
    again = PersonalizeSlotTrigger(**json.loads(json.dumps(arguments)))
    assert await run(again) == {"status": "slot"}
    assert time.time() >= again.until
    # Time that passed while no triggerer ran counts.
    assert await run(PersonalizeSlotTrigger(until=time.time() - 60)) == {"status": "slot"}
