"""Input files as a report, before anything is paid for."""

from __future__ import annotations

import io
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.filter_expression import FilterExpression, parse_filter
from airflow_provider_personalize.batch.recipes import ROW_FORMATS, JobKind, Quotas, job_kind
from airflow_provider_personalize.batch.rows import parse_block
from airflow_provider_personalize.batch.style import Style
from airflow_provider_personalize.batch.validation import InputFile, InputReport, size_faults, validate_input

USERS = "aws-user-personalization"


def file(*lines: bytes | str, name: str = "users.json") -> InputFile:
    data = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
    return InputFile(name, len(data), io.BytesIO(data))


def report(
    *files: InputFile,
    recipe: str = USERS,
    mode: str | None = None,
    filter_expression: FilterExpression | None = None,
    quotas: Quotas | None = None,
) -> InputReport:
    kind = job_kind(recipe, mode)
    return validate_input(files, recipe, kind, filter_expression=filter_expression, quotas=quotas or Quotas())


def test_a_good_input_has_counts_and_nothing_else() -> None:
    found = report(file('{"userId": "a"}', '{"userId": "b"}'), file('{"userId": "c"}', name="more.json"))
    assert (found.files, found.rows, found.bytes) == (2, 3, 46)
    assert (found.bad_rows, found.duplicate_rows, found.blank_lines) == (0, 0, 0)
    assert found.problems == found.faults == found.warnings == found.findings == found.duplicates == []


@pytest.mark.parametrize(
    ("recipe", "row", "said"),
    [
        (USERS, '{"userId": 17}', '"userId" must be a string, not a number'),
        (USERS, '{"itemId": "i"}', 'key "userId" is missing'),
        (USERS, '{"userId": ""}', '"userId" is empty'),
        (USERS, '{"userId": "a"} {"userId": "b"}', "not JSON"),
        (USERS, '[{"userId": "a"}]', "one JSON object per line, not an array"),
        (USERS, b'{"userId": "\xff"}', "not UTF-8: byte 13"),
        ("aws-personalized-ranking", '{"userId": "a", "itemList": []}', "nothing to rank"),
        ("aws-item-affinity", '{"userId": "a"}', 'key "itemId" is missing'),
        ("aws-item-attribute-affinity", '{"itemAttributes": "ITEMS.GENRES ~ 3"}', '"itemAttributes": '),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_line(recipe: str, row: str | bytes, said: str) -> None:
    found = report(file("", ROW_FORMATS[recipe].example, row), recipe=recipe)
    assert (found.rows, found.bad_rows, found.blank_lines) == (2, 1, 1)
    (problem,) = found.problems
    assert (problem.file, problem.line) == ("users.json", 3)
    assert said in problem.message


def test_it_finds_what_a_job_would_put_into_its_errors() -> None:
    lines = [b'{"userId": "a"}', b"{}", b"", b'"x"', b'{"userId": "b", "more": 1}']
    block = parse_block(lines, ROW_FORMATS[USERS], style=Style.COMPACT)
    found = report(file(*lines))
    assert [f"Line {problem.line}: {problem.message}" for problem in found.problems] == list(block.errors.values())


def test_bad_rows_are_counted_by_what_is_wrong_with_them() -> None:
    found = report(file(*['{"userId": 1}'] * 30, "{}", '{"userId": 2.5}'))
    assert [(finding.count, finding.gist) for finding in found.findings] == [
        (31, '"userId" must be a string, not a number: ids are JSON strings, "..." and not N'),
        (1, 'key "userId" is missing'),
    ]
    assert found.bad_rows == 32
    assert len(found.problems) == 20


def test_duplicates_are_found_across_files_and_whatever_the_order_of_keys() -> None:
    one = '{"userId": "a", "itemList": ["i"]}'
    found = report(
        file(one, '{"userId": "b", "itemList": ["i"]}'),
        file('{"itemList":["i"],"userId":"a"}', name="more.json"),
        recipe="aws-personalized-ranking",
    )
    assert found.duplicate_rows == 1
    assert found.duplicates == ["more.json, line 1 repeats users.json, line 1"]
    assert found.bad_rows == 0


INCLUDE = parse_filter("INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"userId": "a"}, '"filterValues".GENRES is missing'),
        ({"userId": "a", "filterValues": {"GENRES": "drama"}}, "Expected a value in double quotes"),
        ({"userId": "a", "filterValues": {"GENRES": '"drama"', "X": '"1"'}}, "X is no placeholder"),
        ({"userId": "a", "filterValues": {"GENRES": ["drama"]}}, "must be a JSON string, not an array"),
    ],
)
def test_filter_values_are_checked_against_the_filters_placeholders(row: object, said: str) -> None:
    good = {"userId": "a", "filterValues": {"GENRES": '"drama","comedy"'}}
    found = report(file(json.dumps(good), json.dumps(row)), filter_expression=INCLUDE)
    (problem,) = found.problems
    assert problem.line == 2
    assert said in problem.message


def test_filter_values_without_a_filter_are_warned_of() -> None:
    found = report(file('{"userId": "a", "filterValues": {"G": "\\"x\\""}}'))
    assert found.bad_rows == 0
    assert found.warnings == ["1 row(s) carry filterValues, and there is no filter that takes them."]


@pytest.mark.parametrize(
    ("recipe", "mode", "rows", "quota"),
    [
        ("aws-item-attribute-affinity", None, 11, 10),
        ("aws-item-affinity", None, 501, 500),
        ("aws-similar-items", "THEME_GENERATION", 101, 100),
    ],
)
def test_more_rows_than_a_file_may_hold_are_a_fault(recipe: str, mode: str | None, rows: int, quota: int) -> None:
    example = ROW_FORMATS[recipe].example
    assert report(file(*[example] * quota), recipe=recipe, mode=mode).faults == []
    (fault,) = report(file(*[example] * rows), recipe=recipe, mode=mode).faults
    assert f"holds {rows} rows" in fault
    assert f"{quota} at most" in fault


def test_too_many_files_and_bytes_are_faults() -> None:
    assert size_faults([1] * 1000) == []
    assert size_faults([1] * 1001) == ["The input has 1,001 files; a batch job takes 1,000 at most."]
    assert "1,000,000,001 bytes" in size_faults([1_000_000_000, 1])[0]


def test_an_input_without_rows_is_a_fault() -> None:
    assert report(file("", "  ")).faults == ["The input holds no rows."]
    assert report().faults == ["The input holds no rows."]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b'\xef\xbb\xbf{"userId": "a"}'], "byte order mark"),
        (["[", '  {"userId": "a"},', '  {"userId": "b"}', "]"], "JSON array"),
        ([b"\x1f\x8b\x08\x00"], "gzip"),
    ],
)
def test_a_file_of_the_wrong_kind_is_warned_of(lines: list[bytes | str], said: str) -> None:
    (warning,) = report(file(*lines)).warnings
    assert warning.startswith("users.json")
    assert said in warning


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_become_a_report_of_plain_values(lines: list[bytes]) -> None:
    found = report(file(*lines))
    assert orjson.loads(orjson.dumps(found.as_dict())) == found.as_dict()
    assert found.bad_rows <= found.rows
    assert found.kind is JobKind.INFERENCE
    assert all("\n" not in line for line in found.lines())
