"""Run by test_memory.py with a kernel that was built to watch its own memory: odd arrays, by every level."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np

from airflow_provider_personalize.local.scoring import kernel
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.pairs import score_pairs_in_numpy
from airflow_provider_personalize.local.scoring.selection import Csr, Masks, Selection
from airflow_provider_personalize.local.scoring.topk import top_k

ITEMS = (1, 2, 31, 32, 33, 64, 100, 511, 2047, 2049, 3073, 5000)


def drawn_factors(random, n, d):
    """Random, constant, few distinct, huge, or too small for float32 to multiply."""
    kind = random.integers(5)
    if kind == 1:
        return np.full((n, d), 0.5, np.float32)
    if kind == 2:
        return random.integers(0, 2, (n, d)).astype(np.float32)
    return (random.normal(size=(n, d)) * (1, 1, 1, 1e14, 1e-25)[kind]).astype(np.float32)


def drawn_selection(random, n, m):
    def sets(most):
        rows = [random.integers(0, m, random.integers(0, most + 1)) for _ in range(n)]
        starts = np.cumsum([0, *map(len, rows)])
        return Csr(starts.astype(np.int64), np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int32))

    masks = None
    if random.random() < 0.5:
        bits = random.random((3, m)) < random.choice([0, 0.01, 0.5, 1])
        masks = Masks(np.packbits(bits, axis=1, bitorder="little"), random.integers(0, 3, n))
    return Selection(sets(2 * m) if random.random() < 0.5 else None, None, masks)


def main(path: Path) -> None:
    levels = kernel.levels(ctypes.CDLL(str(path)))
    assert levels, path
    kernel.available = lambda: levels
    random = np.random.default_rng(0)
    for turn in range(150):
        n, m, d = int(random.integers(0, 30)), int(random.choice(ITEMS)), int(random.choice([1, 2, 7, 8, 16, 65]))
        k = int(random.choice([0, 1, 5, 40, 700, m, m + 3]))
        queries, factors = drawn_factors(random, n, d), drawn_factors(random, m, d)
        bias = random.normal(size=m).astype(np.float32) if random.random() < 0.5 else None
        if random.random() < 0.3:  # the best stand together in some panels
            bias = np.where(np.arange(m) // kernel.PANEL % random.integers(1, 4) == 0, 9, 0).astype(np.float32)
        shifts = random.choice(np.array([0, 0, 2.5, -np.inf], np.float32), m) if random.random() < 0.3 else None
        selection, normalize = drawn_selection(random, n, m), bool(random.integers(2))
        answers = {}
        for level in (*levels, "numpy"):
            items = Items(factors, bias, shifts, implementation=level)
            items.factors = factors  # no longer than they are: there may be room behind a copy of them
            answers[level] = top_k(queries, items, k, selection=selection, normalize=normalize, threads=1 + turn % 2)
        expected = answers.pop("numpy")
        for level, found in answers.items():
            told = f"turn {turn}, {level}: n {n}, m {m}, d {d}, k {k}"
            np.testing.assert_array_equal(found.indices, expected.indices, told)
            np.testing.assert_array_equal(found.logits, expected.logits, told)
            if normalize:
                np.testing.assert_allclose(found.log_normalizer, expected.log_normalizer, 1e-12, 1e-5, err_msg=told)
        rows, chosen = random.integers(0, max(n, 1), 9 * (n > 0)), random.integers(0, m, 9 * (n > 0))
        for compiled in levels.values():
            scores = compiled.pairs(queries, factors, rows, chosen)
            np.testing.assert_array_equal(scores, score_pairs_in_numpy(queries, factors, rows, chosen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
