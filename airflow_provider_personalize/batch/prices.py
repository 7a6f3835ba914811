"""What a batch job is likely to cost, from the number of its rows and a price for a thousand of them.

The defaults are those of the first tier of custom recipes' batch recommendations in us-east-1, USD 0.067 per 1,000, on
https://aws.amazon.com/personalize/pricing/ as last known in 2023; the page was not read again for this release, and
every estimate that is made with one says so. Prices change and differ by region, so check yours. Segments, themes and
the v2 recipes are billed in other ways and have no default. Training, storage, and tiers that a month has used up are
not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_personalize.batch.recipes import JobKind

DEFAULT_PRICES: Mapping[str, float] = dict.fromkeys(
    (
        "aws-hrnn",
        "aws-hrnn-coldstart",
        "aws-hrnn-metadata",
        "aws-personalized-ranking",
        "aws-popularity-count",
        "aws-similar-items",
        "aws-sims",
        "aws-user-personalization",
    ),
    0.067,
)
"""Recipe -> USD per 1,000 rows of a batch inference job. A table of a user's own may also name kinds of jobs."""
UNCONFIRMED = "an unconfirmed default: price not checked since 2023; set prices or [personalize] batch_prices"


@dataclass(frozen=True, slots=True)
class Estimate:
    """``amount`` is in the currency of the price table."""

    rows: int
    per_thousand_rows: float
    price_from: str
    """Where the price stands; of a default, `UNCONFIRMED`."""

    @property
    def amount(self) -> float:
        return self.rows * self.per_thousand_rows / 1000

    def as_dict(self) -> dict[str, Any]:
        return {
            "amount": round(self.amount, 2),
            "per_thousand_rows": self.per_thousand_rows,
            "price_from": self.price_from,
        }

    def __str__(self) -> str:
        return f"about {self.amount:,.2f} at {self.per_thousand_rows:g} per 1,000 rows (price from {self.price_from})"


def estimate(
    rows: int, recipe: str, kind: JobKind, prices: Mapping[str, float] | None = None, prices_from: str = "prices"
) -> Estimate | None:
    """None where no table has a price.

    ``prices``: price per 1,000 rows by recipe or by kind of job (``BATCH_INFERENCE``, ``THEME_GENERATION``,
    ``BATCH_SEGMENT``); the recipe goes first, and the whole table before the defaults. ``prices_from``: where that
    table stands.
    """
    known = prices or {}
    price = known.get(recipe, known.get(kind.value))
    if price is not None:
        return Estimate(rows, price, prices_from)
    default = DEFAULT_PRICES.get(recipe) if kind is JobKind.INFERENCE else None
    return None if default is None else Estimate(rows, default, UNCONFIRMED)
