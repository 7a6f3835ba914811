"""One input file in parts that can be answered anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airflow_provider_personalize.batch.reader import WINDOW

_CHUNK = 1 << 20
_LF = ord("\n")


@dataclass(frozen=True, slots=True)
class Shard:
    """The bytes from ``start`` to ``end`` of a file: whole lines, ``lines`` of them, the first with number
    ``first_line``.
    """

    file: Path
    start: int
    end: int
    first_line: int
    lines: int


def cut(file: Path, shard_bytes: int) -> list[Shard]:
    """A file's shards, in order, each at least ``shard_bytes`` long but for the last; none for an empty file.

    Every shard but the last has a multiple of :data:`WINDOW` lines, so that what is mixed stays together.
    """
    shards: list[Shard] = []
    start, first_line = 0, 1
    read, ends = 0, 0  # bytes, and line ends among them
    last = b""
    with file.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            found = np.flatnonzero(np.frombuffer(chunk, np.uint8) == _LF)
            places = read + 1 + found[(WINDOW - 1 - ends) % WINDOW :: WINDOW]  # where a shard may end
            numbers = ends + 1 + np.arange(len(found))[(WINDOW - 1 - ends) % WINDOW :: WINDOW]
            while (first := int(np.searchsorted(places, start + shard_bytes))) < len(places):
                end, lines = int(places[first]), int(numbers[first])
                shards.append(Shard(file, start, end, first_line, lines + 1 - first_line))
                start, first_line = end, lines + 1
            read += len(chunk)
            ends += len(found)
            last = chunk
    if start < read:
        unended = not last.endswith(b"\n")
        shards.append(Shard(file, start, read, first_line, ends + unended + 1 - first_line))
    return shards
