"""How fast is the kernel? Exact top-k and softmax of every user, beside the product alone and beside other libraries.

    python benchmarks/kernel.py [--users 8192] [--rounds 7] [--only-kernel]

The floor is the matrix product alone: numpy's float32 product in the best of a few tilings, BLAS at one thread and one
thread of our own a core. It keeps nothing of what it computes. The rivals do as much of the work as they offer, on the
same factors: only numpy and torch give a softmax, and only the kernel leaves out each user's own 100 items. Factors are
those of a WARP model (items in the order of popularity, with a bias column) and random ones.

Everything takes turns, and a figure is a ratio of medians; install the rivals with the extra ``[bench]``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import Figure, interleaved, report
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from airflow_provider_personalize.local.cores import available_cores as cores
from airflow_provider_personalize.local.recipes.model import TrainingConfig, epochs_progress
from airflow_provider_personalize.local.recipes.warp import fit_warp
from airflow_provider_personalize.local.scoring import kernel
from airflow_provider_personalize.local.scoring.items import Items
from airflow_provider_personalize.local.scoring.selection import Csr, Selection
from airflow_provider_personalize.local.scoring.topk import top_k

FACTORS, K, SEEN = 64, 25, 100
TILINGS = ((256, 2048), (512, 4096), (1024, 1024), (512, 16384))

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Catalogue:
    """users (n, d), items (m, d), bias (m,), and 100 items a user that she has seen."""

    name: str
    users: Float32
    items: Float32
    bias: Float32
    seen: Csr

    @property
    def with_bias(self) -> tuple[Float32, Float32]:
        """(n, d + 1) and (m, d + 1): the bias as a column, for libraries that have none."""
        ones = np.ones((len(self.users), 1), np.float32)
        return np.hstack((self.users, ones)), np.hstack((self.items, self.bias[:, None]))


def seen_by(random: np.random.Generator, users: int, items: int) -> Csr:
    """Popular items more often than others."""
    drawn = np.minimum((items * random.random((users, SEEN)) ** 3).astype(np.int64), items - 1)
    keys = np.unique((np.arange(users)[:, None] * items + drawn).ravel())
    return Csr.from_keys(keys, users, items)


def random_catalogue(users: int, items: int) -> Catalogue:
    random = np.random.default_rng(0)
    factors = (random.normal(size=(n, FACTORS)).astype(np.float32) * np.float32(0.35) for n in (users, items))
    bias = random.normal(size=items).astype(np.float32)
    return Catalogue(f"random, {items:,} items", *factors, bias, seen_by(random, users, items))


@cache
def warp_factors(items: int) -> tuple[Float32, Float32, Float32]:
    """Of 20,000 users with some 30 items each, by a taste of few dimensions and Zipf's law."""
    random = np.random.default_rng(1)
    users, each = 20_000, 30
    likes, tastes = random.normal(size=(users, 6)), random.normal(size=(items, 6))
    offered = np.minimum((items * random.random((users, 10 * each)) ** 3).astype(np.int64), items - 1)
    liking = np.einsum("ud,uod->uo", likes, tastes[offered])
    chosen = np.take_along_axis(offered, np.argpartition(-liking, each, axis=1)[:, :each], axis=1)
    pairs = np.unique((np.arange(users)[:, None] * items + chosen).ravel())
    row, column = (part.astype(np.int32) for part in np.divmod(pairs, items))
    by_count = np.argsort(-np.bincount(column, minlength=items), kind="stable")
    rank = np.empty(items, np.int32)
    rank[by_count] = np.arange(items)
    config = TrainingConfig(threads=cores())
    progress = epochs_progress(config, 1000)
    next(progress)
    ones = np.ones(len(row), np.float32)
    model = fit_warp(row, rank[column], ones, (users, items), config, progress, dimension=FACTORS)
    return model.rows, model.columns, model.column_bias


def warp_catalogue(users: int, items: int) -> Catalogue:
    rows, columns, bias = warp_factors(items)
    seen = seen_by(np.random.default_rng(2), users, items)
    return Catalogue(f"WARP, {items:,} items", np.resize(rows, (users, FACTORS)), columns, bias, seen)


# ---- the floor ----


def product(users: Float32, items: Float32, tiling: tuple[int, int]) -> None:
    """Every score, computed and forgotten, by one thread a core."""
    rows, columns = tiling
    transposed = np.ascontiguousarray(items.T)

    def block(start: int) -> None:
        part = users[start : start + rows]
        out = np.empty((len(part), columns), np.float32)
        for first in range(0, len(items), columns):
            tile = transposed[:, first : first + columns]
            np.matmul(part, tile, out=out[:, : tile.shape[1]])

    in_threads(block, range(0, len(users), rows))


def in_threads(function: Callable[[int], object], starts: range) -> None:
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(function, starts))


def best_tiling(catalogue: Catalogue) -> tuple[int, int]:
    users = catalogue.users[:2048]
    runs = {str(tiling): partial(product, users, catalogue.items, tiling) for tiling in TILINGS}
    seconds = interleaved(runs, 3)
    return min(TILINGS, key=lambda tiling: seconds[str(tiling)])


# ---- ours and theirs: each a call that answers all users ----


def ours(catalogue: Catalogue, k: int = K, level: str | None = None) -> Callable[[], object]:
    items = Items(catalogue.items, catalogue.bias, implementation=level)
    selection = Selection(excluded=catalogue.seen)
    return partial(top_k, catalogue.users, items, k, selection=selection, normalize=True)


