"""The declared spec of a dataset group: text or a dictionary in, checked create requests out.

Whatever is wrong is told at once, each by its place in the spec, such as ``spec.solutions[0].recipe``. Keys and what
belongs together are checked here, everything else by botocore's model of the service, its bounds, patterns and enums
included, which boto3 leaves to the service.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from airflow_provider_personalize.exceptions import PersonalizeInputError
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import (
    DATASET,
    DATASET_GROUP,
    FILTER,
    SCHEMA,
    SOLUTION,
    PersonalizeResource,
)
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.operators.identity import LONGEST_NAME, fingerprint
from airflow_provider_personalize.service_model import Violation, service_model, violations

DATASET_TYPES = ("INTERACTIONS", "ITEMS", "USERS", "ACTIONS", "ACTION_INTERACTIONS")
# Stands for the group's ARN while nothing has told account and region.
UNKNOWN_GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/unknown"

# What a key of the spec is called in a create request.
_GROUP_MEMBERS = {
    "name": "name",
    "domain": "domain",
    "role_arn": "roleArn",
    "kms_key_arn": "kmsKeyArn",
    "tags": "tags",
}
_SCHEMA_MEMBERS = {"schema_name": "name", "schema": "schema"}
_DATASET_MEMBERS = {"name": "name", "tags": "tags"}
_SOLUTION_MEMBERS = {
    "name": "name",
    "recipe": "recipeArn",
    "event_type": "eventType",
    "solution_config": "solutionConfig",
    "perform_auto_training": "performAutoTraining",
    "perform_hpo": "performHPO",
    "perform_incremental_update": "performIncrementalUpdate",
    "tags": "tags",
}
_FILTER_MEMBERS = {"name": "name", "expression": "filterExpression", "tags": "tags"}
# The service counts from 1, as in tags.1.member.tagKey.
_POSITION = re.compile(r"\.(\d+)\.member")


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource as the spec declares it, in one account and region.

    :ivar place: where it stands in the spec.
    :ivar key: what results call it: its name, for datasets and schemas the dataset type.
    :ivar arn: the ARN that it has, or will have.
    :ivar request: its create request.
    :ivar compared: the members of it that an existing one must have; a name that the spec leaves open is none.
    """

    place: str
    resource: PersonalizeResource
    key: str
    arn: str
    request: dict[str, Any]
    compared: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One resource of the spec, without the ARNs of the others.

    :ivar places: where in the spec each member stands; a member that is made up here has none.
    """

    place: str
    resource: PersonalizeResource
    key: str
    members: dict[str, Any]
    places: dict[str, str]


@dataclass(frozen=True, slots=True)
class DatasetGroupSpec:
    """A whole spec, checked."""

    name: str
    entries: tuple[_Entry, ...]

    @staticmethod
    def parse(spec: Any) -> DatasetGroupSpec:
        """Check a spec.

        :param spec: the dictionary, or its JSON or YAML text.
        :raises PersonalizeInputError: with all that is wrong, a line each.
        """
        reader = _Reader()
        parsed = reader.spec(_loaded(spec))
        problems = reader.problems + list(parsed._refusals(reader.unread))
        if problems:
            head = f"The spec has {len(problems)} errors:\n  " if len(problems) > 1 else ""
            raise PersonalizeInputError(head + "\n  ".join(problems))
        return parsed

    def resources(self, group_arn: str) -> Iterator[Declared]:
        """All that is declared, in the order in which the service needs it; the dataset group comes first.

        :param group_arn: the dataset group; it tells account and region.
        """
        schemas = {entry.key: str(entry.members.get("name")) for entry in self.entries if entry.resource is SCHEMA}
        for entry in self.entries:
            resource, request = entry.resource, dict(entry.members)
            name = str(request.get("name"))
            if resource is DATASET:
                name = f"{self.name}/{entry.key}"
                request["datasetType"] = entry.key
                request["schemaArn"] = PersonalizeHook.job_arn("schema", schemas[entry.key], group_arn)
            if resource is SOLUTION and "recipeArn" in request:
                request["recipeArn"] = _recipe_arn(str(request["recipeArn"]), group_arn)
            if resource not in (DATASET_GROUP, SCHEMA):
                request["datasetGroupArn"] = group_arn
            arn = PersonalizeHook.job_arn(resource.kind, name, group_arn)
            compared = {
                member: content for member, content in request.items() if member != "name" or "name" in entry.places
            }
            yield Declared(entry.place, resource, entry.key, arn, request, compared)

    def _refusals(self, unread: Sequence[str]) -> Iterator[str]:
        """What botocore's model says of the requests, but for what could not even be read."""
        for entry, declared in zip(self.entries, self.resources(UNKNOWN_GROUP), strict=True):
            operation = "".join(word.capitalize() for word in entry.resource.create_operation.split("_"))
            shape = service_model().operation_model(operation).input_shape
            for violation in violations(shape, declared.request, known_only=True):
                member = violation.path.partition(".")[0]
                place = entry.places.get(member)
                if place is None or any(place == part or place.startswith(f"{part}.") for part in unread):
                    continue
                rest = _POSITION.sub(lambda found: f"[{int(found[1]) - 1}]", violation.path[len(member) :])
                yield _said(f"{place}{rest}", violation)
            if entry.resource is SOLUTION and "recipeArn" not in declared.request and entry.place not in unread:
                yield f"{entry.places['recipeArn']} is missing."


