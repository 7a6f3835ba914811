"""Input rows -> output rows: what a process must know of a job to answer its rows, and how it does."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

from airflow_provider_personalize.batch.reader import LineBlock, read_lines
from airflow_provider_personalize.batch.recipes import ROW_FORMATS
from airflow_provider_personalize.batch.rows import InputBlock
from airflow_provider_personalize.batch.style import Style
from airflow_provider_personalize.batch.writer import write_recommendations, write_segments, write_themes
from airflow_provider_personalize.local.datasets.dataset import Datasets
from airflow_provider_personalize.local.executors import in_order
from airflow_provider_personalize.local.filters import Filter
from airflow_provider_personalize.local.models import Model, ModelError, open_model
from airflow_provider_personalize.local.recipes.model import Answer, TrainingError
from airflow_provider_personalize.local.recipes.themes import ThemedAnswer, Themes
from airflow_provider_personalize.local.scoring.kernel import CHUNK
from airflow_provider_personalize.local.scoring.topk import have_threads
from airflow_provider_personalize.local.work.filtering import NamedFilter, compiled_over
from airflow_provider_personalize.local.work.outputs import Outputs
from airflow_provider_personalize.local.work.running import JobFailed
from airflow_provider_personalize.local.work.shards import Shard
from airflow_provider_personalize.local.work.snapshot import Snapshot

_AHEAD = 2  # blocks a thread may have waiting for those before them to be written


@dataclass(frozen=True)
class Assignment:
    """All that answering a job's rows needs, as small values and paths: a process elsewhere gets it with each shard.

    model: a directory that every such process sees.
    snapshot: where the job looks at the datasets at all; every shard sees the same, whatever comes in meanwhile.
    follows: whether the model has to take up what users did since its training.
    item_name: the column that themes are named by, of a job that makes themes.
    shuffle: seed to mix output rows by; None for the order of the input.
    """

    model: Path
    num_results: int
    segments: bool
    config: Mapping[str, Any]
    snapshot: Snapshot | None = None
    follows: bool = False
    filter: NamedFilter | None = None
    recent_events: int = 0
    item_name: str | None = None
    shuffle: int | None = None


class Answering:
    """An assignment with everything opened. Threads may share one.

    Raises :class:`JobFailed` where the model cannot be opened, or the filter or themes do not fit it.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        model = opened_model(assignment.model)
        datasets = assignment.snapshot.load() if assignment.snapshot else None
        if assignment.follows:
            assert datasets
            model = followed(model, datasets)
        self._model = model.configured(assignment.config)
        self._filter: Filter | None = None
        if assignment.filter:
            assert datasets
            self._filter = compiled_over(datasets, assignment.filter, self._model, assignment.recent_events)
        self._themes: Themes | None = None
        if assignment.item_name is not None:
            assert datasets
            try:
                self._themes = Themes(datasets, self._model, assignment.item_name)
            except ValueError as error:  # a schema that changed
                raise JobFailed(str(error)) from None
        recommends = not assignment.segments and self._themes is None
        self._outputs = Outputs(self._model.labels) if recommends else None

    def answered(self, shard: Shard, threads: int) -> Iterator[tuple[int, bytes]]:
        """(number of rows, their output) of each block of a shard, in order.

        Blocks are answered by ``threads`` threads: while one parses or writes, the others score, which needs no lock
        of Python's. What is held does not grow with the shard.
        """
        with (
            shard.file.open("rb", buffering=1 << 20) as stream,
            ThreadPoolExecutor(threads, initializer=have_threads, initargs=(1,)) as pool,
        ):
            stream.seek(shard.start)
            blocks = read_lines(
                stream,
                block_rows=self._block_rows(shard, threads),
                first_line=shard.first_line,
                at_most=shard.lines,
                shuffle=self._assignment.shuffle,
            )
            yield from in_order(pool, self._answer, blocks, ahead=_AHEAD * threads)

    def _block_rows(self, shard: Shard, threads: int) -> Iterator[int]:
        """Of one block after the other: as many as memory allows and, where there are several threads, fewer towards
        the end, which all of them are to reach at the same time.
        """
        most = self._model.block_rows(self._assignment.num_results)
        if self._filter:
            most = min(most, self._filter.block_rows)
        left = shard.lines
        while True:
            rows = most if threads == 1 else min(most, max(CHUNK, -(-left // (_AHEAD * threads))))
            yield rows
            left -= rows

    def _answer(self, lines: LineBlock) -> tuple[int, bytes]:
        style = Style.SPACED if self._assignment.segments else Style.COMPACT
        block = lines.parse(ROW_FORMATS[self._model.recipe], style)
        if not len(block):
            return 0, b""
        selection, refused = self._filter.select(block.rows) if self._filter else (None, {})
        rows = (
            [None if position in refused else row for position, row in enumerate(block.rows)] if refused else block.rows
        )
        answer = (self._themes or self._model).answer(rows, self._assignment.num_results, selection)
        faults = answer.errors | refused
        errors = {row: f"Line {block.line_numbers[row]}: {text}" for row, text in faults.items()} | block.errors
        return len(block), self._written(block, answer, errors)

    def _written(self, block: InputBlock, answer: Answer, errors: Mapping[int, str]) -> bytes:
        labels = self._model.labels
        if self._assignment.segments:
            return write_segments(block.inputs, [labels.joined(row) for row in answer.ids], errors)
        if self._outputs and (rows := self._outputs.write(block.inputs, answer.ids, answer.scores, errors)) is not None:
            return rows
        ids = labels.rows(answer.ids, answer.strangers)
        if isinstance(answer, ThemedAnswer):
            relevance = [row[: len(held)] for row, held in zip(answer.relevance.tolist(), ids, strict=True)]
            return write_themes(block.inputs, ids, answer.themes, relevance, errors)
        if answer.scores is None:
            return write_recommendations(block.inputs, ids, None, errors)
        scores = [row[: len(held)] for row, held in zip(answer.scores.tolist(), ids, strict=True)]
        return write_recommendations(block.inputs, ids, scores, errors)


def opened_model(directory: Path) -> Model:
    """A saved model; raises :class:`JobFailed` where it cannot be opened."""
    try:
        return open_model(directory)
    except ModelError as error:
        raise JobFailed(str(error)) from None


def followed(model: Model, datasets: Datasets) -> Model:
    """The model with the histories and, where it explores, the items of ``datasets``.

    Raises :class:`JobFailed` where they no longer have the columns that the solution chooses events by.
    """
    try:
        return model.current(datasets)
    except TrainingError as error:
        raise JobFailed(str(error)) from None


@dataclass(frozen=True, slots=True)
class Part:
    """The output of a shard. The file is its reader's to remove."""

    file: Path
    rows: int


def answer_shard(assignment: Assignment, folder: Path, threads: int, shard: Shard) -> Part:
    """Answer a shard into a file of ``folder``, in a process made for such.

    The same shard may be answered twice, even at once (by a worker that was thought dead): each time there is a file
    of its own, and whoever asked looks only at the one that is returned.
    """
    rows = 0
    descriptor, name = mkstemp(prefix=f"{shard.first_line}-", dir=folder)
    os.fchmod(descriptor, 0o644)  # mkstemp gives the file to its maker alone
    with os.fdopen(descriptor, "wb") as out:
        for count, answered in _opened(assignment).answered(shard, threads):
            out.write(answered)
            rows += count
    return Part(Path(name), rows)


_lock = Lock()
_last: list[tuple[Assignment, Answering]] = []


def _opened(assignment: Assignment) -> Answering:
    """The assignment opened, once for all shards of a job."""
    with _lock:
        if not _last or _last[0][0] != assignment:
            threadpool_limits(1, "blas")  # for good: this process is here for our own threads
            _last[:] = [(assignment, Answering(assignment))]
            gc.freeze()  # as the runner does
        return _last[0][1]
