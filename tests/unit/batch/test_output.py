"""Output rows of every shape that was ever seen."""

from __future__ import annotations

import io
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.output import OutputRow, OutputRowError, parse_output_row, read_output


class TestShapes:
    @pytest.mark.parametrize(
        ("line", "row"),
        [
            pytest.param(
                '{"input":{"userId":"u-17"},"output":{"recommendedItems":["i-4","i-8"],"scores":[0.0406197,3.773E-4]},'
                '"error":null}',
                OutputRow({"userId": "u-17"}, ("i-4", "i-8"), (0.0406197, 0.0003773)),
                id="personalization",
            ),
            pytest.param(
                '{"input":{"itemId":"i-4"},"output":{"recommendedItems":["i-8","i-2"]},"error":null}',
                OutputRow({"itemId": "i-4"}, ("i-8", "i-2")),
                id="related items",
            ),
            pytest.param(
                '{"input": {"itemId": "1"}, "output": {"usersList": ["61","22"]}, "error": null}',
                OutputRow({"itemId": "1"}, ("61", "22")),
                id="segment as the service writes it",
            ),
            pytest.param(
                '{"input": {"itemId": "1"}, "output": {"recommendedUsers": ["61", "22"]}}',
                OutputRow({"itemId": "1"}, ("61", "22")),
                id="segment as documented",
            ),
            pytest.param(
                r'{"itemAttributes": "ITEMS.GENRES = \"Comedy\"", "output": {"recommendedUsers": ["25"]}}',
                OutputRow({"itemAttributes": 'ITEMS.GENRES = "Comedy"'}, ("25",)),
                id="attribute segment as documented, without the wrapper",
            ),
            pytest.param(
                '{"input": {"userId": "4"}, "output": {"recommendedItems": ["2", "1"]}, "error": null}',
                OutputRow({"userId": "4"}, ("2", "1")),
                id="popularity",
            ),
            pytest.param(
                '{"input":{"itemId":"i-4"},"output":{"recommendedItems":["i-8","i-2"],"theme":"Quiet evenings",'
                '"itemsThemeRelevanceScores":[0.19994527,-0.138913]}}',
                OutputRow(
                    {"itemId": "i-4"}, ("i-8", "i-2"), theme="Quiet evenings", theme_scores=(0.19994527, -0.138913)
                ),
                id="theme",
            ),
            pytest.param(
                '{"input": {"userId": "46"}, "output": {"recommendedItems": ["29", "1"]}, {"scores": [0.5, 0.25]}}',
                OutputRow({"userId": "46"}, ("29", "1"), (0.5, 0.25)),
                id="scores in a second object, as the documents of 2020 print it",
            ),
            pytest.param(
                '{"input": {"itemId": "10"}, "output": {"recommendedItems": ["7", "8"]}, }',
                OutputRow({"itemId": "10"}, ("7", "8")),
                id="trailing comma, as the documents of 2020 print it",
            ),
            pytest.param(
                '{"input":{"userId":"1"},"output":{"recommendedItems":["a","b","c"],"scores":[0.5,null]}}',
                OutputRow({"userId": "1"}, ("a", "b", "c"), (0.5, None)),
                id="fewer scores than items, and none for a placeholder",
            ),
            pytest.param(
                '{"output":{"recommendedItems":[],"reasons":[[]]},"input":{"userId":"1"},"tomorrow":1}',
                OutputRow({"userId": "1"}),
                id="any key order, members of tomorrow, no items",
            ),
        ],
    )
    def test_is_read(self, line: str, row: OutputRow) -> None:
        assert parse_output_row(line.encode()) == row

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            ('{"input":"x","output":null,"error":{"errorMessage":"Line 1: bad"}}', "Line 1: bad"),
            ('{"input":"x","error":{"errorMessage":"no theme"}}', "no theme"),
            ('{"input":"x","error":"plain text"}', "plain text"),
            ('{"input":"x","output":{},"error":{"code":7}}', '{"code":7}'),
        ],
    )
    def test_a_failed_row_has_its_reason_and_no_ids(self, line: str, error: str) -> None:
        assert parse_output_row(line.encode()) == OutputRow("x", error=error)

    def test_what_looks_like_the_old_defects_inside_an_id_is_left_alone(self) -> None:
        tricky = r"a, } \"]}, {\"scores\": [1]"
        line = f'{{"input": {{"userId": "{tricky}"}}, "output": {{"recommendedItems": ["{tricky}"]}}, }}'
        plain = tricky.replace("\\", "")
        assert parse_output_row(line.encode()) == OutputRow({"userId": plain}, (plain,))


class TestNoRows:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("", "not JSON"),
            ("not a row", "not JSON"),
            ('{"input": {"userId": "1"}', "not JSON"),
            ('["1"]', "not a JSON object"),
            ('{"userId":"1"}', 'neither "output" nor "error"; is this an input file?'),
            ('{"input":{"userId":"1"},"output":null,"error":null}', 'neither "output" nor "error"'),
            ('{"input":{},"output":{"items":["1"]}}', "no list of ids under recommendedItems, usersList"),
            ('{"input":{},"output":["1"]}', "no list of ids"),
            ('{"input":{},"output":{"recommendedItems":"1"}}', "no list of ids"),
            ('{"input":{},"output":{"recommendedItems":[1]}}', "no list of ids"),
            ('{"input":{},"output":{"recommendedItems":["1"],"scores":0.5}}', '"scores" is not a list'),
        ],
    )
    def test_the_error_names_line_and_reason(self, line: str, reason: str) -> None:
        with pytest.raises(OutputRowError) as caught:
            parse_output_row(line.encode(), line_number=7)
        assert str(caught.value).startswith("Line 7: ")
        assert reason in caught.value.reason
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)

    def test_a_long_broken_line_is_refused_at_once(self) -> None:
        started = time.perf_counter()
        with pytest.raises(OutputRowError):
            parse_output_row(b'{"input":"' + rb"\"" * 200_000)
        # Milliseconds; a search that starts anew at each quote takes minutes.
        assert time.perf_counter() - started < 5

    @given(st.binary())
    def test_no_bytes_raise_anything_else(self, line: bytes) -> None:
        error = None
        try:
            parse_output_row(line)
        except OutputRowError as raised:
            error = raised
        assert error is None or error.line_number == 1


class TestFiles:
    def test_blank_lines_and_a_byte_order_mark_are_passed_over_and_lines_counted(self) -> None:
        row = b'{"input":{},"output":{"usersList":["1"]},"error":null}'
        stream = io.BytesIO(b"\xef\xbb\xbf" + row + b"\r\n\n" + row + b"\n\nbroken")
        rows = read_output(stream)
        assert [next(rows).ids, next(rows).ids] == [("1",), ("1",)]
        with pytest.raises(OutputRowError, match=r"^Line 5: not JSON"):
            next(rows)

    def test_an_empty_file_has_no_rows(self) -> None:
        assert list(read_output(io.BytesIO())) == []