class _Reader:
    """Reads a spec to its end.

    :ivar problems: what is wrong with its keys and its structure.
    :ivar unread: the places whose content is not understood.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.unread: list[str] = []

    def spec(self, given: Any) -> DatasetGroupSpec:
        top = self._object("spec", given)
        members = self._members("spec", top, _GROUP_MEMBERS, ("datasets", "solutions", "filters"))
        name = str(members.get("name", ""))
        group = _Entry("spec", DATASET_GROUP, name, members, _places("spec", _GROUP_MEMBERS))
        kinds = self._object("spec.datasets", top.get("datasets") or {})
        datasets = [self._dataset(name, members.get("domain"), kind, content) for kind, content in kinds.items()]
        solutions, filters = (
            [
                self._entry(resource, f"spec.{section}[{position}]", content, keys)
                for position, content in enumerate(self._list(f"spec.{section}", top.get(section)))
            ]
            for section, resource, keys in (
                ("solutions", SOLUTION, _SOLUTION_MEMBERS),
                ("filters", FILTER, _FILTER_MEMBERS),
            )
        )
        for solution in solutions:
            # The service's own default is True: it trains within the hour and then every week, each time for money,
            # and no task of any Dag shows it. PersonalizeSolutionVersionOperator trains instead.
            solution.members.setdefault("performAutoTraining", False)
        schemas = [schema for schema, _ in datasets]
        for entries in (schemas, solutions, filters):
            self._no_twins(entries)
        return DatasetGroupSpec(name, (group, *schemas, *(dataset for _, dataset in datasets), *solutions, *filters))

    def _dataset(self, group: str, domain: Any, kind: Any, content: Any) -> tuple[_Entry, _Entry]:
        path, kind = f"spec.datasets.{kind}", str(kind).upper()
        if kind not in DATASET_TYPES:
            self.problems.append(f"{path}: there is no such dataset type; there are {', '.join(DATASET_TYPES)}.")
        given = self._object(path, content)
        of_schema = {key: content for key, content in given.items() if key in _SCHEMA_MEMBERS}
        schema = self._members(path, of_schema, _SCHEMA_MEMBERS)
        members = self._members(path, given, _DATASET_MEMBERS, tuple(_SCHEMA_MEMBERS))
        stem = f"{group}-{kind.lower().replace('_', '-')}"
        schema_places, places = (
            {member: place for member, place in _places(path, keys).items() if member != "name" or "name" in found}
            for keys, found in ((_SCHEMA_MEMBERS, schema), (_DATASET_MEMBERS, members))
        )
        own_domain = {} if domain is None else {"domain": domain}
        schema = {"name": _fitted(f"{stem}-schema"), **schema, **own_domain}
        return (
            _Entry(f"{path}.schema", SCHEMA, kind, schema, schema_places),
            _Entry(path, DATASET, kind, {"name": _fitted(stem), **members}, places),
        )

    def _entry(self, resource: PersonalizeResource, path: str, content: Any, keys: Mapping[str, str]) -> _Entry:
        members = self._members(path, self._object(path, content), keys)
        return _Entry(path, resource, str(members.get("name", "")), members, _places(path, keys))

    def _members(
        self, path: str, given: Mapping[Any, Any], keys: Mapping[str, str], others: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The members of a create request.

        :param others: keys that belong to something else.
        """
        members = {}
        for key, content in given.items():
            place = f"{path}.{key}"
            if key in keys:
                try:
                    members[keys[key]] = _READERS.get(key, _as_it_is)(place, content)
                except PersonalizeInputError as error:
                    self._not_understood(place, str(error))
            elif key not in others:
                known = ", ".join((*keys, *others))
                self.problems.append(f"{place}: there is no such key; there are {known}.")
        return fields.without_absent(members)

    def _object(self, path: str, content: Any) -> Mapping[Any, Any]:
        if isinstance(content, Mapping):
            return content
        self._not_understood(path, f"{path} must be an object, got {_shown(content)}.")
        return {}

    def _list(self, path: str, content: Any) -> Sequence[Any]:
        if isinstance(content, list | tuple) or not content:
            return content or ()
        self._not_understood(path, f"{path} must be a list, got {_shown(content)}.")
        return ()

    def _not_understood(self, place: str, problem: str) -> None:
        self.problems.append(problem)
        self.unread.append(place)

    def _no_twins(self, entries: Sequence[_Entry]) -> None:
        seen: set[str] = set()
        for entry in entries:
            if entry.key and entry.key in seen:
                self.problems.append(f"{entry.place}: the spec has another {entry.resource.label} {entry.key!r}.")
            seen.add(entry.key)


