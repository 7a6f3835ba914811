"""Lines -> checked rows."""

from __future__ import annotations

import json
import pickle

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.rows import (
    ATTRIBUTE_ROWS,
    ITEM_ROWS,
    MAX_LINE_BYTES,
    POPULARITY_ROWS,
    RANKING_ROWS,
    USER_ROWS,
    InputBlock,
    RowFormat,
    parse_block,
)
from airflow_provider_personalize.batch.style import Style


def parse(*lines: bytes | str, row_format: RowFormat = USER_ROWS, first_line: int = 1, style: Style = Style.COMPACT):
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    return parse_block(encoded, row_format, first_line=first_line, style=style)


def fault_of(line: bytes | str, row_format: RowFormat = USER_ROWS) -> str:
    block = parse(line, row_format=row_format)
    assert block.rows == [None]
    assert len(block.inputs) == 1
    json.loads(block.inputs[0])
    return block.errors[0].removeprefix("Line 1: ")


class TestGoodRows:
    @pytest.mark.parametrize(
        ("row_format", "line"),
        [
            (USER_ROWS, '{"userId":"u-17"}'),
            (ITEM_ROWS, '{"itemId":"i-4"}'),
            (RANKING_ROWS, '{"userId":"u-17","itemList":["i-2","i-4","i-2"]}'),
            (ATTRIBUTE_ROWS, r'{"itemAttributes":"ITEMS.GENRES = \"Comedy\" AND ITEMS.YEAR = 3"}'),
            (USER_ROWS, r'{"userId":"5","filterValues":{"GENRES":"\"horror\",\"comedy\""}}'),
            (ITEM_ROWS, '{"filterValues":{},"itemId":"5"}'),
            (POPULARITY_ROWS, '{"userId":"1"}'),
            (POPULARITY_ROWS, '{"itemId":"1"}'),
            (POPULARITY_ROWS, "{}"),
        ],
    )
    def test_each_format_takes_its_rows_and_echoes_them(self, row_format: RowFormat, line: str) -> None:
        block = parse(line, row_format=row_format)
        assert block.errors == {}
        assert block.rows == [json.loads(line)]
        assert block.inputs == [line.encode()]

    def test_the_example_of_each_format_is_a_good_row(self) -> None:
        for row_format in (USER_ROWS, ITEM_ROWS, RANKING_ROWS, ATTRIBUTE_ROWS, POPULARITY_ROWS):
            assert parse(row_format.example, row_format=row_format).errors == {}

    def test_the_echo_is_compact_or_spaced_all_the_way_down(self) -> None:
        line = '{ "itemId" :"i-4",   "filterValues":{"A":"1","B":"2"} }'
        assert parse(line, row_format=ITEM_ROWS).inputs == [b'{"itemId":"i-4","filterValues":{"A":"1","B":"2"}}']
        assert parse(line, row_format=ITEM_ROWS, style=Style.SPACED).inputs == [
            b'{"itemId": "i-4", "filterValues": {"A": "1", "B": "2"}}'
        ]

    @pytest.mark.parametrize("style", Style)
    @pytest.mark.parametrize("user", ["ü", "日本", "🎬", 'say "x"', "a\\b", "tab\there", "\u2028", "\x7f", " "])
    def test_any_id_survives_the_echo_as_raw_utf8(self, user: str, style: Style) -> None:
        block = parse(json.dumps({"userId": user}), style=style)  # escaped as \uXXXX on the way in
        assert block.rows == [{"userId": user}]
        assert json.loads(block.inputs[0]) == {"userId": user}
        if user.isprintable() and "\\" not in user and '"' not in user:
            assert user.encode() in block.inputs[0]

    def test_ids_have_up_to_256_characters_however_many_bytes(self) -> None:
        assert parse(json.dumps({"userId": "🎬" * 256}, ensure_ascii=False)).errors == {}
        assert fault_of(json.dumps({"userId": "x" * 257})) == '"userId" has 257 characters; an id has at most 256'

    def test_of_a_repeated_key_the_last_value_counts(self) -> None:
        assert parse('{"userId":"1","userId":"2"}').inputs == [b'{"userId":"2"}']

    def test_line_ends_may_be_on_or_off(self) -> None:
        block = parse(b'{"userId":"1"}\n', b'{"userId":"2"}\r\n', b'{"userId":"3"}')
        assert block.inputs == [b'{"userId":"1"}', b'{"userId":"2"}', b'{"userId":"3"}']

    def test_formats_travel_to_another_process(self) -> None:
        assert pickle.loads(pickle.dumps(RANKING_ROWS)) == RANKING_ROWS


