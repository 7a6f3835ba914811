"""How good are the recommendations? Personalization beside popularity, cosine kNN, implicit ALS and EASE.

    python benchmarks/quality.py --data folder-of-MovieLens-CSVs

The claims: on the report split at least 1.5 times the NDCG@10 of popularity and at least that of EASE; a log-loss of
users that training never saw that is below that of T = 1 and that of popularity; and at least 90 % of the NDCG@10 of
the same users trained. Exits with 1 where one does not hold.

The newest tenth of each user's history is held out, and items that a user has already are not recommended. What can be
chosen (of the rivals: by the grids below; of ours: the constants of recipes/user_personalization.py) was chosen on the
*tuning* split, which knows nothing of the events that the *report* split holds out: those are the newest tenth, and the
tuning split holds out the newest tenth of the rest. Intervals are 95 % of a paired bootstrap over users.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from report import Figure, report
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from airflow_provider_personalize.local import sample_data
from airflow_provider_personalize.local.datasets.csv_import import import_csv
from airflow_provider_personalize.local.datasets.dataset import Datasets, load_datasets
from airflow_provider_personalize.local.datasets.schema import parse_schema
from airflow_provider_personalize.local.recipes import RECIPES, TrainingConfig
from airflow_provider_personalize.local.recipes import user_personalization as ours
from airflow_provider_personalize.local.recipes.events import Events, training_events
from airflow_provider_personalize.local.recipes.metrics import hits, ndcg
from airflow_provider_personalize.local.recipes.warp import begin_warp_ensemble, fit_warp, training_threads
from airflow_provider_personalize.local.scoring.selection import Csr, Selection

SEEDS = (0, 1, 2)
Scores = Callable[[csr_matrix], np.ndarray]


@dataclass
class Split:
    """Datasets without the newest tenth of each history, and that tenth."""

    datasets: Datasets
    older: Events
    newest: Events

    @classmethod
    def of(cls, datasets: Datasets) -> Split:
        events = training_events(datasets, TrainingConfig())
        older, newest = events.split(least=2)
        return cls(keeping(datasets, events, older), older, newest)

    @property
    def matrix(self) -> csr_matrix:
        """(users, items) of ones."""
        shape = (len(self.older.user_ids), len(self.older.item_ids))
        return csr_matrix((np.ones(len(self.older)), (self.older.user, self.older.item)), shape)

    @property
    def seen(self) -> Csr:
        histories = self.older.histories()
        return Csr(histories.indptr, histories.item)

    @property
    def truth(self) -> Csr:
        histories = self.newest.histories()
        return Csr(histories.indptr, histories.item)

    def ndcg_of_lists(self, found: np.ndarray) -> np.ndarray:
        """(users,) NDCG@10 of (users, 10) items."""
        return ndcg(hits(found.astype(np.int32), self.truth), np.diff(self.truth.indptr), 10)

    def ndcg_of_scores(self, scores: np.ndarray) -> np.ndarray:
        scores = scores.copy()
        scores[self.older.user, self.older.item] = -np.inf
        return self.ndcg_of_lists(np.argsort(-scores, axis=1, kind="stable")[:, :10])

    def ndcg_of_model(self, model, users: np.ndarray | None = None) -> np.ndarray:
        users = np.arange(len(self.older.user_ids)) if users is None else users
        rows = [{"userId": user} for user in self.older.user_ids.gather(users)]
        assert model.answer_ids.equals(self.older.item_ids)
        found = np.full((len(self.older.user_ids), 10), -1, np.int32)
        found[users] = model.answer(rows, 10, Selection(excluded=self.seen.take(users))).ids
        return self.ndcg_of_lists(found)[users]


def keeping(datasets: Datasets, events: Events, kept: Events) -> Datasets:
    """The datasets with the interactions of some events alone."""
    pairs = pl.DataFrame({"USER_ID": events.user_ids.gather(kept.user), "ITEM_ID": events.item_ids.gather(kept.item)})
    return replace(datasets, interactions=datasets.interactions.join(pairs, on=["USER_ID", "ITEM_ID"], how="semi"))


def movielens(source: Path) -> Datasets:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        sample_data.convert_movielens(source, directory)
        files, schemas = {}, {}
        for name in ("interactions", "items"):
            schema = parse_schema((directory / f"{name}.schema.json").read_text())
            import_csv([directory / f"{name}.csv"], schema, directory / f"{name}.arrow")
            files[schema.dataset_type], schemas[schema.dataset_type] = [directory / f"{name}.arrow"], schema
        return load_datasets(files, schemas)


# The rivals: each (users, items) scores of a matrix of ones.


def popularity(matrix: csr_matrix) -> np.ndarray:
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    return np.tile(counts, (matrix.shape[0], 1))


def cosine_knn(matrix: csr_matrix, neighbours: int, shrinkage: float) -> np.ndarray:
    """Each item's nearest items, by shrunk cosine."""
    norms = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
    similarity = (matrix.T @ matrix).toarray() / (np.outer(norms, norms) + shrinkage)
    np.fill_diagonal(similarity, 0)
    kept = np.partition(similarity, -neighbours, axis=0)[-neighbours]
    return matrix @ np.where(similarity >= kept, similarity, 0)


