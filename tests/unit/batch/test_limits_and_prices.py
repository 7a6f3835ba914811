"""Limits on rows, and what rows cost."""

from __future__ import annotations

import pytest

from airflow_provider_personalize.batch.limits import Limit
from airflow_provider_personalize.batch.prices import DEFAULT_PRICES, UNCONFIRMED, estimate
from airflow_provider_personalize.batch.recipes import ROW_FORMATS, JobKind


@pytest.mark.parametrize(
    ("limit", "count", "total", "allowed"),
    [
        (0, 0, 10, True),
        (0, 1, 10, False),
        ("5", 5, 5, True),
        ("10%", 1, 10, True),
        ("10%", 2, 10, False),
        ("0.5 %", 5, 1000, True),
        ("100%", 7, 7, True),
        ("1%", 0, 0, True),
    ],
)
def test_a_limit_is_a_number_or_a_share(limit: int | str, count: int, total: int, allowed: bool) -> None:
    assert Limit.parse(limit).allows(count, total) is allowed


@pytest.mark.parametrize("text", ["many", "-1", "0.5", "101%", "%", "inf", "nan"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number of rows nor a share"):
        Limit.parse(text)


def test_the_recipes_own_price_goes_before_that_of_its_kind_and_before_the_defaults() -> None:
    prices = {"aws-sims": 1.0, "BATCH_INFERENCE": 2.0}
    for recipe, per_thousand in (("aws-sims", 1.0), ("aws-user-personalization-v2", 2.0)):
        found = estimate(500, recipe, JobKind.INFERENCE, prices)
        assert found is not None
        assert (found.per_thousand_rows, found.amount) == (per_thousand, per_thousand / 2)


def test_an_estimate_says_where_its_price_is_from_and_that_a_default_is_not_confirmed() -> None:
    own = estimate(2000, "aws-sims", JobKind.INFERENCE, {"aws-sims": 1.0}, "a price list")
    default = estimate(2000, "aws-sims", JobKind.INFERENCE, {"aws-hrnn": 1.0}, "a price list")
    assert str(own) == "about 2.00 at 1 per 1,000 rows (price from a price list)"
    assert default is not None
    assert default.as_dict() == {"amount": 0.13, "per_thousand_rows": 0.067, "price_from": UNCONFIRMED}
    assert "not checked since 2023" in str(default)


def test_what_is_billed_in_other_ways_has_no_default_price() -> None:
    assert estimate(1, "aws-item-affinity", JobKind.SEGMENT) is None
    assert estimate(1, "aws-similar-items", JobKind.THEMES) is None
    assert estimate(1, "aws-user-personalization-v2", JobKind.INFERENCE) is None
    assert estimate(1000, "aws-sims", JobKind.INFERENCE) is not None
    assert set(DEFAULT_PRICES) <= set(ROW_FORMATS)