class TestLines:
    def test_blank_lines_are_no_rows_but_count_as_lines(self) -> None:
        block = parse('{"userId":"1"}', "", "  \t\r\n", "x", '{"userId":"2"}', first_line=10)
        assert block.rows == [{"userId": "1"}, None, {"userId": "2"}]
        assert block.line_numbers == [10, 13, 14]
        assert list(block.errors) == [1]
        assert block.errors[1].startswith("Line 13: not JSON")
        assert (block.first_line, len(block)) == (10, 3)

    def test_one_bad_row_costs_one_row(self) -> None:
        block = parse('{"userId":"1"}', '{"itemId":"9"}', '{"userId":"2"}')
        assert block.rows == [{"userId": "1"}, None, {"userId": "2"}]
        assert block.inputs == [b'{"userId":"1"}', b'{"itemId":"9"}', b'{"userId":"2"}']
        assert block.errors == {1: 'Line 2: key "userId" is missing; rows for this recipe look like {"userId": "u-17"}'}


class TestWrongRows:
    @pytest.mark.parametrize(
        ("row_format", "line", "fault"),
        [
            (ITEM_ROWS, "{}", 'key "itemId" is missing; rows for this recipe look like {"itemId": "i-4"}'),
            (USER_ROWS, '{"userid":"1"}', 'key "userId" is missing'),
            (USER_ROWS, '{"userId":"1","age":3}', 'unknown key "age"; rows for this recipe look like {"userId"'),
            (USER_ROWS, '{"userId":17}', '"userId" must be a string, not a number: ids are JSON strings, "17" and not'),
            (USER_ROWS, '{"userId":1.5}', "not a number: ids are JSON strings"),
            (USER_ROWS, '{"userId":null}', "not null: ids are JSON strings"),
            (USER_ROWS, '{"userId":true}', "not a boolean"),
            (USER_ROWS, '{"userId":["1"]}', "not an array"),
            (USER_ROWS, '{"userId":{}}', "not an object"),
            (USER_ROWS, '{"userId":""}', '"userId" is empty'),
            (RANKING_ROWS, '{"userId":"1"}', 'key "itemList" is missing'),
            (RANKING_ROWS, '{"userId":"1","itemList":[]}', '"itemList" is empty: there is nothing to rank'),
            (RANKING_ROWS, '{"userId":"1","itemList":"i-2"}', '"itemList" must be an array of item ids, not a string'),
            (RANKING_ROWS, '{"userId":"1","itemList":["a",2]}', '"itemList"[1] must be a string, not a number'),
            (RANKING_ROWS, '{"userId":"1","itemList":["a","b",""]}', '"itemList"[2] is empty'),
            (ATTRIBUTE_ROWS, '{"itemAttributes":" "}', '"itemAttributes" is empty'),
            (ATTRIBUTE_ROWS, '{"itemAttributes":{"GENRES":"x"}}', '"itemAttributes" must be a JSON string'),
            (USER_ROWS, '{"userId":"1","filterValues":["x"]}', '"filterValues" must be an object of strings'),
            (USER_ROWS, '{"userId":"1","filterValues":null}', '"filterValues" must be an object of strings, not null'),
            (
                USER_ROWS,
                '{"userId":"1","filterValues":{"AGE":3}}',
                '"filterValues".AGE must be a JSON string, not a num',
            ),
            (USER_ROWS, '[{"userId":"1"},{"userId":"2"}]', "one JSON object per line, not an array of them"),
            (USER_ROWS, '"1"', "a JSON object is needed, not a string"),
            (USER_ROWS, "17", "a JSON object is needed, not a number"),
            (USER_ROWS, "null", "a JSON object is needed, not null"),
        ],
    )
    def test_the_message_names_the_key_and_what_is_wanted(self, row_format: RowFormat, line: str, fault: str) -> None:
        assert fault in fault_of(line, row_format)
        # What was JSON is echoed as JSON.
        assert json.loads(parse(line, row_format=row_format).inputs[0]) == json.loads(line)

    def test_a_long_unknown_key_does_not_fill_the_message(self) -> None:
        assert len(fault_of(json.dumps({"userId": "1", "k" * 10_000: 1}))) < 200


