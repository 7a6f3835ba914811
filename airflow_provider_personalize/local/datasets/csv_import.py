"""CSV files -> one columnar file, checked against the dataset's schema.

The file is uncompressed Arrow IPC: every process that reads it maps it, and nothing is decoded again. The good case
streams through polars in bounded memory. polars cannot say where a bad value stands, so a refused file is read a
second time, record by record, by a plain reader that counts lines: exact, and only paid for when the import has failed.

How a CSV is read (developer guide, "Preparing training data"; what it leaves open is decided here):

* UTF-8, a byte order mark is skipped; the header names columns exactly as the schema does, in any order; columns that
  the schema does not have are ignored.
* A value may stand in double quotes; within them a quote is written ``""`` or ``\\"``, a backslash ``\\\\`` or, before
  anything else, as itself. Quoted values may hold commas and newlines.
* An empty cell is null; cells that a short record lacks are empty; a record without any value is skipped.
* Times are whole epoch seconds; floats are finite.
"""

from __future__ import annotations

import csv
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from threading import Event

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from airflow_provider_personalize.local.datasets.bounds import (
    FLOAT_OVERFLOW,
    INT_BITS,
    LATEST_TIME,
    is_time,
    longest,
    not_a_time,
)
from airflow_provider_personalize.local.datasets.dataset import COLUMN_TYPES
from airflow_provider_personalize.local.datasets.schema import DatasetSchema, Field
from airflow_provider_personalize.local.disk import sync

_BOOLEANS = {"true": True, "false": False}
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_SHOWN = 80
_CHUNK = 1 << 20
_WRITE_BACK_SECONDS = 0.1
_BEFORE_A_CELL = np.frombuffer(b',\n"', np.uint8)


class DatasetImportError(ValueError):
    """An import that failed; the text is the job's failure reason and names file, line and column."""


def import_csv(
    paths: Sequence[Path],
    schema: DatasetSchema,
    destination: Path,
    *,
    minimum_rows: int = 1,
    before_publishing: Callable[[], None] = lambda: None,
) -> int:
    """Check CSV files against ``schema`` and write their records to ``destination``, whole or not at all.

    Columns of the result carry the schema's names in upper case and its types; records keep their order.

    Args:
        minimum_rows: the fewest records all files together may hold; the service wants 1000 interactions.
        before_publishing: called when all is written, right before that takes the place of ``destination``; where this
            raises, ``destination`` stays as it was.

    Returns:
        The number of records written.

    Raises:
        DatasetImportError: a file breaks a rule of this module or of the schema.
    """
    if not paths:
        raise DatasetImportError("Invalid Data location. There is no CSV file to import.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{destination.name}-", dir=destination.parent)
    os.close(handle)
    partial = Path(name)
    try:
        with _written_to_disk(partial):
            rows = _convert(paths, schema, partial)
        if rows < minimum_rows:
            kind = "interactions" if schema.dataset_type == "INTERACTIONS" else "records"
            raise DatasetImportError(f"Input CSV has {rows} {kind}; an import needs at least {minimum_rows} {kind}.")
        partial.chmod(0o644)  # mkstemp gives the file to its maker alone
        before_publishing()
        os.replace(partial, destination)
    finally:
        partial.unlink(missing_ok=True)
    return rows


@contextmanager
def _written_to_disk(path: Path) -> Iterator[None]:
    """A file that is on the disk at the block's end, and goes there as it is written: the disk would else begin when
    the processors end. Raises ``OSError`` where the disk failed at any time."""
    over = Event()

    def write_back() -> None:
        ended = False
        while not ended:
            ended = over.wait(_WRITE_BACK_SECONDS)
            sync(path)

    with ThreadPoolExecutor(1) as beside:
        writing = beside.submit(write_back)
        try:
            yield
        finally:
            over.set()
        writing.result()


def _convert(paths: Sequence[Path], schema: DatasetSchema, destination: Path) -> int:
    headers = [_header(path, schema) for path in paths]
    traits = [_traits(path) for path in paths]
    with _readable(paths, traits, destination.parent) as sources:
        for scan in (_scan_numbers, _scan_text):
            if scan is _scan_numbers and any(_Traits.INDENTED_CELL in trait for trait in traits):
                continue
            with suppress(PolarsError, UnicodeDecodeError, _BrokenRecordError):
                return _stream(scan, sources, headers, schema, destination)
        # Write again in the plainest form what a record-by-record reader understands; where that finds a fault,
        # it says so. What remains is a stray quote in an unquoted cell, over which polars loses count.
        with tempfile.TemporaryDirectory(prefix=".csv-", dir=destination.parent) as scratch:
            plain = [Path(scratch, str(number)) for number in range(len(paths))]
            for source, path, header, target in zip(sources, paths, headers, plain, strict=True):
                _rewrite(source, path, header, schema, target)
            try:
                return _stream(_scan_text, plain, headers, schema, destination)
            except (PolarsError, _BrokenRecordError) as error:
                names = ", ".join(path.name for path in paths)
                raise DatasetImportError(f"{names}: the CSV cannot be read: {error}") from error