def implicit_als(matrix: csr_matrix, dimension: int, alpha: float, penalty: float, sweeps: int = 10) -> np.ndarray:
    """Hu, Koren and Volinsky (2008): squared error, confidence 1 + alpha for what was seen."""
    random = np.random.default_rng(0)
    users, items = (random.normal(0, 0.01, (n, dimension)) for n in matrix.shape)

    def solve(rows: csr_matrix, into: np.ndarray, others: np.ndarray) -> None:
        gram = others.T @ others + penalty * np.eye(dimension)
        for row in range(rows.shape[0]):
            own = others[rows.indices[rows.indptr[row] : rows.indptr[row + 1]]]
            into[row] = np.linalg.solve(gram + alpha * own.T @ own, (1 + alpha) * own.sum(axis=0))

    by_item = matrix.T.tocsr()
    for _ in range(sweeps):
        solve(matrix, users, items)
        solve(by_item, items, users)
    return users @ items.T


def ease(matrix: csr_matrix, penalty: float) -> np.ndarray:
    """Steck (2019), by way of the users, who are fewer: (X'X + c)^-1 = (1 - X'(XX' + c)^-1 X) / c."""
    dense = matrix.toarray()
    inner = np.linalg.solve(dense @ dense.T + penalty * np.eye(len(dense)), dense)
    diagonal = (1 - np.einsum("ui,ui->i", dense, inner)) / penalty
    return dense - (dense - dense @ dense.T @ inner) / penalty / diagonal


RIVALS: dict[str, list[tuple[str, Scores]]] = {
    "popularity": [("", popularity)],
    "cosine kNN": [
        (f"{k} neighbours, shrinkage {s}", lambda m, k=k, s=s: cosine_knn(m, k, s))
        for k in (50, 100, 200)
        for s in (10, 50)
    ],
    "implicit ALS": [
        (f"d {d}, alpha {a}", lambda m, d=d, a=a: implicit_als(m, d, a, 10.0)) for d in (32, 64) for a in (0.5, 2.0)
    ],
    "EASE": [(f"penalty {c}", lambda m, c=c: ease(m, c)) for c in (25.0, 50.0, 100.0, 200.0, 400.0)],
}


# Ours, in the steps that led there.


def warp_scores(split: Split, seed: int, seeds: int, recency: float) -> np.ndarray:
    """WARP's own factors, as LightFM leaves them."""
    events = split.older
    weight = (recency ** events.age.astype(np.float64)).astype(np.float32)
    shape = (len(events.user_ids), len(events.item_ids))
    config, forever = TrainingConfig(seed=seed), iter(lambda: None, 0)
    options = {"epochs": ours.EPOCHS, "max_sampled": ours.MAX_SAMPLED}
    width = ours.DIMENSION // ours.SEEDS
    if seeds == 1:
        factors = fit_warp(events.user, events.item, weight, shape, config, forever, dimension=width, **options)
    else:
        options["dimensions"] = [width] * seeds
        with training_threads() as threads:
            factors = begin_warp_ensemble(
                threads, events.user, events.item, weight, shape, config, forever, **options
            )()
    return factors.rows @ factors.columns.T + factors.column_bias


