"""What a spec would change: looked up before anything is created, and the only thing that creating goes by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_personalize.exceptions import Difference, PersonalizeConflictError, PersonalizeWaitError
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import ACTIVE, DATASET_GROUP, FILTER, SCHEMA, PersonalizeResource
from airflow_provider_personalize.operators.identity import differences
from airflow_provider_personalize.operators.specification import UNKNOWN_GROUP, DatasetGroupSpec, Declared

CREATE, KEEP, DIFFERS = "create", "keep", "differs"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one declared resource.

    :ivar action: ``create``, ``keep`` (it exists as declared) or ``differs`` (it exists, and not as declared).
    :ivar status: the existing one's; None where there is none.
    :ivar differences: each differing field with both values.
    """

    declared: Declared
    action: str
    status: str | None = None
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of a spec, in the order in which the service needs them; the dataset group is the first.

    :ivar knows_account: False where the account is empty and so nothing tells its id; the ARNs are made up then.
    """

    steps: tuple[Step, ...]
    knows_account: bool

    @property
    def changes(self) -> bool:
        """Whether anything is not as declared."""
        return any(step.action != KEEP for step in self.steps)

    @property
    def missing(self) -> frozenset[str]:
        """The places in the spec of all that is to be created."""
        return frozenset(step.declared.place for step in self.steps if step.action == CREATE)

    def refuse_differences(self) -> None:
        """Nothing that exists is ever changed.

        :raises PersonalizeConflictError: naming every differing field of every resource.
        """
        found = [step for step in self.steps if step.action == DIFFERS]
        if found:
            raise conflict(*found)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for XCom."""
        return {
            "changes": self.changes,
            "resources": [
                {
                    "place": step.declared.place,
                    "kind": step.declared.resource.kind,
                    "key": step.declared.key,
                    "arn": step.declared.arn if self.knows_account else None,
                    "action": step.action,
                    "status": step.status,
                    "differences": [asdict(difference) for difference in step.differences],
                }
                for step in self.steps
            ],
        }

    def __str__(self) -> str:
        """A table, a line a resource and one a difference."""
        count = Counter(step.action for step in self.steps)
        head = f"{count[CREATE]} to create, {count[KEEP]} as declared, {count[DIFFERS]} not as declared"
        return "\n".join((head, *self._lines()))

    def _lines(self) -> Iterator[str]:
        cells = [(step.action, step.declared.resource.label, step.declared.key) for step in self.steps]
        first, second, third = (max(len(cell[column]) for cell in cells) for column in range(3))
        for step, (action, label, key) in zip(self.steps, cells, strict=True):
            yield f"  {action:{first}}  {label:{second}}  {key:{third}}  {step.declared.place}"
            yield from (f"      {difference}" for difference in step.differences)


def make_plan(hook: PersonalizeHook, spec: DatasetGroupSpec) -> Plan:
    """Compare a spec with what exists. Reads only: a list of dataset groups, and a describe per resource.

    :raises PersonalizeWaitError: when a declared resource is being deleted.
    """
    group_arn = _group_arn(hook, spec.name)
    if group_arn is None:
        return Plan(tuple(Step(declared, CREATE) for declared in spec.resources(UNKNOWN_GROUP)), knows_account=False)
    return Plan(tuple(_step(hook, declared) for declared in spec.resources(group_arn)), knows_account=True)


def compared(declared: Declared, description: Mapping[str, Any]) -> Step:
    """The step for a resource that exists.

    :raises PersonalizeWaitError: when it is being deleted.
    """
    status = description.get("status")
    if str(status).startswith("DELETE"):
        raise PersonalizeWaitError(
            f"{declared.place}: {declared.arn} is being deleted ({status}).", job_arn=declared.arn, status=status
        )
    found = tuple(_differences(declared.resource, declared.compared, description))
    if declared.resource.has_failed(status):
        reason = description.get("failureReason")
        found = (Difference("status", ACTIVE, f"{status}: {reason}" if reason else status), *found)
    return Step(declared, DIFFERS if found else KEEP, status, found)


def conflict(*steps: Step) -> PersonalizeConflictError:
    """The error for resources that exist and are not as declared."""
    told = "\n".join(
        f"{step.declared.place}: {step.declared.arn} exists and differs from the spec. "
        + "; ".join(map(str, step.differences))
        for step in steps
    )
    return PersonalizeConflictError(
        f"{told}. Nothing that exists is changed: adapt the spec, or change or delete the resource.",
        arn=steps[0].declared.arn,
        differences=tuple(difference for step in steps for difference in step.differences),
    )


def _group_arn(hook: PersonalizeHook, name: str) -> str | None:
    """The ARN that the dataset group has, or will have.

    Any ARN of the account tells the rest of it; no answer of the service does in an account that has none.
    """
    sibling = None
    for group in hook.summaries(DATASET_GROUP):
        sibling = str(group["datasetGroupArn"])
        if group.get("name") == name:
            return sibling
    if sibling is None:
        # Schemas belong to no dataset group.
        sibling = next((str(schema["schemaArn"]) for schema in hook.summaries(SCHEMA)), None)
    return None if sibling is None else hook.job_arn(DATASET_GROUP.kind, name, sibling)


def _step(hook: PersonalizeHook, declared: Declared) -> Step:
    description = hook.find(declared.resource, declared.arn)
    return Step(declared, CREATE) if description is None else compared(declared, description)


def _differences(
    resource: PersonalizeResource, wanted: dict[str, Any], description: Mapping[str, Any]
) -> list[Difference]:
    if resource is SCHEMA:
        rest = {member: content for member, content in wanted.items() if member != "schema"}
        return differences(rest, description) + _schema_differences(wanted["schema"], description["schema"])
    if resource is FILTER:
        # Spaces and line breaks between words mean nothing in an expression.
        wanted = {**wanted, "filterExpression": " ".join(wanted["filterExpression"].split())}
        description = {**description, "filterExpression": " ".join(description.get("filterExpression", "").split())}
    return differences(wanted, description)


def _schema_differences(wanted: str, existing: str) -> list[Difference]:
    """Compare what two schemas say, not how they are written; a differing column is named."""
    asked, found = json.loads(wanted), json.loads(existing)
    members = [
        Difference(f"schema.{member}", asked.get(member), found.get(member))
        for member in sorted({*asked, *found} - {"fields"})
        if asked.get(member) != found.get(member)
    ]
    asked_columns, found_columns = (
        {column["name"]: column for column in schema.get("fields", [])} for schema in (asked, found)
    )
    columns = [
        Difference(f"schema.fields.{column}", asked_columns.get(column), found_columns.get(column))
        for column in {**asked_columns, **found_columns}
        if asked_columns.get(column) != found_columns.get(column)
    ]
    return members + columns