def with_faiss(catalogue: Catalogue) -> Callable[[], object]:
    faiss = import_module("faiss")
    users, items = catalogue.with_bias
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    faiss.omp_set_num_threads(cores())
    return partial(index.search, users, K)


def with_implicit(catalogue: Catalogue) -> Callable[[], object]:
    topk = import_module("implicit.cpu.topk").topk
    users, items = catalogue.with_bias
    return partial(topk, items, users, K, num_threads=cores())


def with_numpy(catalogue: Catalogue) -> Callable[[], object]:
    users, items = catalogue.with_bias
    transposed = np.ascontiguousarray(items.T)

    def block(start: int) -> None:
        scores = users[start : start + 256] @ transposed
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        np.take_along_axis(scores, best, axis=1)

    return lambda: in_threads(block, range(0, len(users), 256))


def with_torch(catalogue: Catalogue) -> Callable[[], object]:
    torch = import_module("torch")
    torch.set_num_threads(cores())
    users, items = (torch.from_numpy(array) for array in catalogue.with_bias)

    def run() -> None:
        for start in range(0, len(users), 256):
            scores = users[start : start + 256] @ items.T
            torch.topk(scores, K, dim=1)
            torch.logsumexp(scores, dim=1)

    return run


def with_lightfm(catalogue: Catalogue) -> Callable[[], object]:
    """Its predict takes pairs; the best of each user are chosen as its documentation does."""
    model = import_module("lightfm").LightFM(no_components=FACTORS)
    nothing = csr_matrix((len(catalogue.users), len(catalogue.items)), dtype=np.float32)
    model.fit(nothing, epochs=0)  # It predicts only once it was fitted.
    model.user_embeddings, model.item_embeddings = catalogue.users, catalogue.items
    model.user_biases, model.item_biases = np.zeros(len(catalogue.users), np.float32), catalogue.bias
    every = np.arange(len(catalogue.items), dtype=np.int32)

    def run() -> None:
        for user in range(len(catalogue.users)):
            scores = model.predict(np.full(len(every), user, np.int32), every, num_threads=cores())
            np.argpartition(-scores, K)

    return run


RIVALS: Mapping[str, tuple[Callable[[Catalogue], Callable[[], object]], int]] = {
    # How many times fewer users each is given, so that all take about as long.
    "faiss IndexFlatIP, no softmax": (with_faiss, 1),
    "implicit topk, no softmax": (with_implicit, 2),
    "torch matmul, logsumexp, topk": (with_torch, 4),
    "numpy softmax and argpartition": (with_numpy, 8),
    "LightFM predict, no softmax": (with_lightfm, 256),
}


def fewer(catalogue: Catalogue, users: int) -> Catalogue:
    rows = np.arange(max(users, 1))
    return Catalogue(catalogue.name, catalogue.users[rows], catalogue.items, catalogue.bias, catalogue.seen.take(rows))


def installed(catalogue: Catalogue) -> Iterator[tuple[str, Callable[[], object], int]]:
    for name, (prepare, times) in RIVALS.items():
        users = max(len(catalogue.users) // times, 1)
        try:
            yield name, prepare(fewer(catalogue, users)), users
        except ImportError as missing:
            print(f"left out: {name} ({missing})")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    with threadpool_limits(1, "blas"):
        yield


def measured(catalogue: Catalogue, rounds: int, most: float, rivals: bool) -> list[Figure]:
    """Users a second, beside the floor's; ``most`` is how much longer than the floor the kernel may take.

    That holds for AVX-512; AVX2 alone may take twice the floor.
    """
    users = len(catalogue.users)
    tiling = best_tiling(catalogue)
    runs: dict[str, tuple[Callable[[], object], int]] = {
        "floor": (partial(product, catalogue.users, catalogue.items, tiling), users),
        "kernel": (ours(catalogue), users),
        "k = 500": (ours(catalogue, 500), users),
    }
    best = next(iter(kernel.available()), None)
    if best == "x86-64-v4":
        runs["AVX2 alone"] = (ours(catalogue, level="x86-64-v3"), users)
    if rivals:
        runs |= {name: (run, own) for name, run, own in installed(catalogue)}
    seconds = interleaved({name: run for name, (run, _) in runs.items()}, rounds)
    each = {name: seconds[name] / own * 1e6 for name, (_, own) in runs.items()}
    print(f"\n{catalogue.name}: floor {tiling[0]} x {tiling[1]}")
    for name, microseconds in each.items():
        print(f"  {name:34} {1e6 / microseconds:>10,.0f} users/s")
    at = catalogue.name

    def figure(name: str, reference: str, **bound: Any) -> Figure:
        return Figure(f"{at}: {name} / {reference}", each[name], each[reference], "us/user", **bound)

    figures = [
        figure("kernel", "floor", at_most=2.0 if best == "x86-64-v3" else most),
        figure("k = 500", "kernel", at_most=1.5),
    ]
    if "AVX2 alone" in each:
        figures.append(figure("AVX2 alone", "floor", at_most=2.0))
    return figures + [figure("kernel", name, at_most=1.0) for name in RIVALS if name in each]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--users", type=int, default=8192)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--only-kernel", action="store_true", help="without the other libraries")
    asked = options.parse_args()
    print(f"kernel {kernel.implementation() and kernel.implementation().name}, {cores()} threads")
    figures = []
    with one_blas_thread():
        for items, most, users in ((20_000, 1.2, asked.users), (200_000, 1.0, max(asked.users // 8, 1))):
            for make in (warp_catalogue, random_catalogue):
                figures += measured(make(users, items), asked.rounds, most, rivals=not asked.only_kernel)
    return report("kernel", figures, "beside")


if __name__ == "__main__":
    sys.exit(main())
