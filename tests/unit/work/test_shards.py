"""Shards of a file: whole lines, every line once, whatever the bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.batch.reader import WINDOW, read_lines
from airflow_provider_personalize.local.work import shards
from airflow_provider_personalize.local.work.shards import cut

SAME_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@SAME_FILE
@given(
    lines=st.lists(st.sampled_from([b"", b"a", b"bb\r", b"c" * 50]), max_size=5 * WINDOW),
    ended=st.booleans(),
    shard_bytes=st.integers(1, 2000),
    chunk=st.sampled_from([1, 7, 1 << 20]),
)
def test_shards_hold_every_line_once_and_in_order(
    tmp_path: Path, lines: list[bytes], ended: bool, shard_bytes: int, chunk: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    file = tmp_path / "lines"
    file.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_CHUNK", chunk)
        found = cut(file, shard_bytes)

    pieces = [data[shard.start : shard.end] for shard in found]
    assert b"".join(pieces) == data
    assert [piece.count(b"\n") + (not piece.endswith(b"\n")) for piece in pieces] == [shard.lines for shard in found]
    first_lines = [1]
    for shard in found[:-1]:
        assert data[: shard.end].endswith(b"\n")
        assert shard.lines % WINDOW == 0
        assert shard.end - shard.start >= shard_bytes
        first_lines.append(first_lines[-1] + shard.lines)
    assert [shard.first_line for shard in found] == first_lines[: len(found)]


def test_an_empty_file_has_no_shard(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert cut(tmp_path / "empty", 10) == []


@pytest.mark.parametrize("seed", [None, 1])
def test_shards_read_as_the_file_does_shuffled_or_not(tmp_path: Path, seed: int | None) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"\xef\xbb\xbf" + b"".join(b"%d\n" % (number // 3) for number in range(5 * WINDOW + 9)))

    def read(shard_bytes: int, block_rows: int) -> list[tuple[int, bytes]]:
        found = []
        for shard in cut(file, shard_bytes):
            with file.open("rb") as stream:
                stream.seek(shard.start)
                for block in read_lines(
                    stream, block_rows=block_rows, first_line=shard.first_line, at_most=shard.lines, shuffle=seed
                ):
                    found += list(zip(block.numbers, block.lines, strict=True))
        return found

    whole = read(1 << 30, 4096)
    assert [line for _, line in sorted(whole)] == [b"%d\n" % (number // 3) for number in range(5 * WINDOW + 9)]
    assert (whole == sorted(whole)) is (seed is None)
    assert read(100, 7) == whole
