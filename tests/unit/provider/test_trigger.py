"""The trigger: survives serialisation, tells its outcomes apart, and never holds up the event loop."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from airflow_provider_personalize.hooks.resources import RESOURCES
from airflow_provider_personalize.triggers.personalize import PersonalizeTrigger

from .service import Service
from .test_waiting import run


def trigger(arn: str = "arn:job", **arguments: Any) -> PersonalizeTrigger:
    given = {"kind": "batch-inference-job", "arn": arn, "deadline": time.time() + 5, "waiter_delay": 0.005}
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
    event = await run(trigger(arn, kind=kind, waiter_max_attempts=2))
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


async def test_being_killed_says_that_the_job_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    await trigger("arn:job").on_kill()
    assert "arn:job goes on and will be billed" in capsys.readouterr().out


async def test_waiting_does_not_hold_up_other_triggers(service: Service) -> None:
    arn = service.add("batch-inference-job", "job", "CREATE IN_PROGRESS")
    # The first client of a process reads its service model, which is aiobotocore's own affair.
    await run(trigger(arn, waiter_max_attempts=1))
    longest, last = 0.0, time.monotonic()

    async def beat() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    heart = asyncio.create_task(beat())
    await run(trigger(arn, waiter_max_attempts=30))
    heart.cancel()
    assert longest < 0.5
