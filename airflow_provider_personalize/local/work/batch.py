"""A batch inference or segment job: rows in, rows out, block by block, so that memory does not grow with the rows.

The input is cut into shards; where they are answered, and by how many threads, changes no byte of the output.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from airflow_provider_personalize.batch.recipes import Quotas, job_kind
from airflow_provider_personalize.local.backend import Settings
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.recipes.model import Model
from airflow_provider_personalize.local.storage import (
    Location,
    Storage,
    StoredObject,
    check_location,
    output_location,
    storage_for,
)
from airflow_provider_personalize.local.store import Resource
from airflow_provider_personalize.local.work.answering import Assignment, opened_model
from airflow_provider_personalize.local.work.crew import Crew
from airflow_provider_personalize.local.work.dataset_group import snapshot
from airflow_provider_personalize.local.work.filtering import NamedFilter
from airflow_provider_personalize.local.work.histories import behind
from airflow_provider_personalize.local.work.running import JobFailed, Running
from airflow_provider_personalize.local.work.shards import cut

CHECK_OBJECT = "_CHECK"  # the service leaves it in every output folder; here it comes last


def run(running: Running) -> Mapping[str, Any]:
    """Answer every input object with one output object, and show them only when all are written."""
    job = running.resource.document
    settings = running.backend.settings
    version = running.require(job["solutionVersionArn"])
    source = check_location(job["jobInput"]["s3DataSource"]["path"])
    destination = check_location(job["jobOutput"]["s3DataDestination"]["path"])
    reading, writing = storage_for(source, running.scratch), storage_for(destination, running.scratch)
    inputs = _inputs(reading, source, destination)
    _refuse_beyond(settings, inputs)
    model = opened_model(model_directory(running.backend.root, version.arn))
    most_rows = _most_rows(settings, model.recipe, job.get("batchInferenceJobMode"))
    staged: list[tuple[Path, Location]] = []
    rows = 0
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, "blas"))
        stack.callback(lambda: writing.discard(path for path, _ in staged))
        folder = stack.enter_context(_folder(running))
        copies = [stack.enter_context(reading.local_copy(stored)) for stored in inputs]
        size = sum(stored.size for stored in inputs)
        crew = Crew.of(settings, size)
        files = [cut(copy, crew.shard_bytes(size)) for copy in copies]
        lines = sum(shard.lines for shards in files for shard in shards)
        answers = stack.enter_context(crew.answers(_assignment(running, version, model, folder), folder, files))
        for stored, answered in zip(inputs, answers, strict=True):
            target = output_location(destination, f"{stored.name}.out")
            path = writing.staging(target, running.tag)
            staged.append((path, target))
            before = rows
            with path.open("wb") as out:
                for count, output in answered:
                    out.write(output)
                    rows += count
                    if rows - before > most_rows:
                        raise JobFailed(f"{stored.location} holds more than {most_rows} rows, which is the quota.")
                    running.report(rows, lines, "rows")
        if not rows:
            raise JobFailed(f"Invalid S3 input path: {source} holds no rows.")
        mark = output_location(destination, CHECK_OBJECT)
        staged.append((writing.staging(mark, running.tag), mark))
        staged[-1][0].touch()
        running.before_publishing()
        for path, target in staged:
            writing.publish(path, target)
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


def _refuse_beyond(settings: Settings, inputs: Sequence[StoredObject]) -> None:
    """Raise :class:`JobFailed` for more input than the service takes."""
    if len(inputs) > settings.batch_input_files:
        raise JobFailed(f"The input has {len(inputs)} files; the quota is {settings.batch_input_files}.")
    if (size := sum(stored.size for stored in inputs)) > settings.batch_input_bytes:
        raise JobFailed(f"The input has {size} bytes; the quota is {settings.batch_input_bytes}.")


def _most_rows(settings: Settings, recipe: str, mode: str | None) -> int:
    """How many rows one input file may hold."""
    quotas = Quotas(
        inference_rows=settings.batch_inference_rows,
        theme_rows=settings.batch_theme_rows,
        item_affinity_rows=settings.item_affinity_rows,
        item_attribute_affinity_rows=settings.item_attribute_affinity_rows,
    )
    return quotas.rows(recipe, job_kind(recipe, mode))


@contextmanager
def _folder(running: Running) -> Iterator[Path]:
    """A folder for this attempt; those that dead attempts of the job left are removed."""
    stem, _, attempt = running.tag.rpartition(".")
    for stale in running.scratch.glob(f"{glob.escape(stem)}.*.parts"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = running.scratch / f"{stem}.{attempt}.parts"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a worker that was thought dead may still write there


def _assignment(running: Running, version: Resource, model: Model, folder: Path) -> Assignment:
    job, settings = running.resource.document, running.backend.settings
    group_arn = version.document["datasetGroupArn"]
    filter_ = running.require(job["filterArn"]) if job.get("filterArn") else None
    themes = job.get("themeGenerationConfig")
    follows = behind(running.backend, group_arn, model)
    return Assignment(
        model_directory(running.backend.root, version.arn),
        job["numResults"],
        running.lease.kind == "batch-segment-job",
        job.get("batchInferenceJobConfig") or {},
        snapshot(running.backend, group_arn, folder) if filter_ or themes or follows else None,
        follows,
        NamedFilter.of(filter_) if filter_ else None,
        settings.filter_recent_events,
        themes["fieldsForThemeGeneration"]["itemName"] if themes else None,
        settings.seed if settings.shuffle_rows else None,
    )
