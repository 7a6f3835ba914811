"""What a solution wants of its dataset group, looked at before a training is paid for.

Which datasets and columns a recipe, and a solution's own configuration, train on: developer guide, "Choosing a recipe"
and "Configuring a solution". What only the rows can tell (whether there are enough, whether a column's values differ)
is left to the training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_personalize.hooks.dataset_imports import import_pages
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.preflight import MISSING, OK, UNKNOWN, Finding, looked
from airflow_provider_personalize.hooks.resources import ACTIVE, DATASET, SCHEMA, SOLUTION

INTERACTIONS, ITEMS, ACTIONS = "INTERACTIONS", "ITEMS", "ACTIONS"
_OF_INTERACTIONS = (
    "aws-hrnn",
    "aws-hrnn-coldstart",
    "aws-hrnn-metadata",
    "aws-item-affinity",
    "aws-personalized-ranking",
    "aws-personalized-ranking-v2",
    "aws-popularity-count",
    "aws-similar-items",
    "aws-sims",
    "aws-trending-now",
    "aws-user-personalization",
    "aws-user-personalization-v2",
)
#: Recipe -> the datasets that it does not train without.
REQUIRED_DATASETS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_INTERACTIONS, (INTERACTIONS,)),
    "aws-item-attribute-affinity": (INTERACTIONS, ITEMS),
    "aws-next-best-action": (INTERACTIONS, ACTIONS),
    "aws-semantic-similarity": (ITEMS,),
}
_NUMBERS = frozenset({"int", "long", "float", "double"})
# The columns of Items that are no metadata.
_OF_EVERY_ITEM = frozenset({"ITEM_ID", "CREATION_TIMESTAMP"})


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a dataset's schema; ``type`` is Avro's, without ``null``."""

    type: str
    nullable: bool = False
    textual: bool = False
    item_name: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands for the columns of a dataset whose schema could not be looked at."""

    reason: str


#: By name in upper case, which is how they are compared.
Columns = Mapping[str, Column]


def columns_of(schema: str) -> dict[str, Column]:
    """The columns of an Avro schema that the service has taken."""
    found = {}
    for field in json.loads(schema)["fields"]:
        types = field["type"] if isinstance(field["type"], list) else [field["type"]]
        found[str(field["name"]).upper()] = Column(
            next((str(each) for each in types if each != "null"), "null"),
            "null" in types,
            bool(field.get("textual")),
            bool(field.get("itemName")),
        )
    return found


def training_preflight(hook: PersonalizeHook, solution_arn: str) -> Iterator[Finding]:
    """Look at a solution, and at the datasets of its group, their schemas and imports."""
    solution, refusal = looked(lambda: hook.describe(SOLUTION, solution_arn))
    if refusal:
        yield Finding("solution", solution_arn, *refusal)
        return
    group = str(solution["datasetGroupArn"])
    yield Finding("solution", solution_arn, OK, f"it trains {_recipe(solution)} on {group}")
    listed, refusal = looked(lambda: list(hook.summaries(DATASET, datasetGroupArn=group)))
    if refusal:
        yield Finding("dataset", group, *refusal)
        return
    datasets = {
        str(dataset["datasetType"]).upper(): str(dataset["datasetArn"])
        for dataset in listed
        if not DATASET.has_failed(dataset["status"]) and not dataset["status"].startswith("DELETE")
    }
    schemas = {kind: _schema(hook, dataset_arn) for kind, dataset_arn in datasets.items()}
    yield from training_findings(schemas, solution)
    for kind in _trained_on(solution):
        if kind in datasets:
            yield _imported(hook, kind, datasets[kind], group)


def training_findings(schemas: Mapping[str, Columns | Unread], solution: Mapping[str, Any]) -> Iterator[Finding]:
    """Hold the datasets of a group against what a solution trains on.

    :param schemas: the columns by dataset type, of the datasets that there are.
    :param solution: what DescribeSolution answers; ``recipeArn``, ``eventType`` and ``solutionConfig`` are read.
    """
    recipe, config = _recipe(solution), solution.get("solutionConfig") or {}
    if recipe not in REQUIRED_DATASETS:
        yield Finding("recipe", recipe, UNKNOWN, "which datasets this recipe trains on is not known here")
    for kind in REQUIRED_DATASETS.get(recipe, ()):
        has = "the dataset group has one" if kind in schemas else "the dataset group has none"
        yield Finding("dataset", kind, OK if kind in schemas else MISSING, f"{recipe} trains on it, and {has}")
    if recipe == "aws-hrnn-coldstart" and ITEMS not in schemas:
        detail = f"{recipe} places 100 to 80,000 new items by their metadata, and the dataset group has none"
        yield Finding("dataset", ITEMS, UNKNOWN, detail)
    items = _chosen_items(schemas.get(ITEMS), config)
    if recipe == "aws-item-attribute-affinity" and items is not None:
        yield _some_item_column(items, "a column that is neither text nor boolean", recipe, _is_attribute)
    if recipe == "aws-semantic-similarity" and items is not None:
        yield _some_item_column(items, "a textual column", recipe, lambda _, column: column.textual)
        yield _some_item_column(items, "a column with itemName", recipe, lambda _, column: column.item_name)
    yield from _by_events(schemas, solution.get("eventType"), config)
    if objective := config.get("optimizationObjective"):
        yield _objective(schemas, items, str(objective.get("itemAttribute", "")))
    for member in ("excludedDatasetColumns", "includedDatasetColumns"):
        for kind, names in config.get("trainingDataConfig", {}).get(member, {}).items():
            for name in names:
                yield _column(schemas, kind.upper(), name, f"trainingDataConfig.{member} names it")


# What a column is wanted for ------------------------------------------------------------------------------------------


def _by_events(
    schemas: Mapping[str, Columns | Unread], event_type: str | None, config: Mapping[str, Any]
) -> Iterator[Finding]:
    """The columns that events are chosen by; without an Interactions dataset there are none to choose from."""
    if INTERACTIONS not in schemas:
        return
    parameters = (config.get("eventsConfig") or {}).get("eventParametersList", ())
    by_type = [*(["eventType"] if event_type else []), *(["eventsConfig"] if parameters else [])]
    thresholds = [config.get("eventValueThreshold"), *(each.get("eventValueThreshold") for each in parameters)]
    if by_type:
        yield _column(schemas, INTERACTIONS, "EVENT_TYPE", f"the solution's {' and '.join(by_type)} chooses by it")
    if any(threshold is not None for threshold in thresholds):
        yield _column(schemas, INTERACTIONS, "EVENT_VALUE", "the solution's eventValueThreshold chooses by it")


def _objective(schemas: Mapping[str, Columns | Unread], chosen: Columns | Unread | None, attribute: str) -> Finding:
    why = "the solution's optimizationObjective wants it as a number"
    found = _column(schemas, ITEMS, attribute, why)
    if found.status != OK or chosen is None or isinstance(chosen, Unread):
        return found
    column = chosen.get(attribute.upper())
    if column is None:
        return Finding(found.check, found.subject, MISSING, f"{why}; trainingDataConfig leaves it out")
    if column.type not in _NUMBERS:
        return Finding(found.check, found.subject, MISSING, f"{why}; its type is {column.type}")
    if column.nullable:
        detail = f"{why}, in every item; the schema lets it be null, and the rows are not looked at"
        return Finding(found.check, found.subject, UNKNOWN, detail)
    return found


def _is_attribute(name: str, column: Column) -> bool:
    return name not in _OF_EVERY_ITEM and not column.textual and column.type != "boolean"


def _some_item_column(
    items: Columns | Unread, what: str, recipe: str, wanted: Callable[[str, Column], bool]
) -> Finding:
    if isinstance(items, Unread):
        return Finding("column", ITEMS, UNKNOWN, f"{recipe} wants {what}; {_unread(items)}")
    found = [name for name, column in items.items() if wanted(name, column)]
    if not found:
        return Finding("column", ITEMS, MISSING, f"{recipe} wants {what}; among those that are trained on is none")
    return Finding("column", ITEMS, OK, f"{recipe} wants {what}: {', '.join(found)}")


def _column(schemas: Mapping[str, Columns | Unread], kind: str, name: str, why: str) -> Finding:
    """A column that must be there."""
    subject, columns = f"{kind}.{name}", schemas.get(kind)
    if columns is None:
        return Finding("column", subject, MISSING, f"{why}; the dataset group has no {kind} dataset")
    if isinstance(columns, Unread):
        return Finding("column", subject, UNKNOWN, f"{why}; {_unread(columns)}")
    if name.upper() not in columns:
        return Finding("column", subject, MISSING, f"{why}; the schema has {', '.join(columns)}")
    return Finding("column", subject, OK, why)


def _chosen_items(items: Columns | Unread | None, config: Mapping[str, Any]) -> Columns | Unread | None:
    """The columns of Items without those that ``trainingDataConfig`` leaves out."""
    if items is None or isinstance(items, Unread):
        return items
    chosen = config.get("trainingDataConfig", {})
    excluded, included = (
        {name.upper() for kind, names in chosen.get(member, {}).items() if kind.upper() == ITEMS for name in names}
        for member in ("excludedDatasetColumns", "includedDatasetColumns")
    )
    return {
        name: column
        for name, column in items.items()
        if name in _OF_EVERY_ITEM or (name not in excluded and (not included or name in included))
    }


# What the service is asked for ----------------------------------------------------------------------------------------


def _schema(hook: PersonalizeHook, dataset_arn: str) -> Columns | Unread:
    def read() -> str:
        return str(hook.describe(SCHEMA, hook.describe(DATASET, dataset_arn)["schemaArn"])["schema"])

    schema, refusal = looked(read)
    return Unread(refusal[1]) if refusal else columns_of(schema)


def _imported(hook: PersonalizeHook, kind: str, dataset_arn: str, group_arn: str) -> Finding:
    """Whether there is anything in a dataset."""

    def read() -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Of the imports, the newest, and the newest that is ``ACTIVE``."""
        newest = None
        for page in import_pages(hook, dataset_arn):
            for job in page:
                newest = newest or job
                if job["status"] == ACTIVE:
                    return newest, job
        return newest, None

    answer, refusal = looked(read)
    if refusal:
        return Finding("import", kind, *refusal)
    newest, active = answer
    if active:
        return Finding("import", kind, OK, f"{active['datasetImportJobArn']} is ACTIVE")
    none = "nothing was imported"
    if newest:
        none = f"no import is ACTIVE, {newest['datasetImportJobArn']} is {newest['status']}"
    if kind == INTERACTIONS:
        trackers, refusal = looked(lambda: hook.call("list_event_trackers", datasetGroupArn=group_arn)["eventTrackers"])
        if not refusal and not trackers:
            return Finding("import", kind, MISSING, f"{none}, and there is no event tracker to put events with")
    return Finding("import", kind, UNKNOWN, f"{none}; records that were put one by one cannot be seen")


def _trained_on(solution: Mapping[str, Any]) -> list[str]:
    """The datasets that must not be empty."""
    objective = (solution.get("solutionConfig") or {}).get("optimizationObjective")
    return list(dict.fromkeys([*REQUIRED_DATASETS.get(_recipe(solution), ()), *([ITEMS] if objective else [])]))


def _recipe(solution: Mapping[str, Any]) -> str:
    return str(solution.get("recipeArn")).rpartition("/")[2]


def _unread(columns: Unread) -> str:
    return f"its schema {columns.reason}"
