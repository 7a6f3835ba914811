"""A dataset group and all that stands in it, as a declared spec says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import ClientError, ParamValidationError

from airflow_provider_personalize._compat import AwsBaseOperator, aws_template_fields
from airflow_provider_personalize.exceptions import PersonalizeInputError
from airflow_provider_personalize.hooks.patience import error_code
from airflow_provider_personalize.hooks.personalize import (
    ALREADY_EXISTS,
    NOT_FOUND,
    REFUSED,
    PersonalizeHook,
    existing_arn,
)
from airflow_provider_personalize.hooks.resources import (
    ACTIVE,
    DATASET,
    DATASET_GROUP,
    FILTER,
    SCHEMA,
    SOLUTION,
    PersonalizeResource,
)
from airflow_provider_personalize.operators import fields
from airflow_provider_personalize.operators.plan import DIFFERS, Plan, compared, conflict, make_plan
from airflow_provider_personalize.operators.specification import DatasetGroupSpec, Declared

if TYPE_CHECKING:
    from airflow.sdk import Context

_REFUSED = REFUSED | {NOT_FOUND}


class PersonalizeDatasetGroupOperator(AwsBaseOperator[PersonalizeHook]):
    """Make a dataset group, its schemas, datasets, solutions and filters exist as a spec says; change nothing else.

    First the whole spec is checked, then compared with what exists, and the plan that comes of it logged. What is
    missing is created. A difference fails the task before anything is created and names every differing field with
    both values, since this operator neither deletes nor updates. Nothing here trains or imports, so nothing here is
    billed by the hour.

    .. seealso:: docs/operators.md, which shows a whole spec

    :param spec: the declaration (templated): a dictionary, its JSON or YAML text, or the path of a file with either,
        ending in ``.json``, ``.yaml`` or ``.yml``, which is found and rendered as Jinja template files are::

            name: shop
            domain: null                        # or ECOMMERCE, VIDEO_ON_DEMAND
            tags: {team: search}                # also role_arn and kms_key_arn
            datasets:
              INTERACTIONS: {schema: {...}}     # Avro, or its JSON text; also name, schema_name, tags
              ITEMS: {schema: {...}}
            solutions:
              - name: for-you
                recipe: aws-user-personalization-v2   # or a whole ARN
                # also event_type, solution_config (the API's members), perform_auto_training (false),
                # perform_hpo, perform_incremental_update, tags
            filters:
              - {name: unseen, expression: EXCLUDE ItemID WHERE ...}

    :param plan_only: a dry run: create nothing, and return the plan (templated). Differences do not fail the task then.
    :param waiter_delay: seconds between polls while a resource becomes ``ACTIVE`` (templated). None: the connection's,
        but no more than 10, since these take seconds rather than hours.
    :param waiter_max_attempts: how many polls at most for one resource (templated); with a delay of 10 where
        ``waiter_delay`` is None, it is the limit in seconds.
    :return: ``dataset_group_arn``, and the ARNs under ``schema_arns`` and ``dataset_arns`` by dataset type and
        ``solution_arns`` and ``filter_arns`` by name. With ``plan_only``: ``changes``, whether anything is not as
        declared, and ``resources``, of each its ``place`` in the spec, ``kind``, ``key``, ``arn`` (None in an account
        that holds nothing yet), ``action`` (``create``, ``keep``, ``differs``), ``status`` and ``differences`` (of
        each ``field``, ``wanted``, ``existing``).
    :raises PersonalizeInputError: when the spec is wrong, naming all places, or the service refuses it.
    :raises PersonalizeConflictError: when existing resources are not what the spec says.
    :raises PersonalizeJobFailedError: when the service could not create a resource.
    :raises PersonalizeJobTimeoutError: when a resource was not ``ACTIVE`` within the limit.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields("spec", "plan_only", "waiter_delay", "waiter_max_attempts")
    template_ext: Sequence[str] = (".json", ".yaml", ".yml")
    template_fields_renderers: ClassVar[dict[str, str]] = {"spec": "json"}
    ui_color = "#c9e4de"

    def __init__(
        self,
        *,
        spec: Mapping[str, Any] | str,
        plan_only: bool | str = False,
        waiter_delay: float | str | None = None,
        waiter_max_attempts: int | str = 360,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.plan_only = plan_only
        self.waiter_delay = waiter_delay
        self.waiter_max_attempts = waiter_max_attempts

    def execute(self, context: Context) -> dict[str, Any]:
        spec = DatasetGroupSpec.parse(self.spec)
        plan = make_plan(self.hook, spec)
        self.log.info("Dataset group %s: %s", spec.name, plan)
        if fields.boolean("plan_only", self.plan_only):
            return plan.as_dict()
        plan.refuse_differences()
        return self._apply(spec, plan)

    def _apply(self, spec: DatasetGroupSpec, plan: Plan) -> dict[str, Any]:
        # In an empty account only the dataset group's own ARN tells what the others' will be.
        group = plan.steps[0].declared
        group_arn = self._ensure(group, plan)
        self._await(DATASET_GROUP, {group.key: group_arn})

        arns: dict[PersonalizeResource, dict[str, str]] = {SCHEMA: {}, DATASET: {}, SOLUTION: {}, FILTER: {}}
        contents = list(spec.resources(group_arn))[1:]
        for resource, batch in groupby(contents, key=lambda declared: declared.resource):
            arns[resource] = {declared.key: self._ensure(declared, plan) for declared in batch}
            if resource is not SCHEMA:
                self._await(resource, arns[resource])
        return {
            "dataset_group_arn": group_arn,
            "schema_arns": arns[SCHEMA],
            "dataset_arns": arns[DATASET],
            "solution_arns": arns[SOLUTION],
            "filter_arns": arns[FILTER],
        }

    def _ensure(self, declared: Declared, plan: Plan) -> str:
        """Create a resource that the plan misses.

        :return: its ARN.
        """
        if declared.place not in plan.missing:
            return declared.arn
        try:
            arn = self.hook.create(declared.resource, declared.request)
        except ParamValidationError as error:
            raise PersonalizeInputError(f"{declared.place}: {error}") from error
        except ClientError as error:
            if error_code(error) in _REFUSED:
                raise PersonalizeInputError(f"{declared.place}: {error}") from error
            if error_code(error) != ALREADY_EXISTS:
                raise
            return self._found(declared, existing_arn(error))
        self.log.info("Created %s %s", declared.resource.label, arn)
        return arn

    def _found(self, declared: Declared, named_arn: str | None) -> str:
        """Someone else created it since the plan was made: then it must be as declared, too.

        :param named_arn: the ARN that the service's refusal names.
        """
        arn = named_arn if named_arn and declared.resource is DATASET_GROUP else declared.arn
        step = compared(declared, self.hook.describe_created(declared.resource, arn))
        if step.action == DIFFERS:
            raise conflict(step)
        self.log.info("Found %s %s as the spec says", declared.resource.label, arn)
        return arn

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
            self.hook.wait_until_active(resource, arn, delay=delay, limit=limit)