class TestBrokenLines:
    """Lines that are no JSON value: the echo is a JSON string of the line's text."""

    @pytest.mark.parametrize(
        "line",
        [
            "userId,itemId",
            '{"userId":"1"',
            '{"userId":"1"},',
            "{'userId':'1'}",
            '{"userId":"1"} {"userId":"2"}',
            "[",
            '{"userId":NaN}',
            '{"userId":1e400}',
            r'{"userId":"\ud800"}',
            '{"userId":"raw\x01control"}',
            "\x00",
            "\ufeff{}",
        ],
    )
    @pytest.mark.parametrize("style", Style)
    def test_the_text_is_echoed(self, line: str, style: Style) -> None:
        block = parse(line + "\r\n", style=style)
        assert json.loads(block.inputs[0]) == line
        assert block.errors[0].startswith("Line 1: not JSON: ")
        assert "at column" in block.errors[0]

    def test_bytes_that_are_not_utf8_are_echoed_as_replacement_characters(self) -> None:
        block = parse(b'{"userId":"caf\xe9"}')
        assert json.loads(block.inputs[0]) == '{"userId":"caf\ufffd"}'
        assert block.errors == {0: "Line 1: not UTF-8: byte 15 is 0xe9"}

    def test_utf16_is_recognised(self) -> None:
        assert fault_of('{"userId":"1"}'.encode("utf-16")) == (
            "not UTF-8; the file looks like UTF-16, save it as UTF-8"
        )

    def test_integers_beyond_64_bits_cost_the_row_and_come_back_as_doubles(self) -> None:
        block = parse('{"userId":123456789012345678901234567890}')
        assert json.loads(block.inputs[0]) == {"userId": 1.2345678901234568e29}
        assert "ids are JSON strings" in block.errors[0]

    @pytest.mark.parametrize("style", Style)
    @pytest.mark.parametrize("depth", [254, 255, 1000, 1024, 1025, 100_000])
    def test_deep_nesting_costs_the_row(self, depth: int, style: Style) -> None:
        line = "[" * depth + "]" * depth
        block = parse(line, style=style)
        assert block.rows == [None]
        assert block.inputs[0] == (line.encode() if depth <= 254 else json.dumps(line).encode())

    def test_a_line_beyond_16_mib_is_echoed_by_its_first_256_characters(self) -> None:
        good = b'{"userId":"1"}' + b" " * (MAX_LINE_BYTES - 14)
        block = parse(good + b"\r\n", good + b" \n")
        assert block.rows == [{"userId": "1"}, None]
        assert json.loads(block.inputs[1]) == good[:256].decode()
        assert block.errors[1].startswith("Line 2: longer than 16 MiB")

    def test_the_shortened_echo_does_not_cut_a_character(self) -> None:
        block = parse("🎬".encode() * (MAX_LINE_BYTES // 4 + 1))
        assert json.loads(block.inputs[0]) == "🎬" * 256

    def test_a_line_of_a_megabyte_is_a_line_like_any_other(self) -> None:
        items = [f"i-{i}" for i in range(100_000)]
        line = json.dumps({"userId": "1", "itemList": items})
        assert len(line) > 1_000_000
        assert parse(line, row_format=RANKING_ROWS).rows == [{"userId": "1", "itemList": items}]


def test_a_block_holds_one_input_a_row() -> None:
    block = InputBlock([b"{}"], [{}], {}, 1, [1])
    assert len(block) == 1


LINE = st.one_of(
    st.text(max_size=300).map(lambda id_: orjson.dumps({"userId": id_})),
    st.text(st.characters(codec="utf-8", exclude_characters='"\\'), max_size=8).map(
        lambda id_: b'{"userId": "%b"}' % id_.encode()
    ),
    st.binary(max_size=8).map(lambda bytes_: b'{"userId":"%b"}' % bytes_),
    st.sampled_from([b"", b"{}", b'{"userId":"a"},{"userId":"b"}', b'{"userId":"a}', b'{b"}', b'{"userId":"a" }']),
)


@given(
    lines=st.lists(LINE, min_size=1, max_size=5),
    end=st.sampled_from([b"\n", b"\r\n", b""]),
    row_format=st.sampled_from([USER_ROWS, ITEM_ROWS]),
    style=st.sampled_from(Style),
)
def test_rows_are_what_each_line_is_by_itself_whatever_is_around_it(
    lines: list[bytes], end: bytes, row_format: RowFormat, style: Style
) -> None:
    """Blocks of plain rows are parsed at once, so a line in among others must not be read otherwise."""
    ended = [line.replace(b"\n", b" ") + end for line in lines]
    together = parse_block(ended, row_format, style=style)
    for at, line in enumerate(ended):
        # A blank line beside it has any line parsed by itself.
        alone = parse_block([b"\n", line], row_format, first_line=at, style=style)
        found = [i for i, number in enumerate(together.line_numbers) if number == at + 1]
        assert [together.inputs[i] for i in found] == alone.inputs
        assert [together.rows[i] for i in found] == alone.rows
        assert [together.errors.get(i) for i in found] == [alone.errors.get(i) for i in range(len(alone))]
