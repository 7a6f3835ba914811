"""A batch inference or segment job: rows in, rows out, block by block, so that memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_personalize.batch.filter_expression import FilterSyntaxError, parse_filter
from airflow_provider_personalize.batch.reader import read_blocks
from airflow_provider_personalize.batch.rows import ITEM_ROWS, USER_ROWS, RowFormat
from airflow_provider_personalize.batch.style import Style
from airflow_provider_personalize.batch.writer import write_recommendations, write_segments
from airflow_provider_personalize.local.filters import Filter, UnsupportedFilterError, compile_filter
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import ModelError, open_model
from airflow_provider_personalize.local.recipes.model import Model
from airflow_provider_personalize.local.storage import (
    Location,
    Storage,
    StoredObject,
    check_location,
    output_location,
    storage_for,
)
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from airflow_provider_personalize.local.work.running import JobFailed, Running

ROW_FORMATS: dict[str, RowFormat] = {
    "aws-item-affinity": ITEM_ROWS,
    "aws-user-personalization": USER_ROWS,
    "aws-user-personalization-v2": USER_ROWS,
}
CHECK_OBJECT = "_CHECK"  # the service leaves it in every output folder; here it comes last


def run(running: Running) -> Mapping[str, Any]:
    """Answer every input object with one output object, and show them only when all are written."""
    job = running.resource.document
    source = check_location(job["jobInput"]["s3DataSource"]["path"])
    destination = check_location(job["jobOutput"]["s3DataDestination"]["path"])
    reading, writing = storage_for(source, running.scratch), storage_for(destination, running.scratch)
    inputs = _inputs(reading, source, destination)
    try:
        model = open_model(model_directory(running.backend.root, job["solutionVersionArn"]))
    except ModelError as error:
        raise JobFailed(str(error)) from None
    filter_ = _filter(running, model)
    staged: list[tuple[Path, Location]] = []
    rows = 0
    try:
        for stored in inputs:
            target = output_location(destination, f"{stored.name}.out")
            path = writing.staging(target, running.tag)
            staged.append((path, target))
            with reading.local_copy(stored) as copy, copy.open("rb") as stream, path.open("wb") as out:
                for count, answered in _answered(stream, model, job["numResults"], filter_, running.lease.kind):
                    out.write(answered)
                    rows += count
                    running.report(rows, None, "rows")
        if not rows:
            raise JobFailed(f"Invalid S3 input path: {source} holds no rows.")
        mark = output_location(destination, CHECK_OBJECT)
        staged.append((writing.staging(mark, running.tag), mark))
        staged[-1][0].touch()
        running.before_publishing()
        for path, target in staged:
            writing.publish(path, target)
    finally:
        for path, _ in staged:
            path.unlink(missing_ok=True)
    return {}


def _inputs(storage: Storage, source: Location, destination: Location) -> list[StoredObject]:
    """The objects a location matches, without what this job itself writes beside them."""
    found = storage.matching(source)
    own = {output_location(destination, f"{stored.name}.out") for stored in found}
    own.add(output_location(destination, CHECK_OBJECT))
    inputs = [stored for stored in found if stored.location not in own]
    if not inputs:
        raise JobFailed(f"Invalid S3 input path: {source} matches no object.")
    return inputs


def _filter(running: Running, model: Model) -> Filter | None:
    arn = running.resource.document.get("filterArn")
    if arn is None:
        return None
    document = running.require(arn).document
    datasets = datasets_of(running.backend, document["datasetGroupArn"])
    try:
        expression = parse_filter(document["filterExpression"])
        return compile_filter(expression, datasets, model, running.backend.settings.filter_recent_events)
    except (FilterSyntaxError, UnsupportedFilterError) as error:  # a schema that changed, or a filter for another id
        raise JobFailed(f"Filter {arn} does not fit this job: {error}") from None


def _answered(
    stream: BinaryIO, model: Model, num_results: int, filter_: Filter | None, job_kind: str
) -> Iterator[tuple[int, bytes]]:
    """(number of rows, their output) of each block of one input file."""
    segments = job_kind == "batch-segment-job"
    blocks = read_blocks(
        stream,
        ROW_FORMATS[model.recipe],
        style=Style.SPACED if segments else Style.COMPACT,
        block_rows=model.block_rows(num_results),
    )
    for block in blocks:
        selection = filter_.select(block.rows) if filter_ else None
        answer = model.answer(block.rows, num_results, selection)
        labels = model.labels.rows(answer.ids)
        errors = {row: f"Line {block.line_numbers[row]}: {text}" for row, text in answer.errors.items()} | block.errors
        if segments:
            yield len(block), write_segments(block.inputs, labels, errors)
        elif answer.scores is None:
            yield len(block), write_recommendations(block.inputs, labels, None, errors)
        else:
            scores = [row[: len(ids)] for row, ids in zip(answer.scores.tolist(), labels, strict=True)]
            yield len(block), write_recommendations(block.inputs, labels, scores, errors)
