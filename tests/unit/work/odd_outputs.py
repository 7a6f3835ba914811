"""Run by test_outputs.py with outputs.c built to watch its own memory: rows whose texts fill what is made for them."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import polars as pl

from airflow_provider_personalize.batch.writer import write_recommendations
from airflow_provider_personalize.local.recipes.model import Labels
from airflow_provider_personalize.local.work import outputs

LABELS = Labels(pl.Series(sorted(["i", "item-4", 'quo"te', "line\nend", "ü", "x" * 256])))
LONGEST_SCORES = [1, 1_234, 12_345, 1_234_567, 9_999_999, 10_000_000, 0]


def main(path: Path) -> None:
    outputs.library = lambda source: ctypes.CDLL(str(path))
    random = np.random.default_rng(0)
    for _ in range(300):
        n, k = random.integers(0, 12), random.integers(0, 12)
        held = np.sort(random.integers(0, k + 1, n)) if random.random() < 0.5 else np.full(n, k)
        ids = random.integers(0, len(LABELS), (n, k)).astype(np.int32)
        ids[np.arange(k) >= held[:, None]] = -1
        scores = random.choice(LONGEST_SCORES, (n, k)) if random.random() < 0.5 else None
        inputs = [b"x" * random.integers(0, 40) for _ in range(n)]
        labels = [[LABELS[item] for item in row if item >= 0] for row in ids]
        plain = None if scores is None else [row[:most].tolist() for row, most in zip(scores, held, strict=True)]
        written = outputs.Outputs(LABELS).write(inputs, ids, scores, {})
        assert written == write_recommendations(inputs, labels, plain, {})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
