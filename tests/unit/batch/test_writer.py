"""Output rows, byte for byte."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.output import parse_output_row, read_output
from airflow_provider_personalize.batch.scores import format_score
from airflow_provider_personalize.batch.style import Style
from airflow_provider_personalize.batch.writer import write_recommendations, write_segments, write_themes


def quote_ids(ids: Iterable[str]) -> list[bytes]:
    """As the writers take them."""
    return [orjson.dumps(id_) for id_ in ids]


REAL_SEGMENTS = Path(__file__).parents[4] / "shared/data/real_segment_output/item_affinity.jsonl.out"


class TestKnownBytes:
    def test_recommendations_with_scores(self) -> None:
        assert write_recommendations(
            [b'{"userId":"1"}', b'{"userId":"2"}'],
            [[b'"1"', b'"2"'], [b'"9"']],
            [[152_238, 3_773], [10_000_000]],
            {},
        ) == (
            b'{"input":{"userId":"1"},"output":{"recommendedItems":["1","2"],"scores":[0.0152238,3.773E-4]},"error":null}\n'
            b'{"input":{"userId":"2"},"output":{"recommendedItems":["9"],"scores":[1.0]},"error":null}\n'
        )

    def test_recommendations_of_a_recipe_without_scores(self) -> None:
        assert write_recommendations([b'{"itemId":"4"}'], [quote_ids(["8", "2"])], None, {}) == (
            b'{"input":{"itemId":"4"},"output":{"recommendedItems":["8","2"]},"error":null}\n'
        )

    def test_themes_have_no_error_in_a_good_row_and_no_output_in_a_failed_one(self) -> None:
        written = write_themes(
            [b'{"itemId":"4"}', b"7"],
            [quote_ids(["8", "2"]), []],
            ['Quiet "evenings"', ""],
            [[0.19994527, 0.0], []],
            {1: "Line 2: no"},
        )
        good, failed = written.splitlines(keepends=True)
        assert good == (
            b'{"input":{"itemId":"4"},"output":{"recommendedItems":["8","2"],"theme":"Quiet \\"evenings\\"",'
            b'"itemsThemeRelevanceScores":[0.19994527,0.0]}}\n'
        )
        assert failed == b'{"input":7,"error":{"errorMessage":"Line 2: no"}}\n'
        row, failure = (parse_output_row(line) for line in (good, failed))
        assert (row.theme, row.theme_scores, row.ids) == ('Quiet "evenings"', (0.19994527, 0.0), ("8", "2"))
        assert failure.error == "Line 2: no"

    def test_segments_are_spaced_outside_the_list(self) -> None:
        assert write_segments([b'{"itemId": "1"}'], [quote_ids(["61", "22"])], {}) == (
            b'{"input": {"itemId": "1"}, "output": {"usersList": ["61","22"]}, "error": null}\n'
        )

    def test_an_empty_answer_is_an_empty_list(self) -> None:
        assert b'"recommendedItems":[],"scores":[]' in write_recommendations([b"{}"], [[]], [[]], {})
        assert b'"usersList": []' in write_segments([b"{}"], [[]], {})

    def test_an_error_row_has_the_spacing_of_its_kind(self) -> None:
        assert write_recommendations([b'"x"'], [[b'"1"']], None, {0: "Line 1: bad"}) == (
            b'{"input":"x","output":null,"error":{"errorMessage":"Line 1: bad"}}\n'
        )
        assert write_segments([b'"x"'], [[]], {0: "Line 1: bad"}) == (
            b'{"input": "x", "output": null, "error": {"errorMessage": "Line 1: bad"}}\n'
        )

    def test_no_rows_are_no_bytes(self) -> None:
        assert write_recommendations([], [], [], {}) == b""
        assert write_segments([], [], {}) == b""


def test_a_segment_may_come_in_pieces_of_many_users() -> None:
    one_by_one = write_segments([b"{}"], [quote_ids(["1", "2", "3"])], {})
    assert write_segments([b"{}"], [[b'"1","2"', b'"3"']], {}) == one_by_one


def test_a_missing_row_is_not_papered_over() -> None:
    with pytest.raises(ValueError, match="zip"):
        write_recommendations([b"{}", b"{}"], [[]], [[], []], {})
    with pytest.raises(ValueError, match="zip"):
        write_segments([b"{}"], [], {})


def test_a_message_that_utf8_cannot_hold_is_written_escaped() -> None:
    (row,) = read_output([write_recommendations([b"{}"], [[]], None, {0: "no file \udce9"})])
    assert row.error == r"no file \udce9"


ANY_ID = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
ROWS = st.lists(st.tuples(ANY_ID, st.lists(st.tuples(ANY_ID, st.integers(0, 10**7))), st.none() | ANY_ID))


@given(ROWS)
def test_what_is_written_reads_back_whatever_the_ids_hold(rows) -> None:
    inputs = [Style.COMPACT.dumps({"userId": user}) for user, _, _ in rows]
    items = [[item for item, _ in answer] for _, answer, _ in rows]
    units = [[unit for _, unit in answer] for _, answer, _ in rows]
    errors = {i: message for i, (_, _, message) in enumerate(rows) if message is not None}

    written = write_recommendations(inputs, list(map(quote_ids, items)), units, errors)

    for i, row in enumerate(read_output(io.BytesIO(written))):
        assert row.input == {"userId": rows[i][0]}
        assert row.error == errors.get(i)
        assert row.ids == (() if i in errors else tuple(items[i]))
        assert row.scores == (None if i in errors else tuple(unit / 1e7 for unit in units[i]))
    assert written.count(b"\n") == len(rows)


@given(ROWS)
def test_the_bytes_are_those_of_a_slow_obvious_writer(rows) -> None:
    def plain(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def slow(user, answer, error) -> str:
        if error is not None:
            return plain({"input": {"userId": user}, "output": None, "error": {"errorMessage": error}}) + "\n"
        items = plain([item for item, _ in answer])
        scores = "[" + ",".join(format_score(unit) for _, unit in answer) + "]"
        output = f'{{"recommendedItems":{items},"scores":{scores}}}'
        return f'{{"input":{plain({"userId": user})},"output":{output},"error":null}}\n'

    written = write_recommendations(
        [Style.COMPACT.dumps({"userId": user}) for user, _, _ in rows],
        [quote_ids(item for item, _ in answer) for _, answer, _ in rows],
        [[unit for _, unit in answer] for _, answer, _ in rows],
        {i: message for i, (_, _, message) in enumerate(rows) if message is not None},
    )
    assert written.decode() == "".join(slow(*row) for row in rows)


@given(ROWS)
def test_the_bytes_of_segments_and_themes_are_those_of_a_slow_obvious_writer(rows) -> None:
    def plain(value: object, *separators: str) -> str:
        return json.dumps(value, ensure_ascii=False, separators=separators)

    segments, themes = "", ""
    for item, answer, error in rows:
        ids, scores = [id_ for id_, _ in answer], [unit / 1e7 for _, unit in answer]
        given, failure = {"itemId": item}, {"errorMessage": error}
        if error is None:
            output = plain(ids, ",", ":")
            segments += f'{{"input": {plain(given, ", ", ": ")}, "output": {{"usersList": {output}}}, "error": null}}\n'
            output = {"recommendedItems": ids, "theme": item, "itemsThemeRelevanceScores": scores}
            themes += plain({"input": given, "output": output}, ",", ":") + "\n"
        else:
            segments += plain({"input": given, "output": None, "error": failure}, ", ", ": ") + "\n"
            themes += plain({"input": given, "error": failure}, ",", ":") + "\n"

    inputs = [{"itemId": item} for item, _, _ in rows]
    lists = [quote_ids(id_ for id_, _ in answer) for _, answer, _ in rows]
    errors = {i: message for i, (_, _, message) in enumerate(rows) if message is not None}
    assert write_segments([Style.SPACED.dumps(each) for each in inputs], lists, errors).decode() == segments
    names, relevance = [item for item, _, _ in rows], [[unit / 1e7 for _, unit in answer] for _, answer, _ in rows]
    written = write_themes([Style.COMPACT.dumps(each) for each in inputs], lists, names, relevance, errors)
    # The notation of small reals differs (1e-7, 1e-07); their values do not.
    assert [json.loads(line) for line in written.splitlines()] == [json.loads(line) for line in themes.split("\n")[:-1]]
    if not any(0 < unit < 1000 for _, answer, _ in rows for _, unit in answer):
        assert written.decode() == themes


def test_real_segment_rows_are_reproduced_byte_for_byte() -> None:
    if not REAL_SEGMENTS.exists():
        pytest.skip(f"real output of the service is not here: {REAL_SEGMENTS}")
    real = REAL_SEGMENTS.read_bytes()
    rows = list(read_output(io.BytesIO(real)))
    assert len(rows) == 3
    assert all(len(row.ids) == 10 for row in rows)
    assert (
        write_segments([Style.SPACED.dumps(row.input) for row in rows], [quote_ids(row.ids) for row in rows], {})
        == real
    )


def test_a_block_of_4096_rows_of_25_is_written_in_a_fraction_of_a_second() -> None:
    chance = random.Random(7)
    catalogue = quote_ids(map(str, range(10_000)))
    inputs = [b'{"userId":"%d"}' % user for user in range(4096)]
    items = [chance.sample(catalogue, 25) for _ in inputs]
    units = [[chance.randrange(10**7) for _ in range(25)] for _ in inputs]
    started = time.perf_counter()
    written = write_recommendations(inputs, items, units, {})
    # 0.03 s on an idle core; the limit leaves room for a busy one and still finds a writer that is ten times slower.
    assert time.perf_counter() - started < 0.3
    assert parse_output_row(written.splitlines()[17]).ids == tuple(id_.decode().strip('"') for id_ in items[17])
