"""The `filterValues` of a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_personalize.batch.filter_expression import FilterValuesSyntaxError, parse_filter_values
from airflow_provider_personalize.batch.syntax import quote


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('"horror","comedy"', ["horror", "comedy"]),
        ('"drama"', ["drama"]),
        (' "horror" , "comedy" ', ["horror", "comedy"]),
        ("'drama'", ["drama"]),
        ('""', [""]),
        (r'"say \"x\"","AC\DC"', ['say "x"', r"AC\DC"]),
        ('"Coffee, Tea & Cocoa"', ["Coffee, Tea & Cocoa"]),
        ("30", ["30"]),
        ("1.50, -2,1e3", ["1.50", "-2", "1e3"]),
    ],
)
def test_values_come_as_written(text: str, values: list[str]) -> None:
    assert parse_filter_values(text) == values


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("", "Expected a value in double quotes", 0),
        ("horror", "Expected a value in double quotes", 0),
        ('"a",', "Expected a value in double quotes", 4),
        ('"a",,"b"', "Expected a value in double quotes", 4),
        ('"a', "Expected a value in double quotes", 0),
        ("3x", "Expected a value in double quotes", 0),
        ('"a" "b"', "Expected a comma between values.", 4),
        ('""United States""', "Expected a comma between values.", 2),
    ],
)
def test_errors_point_at_their_place(text: str, reason: str, position: int) -> None:
    with pytest.raises(FilterValuesSyntaxError) as caught:
        parse_filter_values(text)
    assert reason in caught.value.reason
    assert caught.value.position == position


@given(st.lists(st.text(), min_size=1))
def test_any_values_survive_quoting(values: list[str]) -> None:
    assert parse_filter_values(",".join(map(quote, values))) == values


@given(st.text() | st.text("\"'\\,1-. a"))
def test_no_text_raises_anything_else(text: str) -> None:
    error = None
    try:
        assert parse_filter_values(text)
    except FilterValuesSyntaxError as raised:
        error = raised
    assert error is None or 0 <= error.position <= len(text)
