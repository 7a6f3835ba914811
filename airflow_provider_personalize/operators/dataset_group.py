"""A dataset group and all that stands in it, as a declared spec says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import ClientError, ParamValidationError

from airflow_provider_personalize._compat import AwsBaseOperator, aws_template_fields
from airflow_provider_personalize.exceptions import (
    Difference,
    PersonalizeConflictError,
    PersonalizeInputError,
    PersonalizeWaitError,
)
from airflow_provider_personalize.hooks.personalize import ALREADY_EXISTS, PersonalizeHook, error_code, existing_arn
from airflow_provider_personalize.hooks.resources import (
    ACTIVE,
    DATASET,
    DATASET_GROUP,
    FILTER,
    SCHEMA,
    SOLUTION,
    PersonalizeResource,
)
from airflow_provider_personalize.hooks.waiting import attempts_within
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.operators.identity import differences
from airflow_provider_personalize.operators.specification import DatasetGroupSpec, DatasetSpec

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeDatasetGroupOperator(AwsBaseOperator[PersonalizeHook]):
    """Make a dataset group, its schemas, datasets, solutions and filters exist as a spec says; change nothing else.

    What exists already is compared with the spec and left alone. A difference fails the task and names the field with
    both values, since this operator neither deletes nor updates. Running it again costs one refused create and one
    describe per resource. Nothing here trains or imports, so nothing here is billed by the hour.

    .. seealso:: docs/operators.md, which shows a whole spec

    :param spec: the declaration (templated; a dictionary, or its JSON text)::

            {
                "name": "shop",
                "domain": None,                 # or ECOMMERCE, VIDEO_ON_DEMAND
                "tags": {"team": "search"},     # also role_arn and kms_key_arn
                "datasets": {
                    "INTERACTIONS": {"schema": {...}},   # Avro, or its JSON text; also name, schema_name, tags
                    "ITEMS": {"schema": {...}},
                },
                "solutions": [
                    {"name": "for-you", "recipe": "aws-user-personalization-v2"},
                    # also event_type, solution_config (the API's members), perform_auto_training (False),
                    # perform_hpo, perform_incremental_update, tags; recipe may be a whole ARN
                ],
                "filters": [{"name": "unseen", "expression": "EXCLUDE ItemID WHERE ..."}],
            }

    :param waiter_delay: seconds between polls while a resource becomes ``ACTIVE`` (templated). None: the connection's,
        but no more than 10, since these take seconds rather than hours.
    :param waiter_max_attempts: how many polls at most for one resource (templated); with a delay of 10 where
        ``waiter_delay`` is None, it is the limit in seconds.
    :return: ``dataset_group_arn``, and the ARNs under ``schema_arns`` and ``dataset_arns`` by dataset type and
        ``solution_arns`` and ``filter_arns`` by name.
    :raises PersonalizeInputError: when the spec is wrong, naming the place, or the service refuses it.
    :raises PersonalizeConflictError: when an existing resource is not what the spec says.
    :raises PersonalizeJobFailedError: when the service could not create a resource.
    :raises PersonalizeJobTimeoutError: when a resource was not ``ACTIVE`` within the limit.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields("spec", "waiter_delay", "waiter_max_attempts")
    template_fields_renderers: ClassVar[dict[str, str]] = {"spec": "json"}
    ui_color = "#c9e4de"

    def __init__(
        self,
        *,
        spec: Mapping[str, Any] | str,
        waiter_delay: float | str | None = None,
        waiter_max_attempts: int | str = 360,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.waiter_delay = waiter_delay
        self.waiter_max_attempts = waiter_max_attempts

    def execute(self, context: Context) -> dict[str, Any]:
        spec = DatasetGroupSpec.parse(self.spec)
        group = self._group(spec)

        schemas = {dataset.type: self._schema(group, spec, dataset) for dataset in spec.datasets}
        datasets = {dataset.type: self._dataset(group, spec, dataset, schemas) for dataset in spec.datasets}
        self._await(DATASET, datasets)

        solutions = {
            solution.name: self._ensure(
                SOLUTION,
                solution.path,
                self.hook.job_arn("solution", solution.name, group),
                {
                    "name": solution.name,
                    "datasetGroupArn": group,
                    "recipeArn": _recipe_arn(solution.recipe, group),
                    **solution.settings,
                },
            )
            for solution in spec.solutions
        }
        self._await(SOLUTION, solutions)

        filters = {
            each.name: self._ensure(
                FILTER,
                each.path,
                self.hook.job_arn("filter", each.name, group),
                fields.without_absent(
                    {
                        "name": each.name,
                        "datasetGroupArn": group,
                        "filterExpression": each.expression,
                        "tags": each.tags,
                    }
                ),
            )
            for each in spec.filters
        }
        self._await(FILTER, filters)
        return {
            "dataset_group_arn": group,
            "schema_arns": schemas,
            "dataset_arns": datasets,
            "solution_arns": solutions,
            "filter_arns": filters,
        }

    def _group(self, spec: DatasetGroupSpec) -> str:
        """Create the group first: no ARN can be built before an answer has told account and region."""
        request = {"name": spec.name, **spec.settings}
        try:
            arn = self._create(DATASET_GROUP, "spec", request)
        except ClientError as error:
            if error_code(error) != ALREADY_EXISTS:
                raise
            arn = existing_arn(error) or self._listed_group(spec.name) or ""
            if not arn:
                raise
            self._compare(DATASET_GROUP, "spec", arn, request, self.hook.describe(DATASET_GROUP, arn))
        self._await(DATASET_GROUP, {spec.name: arn})
        return arn

    def _listed_group(self, name: str) -> str | None:
        groups = self.hook.summaries(DATASET_GROUP)
        return next((str(group["datasetGroupArn"]) for group in groups if group.get("name") == name), None)

    def _schema(self, group: str, spec: DatasetGroupSpec, dataset: DatasetSpec) -> str:
        return self._ensure(
            SCHEMA,
            f"{dataset.path}.schema",
            self.hook.job_arn("schema", dataset.schema_name, group),
            fields.without_absent(
                {"name": dataset.schema_name, "schema": json.dumps(dataset.schema), "domain": spec.domain}
            ),
        )

    def _dataset(self, group: str, spec: DatasetGroupSpec, dataset: DatasetSpec, schemas: Mapping[str, str]) -> str:
        return self._ensure(
            DATASET,
            dataset.path,
            self.hook.job_arn("dataset", f"{spec.name}/{dataset.type}", group),
            fields.without_absent(
                {
                    "name": dataset.name,
                    "datasetType": dataset.type,
                    "datasetGroupArn": group,
                    "schemaArn": schemas[dataset.type],
                    "tags": dataset.tags,
                }
            ),
            compare_name=dataset.named,
        )

    def _ensure(
        self,
        resource: PersonalizeResource,
        path: str,
        arn: str,
        request: dict[str, Any],
        *,
        compare_name: bool = False,
    ) -> str:
        """Create a resource that does not exist; compare one that does.

        :param path: its place in the spec, for errors.
        :param arn: what its ARN is or will be.
        """
        description = self.hook.find(resource, arn)
        if description is None:
            try:
                return self._create(resource, path, request)
            except ClientError as error:
                if error_code(error) != ALREADY_EXISTS:
                    raise
                # Someone else created it in between.
                description = self.hook.describe_created(resource, arn)
        wanted = request if compare_name else {member: request[member] for member in request if member != "name"}
        self._compare(resource, path, arn, wanted, description)
        return arn

    def _create(self, resource: PersonalizeResource, path: str, request: dict[str, Any]) -> str:
        try:
            arn = self.hook.create(resource, request)
        except ParamValidationError as error:
            raise PersonalizeInputError(f"{path}: {error}") from error
        except ClientError as error:
            if error_code(error) != "InvalidInputException":
                raise
            raise PersonalizeInputError(f"{path}: {error}") from error
        self.log.info("Created %s %s", resource.label, arn)
        return arn

    def _compare(
        self,
        resource: PersonalizeResource,
        path: str,
        arn: str,
        wanted: dict[str, Any],
        description: dict[str, Any],
    ) -> None:
        status = str(description.get("status", ""))
        if status.startswith("DELETE"):
            raise PersonalizeWaitError(f"{path}: {arn} is being deleted ({status}).", job_arn=arn, status=status)
        found = tuple(_differences(resource, wanted, description))
        if found:
            raise PersonalizeConflictError(
                f"{path}: {arn} exists and differs from the spec. {'; '.join(map(str, found))}. This operator changes "
                "nothing that exists: adapt the spec, or change or delete the resource.",
                arn=arn,
                differences=found,
            )
        self.log.info("Found %s %s as the spec says", resource.label, arn)

    def _await(self, resource: PersonalizeResource, arns: Mapping[str, str]) -> None:
        given = fields.number("waiter_delay", self.waiter_delay)
        delay = min(self.hook.waiter_delay, 10.0) if given is None else given
        attempts = fields.integer("waiter_max_attempts", self.waiter_max_attempts) or 0
        if delay <= 0 or attempts < 1:
            raise PersonalizeInputError(
                f"waiter_delay and waiter_max_attempts must be above 0, got {delay:g} and {attempts}."
            )
        limit = (10.0 if given is None else given) * attempts
        for arn in arns.values():
            if self.hook.describe_created(resource, arn).get("status") == ACTIVE:
                continue
            self.hook.wait_until_active(
                resource, arn, delay=delay, max_attempts=attempts_within(limit, delay), limit=limit
            )


def _recipe_arn(recipe: str, group_arn: str) -> str:
    """A recipe's ARN from its name; recipes belong to no region and no account."""
    partition = group_arn.split(":")[1]
    return recipe if recipe.startswith("arn:") else f"arn:{partition}:personalize:::recipe/{recipe}"


def _differences(
    resource: PersonalizeResource, wanted: dict[str, Any], description: dict[str, Any]
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
