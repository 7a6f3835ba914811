"""The preflight of a training: what a recipe and a solution's configuration want, and what the datasets have of it."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_personalize.batch.recipes import ROW_FORMATS
from airflow_provider_personalize.cli.job_preflight import preflight as preflight_command
from airflow_provider_personalize.exceptions import PersonalizeInputError, PersonalizePermissionError
from airflow_provider_personalize.hooks.training_preflight import (
    REQUIRED_DATASETS,
    Columns,
    Unread,
    columns_of,
    training_findings,
)
from airflow_provider_personalize.operators.preflight import PersonalizePreflightOperator

from .service import GROUP, SOLUTION, Service

Context = Callable[..., dict[str, Any]]
RECIPE = "arn:aws:personalize:::recipe"
EVERY_DAY = "aws-user-personalization-v2"


def schema(kind: str, **columns: Any) -> str:
    """The text of an Avro schema; a column is its type, or its type and its other members."""
    fields = [
        {"name": name, **(given if isinstance(given, dict) else {"type": given})} for name, given in columns.items()
    ]
    return json.dumps({"type": "record", "name": kind, "fields": fields, "version": "1.0"})


EVENTS = {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long"}
INTERACTIONS = columns_of(schema("Interactions", **EVENTS))
WITH_TYPES = columns_of(schema("Interactions", **EVENTS, EVENT_TYPE="string", EVENT_VALUE=["null", "float"]))


def items(**columns: Any) -> Columns:
    return columns_of(schema("Items", ITEM_ID="string", CREATION_TIMESTAMP="long", **columns))


ACTIONS = columns_of(schema("Actions", ACTION_ID="string", VALUE="long"))
NAME = {"type": "string", "itemName": True}
PLOT = {"type": ["null", "string"], "textual": True}
UNREAD = Unread("could not be looked at: AccessDenied")
INCLUDED, EXCLUDED = "includedDatasetColumns", "excludedDatasetColumns"

#: The datasets, the recipe, its solution's other members, and what of it is not ok.
TABLE: dict[str, tuple[dict[str, Any], str, dict[str, Any], list[tuple[str, str, str]]]] = {
    "interactions are enough": ({"INTERACTIONS": INTERACTIONS}, EVERY_DAY, {}, []),
    "no interactions": ({"ITEMS": items(GENRE="string")}, EVERY_DAY, {}, [("dataset", "INTERACTIONS", "missing")]),
    "a schema that may not be read is no fault where no column is wanted": (
        {"INTERACTIONS": UNREAD},
        EVERY_DAY,
        {},
        [],
    ),
    "a recipe of tomorrow": ({}, "aws-tomorrow", {}, [("recipe", "aws-tomorrow", "unknown")]),
    # Recipes that want more than interactions.
    "actions": ({"INTERACTIONS": INTERACTIONS, "ACTIONS": ACTIONS}, "aws-next-best-action", {}, []),
    "no actions": ({"INTERACTIONS": INTERACTIONS}, "aws-next-best-action", {}, [("dataset", "ACTIONS", "missing")]),
    "no new items": ({"INTERACTIONS": INTERACTIONS}, "aws-hrnn-coldstart", {}, [("dataset", "ITEMS", "unknown")]),
    "metadata is welcome and not a must": ({"INTERACTIONS": INTERACTIONS}, "aws-hrnn-metadata", {}, []),
    "attributes": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(PLOT=PLOT, YEAR="int")},
        "aws-item-attribute-affinity",
        {},
        [],
    ),
    "no items to have attributes": (
        {"INTERACTIONS": INTERACTIONS},
        "aws-item-attribute-affinity",
        {},
        [("dataset", "ITEMS", "missing")],
    ),
    "no attributes but text and booleans": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(PLOT=PLOT, IN_STOCK="boolean")},
        "aws-item-attribute-affinity",
        {},
        [("column", "ITEMS", "missing")],
    ),
    "attributes that are left out": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(YEAR="int", GENRE="string", PLOT=PLOT)},
        "aws-item-attribute-affinity",
        {"solutionConfig": {"trainingDataConfig": {EXCLUDED: {"items": ["year", "GENRE"]}}}},
        [("column", "ITEMS", "missing")],
    ),
    "attributes of which one is kept": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(YEAR="int", GENRE="string")},
        "aws-item-attribute-affinity",
        {"solutionConfig": {"trainingDataConfig": {INCLUDED: {"ITEMS": ["GENRE"]}}}},
        [],
    ),
    "attributes that cannot be seen": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": UNREAD},
        "aws-item-attribute-affinity",
        {},
        [("column", "ITEMS", "unknown")],
    ),
    "text": ({"ITEMS": items(NAME=NAME, PLOT=PLOT)}, "aws-semantic-similarity", {}, []),
    "no text and no name": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(GENRE="string")},
        "aws-semantic-similarity",
        {},
        [("column", "ITEMS", "missing"), ("column", "ITEMS", "missing")],
    ),
    "no name": ({"ITEMS": items(PLOT=PLOT)}, "aws-semantic-similarity", {}, [("column", "ITEMS", "missing")]),
    "events where none are needed": (
        {"ITEMS": items(NAME=NAME, PLOT=PLOT)},
        "aws-semantic-similarity",
        {"eventType": "watch"},
        [],
    ),
    # Events.
    "events of a type": ({"INTERACTIONS": WITH_TYPES}, EVERY_DAY, {"eventType": "watch"}, []),
    "events of a type that no column tells": (
        {"INTERACTIONS": INTERACTIONS},
        EVERY_DAY,
        {"eventType": "watch"},
        [("column", "INTERACTIONS.EVENT_TYPE", "missing")],
    ),
    "events of a type that cannot be seen": (
        {"INTERACTIONS": UNREAD},
        EVERY_DAY,
        {"eventType": "watch"},
        [("column", "INTERACTIONS.EVENT_TYPE", "unknown")],
    ),
    "a threshold without a value": (
        {"INTERACTIONS": INTERACTIONS},
        EVERY_DAY,
        {"solutionConfig": {"eventValueThreshold": "0.5"}},
        [("column", "INTERACTIONS.EVENT_VALUE", "missing")],
    ),
    "weights of types": (
        {"INTERACTIONS": INTERACTIONS},
        EVERY_DAY,
        {"solutionConfig": {"eventsConfig": {"eventParametersList": [{"eventType": "watch", "weight": 1.0}]}}},
        [("column", "INTERACTIONS.EVENT_TYPE", "missing")],
    ),
    "a threshold of 0 for one type": (
        {"INTERACTIONS": INTERACTIONS},
        EVERY_DAY,
        {
            "solutionConfig": {
                "eventsConfig": {"eventParametersList": [{"eventType": "watch", "eventValueThreshold": 0.0}]}
            }
        },
        [("column", "INTERACTIONS.EVENT_TYPE", "missing"), ("column", "INTERACTIONS.EVENT_VALUE", "missing")],
    ),
    # An objective.
    "an objective": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(PRICE="float")},
        EVERY_DAY,
        {"solutionConfig": {"optimizationObjective": {"itemAttribute": "price"}}},
        [],
    ),
    "an objective without items": (
        {"INTERACTIONS": INTERACTIONS},
        EVERY_DAY,
        {"solutionConfig": {"optimizationObjective": {"itemAttribute": "PRICE"}}},
        [("column", "ITEMS.PRICE", "missing")],
    ),
    "an objective that no column is": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(COST="float")},
        EVERY_DAY,
        {"solutionConfig": {"optimizationObjective": {"itemAttribute": "PRICE"}}},
        [("column", "ITEMS.PRICE", "missing")],
    ),
    "an objective that is no number": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(PRICE="string")},
        EVERY_DAY,
        {"solutionConfig": {"optimizationObjective": {"itemAttribute": "PRICE"}}},
        [("column", "ITEMS.PRICE", "missing")],
    ),
    "an objective that may be null": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(PRICE=["null", "double"])},
        EVERY_DAY,
        {"solutionConfig": {"optimizationObjective": {"itemAttribute": "PRICE"}}},
        [("column", "ITEMS.PRICE", "unknown")],
    ),
    "an objective that is left out": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(PRICE="float", YEAR="int")},
        EVERY_DAY,
        {
            "solutionConfig": {
                "optimizationObjective": {"itemAttribute": "PRICE"},
                "trainingDataConfig": {INCLUDED: {"ITEMS": ["YEAR"]}},
            }
        },
        [("column", "ITEMS.PRICE", "missing")],
    ),
    # Chosen columns.
    "columns that there are": (
        {"INTERACTIONS": WITH_TYPES, "ITEMS": items(YEAR="int", GENRE="string")},
        EVERY_DAY,
        {"solutionConfig": {"trainingDataConfig": {EXCLUDED: {"Items": ["genre"], "INTERACTIONS": ["EVENT_VALUE"]}}}},
        [],
    ),
    "columns that there are not": (
        {"INTERACTIONS": INTERACTIONS, "ITEMS": items(YEAR="int")},
        EVERY_DAY,
        {"solutionConfig": {"trainingDataConfig": {EXCLUDED: {"ITEMS": ["AGE"]}, INCLUDED: {"USERS": ["SEX"]}}}},
        [("column", "ITEMS.AGE", "missing"), ("column", "USERS.SEX", "missing")],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_wanted_of_the_datasets(case: str) -> None:
    schemas, recipe, configured, wrong = TABLE[case]
    findings = list(training_findings(schemas, {"recipeArn": f"{RECIPE}/{recipe}", **configured}))
    assert [(each.check, each.subject, each.status) for each in findings if each.status != "ok"] == wrong


@pytest.mark.parametrize("recipe", ROW_FORMATS)
def test_every_recipe_has_its_datasets(recipe: str) -> None:
    wanted = set(REQUIRED_DATASETS[recipe])
    assert ("INTERACTIONS" in wanted) == (recipe != "aws-semantic-similarity")
    findings = list(training_findings({}, {"recipeArn": f"{RECIPE}/{recipe}"}))
    assert {each.subject for each in findings if each.status == "missing"} == wanted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"itemAttribute": "PRICE"}, "its type is string"),
        ({"itemAttribute": "COST"}, "the schema has ITEM_ID, CREATION_TIMESTAMP, PRICE"),
    ],
)
def test_a_finding_says_what_there_is_instead(given: dict[str, str], said: str) -> None:
    solution = {"recipeArn": f"{RECIPE}/{EVERY_DAY}", "solutionConfig": {"optimizationObjective": given}}
    schemas = {"INTERACTIONS": INTERACTIONS, "ITEMS": items(PRICE="string")}
    (found,) = [each for each in training_findings(schemas, solution) if each.status == "missing"]
    assert said in found.detail


# The operator -----------------------------------------------------------------------------------------------------


def solution(service: Service, recipe: str = EVERY_DAY, **members: Any) -> None:
    kept = {"arn": SOLUTION, "datasetGroupArn": GROUP, "recipeArn": f"{RECIPE}/{recipe}"}
    service.add("solution", "for-you", **kept, **members)


def dataset(service: Service, kind: str, text: str, status: str = "ACTIVE") -> str:
    schema_arn = service.add("schema", kind, schema=text)
    arn = f"{GROUP.replace(':dataset-group/', ':dataset/')}/{kind}"
    members = {"datasetGroupArn": GROUP, "datasetType": kind, "schemaArn": schema_arn}
    return service.add("dataset", kind, status, arn=arn, **members)


def imported(service: Service, into: str, status: str = "ACTIVE") -> str:
    return service.add("dataset-import-job", f"import-{len(service.resources)}", status, datasetArn=into)


def look(context: Context, **arguments: Any) -> list[tuple[str, str, str]]:
    given = {"task_id": "preflight", "solution_arn": SOLUTION, **arguments}
    findings = PersonalizePreflightOperator(**given).execute(context())
    return [(found["check"], found["subject"], found["status"]) for found in findings]


def test_a_training_whose_data_are_there_is_ok_and_needs_no_location_and_no_role(
    service: Service, context: Context, no_network: list[Any]
) -> None:
    solution(service, eventType="watch")
    imported(service, dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS, EVENT_TYPE="string")))
    dataset(service, "USERS", schema("Users", USER_ID="string", AGE="int"))
    assert look(context, fail_on_unknown=True) == [
        ("solution", SOLUTION, "ok"),
        ("dataset", "INTERACTIONS", "ok"),
        ("column", "INTERACTIONS.EVENT_TYPE", "ok"),
        ("import", "INTERACTIONS", "ok"),
    ]
    assert no_network == []


def test_what_is_missing_fails_with_every_reason_and_the_findings_are_in_xcom(
    service: Service, context: Context
) -> None:
    solution(service, "aws-item-attribute-affinity", eventType="watch")
    into = dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS))
    failed = imported(service, into, "CREATE FAILED")
    now = context()
    with pytest.raises(PersonalizePermissionError) as caught:
        PersonalizePreflightOperator(task_id="preflight", solution_arn=SOLUTION).execute(now)
    assert str(caught.value).splitlines() == [
        "3 of 5 checks failed:",
        "missing  dataset              ITEMS: aws-item-attribute-affinity trains on it, and the dataset group has none",
        "missing  column               INTERACTIONS.EVENT_TYPE: the solution's eventType chooses by it; the schema has "
        "USER_ID, ITEM_ID, TIMESTAMP",
        f"missing  import               INTERACTIONS: no import is ACTIVE, {failed} is CREATE FAILED, and there is no "
        "event tracker to put events with",
    ]
    assert now["ti"].xcoms["return_value"] == caught.value.findings


def test_records_that_may_have_been_put_one_by_one_are_unknown(service: Service, context: Context) -> None:
    solution(service, "aws-item-attribute-affinity")
    dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS))
    dataset(service, "ITEMS", schema("Items", ITEM_ID="string", YEAR="int"))
    service.event_trackers = [{"name": "clicks"}]
    found = look(context)
    assert [each for each in found if each[0] == "import"] == [
        ("import", "INTERACTIONS", "unknown"),
        ("import", "ITEMS", "unknown"),
    ]
    assert {status for check, _, status in found if check != "import"} == {"ok"}


def test_the_items_of_an_objective_must_be_there_too(service: Service, context: Context) -> None:
    solution(service, solutionConfig={"optimizationObjective": {"itemAttribute": "PRICE"}})
    imported(service, dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS)))
    dataset(service, "ITEMS", schema("Items", ITEM_ID="string", PRICE="float"))
    assert look(context)[-1] == ("import", "ITEMS", "unknown")


def test_an_import_that_is_active_is_found_behind_those_that_are_not(service: Service, context: Context) -> None:
    solution(service)
    into = dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS))
    for status in ("CREATE IN_PROGRESS", "CREATE FAILED", "ACTIVE", "ACTIVE"):
        imported(service, into, status)
    service.page_size = 1
    assert look(context)[-1] == ("import", "INTERACTIONS", "ok")
    assert len(service.called("ListDatasetImportJobs")) == 3


@pytest.mark.parametrize("status", ["CREATE FAILED", "DELETE PENDING", "DELETE IN_PROGRESS"])
def test_a_dataset_that_failed_or_goes_is_none(status: str, service: Service, context: Context) -> None:
    solution(service)
    imported(service, dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS), status))
    with pytest.raises(PersonalizePermissionError, match=r"INTERACTIONS: .* the dataset group has none"):
        look(context)


def test_a_solution_that_does_not_exist_is_missing(service: Service, context: Context) -> None:
    with pytest.raises(
        PersonalizePermissionError, match=f"missing  solution             {SOLUTION}: it does not exist"
    ):
        look(context)


@pytest.mark.parametrize(
    ("operation", "unknown"),
    [
        ("DescribeSolution", {("solution", SOLUTION)}),
        ("ListDatasets", {("dataset", GROUP)}),
        ("DescribeDataset", {("column", "INTERACTIONS.EVENT_TYPE")}),
        ("DescribeSchema", {("column", "INTERACTIONS.EVENT_TYPE")}),
        ("ListDatasetImportJobs", {("import", "INTERACTIONS")}),
        ("ListEventTrackers", {("import", "INTERACTIONS")}),
    ],
)
def test_what_airflow_may_not_look_at_is_unknown_and_fails_only_when_asked_to(
    operation: str, unknown: set[tuple[str, str]], service: Service, context: Context
) -> None:
    solution(service, eventType="watch")
    into = dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS, EVENT_TYPE="string"))
    if operation != "ListEventTrackers":
        imported(service, into)
    service.refuse(operation, "AccessDeniedException", "not for you", times=2)
    found = look(context)
    assert {(check, subject) for check, subject, status in found if status != "ok"} == unknown
    assert {status for *_, status in found} <= {"ok", "unknown"}
    if operation != "ListEventTrackers":
        with pytest.raises(PersonalizePermissionError, match=r"could not be looked at: .*not for you"):
            look(context, fail_on_unknown=True)


def test_a_busy_service_is_asked_again(service: Service, context: Context) -> None:
    solution(service)
    imported(service, dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS)))
    service.refuse("ListDatasets", "ThrottlingException", times=7)
    before = time.time()
    assert {status for *_, status in look(context)} == {"ok"}
    assert time.time() > before


def test_a_job_and_a_training_can_be_looked_at_together(service: Service, context: Context, tmp_path: Any) -> None:
    solution(service)
    imported(service, dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS)))
    assert look(context, output_uri=f"file://{tmp_path}/out")[-1] == ("output", f"file://{tmp_path}/out", "ok")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"solution_arn": None}, "Give input_uri, output_uri or solution_arn"),
        ({"solution_arn": "for-you"}, "solution_arn must be an ARN, got 'for-you'"),
        ({"output_uri": "out"}, "'out' is neither s3://"),
    ],
)
def test_what_cannot_be_looked_at_is_an_error(
    arguments: dict[str, Any], said: str, service: Service, context: Context
) -> None:
    with pytest.raises(PersonalizeInputError, match=said):
        look(context, **arguments)
    assert service.calls == []


def test_the_command_looks_at_a_training_alone(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    solution(service)
    into = dataset(service, "INTERACTIONS", schema("Interactions", **EVENTS))
    others = ("input_uri", "output_uri", "role_arn", "input_kms_key_arn", "output_kms_key_arn")
    given = {"conn_id": "aws_default", "solution_arn": SOLUTION, **dict.fromkeys(others)}
    with pytest.raises(SystemExit) as caught:
        preflight_command(Namespace(**given))
    assert caught.value.code == 2
    assert "missing  import               INTERACTIONS: nothing was imported" in capsys.readouterr().out
    imported(service, into)
    preflight_command(Namespace(**given))
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["ok", "solution"],
        ["ok", "dataset"],
        ["ok", "import"],
    ]