def _loaded(spec: Any) -> Any:
    if not isinstance(spec, str):
        return spec
    try:
        # JSON first: it may be indented by tabs, which YAML forbids.
        return json.loads(spec)
    except ValueError as not_json:
        try:
            return yaml.safe_load(spec)
        except yaml.YAMLError as error:
            what = f"no JSON: {not_json}" if spec.lstrip().startswith("{") else f"neither JSON nor YAML: {error}"
            raise PersonalizeInputError(f"spec is {what}.") from error


def _as_it_is(path: str, content: Any) -> Any:
    return None if content in ("", "None") else content


def _schema_text(path: str, content: Any) -> str:
    schema = fields.parsed(path, content)
    if not isinstance(schema, Mapping):
        raise PersonalizeInputError(f"{path} must be an object, got {_shown(content)}.")
    columns = schema.get("fields", [])
    if not isinstance(columns, list) or not all(isinstance(column, dict) and "name" in column for column in columns):
        raise PersonalizeInputError(f"{path}.fields must be a list of columns, each with a name.")
    return json.dumps(schema)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "schema": _schema_text,
    "tags": fields.tags,
    "perform_auto_training": fields.boolean,
    "perform_hpo": fields.boolean,
    "perform_incremental_update": fields.boolean,
}


def _places(path: str, keys: Mapping[str, str]) -> dict[str, str]:
    return {member: f"{path}.{key}" for key, member in keys.items()}


def _said(place: str, violation: Violation) -> str:
    if violation.value is None:
        return f"{place} is missing."
    got = "" if violation.sensitive else f", got {_shown(violation.value)}"
    return f"{place} must {violation.rule}{got}."


def _shown(content: Any) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(content)


def _recipe_arn(recipe: str, group_arn: str) -> str:
    """A recipe's ARN from its name; recipes belong to no region and no account."""
    partition = group_arn.split(":")[1]
    return recipe if recipe.startswith("arn:") else f"arn:{partition}:personalize:::recipe/{recipe}"


def _fitted(name: str) -> str:
    """A made-up name within the service's 63 characters; a cut one keeps a hash, so that two do not meet."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 13]}-{fingerprint(name)}"
