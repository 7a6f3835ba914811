"""A batch inference or segment job: rows in, rows out, block by block, so that memory does not grow with the rows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_personalize.batch.reader import read_blocks
from airflow_provider_personalize.batch.rows import (
    ATTRIBUTE_ROWS,
    ITEM_ROWS,
    POPULARITY_ROWS,
    RANKING_ROWS,
    USER_ROWS,
    RowFormat,
)
from airflow_provider_personalize.batch.style import Style
from airflow_provider_personalize.batch.writer import write_recommendations, write_segments, write_themes
from airflow_provider_personalize.local.backend import Settings
from airflow_provider_personalize.local.filters import Filter
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import ModelError, open_model
from airflow_provider_personalize.local.recipes.model import Model
from airflow_provider_personalize.local.recipes.themes import ThemedAnswer, Themes
from airflow_provider_personalize.local.storage import (
    Location,
    Storage,
    StoredObject,
    check_location,
    output_location,
    storage_for,
)
from airflow_provider_personalize.local.work.dataset_group import datasets_of
from airflow_provider_personalize.local.work.filtering import compiled
from airflow_provider_personalize.local.work.histories import current
from airflow_provider_personalize.local.work.running import JobFailed, Running

ROW_FORMATS: dict[str, RowFormat] = {
    "aws-hrnn": USER_ROWS,
    "aws-hrnn-coldstart": USER_ROWS,
    "aws-hrnn-metadata": USER_ROWS,
    "aws-item-affinity": ITEM_ROWS,
    "aws-item-attribute-affinity": ATTRIBUTE_ROWS,
    "aws-next-best-action": USER_ROWS,  # live only, as aws-trending-now
    "aws-personalized-ranking": RANKING_ROWS,
    "aws-personalized-ranking-v2": RANKING_ROWS,
    "aws-popularity-count": POPULARITY_ROWS,
    "aws-semantic-similarity": ITEM_ROWS,
    "aws-similar-items": ITEM_ROWS,
    "aws-sims": ITEM_ROWS,
    "aws-trending-now": USER_ROWS,
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
    _refuse_beyond(running.backend.settings, inputs)
    try:
        model = open_model(model_directory(running.backend.root, job["solutionVersionArn"]))
    except ModelError as error:
        raise JobFailed(str(error)) from None
    version = running.require(job["solutionVersionArn"])
    model = current(running.backend, version.document["datasetGroupArn"], model)
    model = model.configured(job.get("batchInferenceJobConfig") or {})
    filter_ = _filter(running, model)
    themes = _themes(running, model)
    most_rows = _most_rows(running.backend.settings, model.recipe, job.get("batchInferenceJobMode"))
    staged: list[tuple[Path, Location]] = []
    rows = 0
    try:
        for stored in inputs:
            target = output_location(destination, f"{stored.name}.out")
            path = writing.staging(target, running.tag)
            staged.append((path, target))
            before = rows
            with reading.local_copy(stored) as copy, copy.open("rb") as stream, path.open("wb") as out:
                for count, answered in _answered(stream, model, job["numResults"], filter_, themes, running.lease.kind):
                    out.write(_shuffled(answered) if running.backend.settings.shuffle_rows else answered)
                    rows += count
                    if rows - before > most_rows:
                        raise JobFailed(f"{stored.location} holds more than {most_rows} rows, which is the quota.")
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


def _shuffled(block: bytes) -> bytes:
    """A block's rows in another order, the same whenever the block is the same."""
    rows = block.splitlines(keepends=True)
    random.Random(block).shuffle(rows)
    return b"".join(rows)


def _inputs(storage: Storage, source: Location, destination: Location) -> list[StoredObject]:
    """The objects a location matches, without what this job itself writes beside them."""
    found = storage.matching(source)
    own = {output_location(destination, f"{stored.name}.out") for stored in found}
    own.add(output_location(destination, CHECK_OBJECT))
    inputs = [stored for stored in found if stored.location not in own]
    if not inputs:
        raise JobFailed(f"Invalid S3 input path: {source} matches no object.")
    return inputs


def _refuse_beyond(settings: Settings, inputs: Sequence[StoredObject]) -> None:
    """Raise :class:`JobFailed` for more input than the service takes."""
    if len(inputs) > settings.batch_input_files:
        raise JobFailed(f"The input has {len(inputs)} files; the quota is {settings.batch_input_files}.")
    if (size := sum(stored.size for stored in inputs)) > settings.batch_input_bytes:
        raise JobFailed(f"The input has {size} bytes; the quota is {settings.batch_input_bytes}.")


def _most_rows(settings: Settings, recipe: str, mode: str | None) -> int:
    """How many rows one input file may hold."""
    if mode == "THEME_GENERATION":
        return settings.batch_theme_rows
    segments = {
        "aws-item-affinity": settings.item_affinity_rows,
        "aws-item-attribute-affinity": settings.item_attribute_affinity_rows,
    }
    return segments.get(recipe, settings.batch_inference_rows)


def _filter(running: Running, model: Model) -> Filter | None:
    arn = running.resource.document.get("filterArn")
    return None if arn is None else compiled(running.backend, running.require(arn), model)


def _themes(running: Running, model: Model) -> Themes | None:
    config = running.resource.document.get("themeGenerationConfig")
    if not config:
        return None
    version = running.require(running.resource.document["solutionVersionArn"])
    datasets = datasets_of(running.backend, version.document["datasetGroupArn"])
    try:
        return Themes(datasets, model, config["fieldsForThemeGeneration"]["itemName"])
    except ValueError as error:  # a schema that changed
        raise JobFailed(str(error)) from None


def _answered(
    stream: BinaryIO,
    model: Model,
    num_results: int,
    filter_: Filter | None,
    themes: Themes | None,
    job_kind: str,
) -> Iterator[tuple[int, bytes]]:
    """(number of rows, their output) of each block of one input file."""
    segments = job_kind == "batch-segment-job"
    block_rows = model.block_rows(num_results)
    blocks = read_blocks(
        stream,
        ROW_FORMATS[model.recipe],
        style=Style.SPACED if segments else Style.COMPACT,
        block_rows=min(block_rows, filter_.block_rows) if filter_ else block_rows,
    )
    for block in blocks:
        selection, refused = filter_.select(block.rows) if filter_ else (None, {})
        rows = [None if position in refused else row for position, row in enumerate(block.rows)]
        answer = (themes or model).answer(rows, num_results, selection)
        faults = answer.errors | refused
        errors = {row: f"Line {block.line_numbers[row]}: {text}" for row, text in faults.items()} | block.errors
        if segments:
            users = [model.labels.joined(row) for row in answer.ids]
            yield len(block), write_segments(block.inputs, users, errors)
            continue
        labels = model.labels.rows(answer.ids, answer.strangers)
        if isinstance(answer, ThemedAnswer):
            relevance = [row[: len(ids)] for row, ids in zip(answer.relevance.tolist(), labels, strict=True)]
            yield len(block), write_themes(block.inputs, labels, answer.themes, relevance, errors)
        elif answer.scores is None:
            yield len(block), write_recommendations(block.inputs, labels, None, errors)
        else:
            scores = [row[: len(ids)] for row, ids in zip(answer.scores.tolist(), labels, strict=True)]
            yield len(block), write_recommendations(block.inputs, labels, scores, errors)
