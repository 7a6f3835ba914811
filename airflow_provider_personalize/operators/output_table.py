"""Publish the output of a finished batch job as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize._compat import (
    AwsBaseOperator,
    BaseHook,
    aws_template_fields,
)
from airflow_provider_personalize.batch.output import OutputRow, OutputRowError, read_output
from airflow_provider_personalize.batch.recipes import recipe_name
from airflow_provider_personalize.batch.table import Exploded, explode, table_shape
from airflow_provider_personalize.exceptions import PersonalizeInputError, PersonalizeOutputError
from airflow_provider_personalize.hooks.objects import writing_whole
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.operators import fields, lineage
from airflow_provider_personalize.operators.batch_output import MOST_NAMES, FinishedJob
from airflow_provider_personalize.tables.parquet import write_parquet
from airflow_provider_personalize.tables.sql import SqlTable

if TYPE_CHECKING:
    from airflow.sdk import Context


class PersonalizeBatchOutputToTableOperator(AwsBaseOperator[PersonalizeHook]):
    """Write the output of a finished batch job to a Parquet file or to a database, one row a result.

    Which columns there are follows from the recipe, see :mod:`airflow_provider_personalize.batch.table`; for
    recommendations they are ``run_key``, ``user_id``, ``rank``, ``item_id``, ``score``. Failed rows are left out: check
    the output first. Memory is bounded by the longest row.

    What it returns is also the extra of the event of each of the task's outlet assets.

    It may run any number of times: a Parquet file is replaced whole, and in a database the rows of the same run key are
    deleted and written again in one transaction.

    :param job_arn: the batch inference or batch segment job (templated).
    :param parquet_uri: the file to write, ``s3://`` or ``file://`` (templated); through ``aws_conn_id``. Needs the
        extra ``[parquet]``. Or:
    :param sql_conn_id: a connection whose hook is a ``DbApiHook`` of common-sql (templated), and
    :param table: its table, perhaps with schema and catalog (templated). It is created when it does not exist.
    :param run_key: what stands in the column ``run_key`` (templated). None: Dag, task, run id and map index, so that a
        cleared task replaces its rows and no other task's.
    :return: ``job_arn``, ``run_key``, ``rows`` (of the output that gave any), ``table_rows``, ``failed_rows``,
        ``empty_rows``, and ``parquet_uri`` or ``table``.
    :raises PersonalizeOutputError: when output is missing or cannot be read, or the job's input, after which output is
        named, is not there any more; nothing is published then, and nothing replaced.
    :raises PersonalizeInputError: when an argument is missing or malformed.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields("job_arn", "parquet_uri", "sql_conn_id", "table", "run_key")
    ui_color = "#e4e9c9"

    def __init__(
        self,
        *,
        job_arn: str,
        parquet_uri: str | None = None,
        sql_conn_id: str | None = None,
        table: str | None = None,
        run_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_arn = job_arn
        self.parquet_uri = parquet_uri
        self.sql_conn_id = sql_conn_id
        self.table = table
        self.run_key = run_key
        self._job_template = job_arn

    def execute(self, context: Context) -> dict[str, Any]:
        uri, conn_id, table = (
            fields.optional_text(value) for value in (self.parquet_uri, self.sql_conn_id, self.table)
        )
        if bool(uri) == bool(conn_id) or bool(conn_id) != bool(table):
            raise PersonalizeInputError("Give parquet_uri, or sql_conn_id and table.")
        job = FinishedJob.find(self.hook, fields.arn("job_arn", self.job_arn, self._job_template))
        run_key = fields.optional_text(self.run_key) or _key_of(context)
        counts = Exploded()
        found: dict[str, Any] = {"job_arn": job.arn, "run_key": run_key}
        if job.absent:
            raise PersonalizeOutputError(
                f"The output of {job.arn} is not there: {', '.join(job.absent[:3])}.",
                summary={**found, "absent_files": job.absent[:MOST_NAMES]},
            )
        job.warn(self.log)
        try:
            shape = table_shape(recipe_name(job.recipe), job.kind, filtered="filterArn" in job.description)
        except ValueError as error:
            raise PersonalizeInputError(str(error)) from error
        blocks = explode(_rows(job), shape, run_key, counts)
        if uri:
            with writing_whole(uri, self.aws_conn_id) as stream:
                write_parquet(stream, shape, blocks)
        else:
            target = SqlTable(_database(str(conn_id)), str(table), shape)
            target.create_if_absent()
            target.replace_run(run_key, blocks)
        self.log.info(
            "%s rows of %s gave %s rows in %s; %s failed and %s had no results",
            f"{counts.rows:,}",
            job.output_uri,
            f"{counts.table_rows:,}",
            uri or table,
            f"{counts.failed_rows:,}",
            f"{counts.empty_rows:,}",
        )
        published = {
            **found,
            "rows": counts.rows,
            "table_rows": counts.table_rows,
            "failed_rows": counts.failed_rows,
            "empty_rows": counts.empty_rows,
            **({"parquet_uri": uri} if uri else {"table": table}),
        }
        lineage.collect(self.hook, [job.output_uri], [uri or ""], self.log)
        lineage.tell_assets(context, self.outlets, {**published, "output_uri": uri})
        return published


def _rows(job: FinishedJob) -> Iterator[OutputRow]:
    for name, stream in job.output_streams():
        try:
            yield from read_output(stream)
        except OutputRowError as error:
            raise PersonalizeOutputError(
                f"{job.output_uri}{name} cannot be read: {error}. Nothing was published.",
                summary={"job_arn": job.arn, "file": name, "line": error.line_number},
            ) from error


def _key_of(context: Context) -> str:
    instance: Any = context["ti"]
    mapped = f"/{instance.map_index}" if instance.map_index >= 0 else ""
    return f"{instance.dag_id}/{instance.task_id}/{instance.run_id}{mapped}"


def _database(conn_id: str) -> Any:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    hook = BaseHook.get_hook(conn_id)
    if not isinstance(hook, DbApiHook):
        raise PersonalizeInputError(
            f"sql_conn_id {conn_id!r} leads to no database of common-sql: its hook is {type(hook).__name__}."
        )
    return hook
