"""Check the input of a batch job before the job is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_personalize._compat import AwsBaseOperator, aws_template_fields, conf
from airflow_provider_personalize.batch.filter_expression import FilterExpression, parse_filter
from airflow_provider_personalize.batch.prices import estimate
from airflow_provider_personalize.batch.validation import InputFile, InputReport, size_faults, validate_input
from airflow_provider_personalize.exceptions import PersonalizeBatchInputError, PersonalizeInputError
from airflow_provider_personalize.hooks.objects import (
    CHECK_OBJECT,
    StoredObject,
    folder_of,
    matching,
    output_folder,
    reading_all,
)
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.hooks.resources import FILTER
from airflow_provider_personalize.operators import fields, lineage
from airflow_provider_personalize.operators.recipe import recipe_and_kind

if TYPE_CHECKING:
    from airflow.sdk import Context

_MOST_NAMES = 20


class PersonalizeValidateBatchInputOperator(AwsBaseOperator[PersonalizeHook]):
    """Read the input of a batch job as the service would, and fail before the job is created when it is not good.

    Every object that the input location matches as a prefix is read, each row is checked against the recipe of the
    model and against the filter's placeholders, and rows, files and bytes are counted against the service's quotas.
    The cost is estimated from a price for 1,000 rows.

    :param input_uri: the job's input, ``s3://`` or ``file://`` (templated).
    :param output_uri: the job's output (templated). When given, it must not lie where the input's prefix matches.
    :param recipe: name or ARN of the recipe (templated). Or:
    :param solution_version_arn: the model, whose recipe is looked up (templated). Or:
    :param solution_arn: its solution (templated).
    :param filter_arn: the job's filter (templated).
    :param batch_inference_job_mode: ``BATCH_INFERENCE`` or ``THEME_GENERATION`` (templated).
    :param max_bad_rows: bad rows above which the task fails: a number, or a share of all rows such as ``"0.5%"``
        (templated). Default 0.
    :param max_duplicate_rows: the same of rows that repeat an earlier one (templated). None: any number, since the
        service answers them, and bills each.
    :param max_records: fail above so many rows (templated).
    :param max_estimated_cost: fail above this estimated cost (templated). It needs a price.
    :param fail_on_leftovers: fail when ``output_uri`` holds the output of an earlier job, or may not be looked into
        (templated). False: a warning. A task that is cleared after its job has run finds the output of that job.
    :param prices: price per 1,000 rows by recipe or by kind of job (``BATCH_INFERENCE``, ``THEME_GENERATION``,
        ``BATCH_SEGMENT``), as a dictionary or its JSON text (templated). None: ``[personalize] batch_prices``, which is
        such a JSON text. What neither names has the price of :mod:`airflow_provider_personalize.batch.prices`, which
        is not confirmed, or none. Each estimate says where its price is from.
    :return: the report: ``rows``, ``bad_rows``, ``duplicate_rows``, ``bytes``, ``files``, ``findings``, ``problems``
        (the first bad rows with file and line), ``duplicates``, ``warnings``, ``input_files`` (the first names),
        ``estimated_cost``.
    :raises PersonalizeBatchInputError: when the input is not good; ``report`` is what would have been returned, which
        also stands in XCom.
    :raises PersonalizeInputError: when an argument is missing or malformed.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields(
        "input_uri",
        "output_uri",
        "recipe",
        "solution_version_arn",
        "solution_arn",
        "filter_arn",
        "batch_inference_job_mode",
        "max_bad_rows",
        "max_duplicate_rows",
        "max_records",
        "max_estimated_cost",
        "fail_on_leftovers",
        "prices",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"prices": "json"}
    ui_color = "#e4e9c9"

    def __init__(
        self,
        *,
        input_uri: str,
        output_uri: str | None = None,
        recipe: str | None = None,
        solution_version_arn: str | None = None,
        solution_arn: str | None = None,
        filter_arn: str | None = None,
        batch_inference_job_mode: str | None = None,
        max_bad_rows: int | str = 0,
        max_duplicate_rows: int | str | None = None,
        max_records: int | str | None = None,
        max_estimated_cost: float | str | None = None,
        fail_on_leftovers: bool | str = False,
        prices: Mapping[str, float] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_uri = input_uri
        self.output_uri = output_uri
        self.recipe = recipe
        self.solution_version_arn = solution_version_arn
        self.solution_arn = solution_arn
        self.filter_arn = filter_arn
        self.batch_inference_job_mode = batch_inference_job_mode
        self.max_bad_rows = max_bad_rows
        self.max_duplicate_rows = max_duplicate_rows
        self.max_records = max_records
        self.max_estimated_cost = max_estimated_cost
        self.fail_on_leftovers = fail_on_leftovers
        self.prices = prices
        self._templates = {
            "solution_version_arn": solution_version_arn,
            "solution_arn": solution_arn,
            "filter_arn": filter_arn,
        }

    def execute(self, context: Context) -> dict[str, Any]:
        uri = fields.text("input_uri", self.input_uri)
        bad = fields.limit("max_bad_rows", self.max_bad_rows)
        duplicates = fields.limit("max_duplicate_rows", self.max_duplicate_rows)
        most_rows = fields.integer("max_records", self.max_records)
        most_cost = fields.number("max_estimated_cost", self.max_estimated_cost)
        prices, prices_from = self._prices()
        recipe, kind = recipe_and_kind(
            self.hook,
            recipe=self.recipe,
            solution_version_arn=self.solution_version_arn,
            solution_arn=self.solution_arn,
            mode=self.batch_inference_job_mode,
            templates=self._templates,
        )
        filter_expression = self._filter()
        output = fields.optional_text(self.output_uri)
        fail_on_leftovers = fields.boolean("fail_on_leftovers", self.fail_on_leftovers)
        if fail_on_leftovers and not output:
            raise PersonalizeInputError("fail_on_leftovers needs an output_uri to look into.")

        objects = matching(uri, self.aws_conn_id)
        if len(objects) > 1:
            names = ", ".join(stored.name for stored in objects[:_MOST_NAMES])
            self.log.info("%s holds %s objects: %s", uri, f"{len(objects):,}", names)
        leftovers = self._leftovers(output) if output else []
        faults = self._location_faults(uri, output, objects) + size_faults(stored.size for stored in objects)
        if fail_on_leftovers:
            faults += leftovers
        if faults:
            # Nothing is read that no job would take.
            report = InputReport(recipe, kind, files=len(objects), bytes=sum(stored.size for stored in objects))
            report.faults = faults
        else:
            files = (
                InputFile(stored.name, stored.size, stream) for stored, stream in reading_all(objects, self.aws_conn_id)
            )
            report = validate_input(files, recipe, kind, filter_expression=filter_expression)
        report.warnings = [
            *self._location_warnings(uri, output, objects),
            *(() if fail_on_leftovers else leftovers),
            *report.warnings,
        ]
        lineage.collect(self.hook, [uri], [], self.log)
        cost = estimate(report.rows, recipe, kind, prices, prices_from)

        complaints = list(report.faults)
        if bad and not bad.allows(report.bad_rows, report.rows):
            complaints.append(f"{report.bad_rows:,} of {report.rows:,} rows are bad; {bad} may be.")
        if duplicates and not duplicates.allows(report.duplicate_rows, report.rows):
            complaints.append(
                f"{report.duplicate_rows:,} of {report.rows:,} rows repeat an earlier one; {duplicates} may."
            )
        if most_rows is not None and report.rows > most_rows:
            complaints.append(f"{report.rows:,} rows are more than max_records, {most_rows:,}.")
        if most_cost is not None and cost is None:
            complaints.append(
                f"There is no price for {recipe} ({kind.value}) to hold max_estimated_cost against; give one in prices."
            )
        elif most_cost is not None and cost is not None and cost.amount > most_cost:
            complaints.append(f"The job would cost {cost}, more than max_estimated_cost, {most_cost:,.2f}.")
        found = {
            "input_uri": uri,
            **report.as_dict(),
            "input_files": [stored.name for stored in objects[:_MOST_NAMES]],
            "estimated_cost": cost and cost.as_dict(),
        }
        for line in report.lines():
            self.log.info("%s", line)
        self.log.info("estimated cost: %s", cost or "unknown, since no table has a price")
        if complaints:
            if self.do_xcom_push:
                context["ti"].xcom_push(key="return_value", value=found)
            raise PersonalizeBatchInputError(_message(uri, complaints, report), report=found)
        return found

    def _filter(self) -> FilterExpression | None:
        arn = fields.optional_arn("filter_arn", self.filter_arn, self._templates["filter_arn"])
        return parse_filter(self.hook.describe(FILTER, arn)["filterExpression"]) if arn else None

    def _prices(self) -> tuple[dict[str, float], str]:
        """The table, and where it stands."""
        given, place = fields.parsed("prices", self.prices), "prices"
        if given is None:
            given, place = conf.get("personalize", "batch_prices", fallback="") or None, "[personalize] batch_prices"
        return {
            name: fields.number(f"{place}[{name!r}]", price) or 0.0
            for name, price in fields.mapping(place, given).items()
        }, place

    @staticmethod
    def _location_faults(uri: str, output: str | None, objects: list[StoredObject]) -> list[str]:
        faults = []
        if not objects:
            faults.append(f"{uri} matches no object.")
        if output and output_folder(output).startswith(uri):
            faults.append(
                f"The output {output} lies in the input: {uri} is a prefix, which would also match what the job writes."
            )
        return faults

    @staticmethod
    def _location_warnings(uri: str, output: str | None, objects: list[StoredObject]) -> list[str]:
        found = []
        if len(objects) > 1 and not uri.endswith("/"):
            found.append(
                f"{uri} is a prefix and matches {len(objects):,} objects, {objects[0].uri} and {objects[1].uri} among "
                "them; a slash at its end would mean one folder."
            )
        elif len(objects) == 1 and objects[0].uri != uri and not uri.endswith("/"):
            found.append(f"{uri} is a prefix of {objects[0].uri}; other names may come to match it.")
        left = [stored.name for stored in objects if stored.name.endswith(".out") or _is_check(stored.name)]
        if left:
            found.append(f"The input holds what looks like the output of an earlier job: {', '.join(left[:3])}.")
        if output and not output_folder(output).startswith(uri) and output_folder(output) == folder_of(uri):
            found.append(f"The job writes into the folder of its input, {folder_of(uri)}.")
        return found

    def _leftovers(self, output: str) -> list[str]:
        """What is to be said of the output of earlier jobs in the folder."""
        folder = output_folder(output)
        try:
            found = [stored.name for stored in matching(folder, self.aws_conn_id)]
        except OSError as error:
            # Airflow's own identity need not see it: the service's role writes there.
            return [f"Whether {folder} holds the output of an earlier job could not be seen: {error}"]
        old = [name for name in found if name.endswith(".out") and "/" not in name]
        if not old:
            return []
        return [
            f"The output {folder} holds what an earlier job left: {', '.join(old[:3])}. A job replaces what has the "
            "same name and leaves the rest; a folder for each run keeps them apart."
        ]


def _is_check(name: str) -> bool:
    return name.rpartition("/")[2] == CHECK_OBJECT


def _message(uri: str, complaints: list[str], report: InputReport) -> str:
    details = [
        *(f"{finding.count:,} row(s): {finding.gist}" for finding in report.findings[:5]),
        *map(str, report.problems[:5]),
        *report.warnings[:5],
    ]
    return "\n".join([f"The input {uri} is not ready for a batch job. {' '.join(complaints)}", *details])
