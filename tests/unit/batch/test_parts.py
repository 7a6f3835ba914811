"""An input cut into parts: nothing lost, nothing changed, no part beyond its limits, and none too many."""

from __future__ import annotations

import io
from itertools import groupby
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.parts import (
    LineTooLongError,
    numbered,
    part_name,
    part_number,
    row_lines,
)
from airflow_provider_personalize.batch.rows import MAX_LINE_BYTES


def lines_of(*files: bytes) -> list[bytes]:
    return list(row_lines((f"{number}.json", io.BytesIO(data)) for number, data in enumerate(files)))


def parts_of(lines: list[bytes], most_rows: int, most_bytes: int = 10**9) -> list[list[bytes]]:
    found = numbered(lines, most_rows=most_rows, most_bytes=most_bytes)
    return [[line for _, line in part] for _, part in groupby(found, key=itemgetter(0))]


def fewest(lines: list[bytes], most_rows: int, most_bytes: int) -> int:
    """How few consecutive parts there can be, tried out: the fewest for each beginning of the lines."""
    best = [0]
    for end in range(1, len(lines) + 1):
        starts = [
            start
            for start in range(end)
            if end - start <= most_rows and (end - start == 1 or sum(map(len, lines[start:end])) <= most_bytes)
        ]
        best.append(1 + min(best[start] for start in starts))
    return best[-1]


LINES = st.lists(st.binary(max_size=8).map(lambda text: b"{" + text.replace(b"\n", b"") + b"}\n"), max_size=25)


@given(LINES, st.integers(1, 6), st.integers(1, 40))
def test_the_parts_are_the_input_each_is_within_its_limits_and_there_are_as_few_as_can_be(
    lines: list[bytes], most_rows: int, most_bytes: int
) -> None:
    parts = parts_of(lines, most_rows, most_bytes)
    assert [line for part in parts for line in part] == lines
    assert all(1 <= len(part) <= most_rows for part in parts)
    assert all(len(part) == 1 or sum(map(len, part)) <= most_bytes for part in parts)
    assert len(parts) == fewest(lines, most_rows, most_bytes)


@given(st.lists(st.lists(st.sampled_from([b"{}", b'{"a": "\xc3\xa9"}', b"\xff", b"", b" \t", b"x\r"])), max_size=4))
def test_every_line_that_is_not_blank_is_kept_byte_for_byte(files: list[list[bytes]]) -> None:
    found = lines_of(*(b"\n".join(file) for file in files))
    assert found == [line + b"\n" for file in files for line in file if line.strip()]


def test_the_number_of_parts_is_the_quotient_rounded_up() -> None:
    lines = [b"%d\n" % number for number in range(1001)]
    assert [len(part) for part in parts_of(lines, 500)] == [500, 500, 1]
    assert [len(part) for part in parts_of(lines[:1000], 500)] == [500, 500]


def test_rows_do_not_run_together_where_a_file_ends_without_a_line_end() -> None:
    assert lines_of(b'{"userId": "a"}', b'{"userId": "b"}\r\n{"userId": "c"}') == [
        b'{"userId": "a"}\n',
        b'{"userId": "b"}\r\n',
        b'{"userId": "c"}\n',
    ]


def test_a_byte_order_mark_does_not_get_into_the_middle_of_a_part() -> None:
    assert lines_of(b"{}\n", b"\xef\xbb\xbf{}\n", b"\xef\xbb\xbf") == [b"{}\n", b"{}\n"]


def test_a_line_that_is_too_long_for_a_row_is_refused_rather_than_cut() -> None:
    longest = b"x" * MAX_LINE_BYTES
    assert lines_of(longest) == [longest + b"\n"]
    with pytest.raises(LineTooLongError, match=r"1\.json, line 2 is longer than 16,777,216 bytes"):
        lines_of(b"{}", b"{}\nx" + longest)


@given(st.integers(0, 10**6))
def test_a_part_is_known_by_its_name(number: int) -> None:
    assert part_number(part_name(number)) == number


@pytest.mark.parametrize(
    "name",
    ["part-001/input.json", "part-00001/input.json", "part-0001/input.json.out", "part-0001/users.json", "x", ""],
)
def test_other_names_are_no_parts(name: str) -> None:
    assert part_number(name) is None


def test_parts_are_numbered_in_the_order_of_their_names() -> None:
    assert [part_name(number) for number in (0, 17)] == ["part-0000/input.json", "part-0017/input.json"]
