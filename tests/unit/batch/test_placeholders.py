"""What a filter asks of the ``filterValues`` of a row."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.batch.placeholders import FilterValuesError, Placeholders

INCLUDE_GENRES = "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)"
EXCLUDE_GENRES = "EXCLUDE ItemID WHERE Items.GENRES IN ($GENRES)"
CHEAPER = "EXCLUDE ItemID WHERE Items.PRICE > $PRICE"


def placeholders(text: str) -> Placeholders:
    return Placeholders(parse_filter(text))


def test_each_placeholder_gets_the_values_that_its_text_lists() -> None:
    given = {"GENRES": '"horror","comedy"', "PRICE": "17"}
    assert placeholders(f"{INCLUDE_GENRES} | {CHEAPER}").values(given) == {
        "GENRES": ["horror", "comedy"],
        "PRICE": ["17"],
    }


def test_an_exclude_may_go_without_values_and_an_include_may_not() -> None:
    assert placeholders(EXCLUDE_GENRES).values({}) == {}
    with pytest.raises(FilterValuesError, match=r'"filterValues"\.GENRES is missing'):
        placeholders(INCLUDE_GENRES).values({})


@pytest.mark.parametrize(
    ("filter_", "given", "said"),
    [
        (EXCLUDE_GENRES, {"genres": '"a"'}, "genres is no placeholder of the filter, which has $GENRES"),
        ('EXCLUDE ItemID WHERE Items.GENRES IN ("a")', {"X": '"a"'}, "which has no placeholders"),
        (EXCLUDE_GENRES, {"GENRES": "horror"}, "(column 1)"),
        (CHEAPER, {"PRICE": '"dear"'}, "PRICE must be one number of 64 bits: Items.PRICE > $PRICE compares with it"),
        (CHEAPER, {"PRICE": "1,2"}, "must be one number"),
    ],
)
def test_what_does_not_fit_is_named(filter_: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(FilterValuesError) as caught:
        placeholders(filter_).values(given)
    assert said in str(caught.value)
