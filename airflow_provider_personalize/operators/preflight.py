"""Name what is missing before a job, or a training, fails for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize._compat import AwsBaseOperator, aws_template_fields
from airflow_provider_personalize.exceptions import PersonalizeInputError, PersonalizePermissionError
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.preflight import MISSING, OK, UNKNOWN, Finding, Preflight
from airflow_provider_personalize.hooks.training_preflight import training_preflight
from airflow_provider_personalize.operators import fields

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizePreflightOperator(AwsBaseOperator[PersonalizeHook]):
    """Look at what a job or a training needs, and fail with what is missing, such as the policy statements to add.

    Of a job, on AWS: is the input there, can the output be written (an empty object is written and deleted), are the
    buckets in the right region, do bucket and key policies let ``personalize.amazonaws.com`` in, does the role trust it
    and may it do what the job needs, and may Airflow pass that role. On the local backend, whose role and policies
    nobody asks: input and output.

    Of a training, with ``solution_arn``: are the datasets there that the solution's recipe trains on, is anything
    imported into them, and have they the columns that the recipe and the solution's configuration want. Rows are not
    read, and nothing is asked of S3.

    What Airflow may not look at is ``unknown``, and fails nothing unless asked to.

    .. seealso:: docs/operators.md

    :param input_uri: the job's input, ``s3://`` or, on the local backend, ``file://`` (templated).
    :param output_uri: the job's output (templated).
    :param solution_arn: the solution that is to be trained (templated). One of the three is required.
    :param role_arn: the job's service role (templated). None: the connection's.
    :param input_kms_key_arn: the key of the input (templated).
    :param output_kms_key_arn: the key of the output (templated).
    :param fail_on_unknown: fail also for what could not be looked at (templated).
    :return: the findings: of each ``check``, ``subject``, ``status`` (``ok``, ``missing``, ``unknown``), ``detail``,
        ``add_to`` and ``statement``. They are pushed before the task fails.
    :raises PersonalizePermissionError: when something is missing; the message has the statements to add as JSON.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields(
        "input_uri",
        "output_uri",
        "solution_arn",
        "role_arn",
        "input_kms_key_arn",
        "output_kms_key_arn",
        "fail_on_unknown",
    )
    ui_color = "#e4e9c9"

    def __init__(
        self,
        *,
        input_uri: str | None = None,
        output_uri: str | None = None,
        solution_arn: str | None = None,
        role_arn: str | None = None,
        input_kms_key_arn: str | None = None,
        output_kms_key_arn: str | None = None,
        fail_on_unknown: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_uri = input_uri
        self.output_uri = output_uri
        self.solution_arn = solution_arn
        self.role_arn = role_arn
        self.input_kms_key_arn = input_kms_key_arn
        self.output_kms_key_arn = output_kms_key_arn
        self.fail_on_unknown = fail_on_unknown
        self._templates = {"role_arn": role_arn, "solution_arn": solution_arn}

    def execute(self, context: Context) -> list[dict[str, Any]]:
        bad = {MISSING, UNKNOWN} if fields.boolean("fail_on_unknown", self.fail_on_unknown) else {MISSING}
        findings = []
        for finding in self._findings():
            self.log.log(logging.INFO if finding.status == OK else logging.WARNING, "%s", finding)
            findings.append(finding)
        told = [finding.as_dict() for finding in findings]
        failures = [finding for finding in findings if finding.status in bad]
        if failures:
            if self.do_xcom_push:
                context["ti"].xcom_push(key="return_value", value=told)
            raise PersonalizePermissionError(
                f"{len(failures)} of {len(findings)} checks failed:\n" + "\n".join(map(str, failures)), findings=told
            )
        return told

    def _findings(self) -> Iterator[Finding]:
        uris = {"input_uri": fields.optional_text(self.input_uri), "output_uri": fields.optional_text(self.output_uri)}
        solution = self._arn("solution_arn")
        if not solution and not any(uris.values()):
            raise PersonalizeInputError("Give input_uri, output_uri or solution_arn.")
        preflight = Preflight(
            self.hook,
            **uris,
            role_arn=self._arn("role_arn") or self.hook.role_arn,
            input_kms_key_arn=fields.optional_text(self.input_kms_key_arn),
            output_kms_key_arn=fields.optional_text(self.output_kms_key_arn),
        )
        if solution:
            yield from training_preflight(self.hook, solution)
        if any(uris.values()):
            yield from preflight.findings()

    def _arn(self, field: str) -> str | None:
        return fields.optional_arn(field, getattr(self, field), self._templates[field])
