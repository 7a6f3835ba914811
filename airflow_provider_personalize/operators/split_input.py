"""Cut the input of a batch job into parts that a job each takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow_provider_personalize._compat import AwsBaseOperator, aws_template_fields
from airflow_provider_personalize.batch.parts import LineTooLongError, numbered, part_name, part_number, row_lines
from airflow_provider_personalize.batch.recipes import QUOTAS
from airflow_provider_personalize.exceptions import PersonalizeBatchInputError, PersonalizeInputError
from airflow_provider_personalize.hooks.objects import (
    StoredObject,
    matching,
    output_folder,
    reading_all,
    remove,
    writing_whole,
)
from airflow_provider_personalize.hooks.personalize import PersonalizeHook
from airflow_provider_personalize.operators import fields, lineage
from airflow_provider_personalize.operators.recipe import recipe_and_kind

if TYPE_CHECKING:
    from airflow.sdk import Context

_MOST_NAMES = 20


class PersonalizeSplitBatchInputOperator(AwsBaseOperator[PersonalizeHook]):
    """Write an input that is beyond a job's quotas as parts that are not, for a mapped task that starts a job for each.

    Every object that the input location matches as a prefix is read, in the order of keys, and its lines are copied as
    they are, without blank ones. A part is one object in a folder of its own, ``part-0000/input.json`` and so on; it
    has as many rows as the recipe lets a file have, and at most the bytes of a job's input. Nothing is checked but the
    length of lines: validate the parts. Memory does not grow with the input.

    Another attempt writes the same parts again, and removes those of an earlier one beyond its own last.

    .. seealso:: docs/operators.md

    :param input_uri: what to split, ``s3://`` or ``file://`` (templated).
    :param parts_uri: the folder of the parts, one for each run (templated). It must not lie where the input's prefix
        matches.
    :param recipe: name or ARN of the recipe (templated). Or:
    :param solution_version_arn: the model, whose recipe is looked up (templated). Or:
    :param solution_arn: its solution (templated).
    :param batch_inference_job_mode: ``BATCH_INFERENCE`` or ``THEME_GENERATION`` (templated).
    :param max_rows: the most rows of a part, where that is fewer than the service allows (templated).
    :return: the location of each part, in order.
    :raises PersonalizeBatchInputError: when the input has no rows, or a line that is too long to be one; ``report`` has
        ``input_uri``, ``input_files`` and ``faults``.
    :raises PersonalizeInputError: when an argument is missing or malformed.
    """

    aws_hook_class = PersonalizeHook
    template_fields: Sequence[str] = aws_template_fields(
        "input_uri",
        "parts_uri",
        "recipe",
        "solution_version_arn",
        "solution_arn",
        "batch_inference_job_mode",
        "max_rows",
    )
    ui_color = "#e4e9c9"

    def __init__(
        self,
        *,
        input_uri: str,
        parts_uri: str,
        recipe: str | None = None,
        solution_version_arn: str | None = None,
        solution_arn: str | None = None,
        batch_inference_job_mode: str | None = None,
        max_rows: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_uri = input_uri
        self.parts_uri = parts_uri
        self.recipe = recipe
        self.solution_version_arn = solution_version_arn
        self.solution_arn = solution_arn
        self.batch_inference_job_mode = batch_inference_job_mode
        self.max_rows = max_rows
        self._templates = {"solution_version_arn": solution_version_arn, "solution_arn": solution_arn}

    def execute(self, context: Context) -> list[str]:
        uri = fields.text("input_uri", self.input_uri)
        folder = output_folder(fields.text("parts_uri", self.parts_uri))
        recipe, kind = recipe_and_kind(
            self.hook,
            recipe=self.recipe,
            solution_version_arn=self.solution_version_arn,
            solution_arn=self.solution_arn,
            mode=self.batch_inference_job_mode,
            templates=self._templates,
        )
        most_rows = self._most_rows(QUOTAS.rows(recipe, kind))
        objects = matching(uri, self.aws_conn_id)
        _refuse_parts_among(objects, uri, folder)

        files = ((stored.name, stream) for stored, stream in reading_all(objects, self.aws_conn_id))
        lines = numbered(row_lines(files), most_rows=most_rows, most_bytes=QUOTAS.bytes)
        parts = []
        try:
            for number, part in groupby(lines, key=itemgetter(0)):
                with writing_whole(f"{folder}{part_name(number)}", self.aws_conn_id) as stream:
                    stream.writelines(line for _, line in part)
                parts.append(f"{folder}{part_name(number)}")
        except LineTooLongError as error:
            raise _refusal(uri, objects, f"{error} Such a line is no row for any job: mend it.") from error
        if not parts:
            raise _refusal(uri, objects, "It holds no rows." if objects else "It matches no object.")
        self._remove_beyond(folder, len(parts))
        self.log.info(
            "%s is %s part(s) of at most %s rows for %s (%s): %s",
            uri,
            f"{len(parts):,}",
            f"{most_rows:,}",
            recipe,
            kind.value,
            parts[0] if len(parts) == 1 else f"{parts[0]} to {parts[-1]}",
        )
        lineage.collect(self.hook, [uri], [folder], self.log)
        return parts

    def _most_rows(self, quota: int) -> int:
        wanted = fields.integer("max_rows", self.max_rows)
        if wanted is None:
            return quota
        if wanted < 1:
            raise PersonalizeInputError(f"max_rows must be 1 or more, got {wanted}.")
        return min(wanted, quota)

    def _remove_beyond(self, folder: str, count: int) -> None:
        for stored in matching(folder, self.aws_conn_id):
            number = part_number(stored.name)
            if number is not None and number >= count:
                self.log.info("%s is of an earlier attempt, and is removed", stored.uri)
                remove(stored.uri, self.aws_conn_id)


def _refuse_parts_among(objects: Sequence[StoredObject], uri: str, folder: str) -> None:
    if folder.startswith(uri):
        raise PersonalizeInputError(
            f"parts_uri {folder} lies in the input: {uri} is a prefix, which would also match the parts. Give a folder "
            "elsewhere."
        )
    taken = [stored.uri for stored in objects if part_number(stored.uri.removeprefix(folder)) is not None]
    if taken:
        raise PersonalizeInputError(
            f"The input {taken[0]} is itself a part in {folder}, and would be replaced while it is read. Give another "
            "parts_uri."
        )


def _refusal(uri: str, objects: Sequence[StoredObject], fault: str) -> PersonalizeBatchInputError:
    names = [stored.name for stored in objects[:_MOST_NAMES]]
    return PersonalizeBatchInputError(
        f"The input {uri} cannot be split. {fault}", report={"input_uri": uri, "input_files": names, "faults": [fault]}
    )