def _header(path: Path, schema: DatasetSchema) -> list[str]:
    """The names in the first line, checked against the schema."""
    try:
        with path.open("rb") as file:
            header = next(csv.reader(_decoded(file, path)), None)
    except OSError as error:
        raise DatasetImportError(f"Invalid Data location. {path.name}: {error.strerror}.") from None
    except csv.Error as error:
        raise DatasetImportError(f"{path.name}, line 1: the header cannot be read: {error}.") from None
    if not header:
        raise DatasetImportError(f"{path.name}: the file is empty; its first line must name the columns.")
    missing = [field.name for field in schema.fields if field.name not in header]
    if missing:
        raise DatasetImportError(f"{path.name}: Input CSV is missing the following columns:[{', '.join(missing)}].")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DatasetImportError(f"{path.name}, line 1: the header has column {repeated[0]} more than once.")
    return header


# -- what polars reads otherwise --------------------------------------------------------------------------------------


class _Traits(Flag):
    """What a file may have that polars does not read as this module does."""

    BACKSLASH = auto()
    INDENTED_CELL = auto()  # polars reads a number over blanks before it, which are a fault here


def _traits(path: Path) -> _Traits:
    """Those of a file, in one reading."""
    traits = _Traits(0)
    chunk = bytearray(1 + _CHUNK)  # the byte before it, and the bytes read
    chunk[0] = ord("\n")
    with path.open("rb", buffering=0) as file:
        while (size := file.readinto(memoryview(chunk)[1:])) and traits != ~_Traits(0):
            end = 1 + size
            if chunk.find(b"\\", 1, end) >= 0:
                traits |= _Traits.BACKSLASH
            if _Traits.INDENTED_CELL not in traits and _has_indented_cell(chunk, end):
                traits |= _Traits.INDENTED_CELL
            chunk[0] = chunk[size]
    return traits


def _has_indented_cell(chunk: bytearray, end: int) -> bool:
    """Whether any cell, quoted or not, may begin with a space or a tab; a comma in a text may look like one."""
    if chunk.find(b" ", 1, end) < 0 and chunk.find(b"\t", 1, end) < 0:
        return False
    content = np.frombuffer(chunk, np.uint8, end)
    blanks = np.flatnonzero((content[1:] == ord(" ")) | (content[1:] == ord("\t")))
    return bool(np.isin(content[blanks], _BEFORE_A_CELL).any())


@contextmanager
def _readable(paths: Sequence[Path], traits: Sequence[_Traits], directory: Path) -> Iterator[list[Path]]:
    """The same files with ``\\"`` written ``""``, which is all that CSV readers know; copies only where needed."""
    with tempfile.TemporaryDirectory(prefix=".csv-", dir=directory) as scratch:
        sources = []
        for position, (path, trait) in enumerate(zip(paths, traits, strict=True)):
            if _Traits.BACKSLASH in trait:
                copy = Path(scratch, str(position))
                _double_quotes(path, copy)
                sources.append(copy)
            else:
                sources.append(path)
        yield sources


_QUOTING = re.compile(rb'([,\r\n]?)("+)|\\["\\]')
_QUOTING_BYTES = b',\r\n"\\'


def _double_quotes(source: Path, target: Path) -> None:
    quoted = False

    def rewrite(match: re.Match[bytes]) -> bytes:
        nonlocal quoted
        token, before, quotes = match.group(0, 1, 2)
        if quotes:
            # Two within a cell are one of its text. Elsewhere, only a quote that begins a cell opens it.
            odd = len(quotes) % 2 == 1
            quoted = not odd if quoted else odd and bool(before)
        elif quoted:
            return b'""' if token == b'\\"' else b"\\"
        return token

    with source.open("rb") as reader, target.open("wb") as writer:
        rest = b""
        while chunk := reader.read(_CHUNK):
            chunk = rest + chunk
            # What a token is may depend on the bytes that follow.
            end = len(chunk.rstrip(_QUOTING_BYTES))
            rest = chunk[end:]
            writer.write(_QUOTING.sub(rewrite, chunk[:end]))
        writer.write(_QUOTING.sub(rewrite, rest))


# -- the streaming pass -----------------------------------------------------------------------------------------------


class _BrokenRecordError(Exception):
    """A record breaks a rule; which one, the exact pass finds out."""


def _stream(
    scan: Callable[[Path, list[str], DatasetSchema], pl.LazyFrame],
    sources: Sequence[Path],
    headers: Sequence[list[str]],
    schema: DatasetSchema,
    destination: Path,
) -> int:
    frames = [scan(source, header, schema) for source, header in zip(sources, headers, strict=True)]
    pl.concat(frames).sink_ipc(destination, compression="uncompressed", engine="streaming")
    return int(pl.scan_ipc(destination).select(pl.len()).collect().item())


