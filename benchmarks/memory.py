"""How much memory a batch job takes: the largest RssAnon of its runner, by rows, by items and by users of a segment.

The claims: a job of ten times the rows takes at most 10 % more, one over 1,000,000 items of 64 factors stays under 0.8
GB, and one whose every row is answered with 5,000,000 users, the most that the service allows, takes at most 10 % more
for three times as many such rows. RssAnon is what a process holds beside mapped files; a model, its ids and histories
are such files. It is read every few milliseconds from /proc, of a runner as ``local:///`` starts it. The millions of
items and users have random factors, since to train so many takes many minutes and answers no question about memory.

    python benchmarks/memory.py [--rows 500000] [--items 1000000] [--users 5000000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from planted import Planted, planted
from report import Figure, report

from airflow_provider_personalize.local import runner
from airflow_provider_personalize.local.layout import model_directory
from airflow_provider_personalize.local.models import open_model, save_model
from airflow_provider_personalize.local.store import ACTIVE
from tests.backends import batch_request, call

USERS = 20_000
FACTORS = 64
MANY_ITEMS_ROWS = 5_000  # a few blocks: they take seconds each
FEW_ITEMS = 2_000  # the claim on rows is about rows, so what they are scored against is small
SEGMENT_FACTORS = 16
LONG_ROWS = 6, 18  # enough for every thread to have one at hand and others waiting
SAMPLE_SECONDS = 0.005


def anonymous_bytes(process: int) -> int:
    try:
        for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0  # it has ended


def recommending(of: Planted, folder: Path, rows: int) -> int:
    """The largest RssAnon, in bytes, of the runner of a batch inference job over so many rows."""
    lines = (b'{"userId":"u%d"}\n' % (row % USERS) for row in range(rows))
    return peak(of, folder, f"users-{rows}", lines, "CreateBatchInferenceJob")


def segmenting(of: Planted, folder: Path, rows: int, users: int) -> int:
    """The same of a batch segment job, each row of which is answered with all users."""
    lines = (b'{"itemId":"i%d"}\n' % row for row in range(rows))
    return peak(of, folder, f"items-{rows}", lines, "CreateBatchSegmentJob", numResults=users)


def peak(of: Planted, folder: Path, name: str, lines: Iterable[bytes], operation: str, **more: Any) -> int:
    source = folder / f"{name}.json"
    with source.open("wb") as out:
        out.writelines(lines)
    request = batch_request(of.model, name, f"file://{source}", f"file://{folder}/out/", **more)
    call(of.backend, operation, **request)
    lease = runner.claim(of.backend)
    assert lease
    process = runner.start(of.backend, lease, {})
    largest = 0
    while process.poll() is None:
        largest = max(largest, anonymous_bytes(process.pid))
        time.sleep(SAMPLE_SECONDS)
    assert of.backend.store.get(lease.arn).status == ACTIVE
    return largest


def with_items(of: Planted, items: int) -> None:
    """Put a model of random factors, over so many items, in place of the one that was trained."""
    directory = model_directory(of.backend.root, of.model)
    model, random = open_model(directory), np.random.default_rng(0)
    ids = pl.Series("id", [f"i{item:09d}" for item in range(items)])
    arrays = {
        **model.arrays,
        "user_factors": random.normal(size=(of.users, FACTORS)).astype(np.float32),
        "item_factors": random.normal(size=(items, FACTORS)).astype(np.float32),
        "fold_in": np.eye(FACTORS, dtype=np.float32),
        **{name: np.zeros(items, np.float32) for name in ("item_bias", "item_counts", "item_ages")},
        "popularity": np.full(items, -np.log(items), np.float32),
    }
    save_model(replace(model, arrays=arrays, ids={**model.ids, "items": ids}), directory)


def with_users(of: Planted, users: int) -> None:
    """Put random factors, of so many users, in place of those that were trained."""
    directory = model_directory(of.backend.root, of.model)
    model, random = open_model(directory), np.random.default_rng(0)
    ids = pl.Series("id", [f"u{user:09d}" for user in range(users)])
    arrays = {
        "item_factors": random.normal(size=(len(model.ids["items"]), SEGMENT_FACTORS)).astype(np.float32),
        "user_factors": random.normal(size=(users, SEGMENT_FACTORS)).astype(np.float32),
        "user_bias": np.zeros(users, np.float32),
    }
    save_model(replace(model, arrays=arrays, ids={**model.ids, "users": ids}), directory)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=500_000)
    options.add_argument("--items", type=int, default=1_000_000)
    options.add_argument("--users", type=int, default=5_000_000)
    asked = options.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        few = planted(Path(root, "few"), USERS, FEW_ITEMS)
        one, ten = (recommending(few, Path(root), rows) / 1e6 for rows in (asked.rows, 10 * asked.rows))
        name = f"{10 * asked.rows:,} rows beside {asked.rows:,}"
        figures.append(Figure(name, ten, one, "MB", at_most=1.1))
        with_items(few, asked.items)
        largest = recommending(few, Path(root), MANY_ITEMS_ROWS) / 1e6
        figures.append(Figure(f"{asked.items:,} items, beside 0.8 GB", largest, 800, "MB", at_most=1))
        many = planted(Path(root, "many"), USERS, FEW_ITEMS, "aws-item-affinity")
        with_users(many, asked.users)
        few_rows, more_rows = (segmenting(many, Path(root), rows, asked.users) / 1e6 for rows in LONG_ROWS)
        name = f"{LONG_ROWS[1]} rows of {asked.users:,} users beside {LONG_ROWS[0]}"
        figures.append(Figure(name, more_rows, few_rows, "MB", at_most=1.1))
    return report("memory", figures, "beside")


if __name__ == "__main__":
    sys.exit(main())
