"""How the cost of an answer grows: with users, items, factors, results and the length of histories.

    python benchmarks/growth.py [--users 4096] [--rounds 5]

One thing at a time is made larger than in the base case, over random factors; all cases take turns. More factors are
each smaller, so that scores are spread as before: where their bound is many times larger, rows are scanned twice. The
claims: cost grows with users, items and factors no faster than they do; ten times the results or a history ten times
as long cost half as much again at most.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from report import Figure, interleaved, report

from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from airflow_provider_personalize.local.scoring.topk import top_k


@dataclass(frozen=True)
class Case:
    """history: the items of each user that she must not be answered with."""

    users: int
    items: int = 20_000
    factors: int = 64
    k: int = 25
    history: int = 50

    def prepared(self) -> Callable[[], object]:
        random = np.random.default_rng(0)
        scale = np.float32(self.factors**-0.25)
        users, items = (
            random.normal(size=(n, self.factors)).astype(np.float32) * scale for n in (self.users, self.items)
        )
        seen = np.unique(
            np.arange(self.users)[:, None] * self.items + random.integers(0, self.items, (self.users, self.history))
        )
        selection = Selection(excluded=Csr.from_keys(seen, self.users, self.items))
        return partial(top_k, users, Items(items), self.k, selection=selection, normalize=True)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--users", type=int, default=4096)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    base = Case(asked.users)
    # What grows, and how many times the base's time it may take.
    larger = {
        "4 times the users": (replace(base, users=4 * base.users), 4.4),
        "10 times the items": (replace(base, items=10 * base.items), 11),
        "50 times the items": (replace(base, items=50 * base.items), 55),
        "4 times the factors": (replace(base, factors=4 * base.factors), 4.4),
        "10 times the results": (replace(base, k=10 * base.k), 1.5),
        "40 times the results": (replace(base, k=40 * base.k), 4),
        "10 times the history": (replace(base, history=10 * base.history), 1.5),
    }
    runs = {"base": base.prepared()} | {name: case.prepared() for name, (case, _) in larger.items()}
    seconds = interleaved(runs, asked.rounds)
    reference = f"{base.items:,} items, {base.factors} factors, k = {base.k}"
    figures = [
        Figure(name, seconds[name] / asked.users * 1e6, seconds["base"] / asked.users * 1e6, "us/user", at_most=most)
        for name, (_, most) in larger.items()
    ]
    return report("growth", figures, reference)


if __name__ == "__main__":
    sys.exit(main())
