"""What a value may be beyond its type, whether it is imported or put: one rule for both, so that exports read back."""

from __future__ import annotations

from airflow_provider_personalize.local.datasets.schema import Field

LONGEST_ID = 256
LONGEST_STRING = 1000
LATEST_TIME = 100_000_000_000  # the year 5138 in seconds, 1973 in milliseconds
INT_BITS = {"int": 32, "long": 64}
FLOAT_OVERFLOW = 3.4028235677973366e38  # from here on a float of 32 bits is infinite


def is_time(field: Field) -> bool:
    return field.type == "long" and field.name.upper().endswith("TIMESTAMP")


def longest(field: Field) -> int | None:
    """The most characters a value may have; long text is not refused, training cuts it."""
    if field.type != "string" or field.textual:
        return None
    if field.name in ("USER_ID", "ITEM_ID", "ACTION_ID"):
        return LONGEST_ID
    return LONGEST_STRING


def not_a_time(value: int, shown: str) -> str:
    """What is wrong with a number that is no time in epoch seconds; empty where it is one."""
    if 0 <= value < LATEST_TIME:
        return ""
    hint = " It looks like milliseconds." if value > 0 else ""
    return f"{shown} is not a time in epoch seconds.{hint}"
