"""Compare the output of a finished batch job with its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize._compat import AwsBaseOperator, aws_template_fields
from airflow_provider_personalize.batch.summary import OutputSummary, summarize
from airflow_provider_personalize.exceptions import PersonalizeOutputError
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.operators import fields, lineage
from airflow_provider_personalize.operators.batch_output import MOST_NAMES, FinishedJob

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeCheckBatchOutputOperator(AwsBaseOperator[PersonalizeHook]):
    """Count what a finished batch job answered, and fail when too much of it is missing, failed or short.

    The job's description tells input, output and number of results. Output rows are joined to input rows by their
    ``input``, in memory that does not grow with them. Each limit is a number of rows, or a share of the input's rows
    such as ``"1%"``; None allows any number. The input must still be where the job read it; what was put beside it
    since and has no output is left out, with a warning.

    The summary is the task's XCom, on failure too, and the extra of the event of each of the task's outlet assets.

    :param job_arn: the batch inference or batch segment job (templated).
    :param max_failed_rows: rows with an ``error``, and lines that are no output rows (templated). Default 0.
    :param max_missing_rows: input rows without an answer (templated). Default 0.
    :param max_unexpected_rows: output rows that answer no input row, as when the input changed under the job
        (templated). Default 0.
    :param max_short_rows: rows with fewer results than asked for (templated). Default None: the service answers with
        fewer whenever it has no more.
    :return: ``job_arn``, ``input_uri``, ``output_uri``, ``num_results``, ``input_rows``, ``output_rows``, ``answered``,
        ``short``, ``failed``, ``unreadable``, ``missing``, ``unexpected``, ``results``, ``failures`` (reasons with
        counts and first examples), ``missing_places``, ``unexpected_places``, ``output_files``, ``absent_files``.
    :raises PersonalizeOutputError: when a limit is exceeded or an output object is not there; ``summary`` is what would
        have been returned. Also when the job's input is not there any more, with a ``summary`` of locations alone.
    :raises PersonalizeJobError: when the job failed or is not finished.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields(
        "job_arn", "max_failed_rows", "max_missing_rows", "max_unexpected_rows", "max_short_rows"
    )
    ui_color = "#e4e9c9"

    def __init__(
        self,
        *,
        job_arn: str,
        max_failed_rows: int | str | None = 0,
        max_missing_rows: int | str | None = 0,
        max_unexpected_rows: int | str | None = 0,
        max_short_rows: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_arn = job_arn
        self.max_failed_rows = max_failed_rows
        self.max_missing_rows = max_missing_rows
        self.max_unexpected_rows = max_unexpected_rows
        self.max_short_rows = max_short_rows
        self._job_template = job_arn

    def execute(self, context: Context) -> dict[str, Any]:
        limits = {
            what: fields.limit(f"max_{what}_rows", getattr(self, f"max_{what}_rows"))
            for what in ("failed", "missing", "unexpected", "short")
        }
        job = FinishedJob.find(self.hook, fields.arn("job_arn", self.job_arn, self._job_template))
        found = summarize(job.input_streams(), job.output_streams(), num_results=job.num_results)
        summary = {
            "job_arn": job.arn,
            "input_uri": job.input_uri,
            "output_uri": job.output_uri,
            "num_results": job.num_results,
            **found.as_dict(),
            "output_files": [stored.uri for stored in job.outputs[:MOST_NAMES]],
            "absent_files": job.absent[:MOST_NAMES],
        }
        lineage.collect(self.hook, [job.input_uri, job.output_uri], [], self.log)
        for line in found.lines():
            self.log.info("%s", line)
        job.warn(self.log)
        counts = {
            "failed": found.failed + found.unreadable,
            "missing": found.missing,
            "unexpected": found.unexpected,
            "short": found.short,
        }
        complaints = [f"{uri} does not exist." for uri in job.absent[:3]]
        complaints += [
            f"{counts[what]:,} of {found.input_rows:,} rows are {what}; {limit} may be."
            for what, limit in limits.items()
            if limit is not None and not limit.allows(counts[what], found.input_rows)
        ]
        if complaints:
            if self.do_xcom_push:
                context["ti"].xcom_push(key="return_value", value=summary)
            raise PersonalizeOutputError(_message(job, complaints, found), summary=summary)
        lineage.tell_assets(context, self.outlets, summary)
        return summary


def _message(job: FinishedJob, complaints: list[str], found: OutputSummary) -> str:
    reasons = [
        f"{finding.count:,} row(s): {finding.gist} ({finding.examples[0]})" for finding in list(found.failures)[:5]
    ]
    places = [f"missing: {place}" for place in found.missing_places[:3]]
    places += [f"unexpected: {place}" for place in found.unexpected_places[:3]]
    head = f"The output of {job.resource.label} {job.arn} in {job.output_uri} is not as it should be."
    return "\n".join([f"{head} {' '.join(complaints)}", *reasons, *places])