OURS: dict[str, Callable[[Split, int], np.ndarray]] = {
    "LightFM WARP, one seed": lambda split, seed: split.ndcg_of_scores(warp_scores(split, seed, 1, 1.0)),
    "  + recency weights": lambda split, seed: split.ndcg_of_scores(warp_scores(split, seed, 1, ours.RECENCY)),
    f"  + {ours.SEEDS} seeds": lambda split, seed: split.ndcg_of_scores(
        warp_scores(split, seed, ours.SEEDS, ours.RECENCY)
    ),
    "aws-user-personalization": lambda split, seed: split.ndcg_of_model(fitted(split, seed)),
    "aws-user-personalization-v2": lambda split, seed: split.ndcg_of_model(fitted(split, seed, "-v2")),
}


def fitted(split: Split, seed: int, version: str = ""):
    return RECIPES[f"aws-user-personalization{version}"].fit(split.datasets, TrainingConfig(seed=seed))


def interval(difference: np.ndarray) -> tuple[float, float]:
    """95 % of the means of resampled users."""
    random = np.random.default_rng(0)
    means = [difference[random.integers(0, len(difference), len(difference))].mean() for _ in range(2000)]
    return tuple(np.quantile(means, (0.025, 0.975)))


def ranking(tuning: Split, reported: Split) -> list[Figure]:
    print("\nNDCG@10 of the newest tenth of each history\n")
    print(f"{'':34}{'tuning':>8}{'report':>8}   chosen on the tuning split")
    rivals: dict[str, np.ndarray] = {}
    for name, grid in RIVALS.items():
        judged = [(tuning.ndcg_of_scores(scores(tuning.matrix)).mean(), label, scores) for label, scores in grid]
        best, label, scores = max(judged, key=lambda entry: entry[0])
        rivals[name] = reported.ndcg_of_scores(scores(reported.matrix))
        print(f"{name:34}{best:8.4f}{rivals[name].mean():8.4f}   {label}", flush=True)
    mine: dict[str, np.ndarray] = {}
    for name, measure in OURS.items():
        started = time.perf_counter()
        tuned, mine[name] = (np.mean([measure(split, seed) for seed in SEEDS], axis=0) for split in (tuning, reported))
        each = (time.perf_counter() - started) / 2 / len(SEEDS)
        print(f"{name:34}{tuned.mean():8.4f}{mine[name].mean():8.4f}   {each:.1f} s, training and answers", flush=True)
    product = mine["aws-user-personalization"]
    print(f"\naws-user-personalization on the report split, mean of {len(SEEDS)} seeds, beside each rival\n")
    for name, theirs in rivals.items():
        low, high = interval(product - theirs)
        print(f"{name:34}x {product.mean() / theirs.mean():4.2f}   {low:+.4f} .. {high:+.4f}")
    return [
        Figure(f"ranking, beside {name}", float(product.mean()), float(rivals[name].mean()), "NDCG@10", at_least=least)
        for name, least in (("popularity", 1.5), ("EASE", 1.0))
    ]


