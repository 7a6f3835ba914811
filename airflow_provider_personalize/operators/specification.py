"""The spec of :class:`PersonalizeDatasetGroupOperator`: a plain dictionary in, checked values out.

Every error names the place in the spec, such as ``spec.solutions[0].recipe``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from airflow_provider_personalize.exceptions import PersonalizeInputError
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.operators.identity import LONGEST_NAME, fingerprint

DATASET_TYPES = ("INTERACTIONS", "ITEMS", "USERS", "ACTIONS", "ACTION_INTERACTIONS")


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """One dataset and its schema.

    :ivar type: upper case, as in ARNs.
    :ivar schema: the Avro schema, parsed.
    :ivar named: whether the spec gives the dataset's name, so that an existing one must have it.
    """

    path: str
    type: str
    name: str
    named: bool
    schema_name: str
    schema: dict[str, Any]
    tags: list[dict[str, str]] | None


@dataclass(frozen=True, slots=True)
class SolutionSpec:
    """One solution; ``settings`` are members of CreateSolution."""

    path: str
    name: str
    recipe: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FilterSpec:
    path: str
    name: str
    expression: str
    tags: list[dict[str, str]] | None


_Entry = TypeVar("_Entry", SolutionSpec, FilterSpec)


@dataclass(frozen=True, slots=True)
class DatasetGroupSpec:
    """A whole spec; ``settings`` are members of CreateDatasetGroup."""

    name: str
    domain: str | None
    settings: dict[str, Any]
    datasets: tuple[DatasetSpec, ...]
    solutions: tuple[SolutionSpec, ...]
    filters: tuple[FilterSpec, ...]

    @classmethod
    def parse(cls, spec: Any) -> Self:
        """Check a spec.

        :param spec: the dictionary, or its JSON text.
        :raises PersonalizeInputError: at the first thing that is wrong, naming its place.
        """
        top = _object("spec", fields.parsed("spec", spec))
        _only("spec", top, "name", "domain", "role_arn", "kms_key_arn", "tags", "datasets", "solutions", "filters")
        name = _name("spec.name", top.get("name"))
        domain = fields.optional_text(top.get("domain"))
        datasets = _object("spec.datasets", top.get("datasets") or {})
        return cls(
            name=name,
            domain=domain,
            settings=fields.without_absent(
                {
                    "domain": domain,
                    "roleArn": fields.optional_text(top.get("role_arn")),
                    "kmsKeyArn": fields.optional_text(top.get("kms_key_arn")),
                    "tags": fields.tags("spec.tags", top.get("tags")),
                }
            ),
            datasets=tuple(_dataset(name, kind, content) for kind, content in datasets.items()),
            solutions=_unique("solutions", map(_solution, *_entries("spec.solutions", top.get("solutions")))),
            filters=_unique("filters", map(_filter, *_entries("spec.filters", top.get("filters")))),
        )


def _dataset(group: str, kind: str, content: Any) -> DatasetSpec:
    path = f"spec.datasets.{kind}"
    if kind.upper() not in DATASET_TYPES:
        raise PersonalizeInputError(f"{path}: there is no such dataset type; there are {', '.join(DATASET_TYPES)}.")
    given = _object(path, content)
    _only(path, given, "schema", "name", "schema_name", "tags")
    schema = _object(f"{path}.schema", fields.parsed(f"{path}.schema", given.get("schema")))
    stem = kind.lower().replace("_", "-")
    return DatasetSpec(
        path=path,
        type=kind.upper(),
        name=_name(f"{path}.name", given.get("name") or _fitted(f"{group}-{stem}")),
        named=bool(given.get("name")),
        schema_name=_name(f"{path}.schema_name", given.get("schema_name") or _fitted(f"{group}-{stem}-schema")),
        schema=dict(schema),
        tags=fields.tags(f"{path}.tags", given.get("tags")),
    )


def _solution(path: str, content: Any) -> SolutionSpec:
    given = _object(path, content)
    _only(
        path,
        given,
        "name",
        "recipe",
        "event_type",
        "solution_config",
        "perform_auto_training",
        "perform_hpo",
        "perform_incremental_update",
        "tags",
    )
    # The service's own default is True: it trains within the hour and then every week, each time for money, and no
    # task of any Dag shows it. Whoever schedules with Airflow trains with PersonalizeSolutionVersionOperator.
    automatic = fields.boolean(f"{path}.perform_auto_training", given.get("perform_auto_training", False))
    config = given.get("solution_config")
    return SolutionSpec(
        path=path,
        name=_name(f"{path}.name", given.get("name")),
        recipe=fields.text(f"{path}.recipe", given.get("recipe")),
        settings=fields.without_absent(
            {
                "performAutoTraining": automatic,
                "performHPO": fields.boolean(f"{path}.perform_hpo", given.get("perform_hpo")),
                "performIncrementalUpdate": fields.boolean(
                    f"{path}.perform_incremental_update", given.get("perform_incremental_update")
                ),
                "eventType": fields.optional_text(given.get("event_type")),
                "solutionConfig": None if config is None else dict(_object(f"{path}.solution_config", config)),
                "tags": fields.tags(f"{path}.tags", given.get("tags")),
            }
        ),
    )


def _filter(path: str, content: Any) -> FilterSpec:
    given = _object(path, content)
    _only(path, given, "name", "expression", "tags")
    return FilterSpec(
        path=path,
        name=_name(f"{path}.name", given.get("name")),
        expression=fields.text(f"{path}.expression", given.get("expression")),
        tags=fields.tags(f"{path}.tags", given.get("tags")),
    )


def _object(path: str, content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise PersonalizeInputError(f"{path} must be an object, got {content!r}.")
    return content


def _entries(path: str, content: Any) -> tuple[list[str], list[Any]]:
    entries = content or []
    if not isinstance(entries, list | tuple):
        raise PersonalizeInputError(f"{path} must be a list, got {content!r}.")
    return [f"{path}[{position}]" for position in range(len(entries))], list(entries)


def _only(path: str, given: Mapping[str, Any], *known: str) -> None:
    for key in given:
        if key not in known:
            raise PersonalizeInputError(f"{path}.{key}: there is no such key; there are {', '.join(known)}.")


def _name(path: str, content: Any) -> str:
    name = fields.name(path, content)
    if name is None:
        raise PersonalizeInputError(f"{path} is missing.")
    return name


def _unique(what: str, entries: Iterable[_Entry]) -> tuple[_Entry, ...]:
    found: dict[str, _Entry] = {}
    for entry in entries:
        if entry.name in found:
            raise PersonalizeInputError(f"{entry.path}.name: {entry.name!r} is the name of another of spec.{what}.")
        found[entry.name] = entry
    return tuple(found.values())


def _fitted(name: str) -> str:
    """A made-up name within the service's 63 characters; a cut one keeps a hash, so that two do not meet."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 13]}-{fingerprint(name)}"
