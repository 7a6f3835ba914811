"""``waiters/personalize.json`` against every status, and against the rule that the sensors use."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import WaiterError

from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import ACTIVE, RESOURCES, PersonalizeResource

from .service import Service

WAITERS: dict[str, Any] = json.loads(
    files("airflow_provider_personalize").joinpath("waiters/personalize.json").read_text()
)["waiters"]
STATUSES = [
    "ACTIVE",
    "PENDING",
    "IN PROGRESS",
    "CREATE PENDING",
    "CREATE IN_PROGRESS",
    "CREATE IN PROGRESS",
    "CREATE FAILED",
    "CREATE_FAILED",
    "CREATE STOPPING",
    "CREATE STOPPED",
    "CREATE_STOPPED",
    "UPDATE PENDING",
    "DELETE PENDING",
    "INACTIVE",
    "active",
    "",
]
WAITED_FOR = [resource for resource in RESOURCES.values() if resource.noun not in ("schema", "recipe")]


def outcome(hook: PersonalizeHook, resource: PersonalizeResource, arn: str) -> str:
    try:
        hook.get_waiter(resource.waiter_name).wait(**{resource.arn_member: arn}, WaiterConfig={"MaxAttempts": 1})
    except WaiterError as error:
        return "failure" if "terminal failure" in str(error) else "waiting"
    return "success"


@pytest.mark.parametrize("resource", WAITED_FOR, ids=lambda resource: resource.kind)
def test_each_status_ends_or_goes_on_as_the_resource_says(resource: PersonalizeResource, service: Service) -> None:
    hook = PersonalizeHook()
    arn = service.add(resource.kind, "job")
    for status in STATUSES:
        service.resources[arn]["status"] = status
        expected = "success" if status == ACTIVE else "failure" if resource.has_failed(status) else "waiting"
        assert outcome(hook, resource, arn) == expected, status


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        ("batch-inference-job", {"CREATE FAILED", "CREATE_FAILED"}),
        ("solution-version", {"CREATE FAILED", "CREATE_FAILED", "CREATE STOPPED", "CREATE_STOPPED"}),
    ],
)
def test_which_statuses_are_failures(kind: str, failed: set[str]) -> None:
    assert {status for status in STATUSES if RESOURCES[kind].has_failed(status)} == failed


def test_no_acceptor_has_a_state_that_botocore_would_ignore() -> None:
    states = {acceptor["state"] for waiter in WAITERS.values() for acceptor in waiter["acceptors"]}
    assert states == {"success", "failure"}


def test_there_is_a_waiter_for_each_resource_that_has_a_status() -> None:
    assert set(WAITERS) == {resource.waiter_name for resource in WAITED_FOR}
    assert set(PersonalizeHook(aws_conn_id="aws").list_waiters()) == set(WAITERS)


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda resource: resource.kind)
def test_the_names_derived_from_a_noun_are_the_models(resource: PersonalizeResource) -> None:
    model = botocore.session.get_session().get_service_model("personalize")
    operations = {name.lower(): model.operation_model(name) for name in model.operation_names}

    def members(operation: str, side: str) -> set[str]:
        return set(getattr(operations[operation.replace("_", "")], f"{side}_shape").members)

    assert resource.member in members(resource.describe_operation, "output")
    assert resource.arn_member in members(resource.describe_operation, "input")
    assert resource.list_member in members(resource.list_operation, "output")
    if resource.noun != "recipe":
        assert resource.name_member in members(resource.create_operation, "input")
        assert resource.arn_member in members(resource.create_operation, "output")
