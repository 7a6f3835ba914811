"""Scores in Java's notation, against known prints and an independent slow reference."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_personalize.batch.scores import format_score, join_scores

KNOWN = {
    0: "0.0",
    1: "1.0E-7",
    10: "1.0E-6",
    717: "7.17E-5",
    3_773: "3.773E-4",
    9_999: "9.999E-4",
    10_000: "0.001",
    10_001: "0.0010001",
    35_000: "0.0035",
    152_238: "0.0152238",
    91_620: "0.009162",
    406_197: "0.0406197",
    9_999_999: "0.9999999",
    10_000_000: "1.0",
    15_000_000: "1.5",
    10_000_001: "1.0000001",
    10**14 - 1: "9999999.9999999",
    10**14: "1.0E7",
    123 * 10**12 + 5 * 10**6: "1.23000005E7",
    -1_889_130: "-0.188913",
    -717: "-7.17E-5",
}


def java_double_to_string(units: int) -> str:
    """The rules in the documentation of java.lang.Double.toString, on exact decimals."""
    value = abs(Decimal(units).scaleb(-7))
    sign = "-" if units < 0 else ""
    if value == 0:
        return sign + "0.0"
    digits = "".join(map(str, value.normalize().as_tuple().digits))
    exponent = value.adjusted()
    if Decimal("0.001") <= value < Decimal(10_000_000):
        text = format(value.normalize(), "f")
        return sign + (text if "." in text else text + ".0")
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"


@pytest.mark.parametrize(("units", "printed"), KNOWN.items())
def test_known_prints(units: int, printed: str) -> None:
    assert format_score(units) == printed
    assert join_scores([units]) == printed.encode()


@settings(max_examples=500)
@given(
    st.integers(0, 20_000)
    | st.integers(0, 10**7)
    | st.integers(-(10**15) + 1, 10**15 - 1)
    | st.builds(lambda digit, zeros: digit * 10**zeros, st.integers(-99, 99), st.integers(0, 12))
)
@example(9_999)
@example(10**14)
def test_every_score_prints_as_the_reference_does_and_reads_back_exactly(units: int) -> None:
    printed = format_score(units)
    assert printed == java_double_to_string(units)
    assert float(printed) == units / 1e7
    assert join_scores([units, units]) == f"{printed},{printed}".encode()


def test_every_score_below_a_thousandth_and_around_the_boundaries() -> None:
    units = [*range(10_100), *range(9_999_900, 10_000_100), *range(10**14 - 100, 10**14 + 100)]
    assert join_scores(units).decode().split(",") == [java_double_to_string(unit) for unit in units]


def test_no_scores_join_to_nothing() -> None:
    assert join_scores([]) == b""
