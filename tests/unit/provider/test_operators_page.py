"""docs/operators.md says what the code says: every argument with its default, every error, and snippets that run."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import BaseEventTrigger

import airflow_provider_personalize.operators
import airflow_provider_personalize.sensors
import airflow_provider_personalize.triggers
from airflow_provider_personalize import exceptions
from airflow_provider_personalize.hooks.resources import RESOURCES
from airflow_provider_personalize.operators.batch_jobs import PersonalizeBatchInferenceJobOperator
from airflow_provider_personalize.operators.specification import DatasetGroupSpec
from airflow_provider_personalize.operators.training import PersonalizeSolutionVersionOperator
from airflow_provider_personalize.service_model import service_model

from .service import SOLUTION

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "operators.md").read_text(encoding="utf-8")
OF_EVERY_AWS_OPERATOR = {"aws_conn_id", "region_name", "verify", "botocore_config"}
CONFIGURED = {"deferrable": "`[operators] default_deferrable`"}
# Each is one ARN, in the sensors' prose.
ONE_ARN = {"job_arn"}, {"solution_version_arn"}


def classes() -> list[type[Any]]:
    """What a Dag's author constructs, and the bases that share arguments."""
    found = set()
    for package in (
        airflow_provider_personalize.operators,
        airflow_provider_personalize.sensors,
        airflow_provider_personalize.triggers,
    ):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            members = vars(importlib.import_module(module.name)).values()
            found |= {
                member
                for member in members
                if isinstance(member, type)
                and issubclass(member, BaseOperator | BaseEventTrigger)
                and member.__module__ == module.name
            }
    return sorted(found, key=lambda member: member.__name__)


def own_arguments(kind: type[Any]) -> dict[str, str]:
    """Argument -> its default as the page writes it, without those of the bases."""
    if "__init__" not in vars(kind):
        return {}
    return {
        name: CONFIGURED.get(name)
        or ("required" if parameter.default is parameter.empty else f"`{parameter.default!r}`")
        for name, parameter in inspect.signature(vars(kind)["__init__"]).parameters.items()
        if name not in {"self", *OF_EVERY_AWS_OPERATOR} and parameter.kind is parameter.KEYWORD_ONLY
    }


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def tables_of_arguments() -> dict[str, dict[str, str]]:
    found = {}
    for name, table in re.findall(r"^Arguments of `(\w+)`[^\n]*:\n\n((?:\|[^\n]*\n)+)", PAGE, re.MULTILINE):
        cells = rows(table)
        found[name] = {argument: row[1] for row in cells for argument in re.findall(r"`(\w+)`", row[0])}
    return found


def test_each_table_has_every_argument_with_its_default_and_no_other() -> None:
    wanted = {kind.__name__: own_arguments(kind) for kind in classes()}
    wanted = {name: own for name, own in wanted.items() if own and set(own) not in ONE_ARN}
    assert len(wanted) == 15
    assert tables_of_arguments() == wanted


def test_every_class_is_named() -> None:
    assert [kind.__name__ for kind in classes() if f"`{kind.__name__}`" not in PAGE] == []


def test_every_error_is_listed_with_whether_it_is_retried() -> None:
    (table,) = re.findall(r"^(\| Error \| When \| Retried \|\n(?:\|[^\n]*\n)+)", PAGE, re.MULTILINE)
    listed = {re.findall(r"`(\w+)`", row[0])[0]: row[2].partition(",")[0].partition(";")[0] for row in rows(table)}
    assert listed == {
        name: "no" if issubclass(member, AirflowFailException) else "yes"
        for name, member in vars(exceptions).items()
        if isinstance(member, type) and issubclass(member, Exception) and member.__module__ == exceptions.__name__
    }


def test_the_page_of_troubles_has_what_to_do_about_every_error() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    raised = {name for name in vars(exceptions) if name.startswith("Personalize")} - {"PersonalizeJobError"}
    assert len(raised) == 13
    assert [name for name in sorted(raised) if f"| `{name}" not in page] == []


def blocks(language: str, page: str = "operators.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_snippets_run_one_after_the_other() -> None:
    names: dict[str, Any] = {}
    for number, snippet in enumerate(blocks("python")):
        with DAG(f"snippet-{number}"):
            # What the first snippet makes, for those that go on from there.
            train = PersonalizeSolutionVersionOperator(task_id="before", solution_arn=SOLUTION)
            infer = PersonalizeBatchInferenceJobOperator(
                task_id="and_then", solution_arn=SOLUTION, input_uri="s3://in/a", output_uri="s3://out/"
            )
            names |= {"train": train, "infer": infer}
            exec(compile(snippet, f"docs/operators.md, snippet {number}", "exec"), names)
    assert number >= 10


def test_the_readmes_snippet_runs(repository: Path) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    with DAG("readme"):
        exec(compile(snippet, "README.md", "exec"), {})


def test_the_spec_is_one() -> None:
    (spec,) = blocks("yaml")
    assert DatasetGroupSpec.parse(spec).name == yaml.safe_load(spec)["name"]


def test_the_policy_names_operations_of_the_service_and_all_that_is_called() -> None:
    policy = next(json.loads(block) for block in blocks("json", "connections.md") if "RunPersonalizeJobs" in block)
    listed = [statement["Action"] for statement in policy["Statement"]]
    actions = {action for some in listed for action in ([some] if isinstance(some, str) else some)}
    assert "iam:PassRole" in actions
    named = {action.removeprefix("personalize:") for action in actions if action.startswith("personalize:")}
    assert named <= set(service_model().operation_names)
    called = {
        operation.title().replace("_", "")
        for kind, resource in RESOURCES.items()
        if kind != "recipe"  # the service's own; nobody here asks for one
        for operation in (resource.create_operation, resource.describe_operation)
    }
    assert called | {"ListRecipes", "GetSolutionMetrics", "ListSolutionVersions"} <= named
