"""What checking the input of a batch job costs beyond parsing its lines.

The claim: a million rows are checked on one core in at most nine times the time that `orjson.loads` takes for the same
lines in a list, and so within seconds. Checking reads the lines, parses them, checks every member, and looks for rows
that repeat an earlier one.

    python benchmarks/validation.py
    python benchmarks/validation.py --rows 100000
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable

import orjson
from report import Figure, interleaved, report

from airflow_provider_personalize.batch.filter_expression import parse_filter
from airflow_provider_personalize.batch.recipes import JobKind
from airflow_provider_personalize.batch.validation import InputFile, validate_input

CLAIM = 9.0
FILTER = parse_filter("INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)")
ROWS: dict[str, tuple[str, Callable[[int], object]]] = {
    "users": ("aws-user-personalization", lambda n: {"userId": f"user-{n}"}),
    "rankings of 20": (
        "aws-personalized-ranking",
        lambda n: {"userId": f"user-{n}", "itemList": [f"item-{(n * 7 + i) % 5000}" for i in range(20)]},
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    figures = []
    for name, (recipe, row) in ROWS.items():
        lines = [orjson.dumps(row(n)) + b"\n" for n in range(arguments.rows)]
        data = b"".join(lines)

        def check(data: bytes = data, recipe: str = recipe) -> object:
            return validate_input([InputFile("rows", len(data), io.BytesIO(data))], recipe, JobKind.INFERENCE)

        def parse(lines: list[bytes] = lines) -> object:
            return [orjson.loads(line) for line in lines]

        seconds = interleaved({"check": check, "parse": parse}, arguments.times)
        figures.append(Figure(f"{arguments.rows:,} {name}", seconds["check"], seconds["parse"], "s", at_most=CLAIM))
    return report("validation", figures, "orjson.loads")


if __name__ == "__main__":
    sys.exit(main())