def _scan_numbers(source: Path, header: list[str], schema: DatasetSchema) -> pl.LazyFrame:
    """Cells as polars reads them: quicker, but a cell that is ``""`` and a record without any value are broken here."""
    numbers = {field.name: COLUMN_TYPES[field.type] for field in schema.fields if field.numeric}
    frame = pl.scan_csv(source, schema={name: numbers.get(name, pl.String) for name in header}, glob=False)
    return frame.select(
        _checked(field, _of_text(field) if field.type == "boolean" else pl.col(field.name)) for field in schema.fields
    )


def _scan_text(source: Path, header: list[str], schema: DatasetSchema) -> pl.LazyFrame:
    frame = pl.scan_csv(source, schema=dict.fromkeys(header, pl.String), glob=False)
    anything = pl.any_horizontal((pl.col(header) != "").fill_null(False))
    return frame.filter(anything).select(_checked(field, _of_text(field)) for field in schema.fields)


def _of_text(field: Field) -> pl.Expr:
    cell = pl.col(field.name)
    text = pl.when(cell != "").then(cell).otherwise(None)
    if field.type == "string":
        return text
    if field.type == "boolean":
        return text.str.to_lowercase().replace_strict(_BOOLEANS, return_dtype=pl.Boolean)
    return text.cast(COLUMN_TYPES[field.type], strict=True)


def _checked(field: Field, column: pl.Expr) -> pl.Expr:
    """The column by its name in the result, each piece looked at as it passes, while it is in the cache."""

    def check(values: pl.Series) -> pl.Series:
        if _breaks_a_rule(field, values):
            raise _BrokenRecordError(field.name)
        return values

    checked = column.map_batches(check, return_dtype=COLUMN_TYPES[field.type], is_elementwise=True)
    return checked.alias(field.name.upper())


def _breaks_a_rule(field: Field, values: pl.Series) -> bool:
    """Whether any value breaks a rule that its type alone does not."""
    if values.null_count() and not field.nullable:
        return True
    if is_time(field):
        return bool((values < 0).any() or (values >= LATEST_TIME).any())
    if field.type in ("float", "double"):
        return not values.is_finite().all()
    if field.type == "string":
        # No text has more characters than bytes, and bytes are quicker to count.
        lengths, most = values.str.len_bytes(), longest(field)
        too_long = most and (lengths > most).any() and (values.str.len_chars() > most).any()
        return bool((lengths == 0).any() or too_long)
    return False


# -- the exact pass, after a failure ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    line: int

    def error(self, text: str) -> DatasetImportError:
        return DatasetImportError(f"{self.file}, line {self.line}: {text}")


def _rewrite(source: Path, path: Path, header: list[str], schema: DatasetSchema, target: Path) -> None:
    """Copy the records of a file, raising for the first that breaks a rule."""
    columns = [(header.index(field.name), field) for field in schema.fields]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for line, record in _records(source, path):
            if not any(record):
                continue
            place = _Place(path.name, line)
            if len(record) > len(header):
                raise place.error(f"{len(record)} values where the header names {len(header)} columns.")
            for position, field in columns:
                value = record[position] if position < len(record) else ""
                if fault := _fault(field, value):
                    if position >= len(record):
                        fault += f" The record ends after {len(record)} of {len(header)} values."
                    raise place.error(f"column {field.name}: {fault}")
            writer.writerow(record)


def _records(source: Path, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record after the header, with the number of the line on which it begins."""
    csv.field_size_limit(1 << 30)
    with source.open("rb") as file:
        lines = _decoded(file, path)
        reader = csv.reader(lines, strict=True)
        line = 1
        while True:
            try:
                record = next(reader, None)
            except csv.Error as error:
                raise _Place(path.name, line).error(f"the record that begins here cannot be read: {error}.") from None
            if record is None:
                return
            if line > 1:
                yield line, record
            line = reader.line_num + 1


def _decoded(lines: Iterable[bytes], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise _Place(path.name, number).error(f"the file is not UTF-8 (byte 0x{byte:02X}).") from None


def _fault(field: Field, value: str) -> str | None:
    """What is wrong with one cell, or None."""
    shown = repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
    if not value:
        return None if field.nullable else f"the value is empty; {field.name} is not nullable."
    if (most := longest(field)) and len(value) > most:
        return f"Length cannot be more than {most} characters for {field.name}: {shown} has {len(value)}."
    if field.type == "boolean" and value.lower() not in _BOOLEANS:
        return f"{shown} is not a boolean; true or false was expected."
    if field.type in ("float", "double"):
        if not _REAL.fullmatch(value):
            return f"{shown} is not a {field.type}; a number such as 1.5 was expected."
        if not math.isfinite(float(value)) or (field.type == "float" and abs(float(value)) >= FLOAT_OVERFLOW):
            return f"{shown} is out of range for a {field.type}."
    if bits := INT_BITS.get(field.type):
        expected = "whole epoch seconds" if is_time(field) else f"a whole number of {bits} bits"
        if not _INTEGER.fullmatch(value) or not -(1 << (bits - 1)) <= int(value) < 1 << (bits - 1):
            return f"{shown} is not a {field.type}; {expected} was expected."
        if is_time(field) and (fault := not_a_time(int(value), shown)):
            return fault
    return None
