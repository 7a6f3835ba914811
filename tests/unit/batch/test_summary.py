"""Output rows against input rows."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.summary import OutputSummary, summarize


def lines(*rows: object) -> bytes:
    return b"".join(row + b"\n" if isinstance(row, bytes) else orjson.dumps(row) + b"\n" for row in rows)


def answer(input_: object, *ids: str, **more: Any) -> dict[str, Any]:
    return {"input": input_, "output": {"recommendedItems": list(ids)}, "error": None, **more}


def failure(input_: object, message: str = "no such user") -> dict[str, Any]:
    return {"input": input_, "output": None, "error": {"errorMessage": message}}


def summary(asked: bytes, answered: bytes, num_results: int = 2) -> OutputSummary:
    inputs, outputs = [("users.json", io.BytesIO(asked))], [("users.json.out", io.BytesIO(answered))]
    return summarize(inputs, outputs, num_results=num_results)


def test_every_row_is_answered_short_or_failed() -> None:
    asked = lines({"userId": "a"}, {"userId": "b"}, {"userId": "c"}, {"userId": "d"})
    answered = lines(
        answer({"userId": "a"}, "1", "2"),
        answer({"userId": "b"}, "1"),
        answer({"userId": "c"}),
        failure({"userId": "d"}, "Line 4: no such user"),
    )
    found = summary(asked, answered)
    assert found.counts() == {
        "input_rows": 4,
        "output_rows": 4,
        "answered": 1,
        "short": 2,
        "failed": 1,
        "unreadable": 0,
        "missing": 0,
        "unexpected": 0,
        "results": 3,
    }
    assert [(failure_.gist, failure_.count) for failure_ in found.failures] == [("no such user", 1)]


def test_order_spacing_and_the_order_of_keys_do_not_matter() -> None:
    asked = b'{"userId": "a", "itemList": ["1", "2"]}\n{"userId": "b", "itemList": ["1"]}\n'
    answered = lines(
        b'{"input":{"itemList":["1"],"userId":"b"},"output":{"recommendedItems":["1"]},"error":null}',
        b'{"input": {"itemList": [ "1","2" ], "userId": "a"}, "output": {"recommendedItems": ["2","1"]}}',
    )
    found = summary(asked, answered, num_results=25)
    assert (found.missing, found.unexpected, found.answered) == (0, 0, 2), "a ranking is as long as its list"


def test_equal_rows_count_as_often_as_they_occur() -> None:
    asked = lines({"userId": "a"}, {"userId": "a"}, {"userId": "a"})
    found = summary(asked, lines(answer({"userId": "a"}, "1", "2"), answer({"userId": "z"}, "1", "2")))
    assert (found.missing, found.unexpected) == (2, 1)
    assert found.missing_places == ["users.json, line 2", "users.json, line 3"]
    assert found.unexpected_places == ["users.json.out, line 2"]


def test_a_line_that_is_no_output_row_is_unreadable_and_answers_nothing() -> None:
    found = summary(lines({"userId": "a"}), b'{"userId": "a"}\nnonsense\n\n')
    assert (found.output_rows, found.unreadable, found.missing) == (2, 2, 1)
    assert {failure_.count for failure_ in found.failures} == {1}


def test_segments_themes_and_the_services_own_errors_are_read() -> None:
    asked = lines({"itemId": "1"}, {"itemId": "2"}, {"userId": 3})
    answered = lines(
        {"input": {"itemId": "1"}, "output": {"usersList": ["u", "v"]}, "error": None},
        {"input": {"itemId": "2"}, "output": {"recommendedItems": ["3", "4"], "theme": "x"}},
        {"input": {"userId": 3}, "output": {"recommendedItems": []}, "error": "User error: Required fields ..."},
    )
    found = summary(asked, answered)
    assert (found.answered, found.failed, found.missing, found.unexpected) == (2, 1, 0, 0)


def test_broken_input_lines_are_matched_by_what_is_echoed_of_them() -> None:
    asked = b'{"userId": \n"text"\n'
    answered = lines(failure('{"userId": '), failure("text"))
    assert (summary(asked, answered).missing, summary(asked, answered).unexpected) == (0, 0)


def test_several_files_are_one_input() -> None:
    inputs = [(name, io.BytesIO(lines({"userId": name}))) for name in ("a", "b", "c")]
    outputs = [(f"{name}.out", io.BytesIO(lines(answer({"userId": name}, "1")))) for name in ("c", "a")]
    found = summarize(inputs, outputs, num_results=1)
    assert (found.input_rows, found.answered, found.missing_places) == (3, 2, ["b, line 1"])


IDS = st.lists(st.sampled_from("abcde"), max_size=12)


@given(IDS, IDS, st.randoms(use_true_random=False))
def test_missing_and_unexpected_are_the_differences_of_the_two_multisets(
    asked: list[str], answered: list[str], order: random.Random
) -> None:
    shuffled = list(answered)
    order.shuffle(shuffled)
    found = summary(
        lines(*({"userId": user} for user in asked)), lines(*(answer({"userId": user}, "1", "2") for user in shuffled))
    )
    assert found.missing == (Counter(asked) - Counter(answered)).total()
    assert found.unexpected == (Counter(answered) - Counter(asked)).total()
    assert found.input_rows - found.missing == found.output_rows - found.unexpected
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_become_a_summary(rows: list[bytes]) -> None:
    found = summary(b"", b"\n".join(rows))
    assert found.output_rows == found.answered + found.short + found.failed + found.unreadable
