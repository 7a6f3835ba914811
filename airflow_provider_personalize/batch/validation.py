"""The input of a batch job, checked before the job is paid for: files -> a report.

The same reader and the same row formats as the local backend's jobs. A report is bounded whatever the input is; memory
is bounded too, see `digests`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from airflow_provider_personalize.batch.attribute_query import AttributeQuerySyntaxError, parse_attribute_query
from airflow_provider_personalize.batch.digests import LINE_BITS, Digests, canonical, place_in
from airflow_provider_personalize.batch.filter_expression import FilterExpression
from airflow_provider_personalize.batch.findings import Finding, Findings, shortened
from airflow_provider_personalize.batch.placeholders import FilterValuesError, Placeholders
from airflow_provider_personalize.batch.reader import read_blocks
from airflow_provider_personalize.batch.recipes import QUOTAS, ROW_FORMATS, JobKind, Quotas
from airflow_provider_personalize.batch.rows import InputBlock, Row
from airflow_provider_personalize.batch.style import Style

_MOST_PROBLEMS = 20
_START = 4096


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input. ``stream`` is buffered and can seek; it is read once, from its start."""

    name: str
    size: int
    """In bytes, as the storage says."""
    stream: BinaryIO


@dataclass(frozen=True, slots=True)
class Problem:
    """One bad row. ``line``: 1-based, blank lines counted."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.message}"


@dataclass(slots=True)
class InputReport:
    """What an input holds. Rows are good, or bad for the reason that the job would put into their ``error``."""

    recipe: str
    kind: JobKind
    files: int = 0
    bytes: int = 0
    rows: int = 0
    """Bad ones included, blank lines not."""
    bad_rows: int = 0
    duplicate_rows: int = 0
    """Rows equal to an earlier one in some file, whatever the order of their keys: each is answered, and paid for."""
    blank_lines: int = 0
    """Before the last row of a file; they are skipped, and count in line numbers."""
    problems: list[Problem] = field(default_factory=list)
    """The first bad rows."""
    duplicates: list[str] = field(default_factory=list)
    """The first duplicate rows, each with the place of the row that it repeats."""
    findings: list[Finding] = field(default_factory=list)
    """The bad rows by what is wrong with them, the commonest first."""
    faults: list[str] = field(default_factory=list)
    """What fails the whole job: quotas, no rows at all."""
    warnings: list[str] = field(default_factory=list)
    """What the job would do and its author may not want."""

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "recipe": self.recipe,
            "kind": self.kind.value,
            "files": self.files,
            "bytes": self.bytes,
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "duplicate_rows": self.duplicate_rows,
            "blank_lines": self.blank_lines,
            "findings": [finding.as_dict() for finding in self.findings],
            "problems": [str(problem) for problem in self.problems],
            "duplicates": self.duplicates,
            "faults": self.faults,
            "warnings": self.warnings,
        }

    def lines(self) -> list[str]:
        """The report for people, one line a fact."""
        return [
            f"{self.files} file(s), {self.bytes:,} bytes, {self.rows:,} rows for {self.recipe} ({self.kind.value}): "
            f"{self.bad_rows:,} bad, {self.duplicate_rows:,} duplicate",
            *(f"fault: {fault}" for fault in self.faults),
            *(f"{finding.count:,} row(s): {finding.gist}" for finding in self.findings),
            *(f"  {problem}" for problem in self.problems),
            *(f"duplicate: {duplicate}" for duplicate in self.duplicates),
            *(f"warning: {warning}" for warning in self.warnings),
        ]


def size_faults(sizes: Iterable[int], quotas: Quotas = QUOTAS) -> list[str]:
    """What the quotas on files and bytes refuse, so that nothing is read in vain."""
    found = list(sizes)
    faults = []
    if len(found) > quotas.files:
        faults.append(f"The input has {len(found):,} files; a batch job takes {quotas.files:,} at most.")
    if sum(found) > quotas.bytes:
        faults.append(f"The input has {sum(found):,} bytes; a batch job takes {quotas.bytes:,} at most.")
    return faults


def validate_input(
    files: Iterable[InputFile],
    recipe: str,
    kind: JobKind,
    *,
    filter_expression: FilterExpression | None = None,
    quotas: Quotas = QUOTAS,
    most_problems: int = _MOST_PROBLEMS,
) -> InputReport:
    """Read every file once and say what is wrong.

    ``recipe`` is one of ``ROW_FORMATS``. With a ``filter_expression`` the rows' ``filterValues`` are checked against
    its placeholders. ``most_problems`` bounds each list of examples. Raises what reading the streams raises, nothing
    else.
    """
    report = InputReport(recipe, kind)
    findings = Findings()
    check = _check_of(recipe, filter_expression)
    names: list[str] = []
    sizes: list[int] = []
    with_values = 0
    with Digests() as digests:
        for file in files:
            names.append(file.name)
            sizes.append(file.size)
            rows_before, last_line = report.rows, 0
            report.warnings += _first_sight(file)
            for block in read_blocks(file.stream, ROW_FORMATS[recipe], style=Style.COMPACT):
                faults = _faults(block, check)
                for position, fault in faults.items():
                    findings.add(file.name, fault)
                    if len(report.problems) < most_problems:
                        message = fault.partition(": ")[2]
                        report.problems.append(Problem(file.name, block.line_numbers[position], shortened(message)))
                report.rows += len(block)
                report.bad_rows += len(faults)
                report.blank_lines += block.line_numbers[-1] - last_line - len(block)
                last_line = block.line_numbers[-1]
                base = len(names) - 1 << LINE_BITS
                digests.add(_canonicals(block), [base + line for line in block.line_numbers])
                if filter_expression is None:
                    with_values += sum(row is not None and "filterValues" in row for row in block.rows)
            if report.rows - rows_before > (most := quotas.rows(recipe, kind)):
                report.faults.append(
                    f"{file.name} holds {report.rows - rows_before:,} rows; for {recipe} ({kind.value}) a file holds "
                    f"{most:,} at most."
                )
        report.duplicate_rows, repeats = digests.repeated(most_problems)
    report.duplicates = [f"{place_in(names, place)} repeats {place_in(names, first)}" for place, first in repeats]
    report.files, report.bytes = len(names), sum(sizes)
    report.faults = size_faults(sizes, quotas) + report.faults
    if not report.rows:
        report.faults.append("The input holds no rows.")
    if with_values:
        report.warnings.append(f"{with_values:,} row(s) carry filterValues, and there is no filter that takes them.")
    report.findings = list(findings)
    return report


def _check_of(recipe: str, filter_expression: FilterExpression | None) -> Callable[[Row], str | None] | None:
    """What a row must meet beyond its format; None when that is nothing."""
    checks: list[Callable[[Row], str | None]] = []
    if recipe == "aws-item-attribute-affinity":
        checks.append(_query_fault)
    if filter_expression is not None:
        placeholders = Placeholders(filter_expression)

        def values_fault(row: Row) -> str | None:
            try:
                placeholders.values(row.get("filterValues") or {})
            except FilterValuesError as error:
                return str(error)
            return None

        checks.append(values_fault)
    if not checks:
        return None
    return lambda row: next(filter(None, (check(row) for check in checks)), None)


def _query_fault(row: Row) -> str | None:
    try:
        parse_attribute_query(row["itemAttributes"])
    except AttributeQuerySyntaxError as error:
        return f'"itemAttributes": {error.reason} (column {error.column})'
    return None


def _faults(block: InputBlock, check: Callable[[Row], str | None] | None) -> Mapping[int, str]:
    """Position in the block -> what is wrong with its row, in the job's own words."""
    if check is None:
        return block.errors
    found = {
        position: f"Line {block.line_numbers[position]}: {fault}"
        for position, row in enumerate(block.rows)
        if row is not None and (fault := check(row))
    }
    return dict(sorted((block.errors | found).items()))


def _canonicals(block: InputBlock) -> list[bytes]:
    """Each row as `canonical` makes it; what is echoed of a row with one plain member is that already."""
    return [
        echo if row is None or (len(row) < 2 and "filterValues" not in row) else canonical(row)
        for echo, row in zip(block.inputs, block.rows, strict=True)
    ]


def _first_sight(file: InputFile) -> list[str]:
    """What the first bytes of a file give away."""
    start = file.stream.read(_START)
    file.stream.seek(0)
    text = start.removeprefix(b"\xef\xbb\xbf")
    if start.startswith(b"\x1f\x8b"):
        return [f"{file.name} is compressed with gzip; the service reads plain text."]
    found = []
    if text != start:
        found.append(f"{file.name} begins with a byte order mark; the local backend drops it, the service may not.")
    if text.lstrip().startswith(b"["):
        found.append(f"{file.name} looks like a JSON array; write one object a line, without brackets and commas.")
    return found
