"""A spec that is made true: created where missing, compared where it exists, and never changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG

from airflow_provider_personalize.exceptions import (
    PersonalizeConflictError,
    PersonalizeInputError,
    PersonalizeJobFailedError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.operators.dataset_group import PersonalizeDatasetGroupOperator
from airflow_provider_personalize.operators.specification import DatasetGroupSpec

from .service import ACCOUNT, GROUP, Service

Context = Callable[..., dict[str, Any]]
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
    "version": "1.0",
}
SPEC: dict[str, Any] = {
    "name": "shop",
    "tags": {"team": "search"},
    "datasets": {"INTERACTIONS": {"schema": SCHEMA}, "items": {"schema": json.dumps(SCHEMA), "schema_name": "things"}},
    "solutions": [
        {"name": "for-you", "recipe": "aws-user-personalization-v2", "solution_config": {"eventValueThreshold": "3"}},
        {"name": "fans", "recipe": "arn:aws:personalize:::recipe/aws-item-affinity", "perform_auto_training": True},
    ],
    "filters": [{"name": "unseen", "expression": "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ('*')"}],
}
ARNS = {
    "dataset_group_arn": GROUP,
    "schema_arns": {"INTERACTIONS": f"{ACCOUNT}:schema/shop-interactions-schema", "ITEMS": f"{ACCOUNT}:schema/things"},
    "dataset_arns": {
        "INTERACTIONS": f"{ACCOUNT}:dataset/shop/INTERACTIONS",
        "ITEMS": f"{ACCOUNT}:dataset/shop/ITEMS",
    },
    "solution_arns": {"for-you": f"{ACCOUNT}:solution/for-you", "fans": f"{ACCOUNT}:solution/fans"},
    "filter_arns": {"unseen": f"{ACCOUNT}:filter/unseen"},
}


def operator(spec: Any = SPEC, **arguments: Any) -> PersonalizeDatasetGroupOperator:
    return PersonalizeDatasetGroupOperator(task_id="group", spec=spec, **arguments)


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SPEC), **changes}


def test_all_of_it_is_created_and_the_arns_are_returned(service: Service, context: Context) -> None:
    service.statuses = ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]
    assert operator().execute(context()) == ARNS
    assert service.called("CreateDatasetGroup") == [
        {"name": "shop", "tags": [{"tagKey": "team", "tagValue": "search"}]}
    ]
    assert [json.loads(call["schema"]) for call in service.called("CreateSchema")] == [SCHEMA, SCHEMA]
    assert service.called("CreateDataset")[1] == {
        "name": "shop-items",
        "datasetType": "ITEMS",
        "datasetGroupArn": GROUP,
        "schemaArn": f"{ACCOUNT}:schema/things",
    }
    assert service.called("CreateSolution") == [
        {
            "name": "for-you",
            "datasetGroupArn": GROUP,
            "recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization-v2",
            "performAutoTraining": False,
            "solutionConfig": {"eventValueThreshold": "3"},
        },
        {
            "name": "fans",
            "datasetGroupArn": GROUP,
            "recipeArn": "arn:aws:personalize:::recipe/aws-item-affinity",
            "performAutoTraining": True,
        },
    ]
    assert service.called("CreateFilter") == [
        {"name": "unseen", "datasetGroupArn": GROUP, "filterExpression": SPEC["filters"][0]["expression"]}
    ]


def test_each_step_waits_for_what_it_stands_on(service: Service, context: Context) -> None:
    service.statuses = ["CREATE PENDING", "ACTIVE"]
    operator().execute(context())
    operations = [operation for operation, _ in service.calls]
    for before, after in (("DatasetGroup", "Dataset"), ("Dataset", "Solution"), ("Solution", "Filter")):
        last_look = max(at for at, operation in enumerate(operations) if operation == f"Describe{before}")
        assert last_look < operations.index(f"Create{after}")


def test_a_second_time_nothing_is_created_and_only_the_groups_are_listed(service: Service, context: Context) -> None:
    operator().execute(context())
    before = len(service.resources)
    service.calls.clear()
    assert operator().execute(context()) == ARNS
    assert len(service.resources) == before
    assert [operation for operation, _ in service.calls if not operation.startswith("Describe")] == [
        "ListDatasetGroups"
    ]


def test_the_spec_is_not_changed(service: Service, context: Context) -> None:
    spec = copy.deepcopy(SPEC)
    operator(spec).execute(context())
    assert spec == SPEC


@pytest.mark.parametrize("text", [json.dumps(SPEC), json.dumps(SPEC, indent="\t"), yaml.safe_dump(SPEC)])
def test_a_spec_may_be_json_or_yaml_text(text: str, service: Service, context: Context) -> None:
    assert operator(text).execute(context()) == ARNS


@pytest.mark.parametrize("ending", [".json", ".yaml", ".yml"])
def test_a_spec_may_be_a_file_that_is_rendered_like_any_template(
    ending: str, tmp_path: Path, service: Service, context: Context
) -> None:
    text = json.dumps(SPEC) if ending == ".json" else yaml.safe_dump(SPEC)
    (tmp_path / f"spec{ending}").write_text(text.replace("shop", "{{ shop }}"))
    with DAG("group", template_searchpath=str(tmp_path)) as dag:
        task = operator(f"spec{ending}")
    task.resolve_template_files()
    task.render_template_fields({"shop": "shop"}, dag.get_template_env())  # type: ignore[typeddict-item]
    assert task.execute(context()) == ARNS


def test_a_group_that_was_not_there_a_moment_ago_must_be_as_declared_too(service: Service, context: Context) -> None:
    operator().execute(context())
    service.refuse("DescribeDatasetGroup", "ResourceNotFoundException")
    assert operator().execute(context())["dataset_group_arn"] == GROUP
    service.refuse("DescribeDatasetGroup", "ResourceNotFoundException")
    with pytest.raises(PersonalizeConflictError, match="domain: asked for 'ECOMMERCE'"):
        operator(changed(domain="ECOMMERCE")).execute(context())


def test_someone_else_may_create_it_in_between(service: Service, context: Context) -> None:
    operator().execute(context())
    service.refuse("DescribeFilter", "ResourceNotFoundException")
    assert operator().execute(context()) == ARNS


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            changed(datasets={"INTERACTIONS": {"schema": {**SCHEMA, "fields": SCHEMA["fields"][:2]}}}),
            "spec.datasets.INTERACTIONS.schema.*schema.fields.TIMESTAMP: asked for None, "
            "the existing one has .'name': 'TIMESTAMP', 'type': 'long'",
        ),
        (
            changed(datasets={"INTERACTIONS": {"schema": SCHEMA, "name": "clicks"}}),
            "spec.datasets.INTERACTIONS.*name: asked for 'clicks', the existing one has 'shop-interactions'",
        ),
        (
            changed(datasets={"INTERACTIONS": {"schema": SCHEMA, "schema_name": "other"}}),
            "schemaArn: asked for '.*schema/other', the existing one has '.*schema/shop-interactions-schema'",
        ),
        (
            changed(solutions=[{"name": "for-you", "recipe": "aws-sims"}]),
            r"spec.solutions\[0\].*recipeArn: asked for '.*aws-sims', the existing one has '.*personalization-v2'",
        ),
        (
            changed(solutions=[{"name": "fans", "recipe": "aws-item-affinity"}]),
            "performAutoTraining: asked for False, the existing one has True",
        ),
        (
            changed(filters=[{"name": "unseen", "expression": "INCLUDE ItemID WHERE Items.A IN ('b')"}]),
            r"spec.filters\[0\].*filterExpression: asked for .INCLUDE",
        ),
        (changed(domain="ECOMMERCE"), "spec: .*domain: asked for 'ECOMMERCE', the existing one has None"),
    ],
)
def test_a_difference_is_an_error_that_names_the_field_and_both_values(
    spec: dict[str, Any], said: str, service: Service, context: Context
) -> None:
    operator().execute(context())
    before = copy.deepcopy(service.resources)
    with pytest.raises(PersonalizeConflictError, match=f"(?s){said}"):
        operator(spec).execute(context())
    assert {arn for arn in service.resources if "/other" not in arn} == set(before)


@pytest.mark.parametrize(
    "spec",
    [
        changed(datasets={"Interactions": {"schema": json.dumps(SCHEMA, indent=4)}}),
        changed(filters=[{"name": "unseen", "expression": "EXCLUDE  ItemID\n WHERE Interactions.EVENT_TYPE IN ('*')"}]),
        changed(tags={"team": "another"}),
        changed(solutions=[{"name": "for-you", "recipe": "aws-user-personalization-v2"}]),
    ],
    ids=["schema layout", "expression layout", "tags", "less is asked for"],
)
def test_what_means_the_same_is_no_difference(spec: dict[str, Any], service: Service, context: Context) -> None:
    operator().execute(context())
    assert operator(spec).execute(context())["dataset_group_arn"] == GROUP


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ([], r"spec must be an object"),
        ("{", r"spec is no JSON"),
        ({}, r"spec.name is missing"),
        ({"name": "no spaces"}, r"spec.name must satisfy regular expression pattern: .*, got 'no spaces'"),
        ({"name": 7}, r"spec.name must be a JSON string, not int, got 7"),
        ({"name": "a" * 64}, r"spec.name must have length less than or equal to 63, got"),
        ({"name": "a", "domain": "BOOKS"}, r"spec.domain must satisfy enum value set: .*, got 'BOOKS'"),
        ({"name": "a", "tags": {"a": "!"}}, r"spec.tags\[0\].tagValue must satisfy regular expression pattern"),
        ("just: [a", r"(?s)spec is neither JSON nor YAML: .*line 1, column 9"),
        ("spec.yaml3", r"spec must be an object, got 'spec.yaml3'"),
        (changed(dataset={}), r"spec.dataset: there is no such key; there are name, domain"),
        (changed(datasets={"CLICKS": {}}), r"spec.datasets.CLICKS: there is no such dataset type"),
        (changed(datasets={"ITEMS": {"schema": "{"}}), r"spec.datasets.ITEMS.schema is no JSON"),
        (changed(datasets={"ITEMS": {}}), r"spec.datasets.ITEMS.schema is missing"),
        (changed(datasets={"ITEMS": {"schema": []}}), r"spec.datasets.ITEMS.schema must be an object"),
        (changed(datasets={"ITEMS": {"schema": {"fields": [{}]}}}), r"ITEMS.schema.fields must be a list of columns"),
        (changed(datasets={"ITEMS": {"schema": {}}, "items": {"schema": {}}}), r"spec has another schema 'ITEMS'"),
        (changed(datasets={"ITEMS": {"schema": {}, "csv": 1}}), r"spec.datasets.ITEMS.csv: there is no such key"),
        (changed(datasets=[]), None),
        (changed(solutions={}), None),
        (changed(solutions={"name": "x"}), r"spec.solutions must be a list"),
        (changed(solutions=[{"name": "x"}]), r"spec.solutions\[0\].recipe is missing"),
        (changed(solutions=[{"recipe": "x"}]), r"spec.solutions\[0\].name is missing"),
        (changed(solutions=[{"name": "x", "recipe": "r", "hpo": 1}]), r"spec.solutions\[0\].hpo: there is no such key"),
        (changed(solutions=SPEC["solutions"][:1] * 2), r"spec.solutions\[1\]: the spec has another solution 'for-you'"),
        (
            changed(solutions=[{"name": "x", "recipe": "r", "perform_auto_training": "maybe"}]),
            r"spec.solutions\[0\].perform_auto_training must be true or false",
        ),
        (changed(filters=[{"name": "x"}]), r"spec.filters\[0\].expression is missing"),
        (changed(filters=["x"]), r"spec.filters\[0\] must be an object"),
    ],
)
def test_a_wrong_spec_is_an_error_that_names_the_place_and_creates_nothing(
    spec: Any, said: str | None, service: Service, context: Context
) -> None:
    if said is None:
        operator(spec).execute(context())
        return
    with pytest.raises(PersonalizeInputError, match=said):
        operator(spec).execute(context())
    assert service.calls == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"hpo": {"jobs": 1}}, r"solution_config.hpo must be one of the members eventValueThreshold, .*"),
        (
            {"algorithmHyperParameters": {"factors": 4}},
            r"solution_config.algorithmHyperParameters.factors must be a JSON",
        ),
        (
            {"optimizationObjective": {"objectiveSensitivity": "SOME"}},
            r"solution_config.optimizationObjective.objectiveSensitivity must satisfy enum value set: .*, got 'SOME'",
        ),
    ],
)
def test_what_boto3_would_let_through_is_found_before_anything_is_created(
    config: dict[str, Any], said: str, service: Service, context: Context
) -> None:
    spec = changed(solutions=[{"name": "x", "recipe": "aws-sims", "solution_config": config}])
    with pytest.raises(PersonalizeInputError, match=r"spec.solutions\[0\]." + said):
        operator(spec).execute(context())
    assert service.calls == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    spec = {
        "name": "no spaces",
        "datasets": {"CLICKS": {"schema": {}}, "ITEMS": {"schema": "{", "csv": 1}, "USERS": 7},
        "solutions": [{"name": "x"}, "y"],
        "filters": [{"name": "f", "expression": "a" * 2501}],
    }
    with pytest.raises(PersonalizeInputError) as caught:
        DatasetGroupSpec.parse(spec)
    first, *lines = str(caught.value).splitlines()
    assert first == "The spec has 8 errors:"
    assert [line.split()[0].rstrip(":") for line in lines] == [
        "spec.datasets.CLICKS",
        "spec.datasets.ITEMS.schema",
        "spec.datasets.ITEMS.csv",
        "spec.datasets.USERS",
        "spec.solutions[1]",
        "spec.name",
        "spec.solutions[0].recipe",
        "spec.filters[0].expression",
    ]
    assert len(str(caught.value)) < 1500


def test_what_the_service_refuses_is_named_by_its_place(service: Service, context: Context) -> None:
    service.refuse("CreateFilter", "InvalidInputException", "Could not create filter. Invalid Expression")
    with pytest.raises(PersonalizeInputError, match=r"spec.filters\[0\]: .*Invalid Expression"):
        operator().execute(context())


def test_a_recipe_that_does_not_exist_is_named_by_its_place(service: Service, context: Context) -> None:
    service.refuse("CreateSolution", "ResourceNotFoundException", "Resource Arn does not exist.")
    with pytest.raises(PersonalizeInputError, match=r"spec.solutions\[0\]: .*does not exist"):
        operator().execute(context())


def test_a_resource_that_cannot_be_created_fails_with_its_reason(service: Service, context: Context) -> None:
    service.statuses, service.failure_reason = ["CREATE PENDING", "CREATE FAILED"], "no such key"
    with pytest.raises(PersonalizeJobFailedError, match=r"dataset group .* ended in CREATE FAILED: no such key"):
        operator().execute(context())


def test_a_resource_that_is_being_deleted_is_an_error_that_a_retry_may_mend(service: Service, context: Context) -> None:
    service.add("dataset-group", "shop", "DELETE PENDING", arn=GROUP)
    with pytest.raises(PersonalizeWaitError, match="is being deleted"):
        operator().execute(context())


def test_long_group_names_still_give_names_that_the_service_takes(service: Service, context: Context) -> None:
    name = "g" * 63
    operator({"name": name, "datasets": {"ACTION_INTERACTIONS": {"schema": SCHEMA}}}).execute(context())
    created = [*service.called("CreateSchema"), *service.called("CreateDataset")]
    assert len({call["name"] for call in created}) == 2
    assert all(len(call["name"]) <= 63 for call in created)
