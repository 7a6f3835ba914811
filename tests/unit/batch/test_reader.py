"""A stream -> blocks."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.batch.reader import read_blocks, read_lines
from airflow_provider_personalize.batch.rows import ITEM_ROWS, MAX_LINE_BYTES, USER_ROWS
from airflow_provider_personalize.batch.style import Style
from airflow_provider_personalize.batch.writer import write_recommendations, write_segments


def blocks(data: bytes, **options):
    return list(read_blocks(io.BytesIO(data), USER_ROWS, style=Style.COMPACT, **options))


def users(data: bytes) -> list[str | None]:
    return [row and row["userId"] for block in blocks(data) for row in block.rows]


def lines_of(count: int) -> bytes:
    return b"".join(b'{"userId":"%d"}\n' % i for i in range(count))


class TestBlocks:
    def test_rows_come_in_order_in_blocks_that_know_their_lines(self) -> None:
        got = blocks(lines_of(10), block_rows=4)
        assert [(block.first_line, len(block)) for block in got] == [(1, 4), (5, 4), (9, 2)]
        assert [row["userId"] for block in got for row in block.rows] == [str(i) for i in range(10)]

    @pytest.mark.parametrize("shuffle", [None, 1])
    def test_each_block_may_have_a_size_of_its_own(self, shuffle: int | None) -> None:
        sizes = iter([4, 3, 1, 1, 1, 1])
        got = list(read_lines(io.BytesIO(lines_of(10)), block_rows=sizes, shuffle=shuffle))
        assert [len(block.lines) for block in got] == [4, 3, 1, 1, 1]
        assert sorted(number for block in got for number in block.numbers) == list(range(1, 11))

    def test_an_error_names_the_line_of_the_file_not_of_the_block(self) -> None:
        got = blocks(lines_of(5) + b"\n\nbroken\n", block_rows=4)
        assert got[1].errors[1].startswith("Line 8: ")

    def test_a_stream_that_starts_inside_a_file_counts_on_from_there(self) -> None:
        (block,) = blocks(b"x\n", first_line=1_000_001)
        assert block.errors[0].startswith("Line 1000001: ")

    def test_blocks_without_rows_are_not_given(self) -> None:
        got = blocks(b"\n" * 10 + b'{"userId":"1"}\n', block_rows=4)
        assert [(block.first_line, block.line_numbers) for block in got] == [(9, [11])]

    @pytest.mark.parametrize("data", [b"", b"\n", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
    def test_a_file_without_rows_gives_no_block(self, data: bytes) -> None:
        assert blocks(data) == []

    def test_blocks_of_long_lines_end_early(self) -> None:
        line = b'{"userId":"1"}' + b" " * (5 << 20) + b"\n"
        assert [len(block) for block in blocks(line * 8)] == [4, 4]


class TestLineEnds:
    def test_lf_crlf_and_no_end_at_all(self) -> None:
        assert users(b'{"userId":"1"}\r\n{"userId":"2"}\n{"userId":"3"}') == ["1", "2", "3"]

    def test_a_byte_order_mark_is_dropped_at_the_start_only(self) -> None:
        assert users(b'\xef\xbb\xbf{"userId":"1"}\n\xef\xbb\xbf{"userId":"2"}\n') == ["1", None]

    def test_line_separators_of_unicode_do_not_end_a_line(self) -> None:
        assert users('{"userId":"a\u2028b\u0085c"}\n'.encode()) == ["a\u2028b\u0085c"]


class TestLongLines:
    @pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["none", "lf", "crlf"])
    @pytest.mark.parametrize("extra", [0, 1, 2, 3, 4, 5, 6, 7, 1 << 20])
    def test_the_longest_line_is_taken_and_one_byte_more_costs_the_row(
        self, extra: int, end: bytes, start: bytes
    ) -> None:
        long = start + b'{"userId":"1"}' + b" " * (MAX_LINE_BYTES - 14 + extra) + end
        first = None if extra else "1"
        assert users(long) == [first]
        if end:
            assert users(long + b'{"userId":"2"}') == [first, "2"]

    def test_the_rows_after_it_are_not_lost(self) -> None:
        data = b'{"userId":"1"}\n' + b"x" * (MAX_LINE_BYTES * 2) + b'\n{"userId":"2"}\n'
        (first, second) = blocks(data)
        assert first.rows == [{"userId": "1"}, None]
        assert first.errors[1].startswith("Line 2: longer than 16 MiB")
        assert json.loads(first.inputs[1]) == "x" * 256
        assert (second.first_line, second.rows) == (3, [{"userId": "2"}])

    def test_a_line_without_an_end_is_never_held_whole(self) -> None:
        class Endless(io.RawIOBase):
            left = 256 << 20

            def readable(self) -> bool:
                return True

            def readinto(self, buffer) -> int:
                taken = min(len(buffer), self.left)
                buffer[:taken] = b"x" * taken
                self.left -= taken
                return taken

        tracemalloc.start()
        try:
            (block,) = read_blocks(io.BufferedReader(Endless(), 1 << 20), USER_ROWS, style=Style.COMPACT)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert list(block.errors) == [0]
        assert peak < 5 * MAX_LINE_BYTES


def broken_and_whole_lines() -> st.SearchStrategy[bytes]:
    whole = st.builds(lambda id_: orjson.dumps({"userId": id_}), st.text(st.characters(codec="utf-8"), max_size=5))
    return st.lists(st.binary(max_size=12) | whole | st.sampled_from([b"", b"\r", b"[]", b'{"userId":1}'])).map(
        b"\n".join
    )


@settings(max_examples=150, deadline=None)
@given(broken_and_whole_lines(), st.sampled_from([1, 2, 4096]))
@example(b"\xff\xfe{\x00}\x00\n\x00", 1)
@example(b"\x0b\n\x0c\n\x1c\n\xc2\x85", 4096)
def test_any_bytes_give_one_output_row_per_line_that_is_not_blank(data: bytes, block_rows: int) -> None:
    expected = [
        number for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1) if line.strip()
    ]
    for style, write in ((Style.COMPACT, written_recommendations), (Style.SPACED, written_segments)):
        got = list(read_blocks(io.BytesIO(data), USER_ROWS, style=style, block_rows=block_rows))
        assert [number for block in got for number in block.line_numbers] == expected
        output = b"".join(map(write, got))
        rows = [json.loads(line) for line in output.splitlines()]
        assert len(rows) == len(expected) == output.count(b"\n")
        for (message, parsed), row in zip(messages_and_rows(got), rows, strict=True):
            assert list(row) == ["input", "output", "error"]
            assert row["error"] == (message and {"errorMessage": message})
            assert (row["output"] is None) == (message is not None)
            assert parsed is None or row["input"] == parsed


def written_recommendations(block) -> bytes:
    return write_recommendations(block.inputs, [[b'"i"']] * len(block), [[1]] * len(block), block.errors)


def written_segments(block) -> bytes:
    return write_segments(block.inputs, [[b'"u"']] * len(block), block.errors)


def messages_and_rows(got) -> Iterator[tuple]:
    for block in got:
        for position, row in enumerate(block.rows):
            assert (row is None) == (position in block.errors)
            yield block.errors.get(position), row


def test_an_item_file_given_to_a_user_recipe_loses_no_row() -> None:
    data = b"".join(b'{"itemId":"%d"}\n' % i for i in range(3))
    assert [len(block.errors) for block in blocks(data)] == [3]
    assert [len(b.errors) for b in read_blocks(io.BytesIO(data), ITEM_ROWS, style=Style.SPACED)] == [0]
