"""What an import costs: CSV read, checked against the schema and stored, beside the reading alone.

The claim: 10,000,000 interactions are imported in at most twice the time of ``polars.read_csv`` on the same file, in
less than 3 GB. Each run has a process of its own, whose peak is the largest resident set (mapped files included).

    python benchmarks/imports.py                        # a fifth of them
    python benchmarks/imports.py --rows 10000000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from report import Figure, report

from airflow_provider_personalize.local.datasets.csv_import import import_csv
from airflow_provider_personalize.local.datasets.schema import parse_schema

USERS, ITEMS = 500_000, 100_000
COLUMNS = {"USER_ID": "string", "ITEM_ID": "string", "TIMESTAMP": "long", "EVENT_TYPE": "string"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "interactions.csv")
        for ids, letter in (("numbers", ""), ("words", "user-")):
            _write(source, arguments.rows, letter)
            measured: dict[Callable[[Path], int], list[tuple[float, int]]] = {_read: [], _import: []}
            for _ in range(arguments.times):
                for run, results in measured.items():
                    if run is _import:
                        # An import makes a new file; to replace one costs the time to free its pages. They are freed
                        # just now, since a virtual machine may take a second to get 500 MB that it gave back.
                        source.with_suffix(".arrow").unlink(missing_ok=True)
                    results.append(_alone(run, source))
            (read, _), (imported, peak) = (
                (statistics.median(seconds for seconds, _ in results), max(size for _, size in results) / 1e9)
                for results in measured.values()
            )
            figures.append(Figure(f"{arguments.rows:,} rows, ids are {ids}", imported, read, "s", at_most=2))
            figures.append(Figure(f"  its peak, beside what is allowed ({ids})", peak, 3.0, "GB", at_most=1))
    return report("imports", figures, "polars.read_csv")


def _write(path: Path, rows: int, letter: str) -> None:
    """Interactions of users drawn evenly and items by popularity."""
    random = np.random.default_rng(1)
    users, items = random.integers(0, USERS, rows), (ITEMS * random.random(rows) ** 3).astype(np.int64)
    table = {
        "USER_ID": letter + pl.Series(users).cast(pl.String),
        "ITEM_ID": pl.Series(items).cast(pl.String),
        "TIMESTAMP": random.integers(1_500_000_000, 1_700_000_000, rows),
        "EVENT_TYPE": np.where(random.random(rows) < 0.9, "watch", "buy"),
    }
    pl.DataFrame(table).write_csv(path)


def _alone(run: Callable[[Path], int], source: Path) -> tuple[float, int]:
    """Seconds, and the peak in bytes, of one run in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, run, source).result()


def _measured(run: Callable[[Path], int], source: Path) -> tuple[float, int]:
    started = time.perf_counter()
    run(source)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _read(source: Path) -> int:
    return pl.read_csv(source).height


def _import(source: Path) -> int:
    fields = [{"name": name, "type": kind} for name, kind in COLUMNS.items()]
    schema = parse_schema(json.dumps({"type": "record", "name": "Interactions", "fields": fields}))
    return import_csv([source], schema, source.with_suffix(".arrow"), minimum_rows=1000)


if __name__ == "__main__":
    sys.exit(main())
