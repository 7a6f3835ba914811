"""The plan: what a spec would change, told before and without changing anything."""

from __future__ import annotations

import copy
import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_personalize.cli.definition import get_personalize_commands
from airflow_provider_personalize.cli.spec_plan import plan as plan_command
from airflow_provider_personalize.exceptions import PersonalizeConflictError, PersonalizeWaitError

from .service import ACCOUNT, GROUP, Service
from .test_dataset_group import SPEC, changed, operator

Context = Callable[..., dict[str, Any]]
PLACES = [
    "spec",
    "spec.datasets.INTERACTIONS.schema",
    "spec.datasets.items.schema",
    "spec.datasets.INTERACTIONS",
    "spec.datasets.items",
    "spec.solutions[0]",
    "spec.solutions[1]",
    "spec.filters[0]",
]


@pytest.fixture(autouse=True)
def process_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets it for its process; here that would outlive the test."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")


def planned(context: Context, spec: Any = SPEC) -> dict[str, Any]:
    return operator(spec, plan_only="True").execute(context())


def actions(plan: dict[str, Any]) -> dict[str, str]:
    return {step["place"]: step["action"] for step in plan["resources"]}


def test_in_an_empty_account_everything_is_to_be_created_and_nothing_is(service: Service, context: Context) -> None:
    plan = planned(context)
    assert actions(plan) == dict.fromkeys(PLACES, "create")
    assert plan["changes"]
    assert {step["arn"] for step in plan["resources"]} == {None}
    assert service.resources == {}


@pytest.mark.parametrize("kind", ["dataset-group", "schema"])
def test_any_group_or_schema_of_the_account_tells_the_arns_to_come(
    kind: str, service: Service, context: Context
) -> None:
    service.add(kind, "another")
    assert [step["arn"] for step in planned(context)["resources"]] == [
        GROUP,
        f"{ACCOUNT}:schema/shop-interactions-schema",
        f"{ACCOUNT}:schema/things",
        f"{ACCOUNT}:dataset/shop/INTERACTIONS",
        f"{ACCOUNT}:dataset/shop/ITEMS",
        f"{ACCOUNT}:solution/for-you",
        f"{ACCOUNT}:solution/fans",
        f"{ACCOUNT}:filter/unseen",
    ]


def test_after_it_was_applied_a_plan_has_nothing_to_do(service: Service, context: Context) -> None:
    operator().execute(context())
    plan = planned(context)
    assert actions(plan) == dict.fromkeys(PLACES, "keep")
    assert not plan["changes"]
    # A schema has no status.
    assert {step["status"] for step in plan["resources"]} == {"ACTIVE", None}


def test_what_is_missing_and_what_differs_is_told_field_by_field(service: Service, context: Context) -> None:
    operator().execute(context())
    before = copy.deepcopy(service.resources)
    more = {"name": "similar", "recipe": "aws-sims"}
    other = {"name": "fans", "recipe": "aws-item-affinity"}
    plan = planned(context, changed(solutions=[more, other]))
    assert actions(plan)["spec.solutions[0]"] == "create"
    (differing,) = [step for step in plan["resources"] if step["action"] == "differs"]
    assert differing == {
        "place": "spec.solutions[1]",
        "kind": "solution",
        "key": "fans",
        "arn": f"{ACCOUNT}:solution/fans",
        "action": "differs",
        "status": "ACTIVE",
        "differences": [{"field": "performAutoTraining", "wanted": False, "existing": True}],
    }
    assert service.resources == before
    assert json.loads(json.dumps(plan)) == plan


def test_all_differences_are_told_at_once_and_nothing_is_created_beside_them(
    service: Service, context: Context
) -> None:
    operator().execute(context())
    before = set(service.resources)
    spec = changed(
        domain="ECOMMERCE",
        solutions=[{"name": "for-you", "recipe": "aws-sims"}, {"name": "similar", "recipe": "aws-sims"}],
    )
    with pytest.raises(PersonalizeConflictError) as caught:
        operator(spec).execute(context())
    assert {difference.field for difference in caught.value.differences} == {"domain", "recipeArn"}
    assert "spec.solutions[0]" in str(caught.value)
    assert set(service.resources) == before


def test_a_resource_that_could_not_be_created_differs_by_its_status(service: Service, context: Context) -> None:
    operator().execute(context())
    service.resources[f"{ACCOUNT}:filter/unseen"]["failureReason"] = "too long"
    service.set_statuses(f"{ACCOUNT}:filter/unseen", "CREATE FAILED")
    (step,) = [step for step in planned(context)["resources"] if step["action"] == "differs"]
    assert step["differences"] == [{"field": "status", "wanted": "ACTIVE", "existing": "CREATE FAILED: too long"}]


def test_a_resource_that_is_being_deleted_cannot_be_planned_with(service: Service, context: Context) -> None:
    service.add("dataset-group", "shop", "DELETE PENDING", arn=GROUP)
    with pytest.raises(PersonalizeWaitError, match="is being deleted"):
        planned(context)


# airflow personalize plan -----------------------------------------------------------------------------------------


def command(tmp_path: Path, spec: Any = SPEC, conn_id: str = "aws_default") -> int:
    (tmp_path / "spec.yaml").write_text(spec if isinstance(spec, str) else yaml.safe_dump(spec))
    try:
        plan_command(Namespace(conn_id=conn_id, file=str(tmp_path / "spec.yaml")))
    except SystemExit as caught:
        return int(str(caught.code))
    return 0


def test_the_command_is_airflow_personalize_plan() -> None:
    (group,) = get_personalize_commands()
    (found,) = [each for each in group.subcommands if each.name == "plan"]
    assert [arg.flags for arg in found.args] == [("conn_id",), ("file",)]


def test_the_command_prints_a_table_and_tells_by_its_code_whether_there_is_something_to_do(
    service: Service, context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path) == 2
    assert capsys.readouterr().out.splitlines()[:2] == [
        "8 to create, 0 as declared, 0 not as declared",
        "  create  dataset group  shop          spec",
    ]
    operator().execute(context())
    capsys.readouterr()
    assert command(tmp_path) == 0
    assert command(tmp_path, changed(filters=[{"name": "unseen", "expression": "INCLUDE ..."}])) == 2
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0] == "  differs  filter         unseen        spec.filters[0]"
    assert last[1].startswith("      filterExpression: asked for 'INCLUDE ...', the existing one has ")


@pytest.mark.parametrize(
    ("spec", "conn_id", "said"),
    [
        ("name: a b", "aws_default", "spec.name must satisfy"),
        (SPEC, "nobody_made_it", "'nobody_made_it' does not exist"),
        ("{", "aws_default", "no JSON"),
    ],
)
def test_the_command_exits_with_1_when_it_cannot_be_told(
    spec: Any, conn_id: str, said: str, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, spec, conn_id) == 1
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_is_an_error_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        plan_command(Namespace(conn_id="aws_default", file=str(tmp_path / "none.yaml")))
    assert caught.value.code == 1
    assert "none.yaml" in capsys.readouterr().err
