"""Attribute queries: text -> tree -> text, and errors that point."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.batch.attribute_query import (
    AttributeQuery,
    AttributeQuerySyntaxError,
    Term,
    parse_attribute_query,
)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ('ITEMS.GENRES = "Comedy"', [Term("GENRES", "Comedy")]),
        ('ITEMS.GENRES = "Comedy" AND ITEMS.GENRES = "Action"', [Term("GENRES", "Comedy"), Term("GENRES", "Action")]),
        ('items.category_l1="shoes" and Items.YEAR=1999', [Term("CATEGORY_L1", "shoes"), Term("YEAR", 1999)]),
        ("ITEMS.PRICE = -2.50", [Term("PRICE", -2.5)]),
        ('ITEMS.CATEGORY = "Coffee, Tea & Cocoa"', [Term("CATEGORY", "Coffee, Tea & Cocoa")]),
        (r'ITEMS.CATEGORY = "Coffee\, Tea \& \"Cocoa\""', [Term("CATEGORY", 'Coffee, Tea & "Cocoa"')]),
        ("ITEMS.GENRES = 'Comedy'", [Term("GENRES", "Comedy")]),
        ('ITEMS.AND = "AND"', [Term("AND", "AND")]),
    ],
)
def test_terms_are_read(text: str, terms: list[Term]) -> None:
    assert parse_attribute_query(text) == AttributeQuery(tuple(terms))


@pytest.mark.parametrize(
    ("marked", "reason"),
    [
        ("@", "Expected a column like ITEMS.GENRES at the end"),
        ("@GENRES = 1", "Expected a column like ITEMS.GENRES, not GENRES"),
        ("@Users.AGE = 1", "Expected a column like ITEMS.GENRES, not Users"),
        ("ITEMS.A @> 1", "Expected = (no other operator is allowed), not >"),
        ('ITEMS.A @IN ("x")', "Expected = (no other operator is allowed), not IN"),
        ("ITEMS.A = @Comedy", "Expected a value in double quotes or a number, not Comedy"),
        ('ITEMS.A = @"Comedy', "This text has no closing quote"),
        ("ITEMS.A = @1e400", "This number does not fit 64 bits."),
        ("ITEMS.A = 1 @OR ITEMS.B = 2", "Expected AND (nothing else joins terms) or the end, not OR"),
        ("ITEMS.A = 1 AND@", "Expected a column like ITEMS.GENRES at the end"),
    ],
)
def test_errors_name_what_is_wrong_and_point_at_it(marked: str, reason: str) -> None:
    position = marked.index("@")
    text = marked.replace("@", "")
    with pytest.raises(AttributeQuerySyntaxError) as caught:
        parse_attribute_query(text)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.reason == reason
    assert str(error) == f"{reason} (line 1, column {position + 1})\n  {text}\n  {' ' * position}^"


def test_who_knows_the_schema_can_point_at_a_term() -> None:
    query = parse_attribute_query('ITEMS.A = "x" AND ITEMS.COLOUR = "red"')
    error = query.error_at(query.terms[1], "Items has no column COLOUR.")
    assert error.position == query.text.index("ITEMS.COLOUR")
    assert error.reason == "Items has no column COLOUR."


VALUES = (
    st.text(st.characters(codec="utf-8") | st.sampled_from("\\\"'"))
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TERMS = st.builds(Term, st.sampled_from(["GENRES", "AND", "ITEMS", "_X2"]), VALUES)


@settings(deadline=None)
@given(st.lists(TERMS, min_size=1, max_size=5).map(tuple).map(AttributeQuery))
def test_a_tree_equals_its_text_parsed_again(query: AttributeQuery) -> None:
    assert parse_attribute_query(str(query)) == query


@settings(deadline=None)
@given(st.text() | st.text("ITEMS.A=\"' 1-e\\AND", max_size=20))
def test_no_text_raises_anything_else(text: str) -> None:
    error = None
    try:
        parse_attribute_query(text)
    except AttributeQuerySyntaxError as raised:
        error = raised
    assert error is None or 0 <= error.position <= len(text)
