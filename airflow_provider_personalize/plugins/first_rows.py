"""The first rows of a finished job's output, read in bounds: an output may have millions of rows, and so may a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from airflow_provider_personalize.batch.output import OutputRow, OutputRowError, read_output
from airflow_provider_personalize.hooks.objects import beginning
from airflow_provider_personalize.operators.batch_output import FinishedJob

MOST_BYTES = 1 << 20
MOST_ROWS = 25
MOST_RESULTS = 20
_MOST_MEMBERS = 10
_LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Result:
    """One item or user of a row. The numbers are text, empty where the row has none."""

    id: str
    score: str
    relevance: str


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One row of an output object."""

    place: str
    """Object and line."""
    question: tuple[tuple[str, str], ...]
    """The members of the row's input; one without a name for an input that is no object."""
    results: tuple[Result, ...] = ()
    """Best first."""
    more: int = 0
    """How many results are left out."""
    theme: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FirstRows:
    rows: tuple[ShownRow, ...]
    rest: str = ""
    """What is not shown, and why."""


def first_rows(job: FinishedJob) -> FirstRows:
    """At most MOST_ROWS rows out of at most MOST_BYTES bytes, over the job's output objects in their order.

    :raises OSError: when the storage cannot be read.
    """
    rows: list[ShownRow] = []
    left = MOST_BYTES
    for stored in job.outputs:
        text = beginning(stored, left, job.hook.aws_conn_id)
        left -= len(text)
        is_whole = len(text) == stored.size
        lines = text.split(b"\n")
        for number, line in enumerate(lines if is_whole else lines[:-1], 1):
            if not line.strip():
                continue
            if len(rows) == MOST_ROWS:
                return FirstRows(tuple(rows), f"More rows follow: {MOST_ROWS} are shown.")
            rows.append(_shown(f"{stored.name}, line {number}", line))
        if not is_whole:
            where = f"line {len(lines)} of {stored.name}"
            return FirstRows(
                tuple(rows), f"{MOST_BYTES >> 20} MiB is read for this page, and {where} is too long to end within it."
            )
    return FirstRows(tuple(rows))


def _shown(place: str, line: bytes) -> ShownRow:
    try:
        [row] = read_output([line])
    except OutputRowError as error:
        return ShownRow(place, (), error=f"This line is no output row: {error.reason}")
    return ShownRow(
        place,
        _question(row.input),
        results=tuple(_result(row, rank) for rank in range(min(len(row.ids), MOST_RESULTS))),
        more=max(0, len(row.ids) - MOST_RESULTS),
        theme=None if row.theme is None else _text(row.theme),
        error=row.error,
    )


def _question(input_: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(input_, dict):
        return (("", _text(input_)),)
    return tuple((name, _text(value)) for name, value in list(input_.items())[:_MOST_MEMBERS])


def _result(row: OutputRow, rank: int) -> Result:
    return Result(row.ids[rank], _number(row.scores, rank), _number(row.theme_scores, rank))


def _number(numbers: tuple[Any, ...] | None, rank: int) -> str:
    number = numbers[rank] if numbers and rank < len(numbers) else None
    if number is None:
        return ""
    # Scores are multiples of 1e-7, and Python writes small ones as 3.773e-04.
    return f"{number:.7f}" if isinstance(number, float) else _text(number)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
