"""LightFM's WARP loss, as factors: the one module that imports LightFM.

Only its training is used. Its ``predict`` and evaluation are slow and leak, and under WARP the bias of the side that is
ranked *for* (its "user" bias) is an artefact that only ever falls, so that it is neither used nor kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.cores import available_cores
from airflow_provider_personalize.local.recipes.model import TrainingConfig, TrainingError

LEARNING_RATE = 0.05
EPOCHS = 25
DIMENSION = 63
MAX_SAMPLED = 10  # items tried for one that is ranked too high


@dataclass(frozen=True)
class Factors:
    """score(row, column) = rows[row] . columns[column] + column_bias[column]; comparable within a row only.

    rows: (r, d) float32, columns: (c, d) float32, column_bias: (c,) float32.
    other_rows: (o, d) float32, the rows of ``other_row_features``.
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    column_bias: NDArray[np.float32]
    other_rows: NDArray[np.float32] | None = None


def fit_warp(
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    weight: NDArray[np.float32],
    shape: tuple[int, int],
    config: TrainingConfig,
    progress: Iterator[None],
    *,
    dimension: int = DIMENSION,
    epochs: int = EPOCHS,
    max_sampled: int = MAX_SAMPLED,
    row_features: Any = None,
    column_features: Any = None,
    other_row_features: Any = None,
) -> Factors:
    """Learn to rank each row's columns above the others.

    Args:
        row, column, weight: (nnz,) the positive pairs and their sample weights.
        row_features, column_features: scipy CSR (r, f) and (c, g) float32; None for one feature an entity.
        other_row_features: scipy CSR (o, f) float32 of rows that are not trained on, but asked for.

    Raises:
        TrainingError: training diverged.
    """
    from lightfm import LightFM
    from scipy.sparse import coo_matrix

    row, column = row.copy(), column.copy()  # LightFM takes no read-only buffers, and polars gives no others
    ones = np.ones(len(row), np.float32)
    # Both in one order: LightFM pairs weights with interactions by position.
    positives = coo_matrix((ones, (row, column)), shape=shape, dtype=np.float32)
    weights = coo_matrix((weight, (row, column)), shape=shape, dtype=np.float32)
    learner = LightFM(
        dimension, loss="warp", learning_rate=LEARNING_RATE, max_sampled=max_sampled, random_state=config.seed
    )
    for epoch in range(epochs):
        try:
            with np.errstate(invalid="ignore"):  # its own check of the factors warns before it raises
                learner.fit_partial(
                    positives,
                    row_features,
                    column_features,
                    sample_weight=weights,
                    epochs=1,
                    num_threads=config.threads,
                )
        except ValueError as error:
            raise TrainingError(f"Create failed. Training stopped in epoch {epoch + 1} of {epochs}: {error}") from None
        next(progress)
    _, rows = learner.get_user_representations(row_features)
    bias, columns = learner.get_item_representations(column_features)
    others = None
    if other_row_features is not None:
        others = np.array(learner.get_user_representations(other_row_features)[1], np.float32, order="C")
    kept_rows, kept_columns, kept_bias = (np.array(a, np.float32, order="C") for a in (rows, columns, bias))
    return Factors(kept_rows, kept_columns, kept_bias, others)


@contextmanager
def training_threads() -> Iterator[Executor]:
    """A thread a core for fits beside each other; those that have not begun when the block fails never do."""
    with ThreadPoolExecutor(available_cores()) as threads:
        try:
            yield threads
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def begin_warp_ensemble(
    threads: Executor,
    row: NDArray[np.int32],
    column: NDArray[np.int32],
    weight: NDArray[np.float32],
    shape: tuple[int, int],
    config: TrainingConfig,
    progress: Iterator[None],
    *,
    dimensions: Sequence[int],
    **options: Any,
) -> Callable[[], Factors]:
    """The sum of several ``fit_warp`` that differ in their seed alone, as one: their factors side by side.

    WARP settles differently from every start; what the members agree on is what the data says. The result does not
    depend on how many train at the same time.

    Args:
        threads: that train, a member each, after what was begun before.
        progress: one that several threads may advance.
        dimensions: of each member; the ensemble has their sum.

    Returns:
        What waits for the members and gives the ensemble, or raises what stopped one of them.
    """
    seeds = np.random.SeedSequence(config.seed).generate_state(len(dimensions)).tolist()

    def fit(seed: int, dimension: int) -> Factors:
        return fit_warp(
            row, column, weight, shape, replace(config, seed=seed), progress, dimension=dimension, **options
        )

    begun = [threads.submit(fit, seed, dimension) for seed, dimension in zip(seeds, dimensions, strict=True)]
    return lambda: _side_by_side([member.result() for member in begun])


def _side_by_side(members: Sequence[Factors]) -> Factors:
    others = [member.other_rows for member in members if member.other_rows is not None]
    return Factors(
        np.hstack([member.rows for member in members]),
        np.hstack([member.columns for member in members]),
        np.sum([member.column_bias for member in members], axis=0, dtype=np.float32),
        np.hstack(others) if others else None,
    )
