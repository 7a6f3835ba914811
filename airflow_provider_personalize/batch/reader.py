"""A stream of input rows -> blocks, in memory that does not grow with the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from airflow_provider_personalize.batch.rows import MAX_LINE_BYTES, InputBlock, RowFormat, parse_block
from airflow_provider_personalize.batch.style import Style

# A block of ordinary rows stays far below this; a block of long ones ends here, not at `block_rows` times 16 MiB.
_BLOCK_BYTES = 16 * 1024 * 1024
_DISCARD_BYTES = 1 << 20


def read_blocks(
    stream: BinaryIO, row_format: RowFormat, *, style: Style, block_rows: int = 4096, first_line: int = 1
) -> Iterator[InputBlock]:
    """The rows of a buffered binary ``stream`` in blocks of at most ``block_rows`` lines, in order.

    A byte order mark at the start of the stream is dropped, blank lines give no row, lines end with LF or CRLF and the
    last one need not. Of a line longer than 16 MiB only the beginning is held. ``first_line`` is the number of the
    stream's first line, for a stream that starts inside a file. Raises what reading the stream raises, nothing else.
    """
    lines: list[bytes] = []
    held = 0
    for line in _lines(stream):
        lines.append(line)
        held += len(line)
        if len(lines) == block_rows or held >= _BLOCK_BYTES:
            block = parse_block(lines, row_format, first_line=first_line, style=style)
            first_line += len(lines)
            lines.clear()
            held = 0
            if block.rows:
                yield block
    if (block := parse_block(lines, row_format, first_line=first_line, style=style)).rows:
        yield block


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends; of one that is too long, just enough bytes for it to be seen as too long."""
    longest = MAX_LINE_BYTES + len(codecs.BOM_UTF8 + b"\r\n")
    at_start = True
    while line := stream.readline(longest):
        is_whole = len(line) < longest or line.endswith(b"\n")
        yield line.removeprefix(codecs.BOM_UTF8) if at_start else line
        at_start = False
        while not is_whole:
            rest = stream.readline(_DISCARD_BYTES)
            is_whole = not rest or rest.endswith(b"\n")
