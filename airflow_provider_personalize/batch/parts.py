"""The rows of an input that no single job takes, cut into parts that one job each does.

Lines stay as they are and in order, so the parts one after another are the input. Each part takes as many rows as fit,
so there are as few as can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from airflow_provider_personalize.batch.reader import read_lines
from airflow_provider_personalize.batch.rows import MAX_LINE_BYTES, is_too_long

_NAME = re.compile(r"part-(\d{4,})/input\.json")


class LineTooLongError(ValueError):
    """A line that no job reads as a row. ``line``: 1-based."""

    def __init__(self, file: str, line: int) -> None:
        super().__init__(file, line)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        return f"{self.file}, line {self.line} is longer than {MAX_LINE_BYTES:,} bytes; a line is one row."


def row_lines(files: Iterable[tuple[str, BinaryIO]]) -> Iterator[bytes]:
    """The lines of all files, each given as (name, stream), with their ends; the last of a file is given one.

    Blank lines and a file's byte order mark are no rows, and are left out. Raises :class:`LineTooLongError` beyond 16
    MiB, and what reading the streams raises.
    """
    for name, stream in files:
        for block in read_lines(stream):
            for number, line in zip(block.numbers, block.lines, strict=True):
                if is_too_long(line):
                    raise LineTooLongError(name, number)
                if line.strip():
                    yield line if line.endswith(b"\n") else line + b"\n"


def numbered(lines: Iterable[bytes], *, most_rows: int, most_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Each line after the number of its part, from 0 on: what ``itertools.groupby`` makes parts of.

    A part has at most ``most_rows`` lines and ``most_bytes`` bytes, both at least 1. A line longer than that is a part
    by itself.
    """
    number = rows = size = 0
    for line in lines:
        if rows == most_rows or (rows and size + len(line) > most_bytes):
            number += 1
            rows = size = 0
        rows += 1
        size += len(line)
        yield number, line


def part_name(number: int) -> str:
    """The object of a part below the folder of all, in a folder of its own: an input location is a prefix."""
    return f"part-{number:04}/input.json"


def part_number(name: str) -> int | None:
    """The inverse of :func:`part_name`; None for any other name."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found and part_name(int(found[1])) == name else None
