"""LightFM's WARP loss, as factors: the one module that imports LightFM.

Only its training is used. Its ``predict`` and evaluation are slow and leak, and under WARP the bias of the side that is
ranked *for* (its "user" bias) is an artefact that only ever falls, so that it is neither used nor kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_provider_personalize.local.recipes.model import TrainingConfig, TrainingError

LEARNING_RATE = 0.05
EPOCHS = 25
DIMENSION = 63


@dataclass(frozen=True)
class Factors:
    """score(row, column) = rows[row] . columns[column] + column_bias[column]; comparable within a row only.

    rows: (r, d) float32, columns: (c, d) float32, column_bias: (c,) float32.
    """

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    column_bias: NDArray[np.float32]


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
    row_features: Any = None,
    column_features: Any = None,
) -> Factors:
    """Learn to rank each row's columns above the others.

    Args:
        row, column, weight: (nnz,) the positive pairs and their sample weights.
        row_features, column_features: scipy CSR (r, f) and (c, g) float32; None for one feature an entity.

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
    learner = LightFM(dimension, loss="warp", learning_rate=LEARNING_RATE, random_state=config.seed)
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
    return Factors(*(np.array(a, np.float32, order="C") for a in (rows, columns, bias)))
