"""The output of a batch job against its input: two sets of lines -> counts.

Rows are joined on the echoed ``input``, by its parsed value: order, spacing and the order of keys do not matter, since
the service keeps none of them. Equal rows count as often as they occur. Memory does not grow with the rows, see
`digests`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from airflow_provider_personalize.batch.digests import LINE_BITS, Digests, canonical, place_in
from airflow_provider_personalize.batch.findings import Finding, Findings
from airflow_provider_personalize.batch.output import OutputRow, OutputRowError, parse_output_row
from airflow_provider_personalize.batch.reader import read_blocks
from airflow_provider_personalize.batch.rows import RowFormat
from airflow_provider_personalize.batch.style import Style

_MOST_EXAMPLES = 10
_BLOCK_ROWS = 4096
# What a row echoes depends on no format.
_ANY_ROW = RowFormat({}, "{}")
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class OutputSummary:
    """What a job answered. ``output_rows`` = ``answered`` + ``short`` + ``failed`` + ``unreadable``."""

    input_rows: int = 0
    output_rows: int = 0
    answered: int = 0
    """With as many results as were asked for (for a ranking: as the row lists items)."""
    short: int = 0
    """With fewer results, or none."""
    failed: int = 0
    """With an ``error``."""
    unreadable: int = 0
    """Lines of the output that are no output rows."""
    missing: int = 0
    """Input rows that no output row answers."""
    unexpected: int = 0
    """Output rows that answer no input row."""
    results: int = 0
    """Ids in all rows together."""
    failures: list[Finding] = field(default_factory=list)
    """Failed and unreadable rows by their reason, the commonest first."""
    missing_places: list[str] = field(default_factory=list)
    """Where the first of the missing rows stand."""
    unexpected_places: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return {
            **self.counts(),
            "failures": [finding.as_dict() for finding in self.failures],
            "missing_places": self.missing_places,
            "unexpected_places": self.unexpected_places,
        }

    def counts(self) -> dict[str, int]:
        return {
            "input_rows": self.input_rows,
            "output_rows": self.output_rows,
            "answered": self.answered,
            "short": self.short,
            "failed": self.failed,
            "unreadable": self.unreadable,
            "missing": self.missing,
            "unexpected": self.unexpected,
            "results": self.results,
        }

    def lines(self) -> list[str]:
        """The summary for people, one line a fact."""
        return [
            f"{self.input_rows:,} rows in, {self.output_rows:,} out: {self.answered:,} answered, {self.short:,} short, "
            f"{self.failed:,} failed, {self.unreadable:,} unreadable; {self.missing:,} missing, "
            f"{self.unexpected:,} unexpected",
            *(f"{finding.count:,} row(s): {finding.gist}" for finding in self.failures),
            *(f"  {example}" for finding in self.failures for example in finding.examples),
            *(f"missing: {place}" for place in self.missing_places),
            *(f"unexpected: {place}" for place in self.unexpected_places),
        ]


def summarize(
    inputs: Iterable[tuple[str, BinaryIO]],
    outputs: Iterable[tuple[str, BinaryIO]],
    *,
    num_results: int,
    most_examples: int = _MOST_EXAMPLES,
) -> OutputSummary:
    """Read every file once, each given as (name, stream), and compare. Raises only what reading the streams raises.

    ``num_results``: of the job; fewer make a row short.
    """
    summary = OutputSummary()
    failures = Findings()
    with Digests() as asked, Digests() as answered:
        input_names = _read_inputs(inputs, asked, summary)
        output_names = _read_outputs(outputs, answered, summary, failures, num_results)
        summary.missing, missing = asked.beyond(answered, most_examples)
        summary.unexpected, unexpected = answered.beyond(asked, most_examples)
    summary.missing_places = [place_in(input_names, place) for place in missing]
    summary.unexpected_places = [place_in(output_names, place) for place in unexpected]
    summary.failures = list(failures)
    return summary


def _read_inputs(files: Iterable[tuple[str, BinaryIO]], asked: Digests, summary: OutputSummary) -> list[str]:
    names: list[str] = []
    for name, stream in files:
        base = len(names) << LINE_BITS
        names.append(name)
        for block in read_blocks(stream, _ANY_ROW, style=Style.COMPACT):
            summary.input_rows += len(block)
            asked.add([_echoed(echo) for echo in block.inputs], [base + line for line in block.line_numbers])
    return names


def _read_outputs(
    files: Iterable[tuple[str, BinaryIO]],
    answered: Digests,
    summary: OutputSummary,
    failures: Findings,
    num_results: int,
) -> list[str]:
    names: list[str] = []
    for name, stream in files:
        base = len(names) << LINE_BITS
        names.append(name)
        values: list[bytes] = []
        places: list[int] = []
        for line_number, line in enumerate(stream, 1):
            text = line.removeprefix(_BOM) if line_number == 1 else line
            if not text.strip():
                continue
            summary.output_rows += 1
            try:
                row = parse_output_row(text, line_number=line_number)
                value = canonical(row.input)
            # TypeError: an input nested deeper than orjson writes.
            except (OutputRowError, TypeError) as error:
                summary.unreadable += 1
                failures.add(f"{name}, line {line_number}", str(error))
                continue
            _count(row, f"{name}, line {line_number}", summary, failures, num_results)
            values.append(value)
            places.append(base + line_number)
            if len(values) == _BLOCK_ROWS:
                answered.add(values, places)
                values.clear()
                places.clear()
        answered.add(values, places)
    return names


def _count(row: OutputRow, place: str, summary: OutputSummary, failures: Findings, num_results: int) -> None:
    summary.results += len(row.ids)
    if row.error is not None:
        summary.failed += 1
        failures.add(place, row.error)
    elif len(row.ids) < _wanted(row, num_results):
        summary.short += 1
    else:
        summary.answered += 1


def _wanted(row: OutputRow, num_results: int) -> int:
    """A ranking answers no more items than its row lists."""
    listed = row.input.get("itemList") if isinstance(row.input, Mapping) else None
    return min(num_results, len(set(map(str, listed)))) if isinstance(listed, list) else num_results


def _echoed(echo: bytes) -> bytes:
    return canonical(orjson.loads(echo))