def folding_in(split: Split) -> tuple[object, np.ndarray, Figure]:
    """Every fifth user as a stranger, beside the same users trained; the model without them, who they are, a claim."""
    users = np.arange(0, len(split.older.user_ids), 5)
    others = np.ones(len(split.older.user_ids), np.bool_)
    others[users] = False
    without = keeping(split.datasets, split.older, split.older.of_users(others))
    model = RECIPES["aws-user-personalization"].fit(without, TrainingConfig()).current(split.datasets)
    rows = {
        "WARP's own factors, trained": split.ndcg_of_scores(warp_scores(split, 0, ours.SEEDS, ours.RECENCY))[users],
        "the model, trained on them too": split.ndcg_of_model(fitted(split, 0), users),
        "the model, folding them in": split.ndcg_of_model(model, users),
        "popularity": split.ndcg_of_scores(popularity(split.matrix))[users],
    }
    print(f"\nUsers that training never saw: NDCG@10 of {len(users)} users\n")
    for name, values in rows.items():
        print(f"{name:34}{values.mean():8.4f}")
    folded, trained = (float(rows[f"the model, {how}"].mean()) for how in ("folding them in", "trained on them too"))
    return model, users, Figure("users folded in, beside trained", folded, trained, "NDCG@10", at_least=0.9)


def calibration(split: Split, model, users: np.ndarray) -> list[Figure]:
    """Scores as probabilities, of users that training never saw."""
    queries, known = model.queries([{"userId": user} for user in split.older.user_ids.gather(users)])
    assert known.all()
    temperature = model.manifest["temperature"]
    logits = (queries @ model.arrays["item_factors"].T + model.arrays["item_bias"]).astype(np.float64)
    popular = np.tile(model.arrays["popularity"].astype(np.float64), (len(users), 1))
    histories = split.newest.histories().take(users)
    rows, items = np.repeat(np.arange(len(users)), histories.lengths()), histories.item
    trained = np.exp(model.arrays["popularity"])[items] > 1e-8  # an item of other users' is nobody's guess
    rows, items = rows[trained], items[trained]

    def log_shares(scores: np.ndarray) -> np.ndarray:
        largest = scores.max(axis=1, keepdims=True)
        return scores - largest - np.log(np.exp(scores - largest).sum(axis=1, keepdims=True))

    print(f"\nHeld-out log-loss of users that training never saw ({len(rows)} events), temperature {temperature:.3f}\n")
    losses = {}
    for name, scores in (("fitted", logits / temperature), ("T = 1", logits), ("popularity", popular)):
        losses[name] = float(-log_shares(scores)[rows, items].mean())
        print(f"{name:34}{losses[name]:8.3f}")
    shares = np.exp(log_shares(logits / temperature))
    events = np.bincount(rows, minlength=len(users))
    print("\nHits by score band, of all items and of those that a user did not have\n")
    print(f"{'score':>20}{'expected':>10}{'observed':>10}{'unseen: expected':>20}{'observed':>10}")
    fresh = np.ones(shares.shape, np.bool_)
    seen = split.older.histories().take(users)
    fresh[np.repeat(np.arange(len(users)), seen.lengths()), seen.item] = False
    among = shares * fresh / (shares * fresh).sum(axis=1, keepdims=True)
    edges = [0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1]
    for low, high in pairwise(edges):
        cells = []
        for p in (shares, among):
            band = (p >= low) & (p < high)
            cells += [(p * band * events[:, None]).sum(), band[rows, items].sum()]
        print(f"{f'{low:g} .. {high:g}':>20}{cells[0]:10.0f}{cells[1]:10.0f}{cells[2]:20.0f}{cells[3]:10.0f}")
    return [
        Figure(f"log-loss, beside {name}", losses["fitted"], losses[name], "nats", at_most=1.0)
        for name in ("T = 1", "popularity")
    ]


def metrics(split: Split) -> None:
    print("\nGetSolutionMetrics of aws-user-personalization\n")
    metrics: Mapping[str, float] = fitted(split, 0).manifest["metrics"]
    for name, value in metrics.items():
        print(f"{name:52}{value:8.4f}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="ratings.csv and movies.csv of a MovieLens data set")
    given = parser.parse_args(arguments)
    with threadpool_limits(2, "blas"):
        reported = Split.of(movielens(given.data))
        tuning = Split.of(reported.datasets)
        figures = ranking(tuning, reported)
        model, users, folded = folding_in(reported)
        figures += [*calibration(reported, model, users), folded]
        metrics(reported)
    return report("quality", figures, "reference")


if __name__ == "__main__":
    sys.exit(main())
