"""What Airflow learns about the package, and what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import pytest
from jsonschema import validate

from airflow_provider_personalize.cli.connection_check import check
from airflow_provider_personalize.cli.definition import get_personalize_commands
from airflow_provider_personalize.get_provider_info import get_provider_info

from .conftest import connection
from .service import Service

INFO = get_provider_info()


def test_it_is_valid_by_airflows_own_schema() -> None:
    validate(INFO, json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text()))


def test_airflow_finds_it() -> None:
    found = [point for point in entry_points(group="apache_airflow_provider") if "personalize" in point.value]
    assert [point.load() for point in found] == [get_provider_info]


MODULES = [
    module for part in ("hooks", "operators", "sensors", "triggers") for module in INFO[part][0]["python-modules"]
]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_that_it_names_is_there(module: str) -> None:
    assert import_module(module)


@pytest.mark.parametrize("path", [*INFO["extra-links"], *INFO["cli"]])
def test_every_class_and_function_that_it_names_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert callable(getattr(import_module(module), name))


def test_every_link_of_an_operator_is_registered() -> None:
    from airflow_provider_personalize.operators.base import PersonalizeJobOperator

    links = {f"{type(link).__module__}.{type(link).__name__}" for link in PersonalizeJobOperator.operator_extra_links}
    assert links == set(INFO["extra-links"])


def test_the_amazon_providers_connection_type_is_left_to_it() -> None:
    from airflow.providers_manager import ProvidersManager

    hooks = ProvidersManager().hooks
    assert hooks["aws"].package_name == "apache-airflow-providers-amazon"
    ours = hooks["personalize"]
    assert (ours.package_name, ours.hook_name) == ("airflow-provider-personalize", "Amazon Personalize")
    assert ours.connection_testable


def test_the_connection_form_has_a_box_for_what_the_hook_reads_of_the_extra_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.providers_manager import ProvidersManager

    from airflow_provider_personalize.hooks.personalize import PersonalizeHook

    manager = ProvidersManager()
    manager.initialize_providers_configuration()
    boxes = {
        widget.field_name
        for name, widget in manager._connection_form_widgets_from_metadata.items()
        if name.startswith("extra__personalize__")
    }
    filled = {"region_name": "eu-west-3", "service_role_arn": "arn:aws:iam::123456789012:role/personalize"}
    assert boxes == set(filled)
    monkeypatch.setenv("AIRFLOW_CONN_FILLED", json.dumps({"conn_type": "personalize", "extra": filled}))
    hook = PersonalizeHook(aws_conn_id="filled")
    assert {"region_name": hook.region_name, "service_role_arn": hook.role_arn} == filled


def test_the_settings_can_be_read() -> None:
    from airflow.providers.common.compat.sdk import conf

    for option, description in INFO["config"]["personalize"]["options"].items():
        assert conf.get("personalize", option, fallback="") == description["default"]


def imported_by(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print('\\n'.join(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_provider_info_imports_nothing() -> None:
    found = imported_by("import airflow_provider_personalize.get_provider_info as i; i.get_provider_info()")
    assert {name.partition(".")[0] for name in found if not name.startswith("_")} - sys.stdlib_module_names == {
        "airflow_provider_personalize"
    }


def test_operators_sensors_and_triggers_import_nothing_numeric_and_no_backend() -> None:
    found = imported_by(f"import {', '.join(MODULES)}")
    heavy = {"numpy", "scipy", "polars", "lightfm", "pandas", "starlette", "typer", "aiobotocore", "uvicorn"}
    assert {name for name in found if name.partition(".")[0] in heavy} == set()
    assert {name for name in found if name.startswith("airflow_provider_personalize.local")} == set()


def command() -> Any:
    (group,) = get_personalize_commands()
    (found,) = [each for each in group.subcommands if each.name == "check"]
    return group.name, found.name, found.func


def test_the_command_is_airflow_personalize_check(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.add("recipe", "aws-sims")
    group, name, function = command()
    assert (group, name) == ("personalize", "check")
    function(Namespace(conn_id="aws_default"))
    said = capsys.readouterr().out
    assert "region:   us-east-1\nendpoint: local:///nowhere\nresult:   ok:" in said


@pytest.mark.parametrize(
    ("conn_id", "said"),
    [
        ("nobody_made_it", "'nobody_made_it' does not exist"),
        ("refused", "endpoint: http://127.0.0.1:9\nresult:   failed: EndpointConnectionError"),
        ("malformed", "names no directory"),
    ],
)
def test_the_command_exits_with_1_when_nothing_answers(
    conn_id: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def personalize(endpoint: str) -> str:
        return connection(
            region_name="us-east-1",
            service_config={"personalize": {"endpoint_url": endpoint}},
            config_kwargs={"signature_version": "unsigned", "retries": {"max_attempts": 0}},
        )

    monkeypatch.setenv("AIRFLOW_CONN_REFUSED", personalize("http://127.0.0.1:9"))
    monkeypatch.setenv("AIRFLOW_CONN_MALFORMED", personalize("local://here"))
    with pytest.raises(SystemExit) as caught:
        check(Namespace(conn_id=conn_id))
    assert caught.value.code == 1
    assert said in capsys.readouterr().out


@pytest.fixture(autouse=True)
def process_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets it for its process; here that would outlive the test."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
