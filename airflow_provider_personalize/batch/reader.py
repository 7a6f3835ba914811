"""A stream of input rows -> blocks, in memory that does not grow with the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count, islice, repeat
from typing import BinaryIO

from airflow_provider_personalize.batch.rows import MAX_LINE_BYTES, InputBlock, RowFormat, parse_block
from airflow_provider_personalize.batch.style import Style

#: Lines that are shuffled among themselves. Whoever cuts a file into parts cuts it after a multiple of as many.
WINDOW = 64
# A block of ordinary rows stays far below this; a block of long ones ends here, not at `block_rows` times 16 MiB.
_BLOCK_BYTES = 16 * 1024 * 1024
_DISCARD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Lines with their ends, and the 1-based number of each in its file."""

    lines: list[bytes]
    numbers: Sequence[int]

    def parse(self, row_format: RowFormat, style: Style) -> InputBlock:
        return parse_block(self.lines, row_format, line_numbers=self.numbers, style=style)


def read_blocks(
    stream: BinaryIO, row_format: RowFormat, *, style: Style, block_rows: int = 4096, first_line: int = 1
) -> Iterator[InputBlock]:
    """The rows of :func:`read_lines`, checked; blocks without a row (blank lines are none) are left out."""
    for block in read_lines(stream, block_rows=block_rows, first_line=first_line):
        if (parsed := block.parse(row_format, style)).rows:
            yield parsed


def read_lines(
    stream: BinaryIO,
    *,
    block_rows: int | Iterator[int] = 4096,
    first_line: int = 1,
    at_most: int | None = None,
    shuffle: int | None = None,
) -> Iterator[LineBlock]:
    """The lines of a buffered binary ``stream`` in blocks of at most ``block_rows``.

    A byte order mark at the start of a file is dropped, lines end with LF or CRLF and the last one need not. Of a line
    longer than 16 MiB only the beginning is held. Raises what reading the stream raises, nothing else.

    Args:
        block_rows: of every block, or of one block after the other.
        first_line: the number of the stream's first line, for a stream that starts inside a file.
        at_most: how many lines to read; all where it is None.
        shuffle: mix the lines of each :data:`WINDOW` by this seed and what they say, so that their order depends on
            nothing else; None for the order of the stream.
    """
    lines = islice(_lines(stream, has_mark=first_line == 1), at_most)
    sizes = repeat(block_rows) if isinstance(block_rows, int) else block_rows
    if shuffle is not None:
        yield from _numbered_blocks(_shuffled(lines, first_line, shuffle), sizes)
        return
    for block in _blocks(lines, sizes):
        yield LineBlock(block, range(first_line, first_line + len(block)))
        first_line += len(block)


def _blocks(lines: Iterator[bytes], sizes: Iterator[int]) -> Iterator[list[bytes]]:
    held: list[bytes] = []
    size, most = 0, next(sizes)
    for line in lines:
        held.append(line)
        size += len(line)
        if len(held) == most or size >= _BLOCK_BYTES:
            yield held
            held, size, most = [], 0, next(sizes)
    if held:
        yield held


def _shuffled(lines: Iterator[bytes], first_line: int, seed: int) -> Iterator[tuple[int, bytes]]:
    salt = seed.to_bytes(16, "little", signed=True)
    numbered = zip(count(first_line), lines)
    while window := list(islice(numbered, WINDOW)):
        window.sort(key=lambda pair: blake2b(pair[1].rstrip(b"\r\n"), digest_size=8, salt=salt).digest())
        yield from window


def _numbered_blocks(lines: Iterable[tuple[int, bytes]], sizes: Iterator[int]) -> Iterator[LineBlock]:
    numbers: list[int] = []

    def noting() -> Iterator[bytes]:
        for number, line in lines:
            numbers.append(number)
            yield line

    for block in _blocks(noting(), sizes):
        yield LineBlock(block, numbers[: len(block)])
        del numbers[: len(block)]


def _lines(stream: BinaryIO, has_mark: bool) -> Iterator[bytes]:
    """Lines with their ends; of one that is too long, just enough bytes for it to be seen as too long."""
    longest = MAX_LINE_BYTES + len(codecs.BOM_UTF8 + b"\r\n")
    while line := stream.readline(longest):
        is_whole = len(line) < longest or line.endswith(b"\n")
        yield line.removeprefix(codecs.BOM_UTF8) if has_mark else line
        has_mark = False
        while not is_whole:
            rest = stream.readline(_DISCARD_BYTES)
            is_whole = not rest or rest.endswith(b"\n")
